// SPDX-License-Identifier: Apache-2.0
#include "agent/api/exposition.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

/* --- buffers ---------------------------------------------------------------------------------- */

void drpc_buffer_append(struct drpc_buffer *buffer, const void *data, size_t size)
{
	if (size == 0)
		return;
	if (buffer->size + size > buffer->capacity) {
		size_t capacity = DRPC_MAX(buffer->capacity * 2, buffer->size + size + 4096);
		char *bigger = buffer->failed ? NULL : realloc(buffer->data, capacity);

		if (!bigger) {
			buffer->failed = true;
			return;
		}
		buffer->data = bigger;
		buffer->capacity = capacity;
	}
	memcpy(buffer->data + buffer->size, data, size);
	buffer->size += size;
}

static void put(struct drpc_expo *expo, const char *text)
{
	drpc_buffer_append(&expo->out, text, strlen(text));
}

static void putf(struct drpc_expo *expo, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* For names and numbers of ours, which are short. */
static void putf(struct drpc_expo *expo, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	put(expo, text);
}

/* --- text ------------------------------------------------------------------------------------- */

/* Backslash, quote and newline are escaped; OpenMetrics knows no other escape. */
static void put_escaped(struct drpc_expo *expo, const char *text)
{
	for (const char *at = text; *at;) {
		size_t plain = strcspn(at, "\\\"\n");

		drpc_buffer_append(&expo->out, at, plain);
		at += plain;
		if (*at == '\0')
			break;
		put(expo, *at == '\n' ? "\\n" : *at == '"' ? "\\\"" : "\\\\");
		at++;
	}
}

/* Labels without their braces. */
static void put_labels(struct drpc_expo *expo, const struct drpc_expo_label *labels,
		       size_t n_labels)
{
	for (size_t i = 0; i < n_labels; i++) {
		put(expo, i ? "," : "");
		put(expo, labels[i].name);
		put(expo, "=\"");
		put_escaped(expo, labels[i].value);
		put(expo, "\"");
	}
}

static void put_count(struct drpc_expo *expo, uint64_t count)
{
	char text[24], *at = text + sizeof(text);

	do {
		*--at = (char)('0' + count % 10);
		count /= 10;
	} while (count > 0);
	drpc_buffer_append(&expo->out, at, (size_t)(text + sizeof(text) - at));
}

/* Whole numbers in full, others so that they read back exactly. */
static void put_number(struct drpc_expo *expo, double value)
{
	if (isnan(value))
		put(expo, " NaN\n");
	else if (isinf(value))
		put(expo, value > 0 ? " +Inf\n" : " -Inf\n");
	else if (fabs(value) < 1e15 && value == floor(value))
		putf(expo, " %.0f\n", value);
	else
		putf(expo, " %.17g\n", value);
}

static void put_value(struct drpc_expo *expo, const char *suffix,
		      const struct drpc_expo_label *labels, size_t n_labels, double value)
{
	put(expo, expo->name);
	put(expo, suffix);
	if (n_labels > 0) {
		put(expo, "{");
		put_labels(expo, labels, n_labels);
		put(expo, "}");
	}
	put_number(expo, value);
	expo->series++;
}

/* Canonical floats: "1.0", not "1". */
static const char *const bounds[DRPC_CLASSIC_HIGH - DRPC_CLASSIC_LOW + 1] = {
	"1.52587890625e-05",
	"3.0517578125e-05",
	"6.103515625e-05",
	"0.0001220703125",
	"0.000244140625",
	"0.00048828125",
	"0.0009765625",
	"0.001953125",
	"0.00390625",
	"0.0078125",
	"0.015625",
	"0.03125",
	"0.0625",
	"0.125",
	"0.25",
	"0.5",
	"1.0",
	"2.0",
	"4.0",
	"8.0",
	"16.0",
};

/* Ten thousand of these lines are most of a scrape: the labels are escaped once, and copied. */
static void put_line(struct drpc_expo *expo, const char *suffix, const char *le, uint64_t count)
{
	const struct drpc_buffer *labels = &expo->leaf;

	put(expo, expo->name);
	put(expo, suffix);
	if (labels->size > 0 || le) {
		put(expo, "{");
		drpc_buffer_append(&expo->out, labels->data, labels->size);
		if (le) {
			put(expo, labels->size > 0 ? ",le=\"" : "le=\"");
			put(expo, le);
			put(expo, "\"");
		}
		put(expo, "}");
	}
	put(expo, " ");
	put_count(expo, count);
	put(expo, "\n");
	expo->series++;
}

static void text_histogram(struct drpc_expo *expo, const struct drpc_expo_label *labels,
			   size_t n_labels, const uint64_t hist[DRPC_HIST_BUCKETS], uint64_t sum_ns,
			   unsigned int step)
{
	size_t begin = expo->out.size;
	uint64_t count = 0;

	put_labels(expo, labels, n_labels);
	expo->leaf.size = 0;
	if (!expo->out.failed)
		drpc_buffer_append(&expo->leaf, expo->out.data + begin, expo->out.size - begin);
	expo->out.size = begin;

	for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
		count += hist[b];
	for (int e = DRPC_CLASSIC_LOW; e <= DRPC_CLASSIC_HIGH; e += (int)step)
		put_line(expo, "_bucket", bounds[e - DRPC_CLASSIC_LOW],
			 drpc_hist_cumulative(hist, e));
	put_line(expo, "_bucket", "+Inf", count);
	put_line(expo, "_count", NULL, count);
	put_value(expo, "_sum", labels, n_labels, (double)sum_ns / 1e9);
}

/* --- both ------------------------------------------------------------------------------------- */

uint64_t drpc_hist_cumulative(const uint64_t hist[DRPC_HIST_BUCKETS], int exponent)
{
	int last = (exponent - DRPC_HIST_MIN_EXP) * DRPC_HIST_PER_OCTAVE;
	uint64_t count = 0;

	for (int b = 0; b <= last && b < DRPC_HIST_BUCKETS; b++)
		count += hist[b];
	return count;
}

void drpc_expo_init(struct drpc_expo *expo, enum drpc_expo_format format)
{
	memset(expo, 0, sizeof(*expo));
	expo->format = format;
}

void drpc_expo_family(struct drpc_expo *expo, const char *name, enum drpc_expo_type type,
		      const char *unit, const char *help)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};

	if (expo->format == DRPC_EXPO_PROTOBUF) {
		drpc_expo_protobuf_end(expo);
		expo->name = name;
		expo->type = type;
		drpc_expo_protobuf_begin(expo, help, unit);
		return;
	}
	expo->name = name;
	expo->type = type;
	putf(expo, "# TYPE %s %s\n", name, types[type]);
	if (unit[0])
		putf(expo, "# UNIT %s %s\n", name, unit);
	putf(expo, "# HELP %s ", name);
	put_escaped(expo, help);
	put(expo, "\n");
}

void drpc_expo_value(struct drpc_expo *expo, const struct drpc_expo_label *labels, size_t n_labels,
		     double value)
{
	if (expo->format == DRPC_EXPO_PROTOBUF)
		drpc_expo_protobuf_value(expo, labels, n_labels, value);
	else
		put_value(expo, expo->type == DRPC_EXPO_COUNTER ? "_total" : "", labels, n_labels,
			  value);
}

void drpc_expo_histogram(struct drpc_expo *expo, const struct drpc_expo_label *labels,
			 size_t n_labels, const uint64_t hist[DRPC_HIST_BUCKETS], uint64_t sum_ns,
			 unsigned int step)
{
	if (expo->format == DRPC_EXPO_PROTOBUF)
		drpc_expo_protobuf_histogram(expo, labels, n_labels, hist, sum_ns, step);
	else
		text_histogram(expo, labels, n_labels, hist, sum_ns, step);
}

int drpc_expo_finish(struct drpc_expo *expo, char **ret, size_t *ret_size)
{
	if (expo->format == DRPC_EXPO_PROTOBUF)
		drpc_expo_protobuf_end(expo);
	else
		put(expo, "# EOF\n");
	free(expo->family.data);
	free(expo->metric.data);
	free(expo->inner.data);
	free(expo->leaf.data);
	if (expo->out.failed || expo->family.failed || expo->metric.failed || expo->inner.failed ||
	    expo->leaf.failed) {
		free(expo->out.data);
		return -ENOMEM;
	}
	*ret = expo->out.data;
	*ret_size = expo->out.size;
	return 0;
}

const char *drpc_expo_content_type(enum drpc_expo_format format)
{
	if (format == DRPC_EXPO_PROTOBUF)
		return "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
	return "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

static bool range_has(const char *range, size_t len, const char *word)
{
	return memmem(range, len, word, strlen(word));
}

/* The quality of one media range's parameters, 1 where none is given. */
static double quality(const char *range, size_t len)
{
	const char *at = memmem(range, len, "q=", 2);
	double q = at ? strtod(at + 2, NULL) : 1;

	return isfinite(q) ? DRPC_CLAMP(q, 0.0, 1.0) : 0;
}

enum drpc_expo_format drpc_expo_negotiate(const char *accept)
{
	double protobuf = 0, text = 0;

	for (const char *at = accept ? accept : ""; *at; at += *at == ',') {
		size_t len = strcspn(at, ",");

		if (range_has(at, len, "application/vnd.google.protobuf") &&
		    range_has(at, len, "io.prometheus.client.MetricFamily") &&
		    range_has(at, len, "encoding=delimited"))
			protobuf = DRPC_MAX(protobuf, quality(at, len));
		else if (range_has(at, len, "text") || range_has(at, len, "*/*"))
			text = DRPC_MAX(text, quality(at, len));
		at += len;
	}
	return protobuf > 0 && protobuf >= text ? DRPC_EXPO_PROTOBUF : DRPC_EXPO_TEXT;
}
