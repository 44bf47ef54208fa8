// SPDX-License-Identifier: Apache-2.0
#include "agent/api/metrics.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/exposition.h"
#include "agent/control.h"
#include "agent/monitor/series.h"
#include "lib/hist.h"
#include "lib/util.h"
#include "tests/unit/agent/api/fixture.h"

static struct drpc_agent *agent;
static struct drpc_metrics *metrics;

static void setup(void)
{
	agent = fixture_agent();
	cr_assert_eq(drpc_metrics_new(&metrics), 0);
}

static void teardown(void)
{
	drpc_metrics_free(&metrics);
	fixture_free(&agent);
}

TestSuite(metrics, .init = setup, .fini = teardown);

static char *expose(const char *accept, size_t *ret_size)
{
	const char *type;
	char *data, *text;
	size_t size;

	cr_assert_eq(drpc_metrics_expose(metrics, agent, accept, &data, &size, &type), 0);
	text = calloc(1, size + 1);
	memcpy(text, data, size);
	free(data);
	*ret_size = size;
	return text;
}

static char *text_of(void)
{
	size_t size;
	char *text = expose(NULL, &size);

	cr_assert_eq(strlen(text), size);
	return text;
}

/* The value of the series that begins with `series`; NAN where there is none. */
static double value(const char *text, const char *series)
{
	size_t len = strlen(series);

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, series, len) == 0 && line[len] == ' ')
			return strtod(line + len, NULL);
	}
	return NAN;
}

/* --- a reader of OpenMetrics that complains about whatever the standard forbids --------------- */

struct reader {
	char family[128], type[32], unit[32];
	bool help;
	void *families, *series; /* tsearch(3) trees of strings */
	char bucket[512];	 /* labels of the histogram under way, without le */
	double last_le, last_count;
};

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* False where it was there already. */
static bool remember(void **tree, const char *text)
{
	char *copy = strdup(text);

	if (*(char **)tsearch(copy, tree, compare) == copy)
		return true;
	free(copy);
	return false;
}

static bool name_char(char c, bool first)
{
	return isalpha((unsigned char)c) || c == '_' || c == ':' ||
	       (!first && isdigit((unsigned char)c));
}

static void read_comment(struct reader *r, const char *line)
{
	char kind[8], name[128], rest[512] = "";

	cr_assert_eq(sscanf(line, "# %7s %127s %511[^\n]", kind, name, rest), 3, "%s", line);
	if (strcmp(name, r->family) != 0) {
		cr_expect(remember(&r->families, name), "%s comes twice", name);
		snprintf(r->family, sizeof(r->family), "%s", name);
		r->type[0] = r->unit[0] = r->bucket[0] = '\0';
		r->help = false;
	}
	if (strcmp(kind, "TYPE") == 0) {
		cr_expect(strcmp(rest, "counter") == 0 || strcmp(rest, "gauge") == 0 ||
				  strcmp(rest, "histogram") == 0,
			  "%s", line);
		snprintf(r->type, sizeof(r->type), "%.31s", rest);
	} else if (strcmp(kind, "UNIT") == 0) {
		size_t n = strlen(name), u = strlen(rest);

		cr_expect(n > u + 1 && name[n - u - 1] == '_' && strcmp(name + n - u, rest) == 0,
			  "the name must end in the unit: %s", line);
	} else {
		cr_assert_str_eq(kind, "HELP", "%s", line);
		r->help = true;
	}
}

/* The label set, up to behind its brace; le goes to *ret_le, the others to `others`. */
static const char *read_labels(const char *at, char *others, double *ret_le)
{
	*others = '\0';
	*ret_le = NAN;
	if (*at != '{')
		return at;
	do {
		const char *name = ++at, *begin;
		size_t len;

		cr_assert(name_char(*at, true), "label name: %s", name);
		while (name_char(*at, false))
			at++;
		len = (size_t)(at - name);
		cr_assert_eq(strncmp(at, "=\"", 2), 0, "%s", name);
		begin = at += 2;
		for (; *at != '"'; at++) {
			cr_assert((unsigned char)*at >= 0x20, "a control character in %s", name);
			if (*at == '\\') {
				at++;
				cr_assert(*at == '\\' || *at == '"' || *at == 'n', "%s", name);
			}
		}
		if (len == 2 && strncmp(name, "le", 2) == 0)
			*ret_le = strncmp(begin, "+Inf", 4) == 0 ? INFINITY : strtod(begin, NULL);
		else
			strncat(others, name, (size_t)(at - name + 1));
		at++;
	} while (*at == ',');
	cr_assert_eq(*at, '}', "%s", at);
	return at + 1;
}

static void read_sample(struct reader *r, const char *line)
{
	size_t family_len = strlen(r->family);
	char name[128] = "", others[512], *end;
	const char *at = line, *suffix;
	double le, v;

	while (name_char(*at, at == line))
		at++;
	strncat(name, line, DRPC_MIN((size_t)(at - line), sizeof(name) - 1));
	cr_assert_eq(strncmp(name, r->family, family_len), 0, "%s stands in family %s", name,
		     r->family);
	suffix = name + family_len;
	at = read_labels(at, others, &le);
	cr_assert_eq(*at, ' ', "%s", line);
	v = strtod(at + 1, &end);
	cr_expect_eq(*end, '\0', "%s", line);
	*(char *)(uintptr_t)at = '\0';
	cr_expect(remember(&r->series, line), "%s comes twice", line);
	cr_expect(r->help && r->type[0], "%s has neither help nor type before it", name);

	if (strcmp(r->type, "histogram") != 0) {
		cr_expect_str_eq(suffix, strcmp(r->type, "counter") == 0 ? "_total" : "", "%s",
				 line);
		cr_expect(strcmp(r->type, "counter") != 0 || v >= 0, "%s", line);
		return;
	}
	if (strcmp(suffix, "_bucket") == 0) {
		if (strcmp(others, r->bucket) != 0)
			r->last_le = r->last_count = -1;
		snprintf(r->bucket, sizeof(r->bucket), "%s", others);
		cr_expect(le > r->last_le, "boundaries rise: %s", line);
		cr_expect(v >= r->last_count, "counts are cumulative: %s", line);
		r->last_le = le;
		r->last_count = v;
	} else if (strcmp(suffix, "_count") == 0) {
		cr_expect_str_eq(others, r->bucket);
		cr_expect(isinf(r->last_le), "the last bucket is +Inf: %s", line);
		cr_expect_eq(v, r->last_count, "count is the +Inf bucket: %s", line);
	} else {
		cr_expect_str_eq(suffix, "_sum", "%s", line);
	}
}

/* Reads it all; the text is taken apart. Returns the number of series. */
static size_t read_text(char *text)
{
	struct reader r = {0};
	bool ended = false;
	size_t series = 0;

	for (char *line = text, *next; *line; line = next) {
		next = strchr(line, '\n');
		cr_assert_not_null(next, "the last line is not ended");
		*next++ = '\0';
		cr_assert_not(ended, "there is something behind the end");
		if (strcmp(line, "# EOF") == 0) {
			ended = true;
		} else if (line[0] == '#') {
			read_comment(&r, line);
		} else {
			read_sample(&r, line);
			series++;
		}
	}
	cr_expect(ended, "# EOF is missing");
	tdestroy(r.families, free);
	tdestroy(r.series, free);
	return series;
}

/* --- text ------------------------------------------------------------------------------------- */

Test(metrics, text_is_open_metrics)
{
	char *text = text_of();

	cr_expect_gt(read_text(text), 150);
	free(text);
}

Test(metrics, text_values)
{
	char *text = text_of();

#define WEB "container=\"web-1\",deployment=\"shop/web\""
	cr_expect_eq(value(text, "drpc_requests_total{" WEB "}"), 1000);
	cr_expect_eq(value(text, "drpc_requests_seen_total{" WEB "}"), 1000);
	cr_expect_eq(value(text, "http_server_request_duration_seconds_count{" WEB "}"), 1000);
	cr_expect_eq(value(text, "http_server_request_duration_seconds_sum{" WEB "}"), 4);
	/* 4 ms lie between 2^-8 s (3.9 ms) and 2^-7 s. */
	cr_expect_eq(value(text, "http_server_request_duration_seconds_bucket{" WEB
				 ",le=\"0.00390625\"}"),
		     0);
	cr_expect_eq(value(text,
			   "http_server_request_duration_seconds_bucket{" WEB ",le=\"0.0078125\"}"),
		     1000);
	cr_expect_eq(
		value(text, "drpc_request_phase_duration_seconds_sum{" WEB ",phase=\"queue\"}"), 3);
	cr_expect_eq(value(text, "drpc_coverage_ratio{" WEB "}"), 1);
	cr_expect_eq(value(text, "container_cpu_time_seconds_total{" WEB "}"), 0.05);
	cr_expect_eq(value(text, "drpc_cpu_limit_cores{" WEB "}"), 0.5);
	cr_expect_eq(value(text, "drpc_memory_limit_bytes{" WEB "}"), 128 * DRPC_MIB);
	cr_expect_eq(value(text, "drpc_memory_working_set_bytes{" WEB "}"), 48 * DRPC_MIB);
	cr_expect_eq(value(text, "drpc_pressure_stalled_seconds_total{" WEB
				 ",resource=\"cpu\",kind=\"some\"}"),
		     0.02);
	cr_expect_eq(value(text, "drpc_requests_dropped_total{" WEB ",reason=\"closed\"}"), 0);
	cr_expect_eq(value(text, "drpc_deployment_replicas{deployment=\"shop/web\"}"), 2);
	cr_expect_eq(value(text, "drpc_deployment_mode{deployment=\"shop/web\",mode=\"act\"}"), 1);
	cr_expect_eq(value(text, "drpc_slo_p99_seconds{deployment=\"shop/web\"}"), 0.2);
	cr_expect_eq(value(text, "drpc_measuring"), 0, "there is no kernel here");
	cr_expect_gt(value(text, "process_resident_memory_bytes"), 1e6);
	/* Nothing is invented: no request, no histogram; no limit, no figure. */
	cr_expect(isnan(
		value(text, "drpc_requests_total{container=\"web-2\",deployment=\"shop/web\"}")));
	cr_expect(isnan(value(
		text,
		"drpc_cpu_limit_cores{container=\"we\\\"ird\\\\?\",deployment=\"we\\\"ird\\\\?\"}")));
	free(text);
}

Test(metrics, label_values_are_escaped)
{
	char *text;

	fixture_traffic(drpc_roster_find(agent->roster, "we\"ird\\?"), 1, 1000000);
	text = text_of();
	cr_expect_eq(
		value(text,
		      "drpc_requests_total{container=\"we\\\"ird\\\\?\",deployment=\"we\\\"ird\\\\?\"}"),
		1);
	read_text(text);
	free(text);
}

/* --- the cap ---------------------------------------------------------------------------------- */

static struct drpc_container *add(const char *prefix, int i, uint64_t requests)
{
	struct drpc_container *c;
	char name[32];

	snprintf(name, sizeof(name), "%s-%03d", prefix, i);
	c = fixture_container(agent, name);
	fixture_traffic(c, requests, 1000000);
	return c;
}

#define OTHER "container=\"other\",deployment=\"other\""

Test(metrics, series_are_capped)
{
	size_t few, many;
	char *text;

	for (int i = 0; i < DRPC_METRICS_CONTAINERS; i++)
		add("a", i, 1);
	text = text_of();
	few = read_text(text);
	free(text);
	for (int i = 0; i < 300; i++)
		add("b", i, 1);
	text = text_of();
	cr_expect_eq(value(text, "drpc_requests_total{" OTHER "}"), 303);
	cr_expect(isnan(
		value(text, "drpc_requests_total{container=\"b-299\",deployment=\"b-299\"}")));
	many = read_text(text);
	cr_expect_eq(few, many, "%zu series, then %zu", few, many);
	free(text);
}

Test(metrics, other_never_goes_back)
{
	struct drpc_container *second, *third;
	char *text;

	drpc_metrics_set_cap(metrics, 3);
	add("own", 0, 1); /* the fixture's three have the places */
	second = add("own", 1, 10);
	third = add("own", 2, 100);
	text = text_of();
	cr_expect_eq(value(text, "drpc_requests_total{" OTHER "}"), 111);
	cr_expect_eq(value(text, "container_cpu_time_seconds_total{" OTHER "}"), 0.15);
	cr_expect_eq(value(text, "drpc_memory_working_set_bytes{" OTHER "}"), 3 * 48 * DRPC_MIB);
	free(text);

	drpc_metrics_gone(metrics, third);
	drpc_roster_remove(agent->roster, third);
	text = text_of();
	cr_expect_eq(value(text, "drpc_requests_total{" OTHER "}"), 111, "what was counted stays");
	cr_expect_eq(value(text, "http_server_request_duration_seconds_count{" OTHER "}"), 111);
	cr_expect_eq(value(text, "drpc_memory_working_set_bytes{" OTHER "}"), 2 * 48 * DRPC_MIB,
		     "what was held goes");
	free(text);

	/* A place comes free: those in `other` stay there, a new one takes it. */
	drpc_metrics_gone(metrics, drpc_roster_find(agent->roster, "web-1"));
	drpc_roster_remove(agent->roster, drpc_roster_find(agent->roster, "web-1"));
	add("new", 0, 7);
	fixture_traffic(second, 5, 1000000);
	text = text_of();
	cr_expect_eq(value(text, "drpc_requests_total{" OTHER "}"), 116);
	cr_expect_eq(
		value(text, "drpc_requests_total{container=\"new-000\",deployment=\"new-000\"}"),
		7);
	read_text(text);
	free(text);
}
