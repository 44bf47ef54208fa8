// SPDX-License-Identifier: Apache-2.0
#include "tools/sim/fit_report.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>

#include "lib/util.h"

struct sim_fit_report {
	struct json_object *list; /* NULL: a table */
	bool begun;
};

int sim_fit_report_new(bool json, struct sim_fit_report **ret)
{
	struct sim_fit_report *report = calloc(1, sizeof(*report));

	if (report && json)
		report->list = json_object_new_array();
	if (!report || (json && !report->list)) {
		free(report);
		return -ENOMEM;
	}
	*ret = report;
	return 0;
}

static void put(struct json_object *o, const char *key, double value)
{
	struct json_object *number = json_object_new_double(value);

	if (number)
		json_object_set_serializer(number, json_object_double_to_json_string,
					   (void *)(uintptr_t) "%.6g", NULL);
	json_object_object_add(o, key, number);
}

static struct json_object *figures(const struct drpc_fit_figures *f)
{
	struct json_object *o = json_object_new_object();

	put(o, "rps", f->mean_rps);
	put(o, "p50_ms", f->p50_ms);
	put(o, "p99_ms", f->p99_ms);
	put(o, "throttled_share", f->throttled);
	put(o, "cpu_cores", f->cpu_cores);
	return o;
}

static void add_json(struct sim_fit_report *report, const struct drpc_fit_point *point,
		     const struct drpc_fit_stat *stat, const char *name,
		     const struct drpc_fit_figures *recorded,
		     const struct drpc_fit_figures *simulated)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "service", json_object_new_string(name));
	json_object_object_add(o, "begin_ms", json_object_new_int64(point->begin_ms));
	put(o, "seconds", point->seconds);
	put(o, "cpu_limit_cores", stat->cpu_limit_cores);
	json_object_object_add(o, "requests", json_object_new_uint64(stat->requests));
	json_object_object_add(o, "recorded", figures(recorded));
	json_object_object_add(o, "simulated", figures(simulated));
	json_object_array_add(report->list, o);
}

static void add_row(struct sim_fit_report *report, const struct drpc_fit_stat *stat,
		    const char *name, const struct drpc_fit_figures *r,
		    const struct drpc_fit_figures *s)
{
	if (!report->begun)
		printf("%-20s %6s %7s | %15s | %15s | %13s | %13s\n%-20s %6s %7s | %15s | %15s | %13s | %13s\n",
		       "service", "limit", "req/s", "p50 ms", "p99 ms", "throttled %", "CPU cores",
		       "", "", "", "rec.      sim.", "rec.      sim.", "rec.    sim.",
		       "rec.    sim.");
	report->begun = true;
	printf("%-20.20s %6.3f %7.1f | %7.2f %7.2f | %7.1f %7.1f | %6.1f %6.1f | %6.3f %6.3f\n",
	       name, stat->cpu_limit_cores, r->mean_rps, r->p50_ms, s->p50_ms, r->p99_ms, s->p99_ms,
	       r->throttled * 100, s->throttled * 100, r->cpu_cores, s->cpu_cores);
}

void sim_fit_report_add(struct sim_fit_report *report, const struct drpc_fit_point *point,
			uint32_t source, const char *name, const struct drpc_fit_simulated *s)
{
	const struct drpc_fit_stat *stat = &point->stats[source];
	const struct drpc_fit_figures recorded = drpc_fit_recorded_figures(point, source);
	const struct drpc_fit_figures simulated = drpc_fit_simulated_figures(s);

	if (!stat->requests)
		return;
	if (report->list)
		add_json(report, point, stat, name, &recorded, &simulated);
	else
		add_row(report, stat, name, &recorded, &simulated);
}

void sim_fit_report_end(struct sim_fit_report **report)
{
	if ((*report)->list)
		puts(json_object_to_json_string_ext((*report)->list, JSON_C_TO_STRING_PRETTY));
	json_object_put((*report)->list);
	free(*report);
	*report = NULL;
}
