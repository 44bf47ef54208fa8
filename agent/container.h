/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nouns of the agent: a container (one cgroup on this node), a deployment (the containers that
 * are replicas of one service) and the policy its owner gave it. Everything else in agent/ speaks
 * of these. All three are owned by the roster (agent/roster.h); everybody else borrows them for
 * the length of one tick.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/limits.h"
#include "agent/policy.h"

#define DRPC_NAME_MAX 128 /* names are cut, never refused */
#define DRPC_ID_MAX   72  /* 64 hex digits of an engine's id, or a hash of the cgroup path */
#define DRPC_PATH_MAX 512 /* cgroup path relative to the cgroup2 mount */

#define DRPC_SLOT_OTHER 0U /* kernel slot of everything over the cap */

struct drpc_deployment;
struct drpc_series;
struct drpc_sample_state;
struct drpc_control;
struct drpc_use;

/* Where /metrics counts a container, for as long as it lives. */
enum drpc_exposed {
	DRPC_EXPOSED_NOT_YET,
	DRPC_EXPOSED_OWN,   /* under its own name */
	DRPC_EXPOSED_OTHER, /* over the series cap */
};

struct drpc_container {
	char id[DRPC_ID_MAX];	    /* engine's id, or the cgroup's name */
	char name[DRPC_NAME_MAX];   /* engine's name, or the cgroup path */
	char cgroup[DRPC_PATH_MAX]; /* "/docker/<id>", relative to the cgroup2 mount */
	uint64_t cgroup_id;	    /* inode of the cgroup2 folder */
	uint32_t slot;		    /* kernel slot, DRPC_SLOT_OTHER when over the cap */
	int32_t init_pid;	    /* for its network namespace; 0 unknown */
	bool engine_known;	    /* the engine's API named it, so its update call works */
	bool seeded;		    /* its namespace's open sockets were looked through */
	bool at_rest; /* in the last window; its series may end earlier, see monitor/sampler.h */
	struct drpc_deployment *deployment;
	struct drpc_container *next_replica; /* in the deployment */
	struct drpc_series *series;	     /* measurements, see monitor/series.h */
	struct drpc_sample_state *sample;    /* the sampler's own */
	struct drpc_use *use;		     /* since the beginning, see monitor/use.h */
	enum drpc_exposed exposed;	     /* the interface's own, see api/metrics.h */

	/* The roster's own. */
	struct drpc_container *prev, *next;
	uint32_t mark;
};

struct drpc_deployment {
	char name[DRPC_NAME_MAX]; /* compose "project/service", label, or the container's name */
	struct drpc_policy policy;
	struct drpc_container *replicas;
	uint32_t replica_count;
	bool paused; /* `drpc pause` */
	bool held;   /* stays without replicas: they were stopped and may come back; see scale.h */
	char config_error[256];		     /* a label that was refused and why; "" for none */
	struct drpc_control *control;	     /* the control loop's state, see control.h */
	struct drpc_deployment *prev, *next; /* the roster's own */
};
