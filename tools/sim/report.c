// SPDX-License-Identifier: Apache-2.0
#include <json-c/json.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/util.h"
#include "tools/sim/sim.h"

static void add(struct json_object *o, const char *key, double value)
{
	char text[40];

	if (!isfinite(value)) {
		json_object_object_add(o, key, NULL);
		return;
	}
	/* The shortest text that reads back as the same number. */
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	json_object_object_add(o, key, json_object_new_double_s(value, text));
}

static void add_count(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_int64((int64_t)value));
}

struct figure {
	const char *name;
	size_t offset;
};

#define FIGURE(member)                                            \
	{                                                         \
#member, offsetof(struct drpc_sim_result, member) \
	}

static const struct figure figures[] = {
	FIGURE(mean_ms),
	FIGURE(p50_ms),
	FIGURE(p66_ms),
	FIGURE(p75_ms),
	FIGURE(p80_ms),
	FIGURE(p90_ms),
	FIGURE(p95_ms),
	FIGURE(p99_ms),
	FIGURE(p9999_ms),
	FIGURE(max_ms),
	FIGURE(slo_violation_rate),
	FIGURE(cpu_cores_mean),
	FIGURE(cpu_used_cores_mean),
	FIGURE(memory_mib_mean),
	FIGURE(memory_used_mib_mean),
	FIGURE(replicas_mean),
};

double sim_process_mib(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_SELF, &usage) == 0 ? (double)usage.ru_maxrss / 1024 : NAN;
}

static double success_rps(const struct drpc_sim_result *r)
{
	return r->measured_s > 0.0 ? (double)r->succeeded / r->measured_s : 0.0;
}

static double failure_rate(const struct drpc_sim_result *r)
{
	const double ended = (double)(r->succeeded + r->failed);

	return ended > 0.0 ? (double)r->failed / ended : 0.0;
}

/* Of all services together; NAN where nothing was decided. */
static double decision_us(const struct drpc_sim_watch *watch)
{
	return watch->decisions ? watch->decide_cpu_s * 1e6 / (double)watch->decisions : NAN;
}

struct json_object *sim_result_json(const struct sim_case *c, const struct drpc_sim_result *r)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "policy", json_object_new_string(c->policy));
	json_object_object_add(o, "app", json_object_new_string(c->app));
	json_object_object_add(o, "trace", json_object_new_string(c->trace));
	add_count(o, "seed", c->seed);
	add_count(o, "requests", r->arrived);
	add(o, "success_rps", success_rps(r));
	add(o, "failure_rate", failure_rate(r));
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(figures); i++) {
		double value;

		memcpy(&value, (const char *)r + figures[i].offset, sizeof(value));
		add(o, figures[i].name, value);
	}
	add_count(o, "failed_error", r->failures[DRPC_SIM_FAILED_ERROR]);
	add_count(o, "failed_timeout", r->failures[DRPC_SIM_FAILED_TIMEOUT]);
	add_count(o, "failed_refused", r->failures[DRPC_SIM_FAILED_REFUSED]);
	add_count(o, "failed_killed", r->failures[DRPC_SIM_FAILED_KILLED]);
	add_count(o, "oom_kills", r->oom_kills);
	add_count(o, "actions", r->actions);
	add(o, "cpu_hours", r->cpu_cores_mean * r->measured_s / 3600);
	add(o, "memory_gib_hours", r->memory_mib_mean / 1024 * r->measured_s / 3600);
	add_count(o, "decisions", c->watch->decisions);
	add(o, "decision_cpu_us", decision_us(c->watch));
	add_count(o, "parameters", c->watch->parameters);
	add(o, "sim_seconds", r->sim_seconds);
	add(o, "wall_seconds", c->wall_seconds);
	add(o, "process_mib", sim_process_mib());
	add_count(o, "events", r->events);
	return o;
}

void sim_result_print(const struct sim_case *c, const struct drpc_sim_result *r)
{
	printf("%s on %s, %s, seed %llu\n", c->policy, c->app, c->trace,
	       (unsigned long long)c->seed);
	printf("requests    %llu, %.1f a second answered, %.3f %% failed (errors %llu, timeouts %llu, "
	       "refused %llu, killed %llu)\n",
	       (unsigned long long)r->arrived, success_rps(r), failure_rate(r) * 100,
	       (unsigned long long)r->failures[DRPC_SIM_FAILED_ERROR],
	       (unsigned long long)r->failures[DRPC_SIM_FAILED_TIMEOUT],
	       (unsigned long long)r->failures[DRPC_SIM_FAILED_REFUSED],
	       (unsigned long long)r->failures[DRPC_SIM_FAILED_KILLED]);
	printf("latency     mean %.1f ms, p50 %.1f, p90 %.1f, p95 %.1f, p99 %.1f, p99.99 %.1f, max "
	       "%.1f\n",
	       r->mean_ms, r->p50_ms, r->p90_ms, r->p95_ms, r->p99_ms, r->p9999_ms, r->max_ms);
	printf("objective   missed by %.3f %%\n", r->slo_violation_rate * 100);
	printf("CPU         %.2f cores of limits, %.1f %% used\n", r->cpu_cores_mean,
	       r->cpu_cores_mean > 0.0 ? r->cpu_used_cores_mean / r->cpu_cores_mean * 100 : 0.0);
	printf("memory      %.0f MiB of limits, %.1f %% used, %llu killed\n", r->memory_mib_mean,
	       r->memory_mib_mean > 0.0 ? r->memory_used_mib_mean / r->memory_mib_mean * 100 : 0.0,
	       (unsigned long long)r->oom_kills);
	printf("replicas    %.1f, %llu actions\n", r->replicas_mean,
	       (unsigned long long)r->actions);
	if (c->watch->decisions)
		printf("decisions   %llu, %.1f us of CPU time each\n",
		       (unsigned long long)c->watch->decisions, decision_us(c->watch));
	printf("simulated   %.0f s in %.2f s, %llu events\n", r->sim_seconds, c->wall_seconds,
	       (unsigned long long)r->events);
}
