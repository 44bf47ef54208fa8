// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <string.h>

#include "lib/util.h"
#include "sim/policies/autothrottle.h"

#define MARGIN_FIRST 3.0
#define MULTIPLE     3.0 /* of the target, beyond which it is too much */
#define CUT_AT_LEAST 0.9
#define CUT_AT_MOST  0.5
#define LIMIT_LEAST  0.01

void drpc_captain_init(struct drpc_captain *captain, double limit)
{
	*captain = (struct drpc_captain){
		.limit = limit, .limit_before = limit, .margin = MARGIN_FIRST};
}

static void forget_throttled(struct drpc_captain *c)
{
	memset(c->throttled, 0, sizeof(c->throttled));
}

static double mean_throttled(const struct drpc_captain *c)
{
	double sum = 0;

	for (size_t i = 0; i < DRPC_CAPTAIN_PERIODS; i++)
		sum += c->throttled[i];
	return sum / DRPC_CAPTAIN_PERIODS;
}

/* What the usage of the last samples asks for. */
static double proposal(const struct drpc_captain *c)
{
	double most = 0, mean = 0, squares = 0;

	for (size_t i = 0; i < DRPC_CAPTAIN_SAMPLES; i++) {
		most = fmax(most, c->usage[i]);
		mean += c->usage[i] / DRPC_CAPTAIN_SAMPLES;
	}
	for (size_t i = 0; i < DRPC_CAPTAIN_SAMPLES; i++)
		squares += (c->usage[i] - mean) * (c->usage[i] - mean);
	return most + sqrt(squares / (DRPC_CAPTAIN_SAMPLES - 1)) * c->margin;
}

double drpc_captain_step(struct drpc_captain *c, double usage, double throttled)
{
	double ratio;

	c->usage[c->n % DRPC_CAPTAIN_SAMPLES] = usage;
	c->throttled[c->n % DRPC_CAPTAIN_PERIODS] = throttled;
	c->n++;
	ratio = mean_throttled(c);
	if (c->cut && ratio > MULTIPLE * c->target) {
		/* The cut was too much: back, and as far beyond. */
		c->limit = 2 * c->limit_before - c->limit;
		c->margin += ratio - c->target;
		c->cut = false;
		forget_throttled(c);
	}
	if (c->n % DRPC_CAPTAIN_PERIODS)
		return c->limit;

	ratio = mean_throttled(c);
	c->limit_before = c->limit;
	c->margin = fmax(c->margin + ratio - c->target, 0);
	c->cut = false;
	if (ratio > MULTIPLE * c->target) {
		c->limit *= 1 + ratio - MULTIPLE * c->target;
	} else {
		const double asked = proposal(c);

		if (asked <= CUT_AT_LEAST * c->limit) {
			c->limit = fmax(CUT_AT_MOST * c->limit, asked);
			c->cut = true;
		}
	}
	c->limit = fmax(c->limit, LIMIT_LEAST);
	forget_throttled(c);
	return c->limit;
}
