/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers under /v1 as JSON. Field names are a contract (docs/api.md). Every function returns
 * a new reference that the caller gives back with json_object_put(), or NULL where memory ran out.
 *
 * A number is always a number: what does not exist (no limit, no objective, no request) is 0.
 */
#pragma once

#include <json-c/json.h>

#include "agent/agent.h"

/* Requests as `ls` shows them are those of this long. */
#define DRPC_LS_SPAN_NS (5 * DRPC_NSEC_PER_SEC)

/* Six significant digits; null for NaN and infinities, which JSON does not have. */
struct json_object *drpc_json_number(double value);

/* A wall-clock time, "2026-05-09T08:55:03.120Z". */
struct json_object *drpc_json_time(uint64_t realtime_ns);

/* {cpu_cores, memory_mib, replicas} */
struct json_object *drpc_json_limits(const struct drpc_limits *limits, uint32_t replicas);

/* The limit as one figure: memory.max, or memory.high where that is all there is; 0 for none. */
double drpc_json_memory_mib(const struct drpc_limits *limits);
double drpc_json_cpu_cores(const struct drpc_limits *limits);

/* json_container.c: an element of `ls`, and the list of all. */
struct json_object *drpc_json_container(const struct drpc_agent *agent,
					const struct drpc_container *container, uint64_t now_ns);
struct json_object *drpc_json_containers(const struct drpc_agent *agent, uint64_t now_ns);

/* json_use.c: what each container has used since the agent began to look, for `recommend`. */
struct json_object *drpc_json_use(const struct drpc_agent *agent, uint64_t now_ns);

/* json_hist.c: `span_ns` 0 is everything since the agent began to look. */
struct json_object *drpc_json_hist(const struct drpc_container *container, uint64_t now_ns,
				   uint64_t span_ns);
struct drpc_total;
struct json_object *drpc_json_hist_total(const char *name, const struct drpc_total *total);

/* json_explain.c: decisions of a deployment, newest first. */
struct json_object *drpc_json_explain(const struct drpc_deployment *deployment);
struct drpc_decision;
struct json_object *drpc_json_decision(const struct drpc_decision *decision);

/* json_status.c */
struct json_object *drpc_json_status(const struct drpc_agent *agent);
struct json_object *drpc_json_doctor(const struct drpc_agent *agent);
struct json_object *drpc_json_hooks(const struct drpc_hook_status *hooks, size_t count);

/* json_edges.c: caller → callee, busiest first. */
struct json_object *drpc_json_edges(const struct drpc_agent *agent);

/* json_totals.c: what `drpc record` takes down, of all containers at one moment. */
struct json_object *drpc_json_totals(const struct drpc_agent *agent);
