// SPDX-License-Identifier: Apache-2.0
#include "tools/bench/report.h"

#include <json-c/json.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/log.h"
#include "lib/util.h"

void bench_add(struct bench_report *report, const char *unit, double value, const char *name_fmt,
	       ...)
{
	struct json_object *figure = json_object_new_object();
	char name[96];
	va_list args;

	va_start(args, name_fmt);
	vsnprintf(name, sizeof(name), name_fmt, args);
	va_end(args);
	json_object_object_add(figure, "name", json_object_new_string(name));
	json_object_object_add(figure, "unit", json_object_new_string(unit));
	json_object_object_add(figure, "value",
			       isfinite(value) ? json_object_new_double(value) : NULL);
	json_object_array_add(report->figures, figure);
}

void bench_note(struct bench_report *report, const char *fmt, ...)
{
	va_list args;

	if (report->json)
		return;
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

void bench_report_print(const struct bench_report *report, FILE *out)
{
	if (report->json) {
		fprintf(out, "%s\n",
			json_object_to_json_string_ext(report->figures, JSON_C_TO_STRING_PRETTY));
		return;
	}
	for (size_t i = 0; i < json_object_array_length(report->figures); i++) {
		struct json_object *figure = json_object_array_get_idx(report->figures, i);
		struct json_object *value = json_object_object_get(figure, "value");
		const char *name = json_object_get_string(json_object_object_get(figure, "name"));
		const char *unit = json_object_get_string(json_object_object_get(figure, "unit"));

		if (value)
			fprintf(out, "%-34s %14.4g %s\n", name, json_object_get_double(value),
				unit);
		else
			fprintf(out, "%-34s %14s %s\n", name, "not measured", unit);
	}
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double bench_percentile(double *values, size_t n, double q)
{
	double at, below;

	if (n == 0)
		return NAN;
	qsort(values, n, sizeof(*values), compare_double);
	at = q * (double)(n - 1);
	below = floor(at);
	if ((size_t)below + 1 >= n)
		return values[n - 1];
	return values[(size_t)below] +
	       (at - below) * (values[(size_t)below + 1] - values[(size_t)below]);
}

double bench_median(double *values, size_t n)
{
	return bench_percentile(values, n, 0.5);
}

static uint64_t cpu_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * DRPC_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t bench_thread_cpu_ns(void)
{
	return cpu_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t bench_process_cpu_ns(void)
{
	return cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		drpc_warn("bench: cannot pin to CPU %d, ignoring", cpu);
}
