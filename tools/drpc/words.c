// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/words.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "include/drpc/features.h"
#include "lib/util.h"
#include "tools/drpc/cli.h"

#define LABEL 11

struct pen {
	const struct drpc_term *term;
	drpc_emit_fn emit;
	void *arg;
};

static void put(const struct pen *pen, enum drpc_color color, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void put(const struct pen *pen, enum drpc_color color, const char *fmt, ...)
{
	char text[640];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	pen->emit(pen->arg, color, text);
}

/* "  LABEL    text", broken between words where the terminal ends. */
static void put_wrapped(const struct pen *pen, const char *label, const char *text)
{
	int room = pen->term->width > 40 ? pen->term->width - LABEL : 0;

	put(pen, DRPC_DIM, "  %-*s", LABEL - 2, label);
	while (room > 0 && drpc_text_width(text) > room) {
		const char *at = text + DRPC_MIN(strlen(text), (size_t)room);

		while (at > text && *at != ' ')
			at--;
		if (at == text)
			break;
		put(pen, DRPC_PLAIN, "%.*s\n%*s", (int)(at - text), text, LABEL, "");
		text = at + 1;
	}
	put(pen, DRPC_PLAIN, "%s\n", text);
}

static struct json_object *child(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(o, key, &value) ? value : NULL;
}

/* --- what was seen ---------------------------------------------------------------------------- */

/* A feature is told where it speaks for or against something. */
struct feature_words {
	enum drpc_feature feature;
	double from; /* worth a word at or over this */
	const char *format;
};

static const struct feature_words seen[] = {
	{DRPC_F_P99_SLO, 1e-9, "p99 at %s of the objective"},
	{DRPC_F_QUEUE_SHARE, 0.05, "%s of the time in the queue"},
	{DRPC_F_THROTTLED, 0.005, "throttled in %s of the periods"},
	{DRPC_F_CPU_PRESSURE, 0.05, "waiting for a CPU %s of the time"},
	{DRPC_F_MEM_PRESSURE, 0.005, "waiting for memory %s of the time"},
	{DRPC_F_CPU_UTIL, 0, "CPU %s of its limit"},
	{DRPC_F_MEM_UTIL, 0.7, "memory %s of its limit"},
};

static void put_seen(const struct pen *pen, struct json_object *features)
{
	double rate = drpc_field_number(features, drpc_feature_names[DRPC_F_RATE]) * 1000;
	double next = drpc_field_number(features, drpc_feature_names[DRPC_F_RATE_PRED]) * 1000;
	char text[512], figure[32];
	size_t n;

	drpc_format_rate(figure, sizeof(figure), rate);
	n = (size_t)snprintf(text, sizeof(text), "%s requests/s", rate > 0 ? figure : "no");
	if (fabs(next - rate) > 0.1 * rate && fabs(next - rate) >= 1) {
		drpc_format_rate(figure, sizeof(figure), next);
		n += (size_t)snprintf(text + n, sizeof(text) - n, " (soon %s)",
				      next > 0 ? figure : "none");
	}
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(seen); i++) {
		double value = drpc_field_number(features, drpc_feature_names[seen[i].feature]);
		char words[80];

		if (value < seen[i].from)
			continue;
		drpc_format_share(figure, sizeof(figure), value);
		snprintf(words, sizeof(words), seen[i].format, figure);
		n += (size_t)snprintf(text + n, sizeof(text) - n, ", %s", words);
	}
	put_wrapped(pen, "saw", text);
}

/* --- what was wanted -------------------------------------------------------------------------- */

static void put_wanted(const struct pen *pen, struct json_object *decision)
{
	static const struct {
		enum drpc_output output;
		const char *more, *less;
	} words[] = {{DRPC_OUT_CPU, "more CPU", "less CPU"},
		     {DRPC_OUT_MEMORY, "more memory", "less memory"},
		     {DRPC_OUT_REPLICAS, "more replicas", "fewer replicas"}};
	struct json_object *raw = child(decision, "raw");
	bool any = false;

	put(pen, DRPC_DIM, "  wanted   ");
	put(pen, DRPC_PLAIN, "the %s planner asks for ", drpc_field_string(decision, "planner"));
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(words); i++) {
		double x = json_object_is_type(raw, json_type_array)
				   ? json_object_get_double(json_object_array_get_idx(
					     raw, (size_t)words[i].output))
				   : 0;

		if (fabs(x) <= (double)DRPC_DEAD_BAND)
			continue;
		put(pen, DRPC_PLAIN, "%s%s (%+.2f)", any ? ", " : "",
		    x > 0 ? words[i].more : words[i].less, x);
		any = true;
	}
	put(pen, DRPC_PLAIN, "%s\n", any ? "" : "nothing");
}

/* --- what came of it -------------------------------------------------------------------------- */

static enum drpc_color verdict_color(const char *verdict)
{
	if (strcmp(verdict, "allow") == 0)
		return DRPC_GOOD;
	if (strcmp(verdict, "refuse") == 0 || strcmp(verdict, "rollback") == 0 ||
	    strcmp(verdict, "freeze") == 0)
		return DRPC_BAD;
	return DRPC_WARN;
}

static void put_guard(const struct pen *pen, struct json_object *guard)
{
	const char *verdict = drpc_field_string(guard, "verdict");
	const char *reason = drpc_field_string(guard, "reason");

	put(pen, DRPC_DIM, "  %-*s", LABEL - 2, "guard");
	put(pen, verdict_color(verdict), "%s\n", verdict);
	if (reason[0])
		put_wrapped(pen, "", reason);
}

typedef void (*format_fn)(char *dst, size_t size, double value);

/* "CPU 0.40 → 0.50"; false where nothing moved. */
static bool put_move(const struct pen *pen, struct json_object *before, struct json_object *after,
		     const char *key, const char *name, format_fn format, bool first)
{
	double from = drpc_field_number(before, key), to = drpc_field_number(after, key);
	char from_text[32], to_text[32];

	if (fabs(from - to) < 1e-9)
		return false;
	format(from_text, sizeof(from_text), from);
	format(to_text, sizeof(to_text), to);
	put(pen, DRPC_BOLD, "%s%s %s %s %s", first ? "" : ", ", name,
	    from > 0 ? from_text : "no limit", pen->term->unicode ? "→" : "->",
	    to > 0 ? to_text : "no limit");
	return true;
}

static void format_replicas(char *dst, size_t size, double n)
{
	snprintf(dst, size, "%.0f", n);
}

static void put_done(const struct pen *pen, struct json_object *decision)
{
	struct json_object *before = child(decision, "before"), *after = child(decision, "after");
	bool applied = drpc_field_bool(decision, "applied"), any;

	put(pen, DRPC_DIM, "  %-*s", LABEL - 2, "limits");
	any = put_move(pen, before, after, "cpu_cores", "CPU", drpc_format_cores, true);
	any |= put_move(pen, before, after, "memory_mib", "memory", drpc_format_mib, !any);
	any |= put_move(pen, before, after, "replicas", "replicas", format_replicas, !any);
	if (!any)
		put(pen, DRPC_PLAIN, "stay as they are");
	else if (!applied)
		put(pen, DRPC_WARN, " (not written)");
	put(pen, DRPC_PLAIN, "\n");
}

static void put_outcome(const struct pen *pen, struct json_object *outcome)
{
	struct json_object *p99 = child(outcome, "p99_ms");
	char figure[32];

	if (!p99)
		return;
	drpc_format_ms(figure, sizeof(figure), json_object_get_double(p99));
	put(pen, DRPC_DIM, "  then     ");
	put(pen, DRPC_PLAIN, "p99 %s", json_object_get_double(p99) > 0 ? figure : "of no request");
	put(pen, DRPC_PLAIN, ", throttled in %.0f%% of the periods\n",
	    drpc_field_number(outcome, "throttled_share") * 100);
}

/* "2026-05-09T08:55:03.120Z" as local time "2026-05-09 10:55:03". */
static void put_time(const struct pen *pen, const char *text)
{
	struct tm tm = {0};
	char local[40];
	time_t t;

	if (!strptime(text, "%Y-%m-%dT%H:%M:%S", &tm)) {
		put(pen, DRPC_TITLE, "%s\n", text);
		return;
	}
	t = timegm(&tm);
	if (!localtime_r(&t, &tm) || strftime(local, sizeof(local), "%F %T", &tm) == 0)
		return;
	put(pen, DRPC_TITLE, "%s\n", local);
}

void drpc_words_decision(struct json_object *decision, const struct drpc_term *term,
			 drpc_emit_fn emit, void *arg)
{
	const struct pen pen = {.term = term, .emit = emit, .arg = arg};

	put_time(&pen, drpc_field_string(decision, "time"));
	put_seen(&pen, child(decision, "features"));
	put_wanted(&pen, decision);
	put_guard(&pen, child(decision, "guard"));
	put_done(&pen, decision);
	put_outcome(&pen, child(decision, "outcome"));
}
