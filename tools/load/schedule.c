// SPDX-License-Identifier: Apache-2.0
#include "tools/load/schedule.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/load/units.h"

/* An integral that is this near the end of its piece counts as the end: rounding, not a request. */
#define INTEGRAL_EPSILON 1e-9

static int append(struct drpc_schedule *schedule, struct drpc_schedule_piece piece)
{
	if (schedule->count == schedule->capacity) {
		size_t capacity = schedule->capacity ? schedule->capacity * 2 : 16;
		void *pieces = realloc(schedule->pieces, capacity * sizeof(*schedule->pieces));

		if (!pieces)
			return -ENOMEM;
		schedule->pieces = pieces;
		schedule->capacity = capacity;
	}
	schedule->pieces[schedule->count++] = piece;
	return 0;
}

void drpc_schedule_release(struct drpc_schedule *schedule)
{
	free(schedule->pieces);
	memset(schedule, 0, sizeof(*schedule));
}

/* "RATE", "RATE@DURATION", "FROM:TO@DURATION"; cuts `text` into its parts. */
static bool piece_parse(char *text, bool last, struct drpc_schedule_piece *piece)
{
	char *at = strchr(text, '@'), *colon;
	uint64_t duration_ns = 0;

	if (at) {
		*at++ = '\0';
		if (!drpc_parse_duration_ns(at, &duration_ns) || !duration_ns)
			return false;
	}
	colon = strchr(text, ':');
	if (colon)
		*colon++ = '\0';
	/* A ramp needs its length, and only the last piece can do without one. */
	if (!at && (colon || !last))
		return false;
	if (!drpc_parse_number(text, 0, DRPC_SCHEDULE_MAX_RPS, &piece->from_rps))
		return false;
	piece->to_rps = piece->from_rps;
	if (colon && !drpc_parse_number(colon, 0, DRPC_SCHEDULE_MAX_RPS, &piece->to_rps))
		return false;
	piece->duration_s = (double)duration_ns / 1e9;
	return true;
}

int drpc_schedule_parse(struct drpc_schedule *schedule, const char *flag, const char *spec)
{
	_cleanup_free_ char *copy = strdup(spec);
	char *rest = copy, *text;
	int err;

	if (!copy)
		return -ENOMEM;
	if (schedule->count && schedule->pieces[schedule->count - 1].duration_s <= 0) {
		drpc_error("%s %s: the piece before it has no @DURATION, so this one never comes",
			   flag, spec);
		return -EINVAL;
	}
	while ((text = strsep(&rest, ","))) {
		struct drpc_schedule_piece piece;

		if (!piece_parse(text, !rest, &piece)) {
			drpc_error("%s %s: expected " DRPC_RATE_FORM, flag, spec);
			return -EINVAL;
		}
		err = append(schedule, piece);
		if (err)
			return err;
	}
	return 0;
}

/* Strips a comment, blanks at both ends and a carriage return. */
static char *trim(char *line)
{
	size_t len;

	line[strcspn(line, "#\r\n")] = '\0';
	line += strspn(line, " \t");
	len = strlen(line);
	while (len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		line[--len] = '\0';
	return line;
}

static int load_lines(struct drpc_schedule *schedule, FILE *file, const char *path, double scale)
{
	size_t capacity = 0, number = 0, before = schedule->count;
	_cleanup_free_ char *line = NULL;
	ssize_t len;

	while ((len = getline(&line, &capacity, file)) >= 0) {
		/* A NUL byte would hide the rest of its line: a binary file, not a list of rates. */
		bool binary = memchr(line, '\0', (size_t)len);
		struct drpc_schedule_piece piece = {.duration_s = 1};
		char *text = trim(line);
		double rate;

		number++;
		if (!*text && !binary)
			continue;
		if (binary || !drpc_parse_number(text, 0, DRPC_SCHEDULE_MAX_RPS, &rate) ||
		    rate * scale > DRPC_SCHEDULE_MAX_RPS) {
			char shown[48];

			drpc_sanitize(shown, sizeof(shown), text);
			drpc_error("%s:%zu: '%s': expected one rate in requests/s, 0 to %.0f after "
				   "scaling",
				   path, number, shown, DRPC_SCHEDULE_MAX_RPS);
			return -EINVAL;
		}
		piece.from_rps = piece.to_rps = rate * scale;
		if (append(schedule, piece))
			return drpc_err(-ENOMEM, "%s:%zu", path, number);
	}
	if (ferror(file))
		return drpc_err(-EIO, "%s:%zu: cannot read", path, number + 1);
	if (schedule->count == before) {
		drpc_error("%s: no rate in it: expected one rate in requests/s a line, a line a "
			   "second",
			   path);
		return -EINVAL;
	}
	return 0;
}

int drpc_schedule_load(struct drpc_schedule *schedule, const char *path, double scale)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	size_t before = schedule->count;
	int err;

	if (!file)
		return drpc_err(-errno, "%s: cannot open the rate file", path);
	err = load_lines(schedule, file, path, scale);
	if (err)
		schedule->count = before;
	return err;
}

static int extend(struct drpc_schedule *schedule, double missing_s, bool repeat)
{
	size_t period = schedule->count;

	if (!repeat) {
		double rate = schedule->pieces[period - 1].to_rps;

		return append(schedule, (struct drpc_schedule_piece){missing_s, rate, rate});
	}
	for (size_t i = 0; missing_s > 0; i++) {
		struct drpc_schedule_piece piece = schedule->pieces[i % period];
		int err = append(schedule, piece);

		if (err)
			return err;
		missing_s -= piece.duration_s;
	}
	return 0;
}

/* Drops what lies behind duration_s; a ramp that is cut keeps its slope. */
static void cut(struct drpc_schedule *schedule, double duration_s)
{
	double start_s = 0;

	for (size_t i = 0; i < schedule->count; i++) {
		struct drpc_schedule_piece *p = &schedule->pieces[i];

		if (start_s + p->duration_s >= duration_s) {
			double keep = (duration_s - start_s) / p->duration_s;

			p->to_rps = p->from_rps + (p->to_rps - p->from_rps) * keep;
			p->duration_s = duration_s - start_s;
			schedule->count = i + 1;
			return;
		}
		start_s += p->duration_s;
	}
}

int drpc_schedule_finish(struct drpc_schedule *schedule, double duration_s, double default_s,
			 bool repeat)
{
	struct drpc_schedule_piece *last;
	double sum_s;
	int err;

	if (!schedule->count)
		return -EINVAL;
	last = &schedule->pieces[schedule->count - 1];
	if (last->duration_s <= 0) {
		double before_s = drpc_schedule_duration_s(schedule);

		last->duration_s = duration_s > before_s ? duration_s - before_s : default_s;
	}
	sum_s = drpc_schedule_duration_s(schedule);
	if (duration_s <= 0)
		duration_s = sum_s;
	if (duration_s > sum_s) {
		err = extend(schedule, duration_s - sum_s, repeat);
		if (err)
			return err;
	}
	cut(schedule, duration_s);
	return drpc_schedule_requests(schedule) > 0 ? 0 : -EINVAL;
}

double drpc_schedule_duration_s(const struct drpc_schedule *schedule)
{
	double sum = 0;

	for (size_t i = 0; i < schedule->count; i++)
		sum += schedule->pieces[i].duration_s;
	return sum;
}

static double piece_integral(const struct drpc_schedule_piece *p)
{
	return p->duration_s * (p->from_rps + p->to_rps) / 2;
}

double drpc_schedule_requests(const struct drpc_schedule *schedule)
{
	double sum = 0;

	for (size_t i = 0; i < schedule->count; i++)
		sum += piece_integral(&schedule->pieces[i]);
	return sum;
}

double drpc_schedule_mean_rps(const struct drpc_schedule *schedule, double from_s, double to_s)
{
	double start_s = 0, sum = 0;

	for (size_t i = 0; i < schedule->count && start_s < to_s; i++) {
		const struct drpc_schedule_piece *p = &schedule->pieces[i];
		double lo = DRPC_MAX(from_s - start_s, 0);
		double hi = DRPC_MIN(to_s - start_s, p->duration_s);

		if (hi > lo) {
			double slope = (p->to_rps - p->from_rps) / p->duration_s;

			sum += (hi - lo) * (p->from_rps + slope * (lo + hi) / 2);
		}
		start_s += p->duration_s;
	}
	return to_s > from_s ? sum / (to_s - from_s) : 0;
}

void drpc_arrivals_init(struct drpc_arrivals *arrivals, const struct drpc_schedule *schedule,
			enum drpc_arrivals_kind kind, uint64_t seed)
{
	*arrivals = (struct drpc_arrivals){
		.schedule = schedule,
		.kind = kind,
		.rng = drpc_rng_stream(seed, 0),
	};
	/* Evenly spaced arrivals begin at once: a rate of 500 for 30 s is 15,000 requests exactly. */
	if (kind == DRPC_ARRIVALS_POISSON)
		arrivals->offset = drpc_rng_exp(&arrivals->rng);
}

/* The time inside a piece at which the integral of the rate reaches y; stable for any slope. */
static double invert(const struct drpc_schedule_piece *p, double y)
{
	double slope = (p->to_rps - p->from_rps) / p->duration_s;
	double root = sqrt(fmax(p->from_rps * p->from_rps + 2 * slope * y, 0));

	return y > 0 ? 2 * y / (p->from_rps + root) : 0;
}

bool drpc_arrivals_next(struct drpc_arrivals *arrivals, uint64_t *ret_ns)
{
	const struct drpc_schedule *schedule = arrivals->schedule;

	while (arrivals->piece < schedule->count) {
		const struct drpc_schedule_piece *p = &schedule->pieces[arrivals->piece];
		double integral = piece_integral(p);

		if (arrivals->offset < integral - INTEGRAL_EPSILON * fmax(integral, 1)) {
			double at_s = arrivals->piece_start_s + invert(p, arrivals->offset);

			*ret_ns = (uint64_t)(at_s * 1e9);
			arrivals->offset += arrivals->kind == DRPC_ARRIVALS_POISSON
						    ? drpc_rng_exp(&arrivals->rng)
						    : 1;
			return true;
		}
		arrivals->offset = fmax(arrivals->offset - integral, 0);
		arrivals->piece_start_s += p->duration_s;
		arrivals->piece++;
	}
	return false;
}
