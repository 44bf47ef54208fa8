/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the owner of a deployment allows: objective, bounds, steps, mode. Read from the agent's
 * YAML, then overridden per workload by labels `drpc.slo-p99=200ms` (Docker) or annotations
 * `drpc.io/slo-p99: 200ms` (Kubernetes).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum drpc_mode {
	DRPC_MODE_OFF,	     /* measured, never decided for */
	DRPC_MODE_RECOMMEND, /* decisions are computed and shown, nothing is written */
	DRPC_MODE_ACT,
};

struct drpc_policy {
	enum drpc_mode mode;
	uint64_t slo_p99_ns; /* objective for the 99th percentile; 0: none was given */
	uint64_t min_cpu_mcpu, max_cpu_mcpu; /* per replica */
	uint64_t min_memory_bytes, max_memory_bytes;
	uint32_t min_replicas, max_replicas;
	double cpu_step, memory_step; /* the action 1.0, as a share of the present limit, 0..1 */
	bool brownout;		      /* may go to 0 replicas */
	bool memory_managed;	      /* false: memory limits are left alone */
};

/* Fills in the defaults: recommend, no objective, 50 mCPU .. node, 16 MiB .. node, 1..1 replicas.
 * A node of size 0 is unknown and bounds nothing. */
void drpc_policy_defaults(struct drpc_policy *policy, uint64_t node_mcpu, uint64_t node_mem_bytes);

/*
 * Sets one key ("slo-p99", "min-cpu", "max-cpu", "min-memory", "max-memory", "replicas",
 * "brownout", "mode", "cpu-step", "memory-step", "memory-managed"; no prefix) from its text. Forms:
 * durations 250us 200ms 1.5s; CPU 0.5 or 500m; memory 64Mi 1Gi 500M 1000000; replicas N or A..B;
 * booleans true|false; modes off|recommend|act; steps 20% or 0.2.
 * On failure returns -EINVAL (bad value) or -ENOENT (unknown key), leaves *policy untouched, and
 * writes to `why` a sentence that names the key, the value and the accepted form.
 */
int drpc_policy_set(struct drpc_policy *policy, const char *key, const char *value, char *why,
		    size_t why_size);

/* Checks that bounds are in order (min <= max and so on); -EINVAL and `why` as above. */
int drpc_policy_check(const struct drpc_policy *policy, char *why, size_t why_size);

const char *drpc_mode_name(enum drpc_mode mode);
