/* SPDX-License-Identifier: Apache-2.0 */
/* The findings of `drpc doctor`: one line a check, in groups. */
#pragma once

#include "tools/drpc/cli.h"
#include "tools/drpc/table.h"

enum drpc_finding_state {
	DRPC_FINDING_OK,
	DRPC_FINDING_DEGRADED, /* works, with a loss */
	DRPC_FINDING_MISSING,
};

struct drpc_finding {
	const char *group; /* literal */
	char name[32];
	enum drpc_finding_state state;
	char found[160]; /* what is there */
	char means[240]; /* what follows from it; "" where all is well */
	char todo[240];	 /* what to do about it; "" for nothing */
};

#define DRPC_FINDINGS_MAX 80

struct drpc_doctor {
	struct drpc_finding findings[DRPC_FINDINGS_MAX];
	size_t count;
	bool can_measure; /* request latency */
	bool can_act;	  /* limits can be changed */
};

/* Adds a finding; `found` is a format. Returns it, to fill in what it means and what to do; never
 * NULL (the last place takes what is too much). */
struct drpc_finding *drpc_doctor_add(struct drpc_doctor *doctor, const char *group,
				     const char *name, enum drpc_finding_state state,
				     const char *found, ...) __attribute__((format(printf, 5, 6)));

/* Fills in what a finding means and what to do. */
void drpc_finding_say(struct drpc_finding *finding, const char *means, const char *todo);

/* The groups. `cli` names the agent's socket and the cgroup root. */
void drpc_doctor_host(struct drpc_doctor *doctor);			     /* kernel, rights */
void drpc_doctor_hooks(struct drpc_doctor *doctor, struct drpc_cli *cli);    /* BPF programs */
void drpc_doctor_cgroups(struct drpc_doctor *doctor, struct drpc_cli *cli);  /* tree and limits */
void drpc_doctor_services(struct drpc_doctor *doctor, struct drpc_cli *cli); /* engine, agent */

void drpc_doctor_print(const struct drpc_doctor *doctor, const struct drpc_term *term,
		       drpc_emit_fn emit, void *arg);
struct json_object *drpc_doctor_json(const struct drpc_doctor *doctor);

/* Pure parts, for tests. */

/* Whether a release such as "5.15.0-91-generic" is at least major.minor; false for nonsense. */
bool drpc_release_at_least(const char *release, unsigned int major, unsigned int minor);

/* Where controllers sit, by the cgroup2 root's cgroup.controllers (NULL: none is mounted). */
enum drpc_cgroup_mode {
	DRPC_CGROUPS_V2,
	DRPC_CGROUPS_HYBRID, /* cgroup2 is there, cpu and memory are on v1 */
	DRPC_CGROUPS_V1,
};
enum drpc_cgroup_mode drpc_cgroup_mode_of(const char *controllers);
