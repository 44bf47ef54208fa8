/* SPDX-License-Identifier: Apache-2.0 */
/* What a deployment needs against what it has. recommend_make.c is pure; recommend_format.c writes. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/drpc/table.h"

#define DRPC_RECOMMEND_NAME 128

/* Of one deployment: the figures of the replica that speaks most against saving. 0: not known. */
struct drpc_evidence {
	char deployment[DRPC_RECOMMEND_NAME];
	bool engine; /* the engine knows its containers */
	bool limits_known;
	unsigned int replicas;
	double watched_sec;
	double cpu_has, cpu_p50, cpu_p99, cpu_max; /* CPUs; has 0: no limit */
	double cpu_min;				   /* the policy's */
	double throttled, cpu_pressure, queue_share;
	double mem_has, mem_p99, mem_max, mem_min; /* MiB */
	double mem_pressure;
	double oom_kills;
	double requests, p99_ms, slo_ms;
};

enum drpc_risk {
	DRPC_RISK_LOW,
	DRPC_RISK_MEDIUM,
	DRPC_RISK_HIGH,
};

struct drpc_advice {
	double cpu_needs, mem_needs; /* a replica: CPUs, MiB */
	double cpu_saves, mem_saves; /* all replicas; negative: that much more; 0 without a limit */
	enum drpc_risk risk;
	char why[320]; /* the evidence, in words */
};

void drpc_recommend_make(const struct drpc_evidence *evidence, struct drpc_advice *ret);

const char *drpc_risk_name(enum drpc_risk risk);

/* One deployment and its containers. */
struct drpc_recommendation {
	struct drpc_evidence evidence;
	struct drpc_advice advice;
	struct json_object *containers; /* array of names */
};

/*
 * From the agent's /v1/use: one entry a deployment, or the one of that name (a container's will do).
 * Free with drpc_recommendations_free(). -ENOENT: there is none of that name. -ENOMEM.
 */
int drpc_recommend_all(struct json_object *use, const char *name, struct drpc_recommendation **ret,
		       size_t *ret_count);
void drpc_recommendations_free(struct drpc_recommendation **list, size_t count);

/* Writes them; false where there is no such format. The text is a table for the terminal. */
bool drpc_recommend_print(const char *format, const struct drpc_recommendation *list, size_t count,
			  const struct drpc_term *term, FILE *out);
