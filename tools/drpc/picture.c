// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/picture.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hist.h"
#include "lib/util.h"
#include "tools/drpc/cli.h"

#define WIDTH_MAX    80
#define WIDTH_MIN    50
#define LABEL	     10
#define RIGHT	     32 /* count, share, marks */
#define ROWS_MAX     128
#define ROWS_AT_MOST 18

static const char *const phases[] = {"total", "queue", "service", "send"};

/* Where everything goes. */
struct pen {
	const struct drpc_term *term;
	drpc_emit_fn emit;
	void *arg;
	int width;
};

static void put(const struct pen *pen, enum drpc_color color, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void put(const struct pen *pen, enum drpc_color color, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	pen->emit(pen->arg, color, text);
}

/* Right-aligned in so many columns of the screen. */
static void put_right(const struct pen *pen, enum drpc_color color, int columns, const char *text)
{
	put(pen, color, "%*s%s", DRPC_MAX(columns - drpc_text_width(text), 0), "", text);
}

/* A sentence, broken between words where the picture ends. */
static void put_wrapped(const struct pen *pen, enum drpc_color color, const char *text)
{
	while (drpc_text_width(text) > pen->width) {
		const char *at = text + pen->width;

		while (at > text && *at != ' ')
			at--;
		if (at == text)
			break;
		put(pen, color, "%.*s\n", (int)(at - text), text);
		text = at + 1;
	}
	put(pen, color, "%s\n", text);
}

/* --- rows ------------------------------------------------------------------------------------- */

struct row {
	double low_ms, high_ms; /* values over low, up to high */
	uint64_t count;
};

struct rows {
	struct row row[ROWS_MAX];
	size_t n;
	uint64_t count, highest;
};

/* The bucket whose upper bound is `le_ms`. */
static unsigned int bucket_of(struct json_object *le_ms)
{
	double sec;

	if (json_object_is_type(le_ms, json_type_string))
		return DRPC_HIST_OVERFLOW;
	sec = json_object_get_double(le_ms) / 1e3;
	if (!(sec > 0))
		return 0;
	return (unsigned int)DRPC_CLAMP(
		lround((log2(sec) - DRPC_HIST_MIN_EXP) * DRPC_HIST_PER_OCTAVE), 0,
		DRPC_HIST_OVERFLOW - 1);
}

static void read_buckets(struct json_object *phase, uint64_t hist[DRPC_HIST_BUCKETS])
{
	struct json_object *list, *le, *count;

	memset(hist, 0, DRPC_HIST_BUCKETS * sizeof(hist[0]));
	if (!json_object_object_get_ex(phase, "buckets", &list) ||
	    !json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *bucket = json_object_array_get_idx(list, i);

		if (json_object_object_get_ex(bucket, "le_ms", &le) &&
		    json_object_object_get_ex(bucket, "count", &count))
			hist[bucket_of(le)] += json_object_get_uint64(count);
	}
}

static double bound_ms(unsigned int b)
{
	return (double)drpc_hist_bound_ns(b) / 1e6;
}

/* Buckets side by side into rows, 1 to 32 of them each, so that there are no more than `max` rows.
 * A row ends at a power of two (or a root of it), so rows stay where they are from frame to frame. */
static void merge(const uint64_t hist[DRPC_HIST_BUCKETS], size_t max, struct rows *ret)
{
	unsigned int first = 0, last = DRPC_HIST_OVERFLOW, step = 1;

	memset(ret, 0, sizeof(*ret));
	while (first < DRPC_HIST_OVERFLOW && hist[first] == 0)
		first++;
	while (last > first && hist[last] == 0)
		last--;
	while (step < 32 && last / step - first / step + 2 > max)
		step *= 2;
	for (unsigned int b = first; b <= last && ret->n < ROWS_MAX; ret->n++) {
		struct row *row = &ret->row[ret->n];
		unsigned int end = (b + step - 1) / step * step; /* last bucket of the row */

		row->low_ms = b == 0 ? 0 : bound_ms(end - step);
		row->high_ms = bound_ms(DRPC_MIN(end, DRPC_HIST_OVERFLOW - 1U));
		if (b == DRPC_HIST_OVERFLOW) { /* nothing lies above to merge with */
			row->low_ms = bound_ms(DRPC_HIST_OVERFLOW - 1);
			row->high_ms = INFINITY;
		} else {
			end = DRPC_MIN(end, DRPC_HIST_OVERFLOW - 1U);
		}
		for (; b <= DRPC_MIN(end, DRPC_HIST_OVERFLOW); b++)
			row->count += hist[b];
		ret->count += row->count;
		ret->highest = DRPC_MAX(ret->highest, row->count);
	}
}

/* --- drawing ---------------------------------------------------------------------------------- */

static enum drpc_color row_color(const struct row *row, double slo_ms)
{
	if (slo_ms <= 0)
		return DRPC_INFO;
	if (row->low_ms >= slo_ms)
		return DRPC_BAD;
	return row->high_ms > slo_ms ? DRPC_WARN : DRPC_GOOD;
}

/* "◂ p50 p90" beside the row that holds those percentiles. */
static void put_marks(const struct pen *pen, struct json_object *total, const struct row *row)
{
	static const struct {
		const char *key, *name;
	} marks[] = {{"p50_ms", "p50"}, {"p90_ms", "p90"}, {"p99_ms", "p99"}, {"p999_ms", "p99.9"}};
	bool any = false;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(marks); i++) {
		double value = drpc_field_number(total, marks[i].key);

		if (!(value > row->low_ms && value <= row->high_ms))
			continue;
		if (!any)
			put(pen, DRPC_DIM, pen->term->unicode ? " ◂" : " <");
		put(pen, DRPC_BOLD, " %s", marks[i].name);
		any = true;
	}
}

static void put_objective(const struct pen *pen, double slo_ms)
{
	const char *dash = pen->term->unicode ? "╌" : "-";
	char text[32];

	drpc_format_ms(text, sizeof(text), slo_ms);
	put(pen, DRPC_BOLD, "%*s ", LABEL - 1, "objective");
	for (int i = 0; i < pen->width - LABEL - RIGHT; i++)
		pen->emit(pen->arg, DRPC_BOLD, dash);
	put(pen, DRPC_BOLD, " p99 within %s\n", text);
}

static void put_row(const struct pen *pen, const struct rows *rows, const struct row *row,
		    struct json_object *total, double slo_ms)
{
	const char *axis = pen->term->unicode ? "│" : "|";
	int columns = pen->width - LABEL - RIGHT, used;
	char label[40], figure[32], bar[4 * WIDTH_MAX];

	drpc_format_ms(figure, sizeof(figure), isinf(row->high_ms) ? row->low_ms : row->high_ms);
	snprintf(label, sizeof(label), "%s%s",
		 isinf(row->high_ms)  ? "> "
		 : pen->term->unicode ? "≤ "
				      : "<=",
		 figure);
	put_right(pen, DRPC_PLAIN, LABEL - 1, label);
	put(pen, DRPC_DIM, "%s", axis);
	used = drpc_text_bar(pen->term, (double)row->count / (double)rows->highest, columns, bar,
			     sizeof(bar));
	put(pen, row_color(row, slo_ms), "%s", bar);
	put(pen, DRPC_PLAIN, "%*s", columns - used, "");
	if (row->count == 0) {
		put_right(pen, DRPC_DIM, 17, pen->term->unicode ? "·" : ".");
	} else {
		drpc_format_count(figure, sizeof(figure), (double)row->count);
		put_right(pen, DRPC_PLAIN, 10, figure);
		drpc_format_share(figure, sizeof(figure), (double)row->count / (double)rows->count);
		put_right(pen, DRPC_DIM, 7, figure);
	}
	put_marks(pen, total, row);
	put(pen, DRPC_PLAIN, "\n");
}

static void put_histogram(const struct pen *pen, const struct drpc_picture *picture, double slo_ms)
{
	uint64_t hist[DRPC_HIST_BUCKETS];
	struct json_object *total = NULL;
	struct rows rows;
	bool drawn = slo_ms <= 0;

	json_object_object_get_ex(picture->hist, "total", &total);
	read_buckets(total, hist);
	merge(hist, (size_t)DRPC_CLAMP(picture->max_rows, 6, ROWS_AT_MOST), &rows);
	for (size_t i = 0; i < rows.n; i++) {
		if (!drawn && rows.row[i].low_ms >= slo_ms) {
			put_objective(pen, slo_ms);
			drawn = true;
		}
		put_row(pen, &rows, &rows.row[i], total, slo_ms);
	}
	if (!drawn)
		put_objective(pen, slo_ms);
}

static void put_percentiles(const struct pen *pen, struct json_object *hist, double slo_ms)
{
	static const struct {
		const char *key, *name;
	} columns[] = {{"p50_ms", "p50"},    {"p90_ms", "p90"}, {"p99_ms", "p99"},
		       {"p999_ms", "p99.9"}, {"max_ms", "max"}, {"mean_ms", "mean"}};
	/* The last ones are what a narrow picture goes without. */
	size_t n = DRPC_MIN((size_t)(pen->width - LABEL + 1) / 11, DRPC_ARRAY_SIZE(columns));
	char figure[32];

	put(pen, DRPC_PLAIN, "%*s", LABEL - 1, "");
	for (size_t c = 0; c < n; c++)
		put(pen, DRPC_TITLE, "%11s", columns[c].name);
	put(pen, DRPC_PLAIN, "\n");
	for (size_t p = 0; p < DRPC_ARRAY_SIZE(phases); p++) {
		struct json_object *phase = NULL;

		json_object_object_get_ex(hist, phases[p], &phase);
		put(pen, DRPC_BOLD, "%*s", LABEL - 1, phases[p]);
		for (size_t c = 0; c < n; c++) {
			double value = drpc_field_number(phase, columns[c].key);
			bool over = slo_ms > 0 && p == 0 && c == 2 && value > slo_ms;

			drpc_format_ms(figure, sizeof(figure), value);
			put_right(pen, over ? DRPC_BAD : DRPC_PLAIN, 11, figure);
		}
		put(pen, DRPC_PLAIN, "\n");
	}
}

/* A bar of the whole time, cut into queue, service and send. */
static void put_parts(const struct pen *pen, struct json_object *hist)
{
	static const enum drpc_color colors[] = {DRPC_WARN, DRPC_INFO, DRPC_DIM};
	static const char *const blocks[] = {"█", "▓", "░"}, *const letters[] = {"q", "v", "s"};
	double part[3], sum = 0, before = 0;
	int columns = pen->width - LABEL - 2;
	char figure[32];

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(part); i++) {
		struct json_object *phase = NULL;

		json_object_object_get_ex(hist, phases[i + 1], &phase);
		part[i] = drpc_field_number(phase, "mean_ms") * drpc_field_number(phase, "count");
		sum += part[i];
	}
	if (sum <= 0)
		return;
	put(pen, DRPC_BOLD, "%*s ", LABEL - 1, "time in");
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(part); i++) {
		int from = (int)lround(before / sum * columns);
		int to = (int)lround((before + part[i]) / sum * columns);

		for (int c = from; c < to; c++)
			pen->emit(pen->arg, colors[i], pen->term->unicode ? blocks[i] : letters[i]);
		before += part[i];
	}
	put(pen, DRPC_PLAIN, "\n%*s", LABEL, "");
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(part); i++) {
		drpc_format_share(figure, sizeof(figure), part[i] / sum);
		put(pen, colors[i], "%s", pen->term->unicode ? blocks[i] : letters[i]);
		put(pen, DRPC_PLAIN, " %s %s   ", phases[i + 1], figure);
	}
	put(pen, DRPC_PLAIN, "\n");
}

static void put_span(const struct pen *pen, const struct drpc_picture *picture)
{
	double count = drpc_field_number(picture->hist, "count");
	const char *dot = pen->term->unicode ? "·" : "-";
	char figure[32];

	if (picture->since_sec > 0)
		put(pen, DRPC_PLAIN, "last %.4g s", picture->since_sec);
	else
		put(pen, DRPC_PLAIN, "since the start");
	drpc_format_count(figure, sizeof(figure), count);
	put(pen, DRPC_PLAIN, " %s %s request%s", dot, figure, count == 1 ? "" : "s");
	if (picture->container) {
		drpc_format_rate(figure, sizeof(figure),
				 drpc_field_number(picture->container, "rate_rps"));
		put(pen, DRPC_PLAIN, " %s %s/s now", dot, figure);
	}
}

static void put_title(const struct pen *pen, const struct drpc_picture *picture)
{
	const char *name = drpc_field_string(picture->hist, "container");
	const char *deployment =
		picture->container ? drpc_field_string(picture->container, "deployment") : "";
	char fitted[256];

	drpc_text_fit(pen->term, name, 30, fitted, sizeof(fitted));
	put(pen, DRPC_TITLE, "%s", fitted);
	if (deployment[0] && strcmp(deployment, name) != 0) {
		drpc_text_fit(pen->term, deployment, 20, fitted, sizeof(fitted));
		put(pen, DRPC_DIM, " of %s", fitted);
	}
	put(pen, DRPC_PLAIN, "\n");
	put_span(pen, picture);
	put(pen, DRPC_PLAIN, "\n\n");
}

/* "closed 12, reset 3", or "none". */
static void list_dropped(struct json_object *hist, char *dst, size_t size)
{
	struct json_object *dropped;
	char figure[32];
	size_t n = 0;

	snprintf(dst, size, "none");
	if (!json_object_object_get_ex(hist, "dropped", &dropped) ||
	    !json_object_is_type(dropped, json_type_object))
		return;
	json_object_object_foreach (dropped, reason, value) {
		double count = json_object_get_double(value);

		if (count <= 0)
			continue;
		drpc_format_count(figure, sizeof(figure), count);
		n += (size_t)snprintf(dst + n, size - n, "%s%.32s %s", n ? ", " : "", reason,
				      figure);
		if (n >= size)
			return;
	}
}

static void put_honesty(const struct pen *pen, struct json_object *hist)
{
	double coverage = drpc_field_number(hist, "coverage");
	double errors = drpc_field_number(hist, "errors"), known, all;
	struct json_object *total = NULL, *queue = NULL;
	char text[400], dropped[256], figure[32];

	drpc_format_count(figure, sizeof(figure), errors);
	list_dropped(hist, dropped, sizeof(dropped));
	snprintf(text, sizeof(text), "coverage %.4g%%, without an answer %s, dropped: %s",
		 coverage * 100, figure, dropped);
	put_wrapped(pen, coverage < 0.999 || errors > 0 ? DRPC_WARN : DRPC_DIM, text);

	json_object_object_get_ex(hist, "total", &total);
	json_object_object_get_ex(hist, "queue", &queue);
	known = drpc_field_number(queue, "count");
	all = drpc_field_number(total, "count");
	if (known < 0.99 * all) {
		drpc_format_share(figure, sizeof(figure), known / all);
		snprintf(
			text, sizeof(text),
			"queue time is known of %s of the requests (the others were read by splice)",
			figure);
		put_wrapped(pen, DRPC_DIM, text);
	}
}

void drpc_picture_emit(const struct drpc_picture *picture, const struct drpc_term *term,
		       drpc_emit_fn emit, void *arg)
{
	const struct pen pen = {.term = term,
				.emit = emit,
				.arg = arg,
				.width = DRPC_CLAMP(picture->width, WIDTH_MIN, WIDTH_MAX)};
	double slo_ms =
		picture->container ? drpc_field_number(picture->container, "slo_p99_ms") : 0;

	put_title(&pen, picture);
	if (drpc_field_number(picture->hist, "count") <= 0) {
		put_wrapped(
			&pen, DRPC_PLAIN,
			picture->since_sec > 0
				? "No answered request in this time. Is there traffic, and does 'drpc doctor' see the hooks?"
				: "No answered request yet. Is there traffic, and does 'drpc doctor' see the hooks?");
	} else {
		put_histogram(&pen, picture, slo_ms);
		put(&pen, DRPC_PLAIN, "\n");
		put_percentiles(&pen, picture->hist, slo_ms);
		put(&pen, DRPC_PLAIN, "\n");
		put_parts(&pen, picture->hist);
	}
	put_honesty(&pen, picture->hist);
}
