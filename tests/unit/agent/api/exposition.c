// SPDX-License-Identifier: Apache-2.0
#include "agent/api/exposition.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/metrics.h"
#include "lib/hist.h"
#include "lib/util.h"
#include "tests/unit/agent/api/fixture.h"

#define ACCEPT_PROTOBUF                                                            \
	"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;" \
	"encoding=delimited;q=0.7,application/openmetrics-text;version=1.0.0;q=0.6,*/*;q=0.1"

Test(exposition, every_value_of_a_histogram_lies_under_its_boundary)
{
	uint64_t hist[DRPC_HIST_BUCKETS] = {0};

	for (unsigned int b = 0; b < DRPC_HIST_BUCKETS; b++)
		hist[b] = 1;
	for (int e = DRPC_CLASSIC_LOW; e <= DRPC_CLASSIC_HIGH; e++) {
		uint64_t below = 0;

		for (unsigned int b = 0; b < DRPC_HIST_BUCKETS; b++)
			below += (double)drpc_hist_bound_ns(b) <= ldexp(1e9, e);
		cr_expect_eq(drpc_hist_cumulative(hist, e), below, "2^%d s", e);
	}
}

Test(exposition, boundaries_are_written_exactly)
{
	static const uint64_t hist[DRPC_HIST_BUCKETS];
	struct drpc_expo expo;
	const char *at;
	size_t size;
	char *data;

	drpc_expo_init(&expo, DRPC_EXPO_TEXT);
	drpc_expo_family(&expo, "x_seconds", DRPC_EXPO_HISTOGRAM, "seconds", "help");
	drpc_expo_histogram(&expo, NULL, 0, hist, 0, 1);
	cr_expect_eq(expo.series, 24);
	cr_assert_eq(drpc_expo_finish(&expo, &data, &size), 0);
	at = data;
	for (int e = DRPC_CLASSIC_LOW; e <= DRPC_CLASSIC_HIGH; e++) {
		at = strstr(at, "le=\"") + 4;
		cr_expect_eq(strtod(at, NULL), ldexp(1, e), "%.30s", at);
	}
	cr_expect_eq(strncmp(strstr(at, "le=\""), "le=\"+Inf\"", 9), 0);
	free(data);
}

/* --- protobuf --------------------------------------------------------------------------------- */

struct wire {
	const uint8_t *at, *end;
};

struct value {
	unsigned int field, type;
	uint64_t number; /* varint, or the bits of a double */
	struct wire bytes;
};

static uint64_t read_varint(struct wire *w)
{
	uint64_t v = 0;
	int shift = 0;

	for (;; shift += 7) {
		cr_assert(w->at < w->end && shift < 64);
		v |= (uint64_t)(*w->at & 0x7f) << shift;
		if (!(*w->at++ & 0x80))
			return v;
	}
}

static bool next_value(struct wire *w, struct value *v)
{
	uint64_t tag;

	if (w->at == w->end)
		return false;
	tag = read_varint(w);
	*v = (struct value){.field = (unsigned int)(tag >> 3), .type = tag & 7};
	if (v->type == 0) {
		v->number = read_varint(w);
	} else if (v->type == 1) {
		cr_assert(w->end - w->at >= 8);
		memcpy(&v->number, w->at, 8);
		w->at += 8;
	} else {
		uint64_t len = read_varint(w);

		cr_assert_eq(v->type, 2);
		cr_assert(len <= (uint64_t)(w->end - w->at));
		v->bytes = (struct wire){w->at, w->at + len};
		w->at += len;
	}
	return true;
}

static double as_double(const struct value *v)
{
	double d;

	cr_assert_eq(v->type, 1);
	memcpy(&d, &v->number, 8);
	return d;
}

static int64_t as_sint(const struct value *v)
{
	cr_assert_eq(v->type, 0);
	return (int64_t)(v->number >> 1) ^ -(int64_t)(v->number & 1);
}

static bool is_text(const struct value *v, const char *text)
{
	size_t len = strlen(text);

	return v->type == 2 && (size_t)(v->bytes.end - v->bytes.at) == len &&
	       memcmp(v->bytes.at, text, len) == 0;
}

/* What a native histogram says, put back into buckets. */
struct native {
	uint64_t count, zero, buckets[DRPC_HIST_BUCKETS];
	double sum, zero_threshold;
	int64_t schema;
	unsigned int classic;
};

static void read_native(struct wire w, struct native *n)
{
	int index = 0, indices[DRPC_HIST_BUCKETS], spans = 0, deltas = 0;
	uint64_t at = 0, cumulative = 0;
	struct value v, inner;

	memset(n, 0, sizeof(*n));
	while (next_value(&w, &v)) {
		if (v.field == 1) {
			n->count = v.number;
		} else if (v.field == 2) {
			n->sum = as_double(&v);
		} else if (v.field == 3) {
			while (next_value(&v.bytes, &inner)) {
				if (inner.field == 1) {
					cr_expect(inner.number >= cumulative);
					cumulative = inner.number;
				}
			}
			n->classic++;
		} else if (v.field == 5) {
			n->schema = as_sint(&v);
		} else if (v.field == 6) {
			n->zero_threshold = as_double(&v);
		} else if (v.field == 7) {
			n->zero = v.number;
		} else if (v.field == 12) {
			uint64_t len = 0;

			while (next_value(&v.bytes, &inner)) {
				if (inner.field == 1)
					index += (int)as_sint(&inner);
				else
					len = inner.number;
			}
			for (; len > 0; len--)
				indices[spans++] = index++;
		} else {
			cr_assert_eq(v.field, 13, "field %u", v.field);
			cr_assert_lt(deltas, spans, "deltas come after their spans");
			at += (uint64_t)as_sint(&v);
			/* Bucket i of schema 3 ends at 2^(i/8) s; ours are counted from 2^-20 s. */
			cr_assert(indices[deltas] + 160 > 0 &&
				  indices[deltas] + 160 < DRPC_HIST_BUCKETS);
			n->buckets[indices[deltas++] + 160] = at;
		}
	}
	cr_expect_eq(deltas, spans);
}

Test(exposition, native_histogram_holds_every_bucket)
{
	static const unsigned int full[] = {0, 1, 2, 60, 61, 159, 160, 161, 208, 209};
	uint64_t hist[DRPC_HIST_BUCKETS] = {0}, count = 0;
	struct drpc_expo expo;
	struct value v, metric, histogram;
	struct native native;
	struct wire w;
	bool found = false;
	size_t size;
	char *data;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(full); i++)
		count += hist[full[i]] = i * i * 1000003 + 1;
	drpc_expo_init(&expo, DRPC_EXPO_PROTOBUF);
	drpc_expo_family(&expo, "x_seconds", DRPC_EXPO_HISTOGRAM, "seconds", "help");
	drpc_expo_histogram(&expo, NULL, 0, hist, 1500000000, 1);
	cr_assert_eq(drpc_expo_finish(&expo, &data, &size), 0);

	w = (struct wire){(uint8_t *)data, (uint8_t *)data + size};
	cr_assert_eq(read_varint(&w), (uint64_t)(w.end - w.at), "one family behind its length");
	while (next_value(&w, &v)) {
		if (v.field != 4)
			continue;
		while (next_value(&v.bytes, &metric)) {
			cr_assert_eq(metric.field, 7);
			histogram = metric;
			found = true;
		}
	}
	cr_assert(found);
	read_native(histogram.bytes, &native);
	cr_expect_eq(native.count, count);
	cr_expect_eq(native.sum, 1.5);
	cr_expect_eq(native.schema, DRPC_HIST_SCHEMA);
	cr_expect_eq(native.zero_threshold, ldexp(1, -20));
	cr_expect_eq(native.zero, hist[0]);
	for (unsigned int b = 1; b < DRPC_HIST_BUCKETS; b++)
		cr_expect_eq(native.buckets[b], hist[b], "bucket %u", b);
	cr_expect_eq(native.classic, 21);
	free(data);
}

Test(exposition, protobuf_of_everything)
{
	static const char wanted[] = "http_server_request_duration_seconds";
	unsigned int families = 0, histograms = 0;
	bool counter = false;
	struct value v;
	size_t size;
	struct drpc_agent *agent = fixture_agent();
	struct drpc_metrics *metrics = NULL;
	const char *type;
	struct wire w;
	char *data;

	cr_assert_eq(drpc_metrics_new(&metrics), 0);
	cr_assert_eq(drpc_metrics_expose(metrics, agent, ACCEPT_PROTOBUF, &data, &size, &type), 0);
	cr_expect_not_null(strstr(type, "encoding=delimited"));
	w = (struct wire){(uint8_t *)data, (uint8_t *)data + size};
	while (w.at < w.end) {
		uint64_t len = read_varint(&w);
		struct wire family = {w.at, w.at + len};
		bool is_wanted = false;

		cr_assert(len <= (uint64_t)(w.end - w.at));
		w.at += len;
		families++;
		while (next_value(&family, &v)) {
			if (v.field == 1) {
				is_wanted = is_text(&v, wanted);
				counter = counter || is_text(&v, "drpc_requests_total");
			} else if (v.field == 3 && is_wanted) {
				cr_expect_eq(v.number, 4, "a histogram");
			}
			histograms += v.field == 4 && is_wanted;
		}
	}
	cr_expect_gt(families, 40);
	cr_expect(counter, "counters carry their suffix");
	cr_expect_eq(histograms, 1, "web-1 alone had requests");
	free(data);
	drpc_metrics_free(&metrics);
	fixture_free(&agent);
}

Test(exposition, negotiation)
{
	cr_expect_eq(drpc_expo_negotiate(NULL), DRPC_EXPO_TEXT);
	cr_expect_eq(drpc_expo_negotiate(""), DRPC_EXPO_TEXT);
	cr_expect_eq(drpc_expo_negotiate("*/*"), DRPC_EXPO_TEXT);
	cr_expect_eq(drpc_expo_negotiate("text/plain"), DRPC_EXPO_TEXT);
	cr_expect_eq(drpc_expo_negotiate(ACCEPT_PROTOBUF), DRPC_EXPO_PROTOBUF);
	cr_expect_eq(drpc_expo_negotiate("application/openmetrics-text;version=1.0.0,"
					 "application/vnd.google.protobuf;"
					 "proto=io.prometheus.client.MetricFamily;"
					 "encoding=delimited;q=0.5"),
		     DRPC_EXPO_TEXT);
	/* Other protobuf than ours. */
	cr_expect_eq(drpc_expo_negotiate("application/vnd.google.protobuf"), DRPC_EXPO_TEXT);
	cr_expect_eq(drpc_expo_negotiate("application/vnd.google.protobuf;"
					 "proto=io.prometheus.client.MetricFamily;encoding=text"),
		     DRPC_EXPO_TEXT);
	cr_expect_eq(drpc_expo_negotiate("application/vnd.google.protobuf;"
					 "proto=io.prometheus.client.MetricFamily;"
					 "encoding=delimited;q=0"),
		     DRPC_EXPO_TEXT);
	cr_expect_eq(drpc_expo_negotiate(",,;q=nan,q=-1e999,"), DRPC_EXPO_TEXT);
}
