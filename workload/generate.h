/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces of the project's own, so that nothing depends on outside data: a request rate and the shares
 * of the user types (users.h) at each step. Seeded: the same settings give the same bits.
 *
 *   diurnal  a day's wave of one and two periods and slow noise
 *   bursty   bursts of a Markov chain: a quiet rate, and `peak` times it while a burst lasts
 *   flash    a steady rate, and flash crowds that rise within a minute and fade exponentially
 *   noisy    an autocorrelated lognormal factor around a steady rate
 *   drift    a day's wave whose mix of user types wanders from one ratio to another
 *
 * Each has the mean rate asked for over a long run; a short one may lie off it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "workload/series.h"
#include "workload/users.h"

enum drpc_generate_kind {
	DRPC_GENERATE_DIURNAL,
	DRPC_GENERATE_BURSTY,
	DRPC_GENERATE_FLASH,
	DRPC_GENERATE_NOISY,
	DRPC_GENERATE_DRIFT,
};

#define DRPC_GENERATE_KINDS "diurnal, bursty, flash, noisy or drift"

int drpc_generate_kind_parse(const char *name, enum drpc_generate_kind *ret); /* -EINVAL */
const char *drpc_generate_kind_name(enum drpc_generate_kind kind);

struct drpc_generate_config {
	enum drpc_generate_kind kind;
	uint64_t seed;
	double duration_s;
	double step_s;
	double mean_rps;
	double peak;	 /* bursty, flash: the height of a burst over what is normal; above 1 */
	double noise;	 /* relative deviation of the multiplicative noise */
	double period_s; /* of the day's wave */
	double burst_s;	 /* mean length of a burst; time in which a flash crowd fades to 1/e */
	double gap_s;	 /* mean time between two bursts */
};

struct drpc_generate_config drpc_generate_defaults(enum drpc_generate_kind kind);

/*
 * Columns: requests_per_s, then a share for each type of `mix` (NULL: the default one). -EINVAL
 * (logged) for settings that make no trace, -ENOMEM.
 */
int drpc_generate(const struct drpc_generate_config *config, const struct drpc_user_mix *mix,
		  struct drpc_series *ret);
