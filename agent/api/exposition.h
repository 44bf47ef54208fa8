/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes metric families in one of two formats, behind one interface:
 *   - OpenMetrics 1.0 text: counters, gauges, classic histograms;
 *   - Prometheus' delimited protobuf, the one format that carries native histograms: each
 *     histogram is there classic and native.
 * A family is begun once and its samples follow it. Memory that runs out is remembered and told by
 * drpc_expo_finish().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/drpc/hist.h"

enum drpc_expo_format {
	DRPC_EXPO_TEXT,
	DRPC_EXPO_PROTOBUF,
};

enum drpc_expo_type {
	DRPC_EXPO_COUNTER,
	DRPC_EXPO_GAUGE,
	DRPC_EXPO_HISTOGRAM,
};

struct drpc_expo_label {
	const char *name;  /* trusted */
	const char *value; /* escaped here */
};

struct drpc_buffer {
	char *data;
	size_t size, capacity;
	bool failed; /* out of memory: what was written since is missing */
};

struct drpc_expo {
	enum drpc_expo_format format;
	struct drpc_buffer out;
	struct drpc_buffer family, metric, inner, leaf; /* protobuf messages under way */
	const char *name;
	enum drpc_expo_type type;
	size_t series; /* samples written so far, each bucket of a histogram counted */
};

void drpc_expo_init(struct drpc_expo *expo, enum drpc_expo_format format);

/* `name` without "_total"; `unit` is its last word where it has one ("seconds"), else "". */
void drpc_expo_family(struct drpc_expo *expo, const char *name, enum drpc_expo_type type,
		      const char *unit, const char *help);

void drpc_expo_value(struct drpc_expo *expo, const struct drpc_expo_label *labels, size_t n_labels,
		     double value);

/*
 * `step`: a classic boundary every so many octaves (factor 2), from 2^-16 s to 2^4 s and +Inf.
 */
void drpc_expo_histogram(struct drpc_expo *expo, const struct drpc_expo_label *labels,
			 size_t n_labels, const uint64_t hist[DRPC_HIST_BUCKETS], uint64_t sum_ns,
			 unsigned int step);

/* Ends the exposition and gives the buffer away. 0 or -ENOMEM; everything is freed either way. */
int drpc_expo_finish(struct drpc_expo *expo, char **ret, size_t *ret_size);

const char *drpc_expo_content_type(enum drpc_expo_format format);

/* Which format an Accept header asks for; text where it asks for neither. */
enum drpc_expo_format drpc_expo_negotiate(const char *accept);

/* --- between exposition.c and exposition_protobuf.c --- */

#define DRPC_CLASSIC_LOW  (-16) /* lowest and highest classic boundary, as powers of two of a */
#define DRPC_CLASSIC_HIGH 4	/* second; a multiple of every step from the lowest */

void drpc_buffer_append(struct drpc_buffer *buffer, const void *data, size_t size);

/* Values at or below 2^exponent seconds. */
uint64_t drpc_hist_cumulative(const uint64_t hist[DRPC_HIST_BUCKETS], int exponent);

void drpc_expo_protobuf_begin(struct drpc_expo *expo, const char *help, const char *unit);
void drpc_expo_protobuf_value(struct drpc_expo *expo, const struct drpc_expo_label *labels,
			      size_t n_labels, double value);
void drpc_expo_protobuf_histogram(struct drpc_expo *expo, const struct drpc_expo_label *labels,
				  size_t n_labels, const uint64_t hist[DRPC_HIST_BUCKETS],
				  uint64_t sum_ns, unsigned int step);
void drpc_expo_protobuf_end(struct drpc_expo *expo);
