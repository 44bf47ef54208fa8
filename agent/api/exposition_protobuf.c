// SPDX-License-Identifier: Apache-2.0
/*
 * Prometheus' delimited protobuf: one io.prometheus.client.MetricFamily after the other, each behind
 * its length. The handful of messages needed is written field by field, straight into buffers that
 * are kept: an object tree a sample (10,000 of them a scrape) would cost far more than the bytes.
 *
 *   MetricFamily { 1 name, 2 help, 3 type, 4 metric…, 5 unit }
 *   Metric       { 1 label…, 2 gauge, 3 counter, 7 histogram }   gauge, counter { 1 value }
 *   LabelPair    { 1 name, 2 value }
 *   Histogram    { 1 sample_count, 2 sample_sum, 3 bucket…, 5 schema, 6 zero_threshold,
 *                  7 zero_count, 12 positive_span…, 13 positive_delta… }
 *   Bucket       { 1 cumulative_count, 2 upper_bound }   BucketSpan { 1 offset, 2 length }
 */
#include "agent/api/exposition.h"

#include <math.h>
#include <string.h>

/* --- wire format ------------------------------------------------------------------------------ */

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2 };

static void put_varint(struct drpc_buffer *b, uint64_t value)
{
	uint8_t bytes[10];
	size_t n = 0;

	for (; value >= 0x80; value >>= 7)
		bytes[n++] = (uint8_t)(value | 0x80);
	bytes[n++] = (uint8_t)value;
	drpc_buffer_append(b, bytes, n);
}

static void put_uint(struct drpc_buffer *b, unsigned int field, uint64_t value)
{
	put_varint(b, field << 3 | WIRE_VARINT);
	put_varint(b, value);
}

/* sint32 and sint64: small magnitudes of either sign are short. */
static void put_sint(struct drpc_buffer *b, unsigned int field, int64_t value)
{
	put_uint(b, field, ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0));
}

static void put_double(struct drpc_buffer *b, unsigned int field, double value)
{
	uint8_t bytes[8];
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(bits >> 8 * i);
	put_varint(b, field << 3 | WIRE_FIXED64);
	drpc_buffer_append(b, bytes, sizeof(bytes));
}

static void put_bytes(struct drpc_buffer *b, unsigned int field, const void *data, size_t size)
{
	put_varint(b, field << 3 | WIRE_BYTES);
	put_varint(b, size);
	drpc_buffer_append(b, data, size);
}

static void put_string(struct drpc_buffer *b, unsigned int field, const char *text)
{
	put_bytes(b, field, text, strlen(text));
}

static void put_message(struct drpc_buffer *b, unsigned int field, struct drpc_buffer *message)
{
	put_bytes(b, field, message->data, message->size);
	message->size = 0;
}

/* --- messages --------------------------------------------------------------------------------- */

void drpc_expo_protobuf_begin(struct drpc_expo *expo, const char *help, const char *unit)
{
	static const unsigned int types[] = {
		[DRPC_EXPO_COUNTER] = 0, [DRPC_EXPO_GAUGE] = 1, [DRPC_EXPO_HISTOGRAM] = 4};
	struct drpc_buffer *family = &expo->family;

	/* As in the text format of old: a counter's family carries the suffix of its sample. */
	put_varint(family, 1 << 3 | WIRE_BYTES);
	put_varint(family, strlen(expo->name) + (expo->type == DRPC_EXPO_COUNTER ? 6 : 0));
	drpc_buffer_append(family, expo->name, strlen(expo->name));
	if (expo->type == DRPC_EXPO_COUNTER)
		drpc_buffer_append(family, "_total", 6);
	put_string(family, 2, help);
	put_uint(family, 3, types[expo->type]);
	if (unit[0])
		put_string(family, 5, unit);
}

void drpc_expo_protobuf_end(struct drpc_expo *expo)
{
	if (expo->family.size == 0)
		return;
	put_varint(&expo->out, expo->family.size);
	drpc_buffer_append(&expo->out, expo->family.data, expo->family.size);
	expo->family.size = 0;
}

static void put_labels(struct drpc_expo *expo, const struct drpc_expo_label *labels, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		put_string(&expo->inner, 1, labels[i].name);
		put_string(&expo->inner, 2, labels[i].value);
		put_message(&expo->metric, 1, &expo->inner);
	}
}

void drpc_expo_protobuf_value(struct drpc_expo *expo, const struct drpc_expo_label *labels,
			      size_t n_labels, double value)
{
	put_labels(expo, labels, n_labels);
	put_double(&expo->inner, 1, value);
	put_message(&expo->metric, expo->type == DRPC_EXPO_COUNTER ? 3 : 2, &expo->inner);
	put_message(&expo->family, 4, &expo->metric);
	expo->series++;
}

static void put_classic(struct drpc_expo *expo, const uint64_t hist[DRPC_HIST_BUCKETS],
			unsigned int step)
{
	for (int e = DRPC_CLASSIC_LOW; e <= DRPC_CLASSIC_HIGH; e += (int)step) {
		put_uint(&expo->leaf, 1, drpc_hist_cumulative(hist, e));
		put_double(&expo->leaf, 2, ldexp(1, e));
		put_message(&expo->inner, 3, &expo->leaf);
		expo->series++;
	}
	expo->series += 3; /* +Inf, count and sum, made by the reader */
}

/*
 * The kernel's buckets are native buckets of this very schema: bucket b ends at 2^(i/8) s with
 * i = b - 160. The first one holds everything from 0 on, so it is the zero bucket; the overflow
 * bucket is given as the next after the last.
 */
static void put_native(struct drpc_expo *expo, const uint64_t hist[DRPC_HIST_BUCKETS])
{
	int first = DRPC_HIST_MIN_EXP * DRPC_HIST_PER_OCTAVE, next = 0;
	uint64_t before = 0;

	put_sint(&expo->inner, 5, DRPC_HIST_SCHEMA);
	put_double(&expo->inner, 6, ldexp(1, DRPC_HIST_MIN_EXP));
	put_uint(&expo->inner, 7, hist[0]);
	for (int b = 1; b < DRPC_HIST_BUCKETS; b++) {
		int end = b;

		if (hist[b] == 0)
			continue;
		while (end < DRPC_HIST_BUCKETS && hist[end] > 0)
			end++;
		put_sint(&expo->leaf, 1, first + b - next); /* from the end of the span before */
		put_uint(&expo->leaf, 2, (uint64_t)(end - b));
		put_message(&expo->inner, 12, &expo->leaf);
		next = first + end;
		b = end;
	}
	for (int b = 1; b < DRPC_HIST_BUCKETS; b++) {
		if (hist[b] == 0)
			continue;
		put_sint(&expo->inner, 13, (int64_t)(hist[b] - before));
		before = hist[b];
	}
}

void drpc_expo_protobuf_histogram(struct drpc_expo *expo, const struct drpc_expo_label *labels,
				  size_t n_labels, const uint64_t hist[DRPC_HIST_BUCKETS],
				  uint64_t sum_ns, unsigned int step)
{
	uint64_t count = 0;

	for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
		count += hist[b];
	put_labels(expo, labels, n_labels);
	put_uint(&expo->inner, 1, count);
	put_double(&expo->inner, 2, (double)sum_ns / 1e9);
	put_classic(expo, hist, step);
	put_native(expo, hist);
	put_message(&expo->metric, 7, &expo->inner);
	put_message(&expo->family, 4, &expo->metric);
}
