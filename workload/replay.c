// SPDX-License-Identifier: Apache-2.0
#include "workload/replay.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "lib/log.h"
#include "lib/util.h"

#define STEPS_MOST 100000000.0 /* of a trace */
#define GAP	   1.5	       /* usual distances, as the history has it */

struct point {
	double at_s, load;
};

static int check(const struct drpc_series *recorded, const struct drpc_replay_config *c)
{
	if (c->column >= recorded->columns)
		return drpc_err(-EINVAL, "replay: no column %zu", c->column);
	if (!(c->speed > 0 && isfinite(c->speed) && c->step_s >= 0.001 && c->step_s <= 1e9))
		return drpc_err(-EINVAL, "replay: speed %g, step %g s, expected above 0", c->speed,
				c->step_s);
	if (!(c->mean_rps >= 0 && c->mean_rps <= 1e9))
		return drpc_err(-EINVAL, "replay: a mean of %g requests/s", c->mean_rps);
	if (!c->profile && c->mean_rps == 0)
		return drpc_err(-EINVAL,
				"replay: without a profile, expected the mean rate to scale to");
	return 0;
}

/* Measured points as loads, times from 0 on. */
static size_t take_points(const struct drpc_series *recorded, const struct drpc_replay_config *c,
			  struct point *ret)
{
	size_t n = 0;
	int64_t first_ms = 0;

	for (size_t i = 0; i < recorded->count; i++) {
		const double value = (double)drpc_series_at(recorded, i, c->column);

		if (!isfinite(value))
			continue;
		if (!n)
			first_ms = recorded->time_ms[i];
		ret[n].at_s = (double)(recorded->time_ms[i] - first_ms) / 1000 / c->speed;
		ret[n++].load = c->profile ? drpc_profile_load(c->profile, value) : value;
	}
	return n;
}

static void tell_gaps(const struct drpc_series *recorded, const struct drpc_replay_config *c,
		      const struct point *points, size_t n, struct drpc_replay_report *report)
{
	const double usual_s = (double)drpc_series_step_ms(recorded) / 1000 / c->speed;

	report->points = n;
	for (size_t i = 1; i < n && usual_s > 0; i++) {
		const double distance = (points[i].at_s - points[i - 1].at_s) / usual_s;

		if (distance < GAP)
			continue;
		report->gaps++;
		report->bridged += (size_t)fmax(round(distance) - 1, 1);
	}
}

/* Mean of what runs linearly from point to point. */
static double mean_load(const struct point *p, size_t n)
{
	double sum = 0;

	for (size_t i = 1; i < n; i++)
		sum += (p[i].load + p[i - 1].load) / 2 * (p[i].at_s - p[i - 1].at_s);
	return sum / p[n - 1].at_s;
}

static int emit(const struct point *points, size_t n, double scale,
		const struct drpc_replay_config *c, const struct drpc_user_mix *mix,
		struct drpc_series *ret)
{
	const size_t steps = (size_t)fmax(points[n - 1].at_s / c->step_s, 1);
	float row[1 + DRPC_USERS_MAX_TYPES];
	double shares[DRPC_USERS_MAX_TYPES];
	size_t next = 1;
	int err = 0;

	for (size_t s = 0; s < steps && !err; s++) {
		const double at_s = (double)s * c->step_s;
		const struct point *a, *b;

		while (next + 1 < n && points[next].at_s <= at_s)
			next++;
		a = &points[next - 1];
		b = &points[next];
		row[0] = (float)(scale * (a->load + (b->load - a->load) * (at_s - a->at_s) /
							    (b->at_s - a->at_s)));
		drpc_user_shares(mix, at_s, shares);
		for (size_t t = 0; t < mix->types; t++)
			row[1 + t] = (float)shares[t];
		err = drpc_series_add(ret, llround(at_s * 1000), row);
	}
	return err;
}

static int replay(const struct drpc_series *recorded, const struct drpc_replay_config *c,
		  const struct drpc_user_mix *mix, struct drpc_series *ret,
		  struct drpc_replay_report *report)
{
	_cleanup_free_ struct point *points = calloc(recorded->count + 1, sizeof(*points));
	const char *names[1 + DRPC_USERS_MAX_TYPES] = {"requests_per_s"};
	double mean;
	size_t n;
	int err;

	if (!points)
		return -ENOMEM;
	n = take_points(recorded, c, points);
	if (n < 2 || !(mean_load(points, n) > 0))
		return drpc_err(-ENODATA,
				"replay: %zu measured points, expected two, and load in them", n);
	if (points[n - 1].at_s / c->step_s > STEPS_MOST)
		return drpc_err(-EINVAL, "replay: more than %g steps", STEPS_MOST);
	tell_gaps(recorded, c, points, n, report);
	mean = mean_load(points, n);
	for (size_t t = 0; t < mix->types; t++)
		names[1 + t] = mix->type[t].name;
	drpc_series_init(ret, "replay", names, 1 + mix->types);
	err = emit(points, n, c->mean_rps > 0 ? c->mean_rps / mean : 1, c, mix, ret);
	if (err)
		drpc_series_done(ret);
	return err;
}

int drpc_replay(const struct drpc_series *recorded, const struct drpc_replay_config *config,
		const struct drpc_user_mix *mix, struct drpc_series *ret,
		struct drpc_replay_report *report)
{
	struct drpc_user_mix own = {0};
	int err = check(recorded, config);

	*report = (struct drpc_replay_report){0};
	if (!err && !mix)
		err = drpc_user_mix_default(&own);
	if (!err)
		err = replay(recorded, config, mix ? mix : &own, ret, report);
	drpc_user_mix_done(&own);
	return err;
}
