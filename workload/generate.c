// SPDX-License-Identifier: Apache-2.0
#include "workload/generate.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/rng.h"

#define MAX_STEPS  (32.0 * 1000 * 1000)
#define FLASH_RISE 60.0	 /* seconds in which a flash crowd arrives */
#define NOISE_S	   300.0 /* correlation time of the noise */
#define DAY_FIRST  0.45	 /* amplitude of the day's wave, and of its second harmonic */
#define DAY_SECOND 0.15

static const char *const kind_names[] = {"diurnal", "bursty", "flash", "noisy", "drift"};

int drpc_generate_kind_parse(const char *name, enum drpc_generate_kind *ret)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(kind_names); i++) {
		if (!strcmp(name, kind_names[i])) {
			*ret = (enum drpc_generate_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *drpc_generate_kind_name(enum drpc_generate_kind kind)
{
	return kind_names[kind];
}

struct drpc_generate_config drpc_generate_defaults(enum drpc_generate_kind kind)
{
	return (struct drpc_generate_config){
		.kind = kind,
		.seed = 1,
		.duration_s = 3600,
		.step_s = 1,
		.mean_rps = 200,
		.peak = 4,
		.noise = kind == DRPC_GENERATE_NOISY ? 0.3 : 0.05,
		.period_s = 86400,
		.burst_s = 60,
		.gap_s = 540,
	};
}

static int check_config(const struct drpc_generate_config *c)
{
	if ((unsigned int)c->kind > DRPC_GENERATE_DRIFT || !(c->step_s >= 0.001) ||
	    !(c->duration_s >= c->step_s) || !(c->duration_s / c->step_s <= MAX_STEPS))
		return drpc_err(
			-EINVAL,
			"generate: %g s in steps of %g s: expected at least one step of at least 0.001 s and at most 32 million",
			c->duration_s, c->step_s);
	if (!(c->mean_rps > 0 && c->mean_rps <= 1e9) || !(c->peak > 1 && c->peak <= 1e6) ||
	    !(c->noise >= 0 && c->noise <= 3) || !(c->period_s > 0 && isfinite(c->period_s)) ||
	    !(c->burst_s > 0 && isfinite(c->burst_s)) || !(c->gap_s > 0 && isfinite(c->gap_s)))
		return drpc_err(
			-EINVAL,
			"generate: mean %g/s, peak %g, noise %g, period %g s, bursts of %g s every %g s: expected above 0, above 1, 0 to 3, and times above 0",
			c->mean_rps, c->peak, c->noise, c->period_s, c->burst_s, c->gap_s);
	return 0;
}

/* What goes from step to step. */
struct state {
	const struct drpc_generate_config *config;
	struct drpc_rng noise, events;
	double z;	 /* an autoregression of deviation 1 */
	double switch_s; /* bursty, flash: seconds until the next change */
	bool burst;
	double crowd;  /* flash: what of a crowd is still there, 0..1 */
	double rise_s; /* flash: seconds that the crowd at hand still arrives */
	double phase;  /* drift: of the wandering mix */
};

static double exponential(struct drpc_rng *rng, double mean)
{
	return -log1p(-drpc_rng_uniform(rng)) * mean;
}

static void state_init(struct state *state, const struct drpc_generate_config *config)
{
	float first;

	*state = (struct state){.config = config,
				.noise = drpc_rng_make(config->seed, 1),
				.events = drpc_rng_make(config->seed, 2)};
	drpc_rng_normal(&state->noise, 1, 1, &first);
	state->z = (double)first;
	state->phase = 2 * M_PI * drpc_rng_uniform(&state->events);
	state->switch_s = exponential(&state->events, config->gap_s);
}

/* A lognormal factor of mean 1. */
static double noise_factor(struct state *state)
{
	const double keep = exp(-state->config->step_s / NOISE_S);
	const double sigma = sqrt(log1p(state->config->noise * state->config->noise));
	float fresh;

	drpc_rng_normal(&state->noise, 1, 1, &fresh);
	state->z = keep * state->z + sqrt(1 - keep * keep) * (double)fresh;
	return exp(sigma * state->z - sigma * sigma / 2);
}

static double wave(const struct drpc_generate_config *c, double at_s)
{
	const double angle = 2 * M_PI * fmod(at_s / c->period_s, 1);

	/* Lowest in the small hours. */
	return 1 - DAY_FIRST * cos(angle) - DAY_SECOND * cos(2 * angle + 1);
}

/* The mean of the two-state chain's factor over a step, each state of exponential length. */
static double burst_factor(struct state *state)
{
	const struct drpc_generate_config *c = state->config;
	double left = c->step_s, in_burst = 0;

	while (left > 0) {
		const double part = fmin(left, state->switch_s);

		in_burst += state->burst ? part : 0;
		left -= part;
		state->switch_s -= part;
		if (state->switch_s <= 0) {
			state->burst = !state->burst;
			state->switch_s =
				exponential(&state->events, state->burst ? c->burst_s : c->gap_s);
		}
	}
	return 1 + (c->peak - 1) * in_burst / c->step_s;
}

static double burst_mean(const struct drpc_generate_config *c)
{
	return 1 + (c->peak - 1) * c->burst_s / (c->burst_s + c->gap_s);
}

/* Crowds arrive by a Poisson process, linearly within FLASH_RISE, and fade from there on. */
static double flash_factor(struct state *state)
{
	const struct drpc_generate_config *c = state->config;
	const double step = c->step_s;

	state->switch_s -= step;
	while (state->switch_s <= 0) {
		state->switch_s += fmax(exponential(&state->events, c->gap_s), 1e-3);
		state->rise_s += FLASH_RISE;
	}
	if (state->rise_s > 0) {
		const double part = fmin(step, state->rise_s);

		state->crowd += part / FLASH_RISE;
		state->rise_s -= part;
	} else {
		state->crowd *= exp(-step / c->burst_s);
	}
	return 1 + (c->peak - 1) * state->crowd;
}

static double step_rate(struct state *state, double at_s)
{
	const struct drpc_generate_config *c = state->config;
	const double noise = noise_factor(state);

	switch (c->kind) {
	case DRPC_GENERATE_BURSTY:
		return c->mean_rps * burst_factor(state) / burst_mean(c) * noise;
	case DRPC_GENERATE_FLASH:
		return c->mean_rps * flash_factor(state) * noise;
	case DRPC_GENERATE_NOISY:
		return c->mean_rps * noise;
	default:
		return c->mean_rps * wave(c, at_s) * noise;
	}
}

/* Drift: the types' shares turn into the same shares in reverse order and back, period by period. */
static void step_shares(const struct state *state, const struct drpc_user_mix *mix, double at_s,
			double *ret)
{
	double given[DRPC_USERS_MAX_TYPES], part;

	drpc_user_shares(mix, at_s, given);
	part = state->config->kind == DRPC_GENERATE_DRIFT
		       ? 0.5 - 0.5 * cos(2 * M_PI * at_s / state->config->period_s + state->phase)
		       : 0;
	for (size_t i = 0; i < mix->types; i++)
		ret[i] = (1 - part) * given[i] + part * given[mix->types - 1 - i];
}

static int fill(const struct drpc_generate_config *config, const struct drpc_user_mix *mix,
		struct drpc_series *series)
{
	const size_t steps = (size_t)(config->duration_s / config->step_s + 1e-9);
	double shares[DRPC_USERS_MAX_TYPES], sum = 0;
	struct state state;
	int err = 0;

	state_init(&state, config);
	for (size_t i = 0; !err && i < steps; i++) {
		const double at_s = (double)i * config->step_s;
		float values[1 + DRPC_USERS_MAX_TYPES];
		const double rate = step_rate(&state, at_s);

		sum += rate;
		step_shares(&state, mix, at_s, shares);
		values[0] = (float)rate;
		for (size_t k = 0; k < mix->types; k++)
			values[1 + k] = (float)shares[k];
		err = drpc_series_add(series, llround(at_s * 1000), values);
	}
	if (err)
		return drpc_err(err, "generate: %zu steps", steps);
	/* A flash crowd's share of the mean has no closed form: as generated. */
	for (size_t i = 0; config->kind == DRPC_GENERATE_FLASH && i < steps; i++)
		series->values[i * series->columns] *=
			(float)(config->mean_rps * (double)steps / sum);
	return 0;
}

int drpc_generate(const struct drpc_generate_config *config, const struct drpc_user_mix *mix,
		  struct drpc_series *ret)
{
	const char *names[1 + DRPC_USERS_MAX_TYPES] = {"requests_per_s"};
	struct drpc_user_mix own = {0};
	struct drpc_series series = {0};
	int err = check_config(config);

	if (!err && !mix)
		err = drpc_user_mix_default(&own);
	if (err)
		return err;
	mix = mix ? mix : &own;
	for (size_t i = 0; i < mix->types; i++)
		names[1 + i] = mix->type[i].name;
	drpc_series_init(&series, drpc_generate_kind_name(config->kind), names, 1 + mix->types);
	err = fill(config, mix, &series);
	drpc_user_mix_done(&own);
	if (err)
		drpc_series_done(&series);
	else
		*ret = series;
	return err;
}
