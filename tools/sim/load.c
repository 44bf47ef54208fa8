// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/load/schedule.h"
#include "tools/sim/sim.h"

struct drpc_sim_piece *sim_pieces(const struct drpc_schedule *schedule)
{
	struct drpc_sim_piece *pieces = calloc(schedule->count + 1, sizeof(*pieces));

	for (size_t i = 0; pieces && i < schedule->count; i++)
		pieces[i] = (struct drpc_sim_piece){
			.duration_s = schedule->pieces[i].duration_s,
			.from_rps = schedule->pieces[i].from_rps,
			.to_rps = schedule->pieces[i].to_rps,
		};
	return pieces;
}

int sim_trace_pieces(const char *path, struct drpc_sim_piece **ret, size_t *ret_n)
{
	struct drpc_schedule schedule = {0};
	int err = drpc_schedule_load(&schedule, path, 1);

	if (!err) {
		*ret = sim_pieces(&schedule);
		*ret_n = schedule.count;
		err = *ret ? 0 : -ENOMEM;
	}
	drpc_schedule_release(&schedule);
	return err;
}

static int take_share(const struct drpc_sim_app *app, char *item, double *shares)
{
	char *value = strchr(item, '='), *end;
	double share;

	if (!value)
		return drpc_err(-EINVAL, "--mix: '%s', expected CLASS=SHARE", item);
	*value++ = '\0';
	share = strtod(value, &end);
	if (end == value || *end || !isfinite(share) || share < 0.0)
		return drpc_err(-EINVAL, "--mix: %s=%s, expected a number of at least 0", item,
				value);
	for (uint32_t c = 0; c < app->n_classes; c++) {
		if (strcmp(app->classes[c].name, item) == 0) {
			shares[c] = share;
			return 0;
		}
	}
	return drpc_err(-EINVAL, "--mix: %s has no requests of class '%s'", app->name, item);
}

int sim_mix(const struct drpc_sim_app *app, const char *spec, size_t pieces, double **ret)
{
	const size_t n = app->n_classes;
	_cleanup_free_ double *shares = calloc(pieces * n + 1, sizeof(*shares));
	_cleanup_free_ char *copy = strdup(spec);
	char *save = NULL;
	double sum = 0.0;

	if (!shares || !copy)
		return -ENOMEM;
	for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
		int err = take_share(app, item, shares);

		if (err)
			return err;
	}
	for (size_t c = 0; c < n; c++)
		sum += shares[c];
	if (sum <= 0.0)
		return drpc_err(-EINVAL, "--mix: '%s' gives no class a share", spec);
	for (size_t p = 1; p < pieces; p++)
		memcpy(shares + p * n, shares, n * sizeof(*shares));
	*ret = drpc_steal(&shares);
	return 0;
}
