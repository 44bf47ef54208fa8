// SPDX-License-Identifier: Apache-2.0
#include "teacher/notifier.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

/* Counters of the visit grid: cells share one by hash, which can only make a rare cell look known. */
#define CELLS (1u << 18)

struct drpc_notifier {
	struct drpc_notifier_config config;
	double threshold;
	double *rewards; /* ring [recent] */
	size_t n_rewards, reward_head;
	bool *rare; /* ring [recent] */
	size_t n_states, state_head;
	uint32_t *visits; /* [CELLS] */
	bool failed;
	struct drpc_imitation_report report;
	bool has_reference;
	double reference[DRPC_NOTIFIER_MAX_KINDS]; /* shares */
	uint64_t seen[DRPC_NOTIFIER_MAX_KINDS];
};

struct drpc_notifier_config drpc_notifier_defaults(size_t n_state, size_t n_kinds)
{
	return (struct drpc_notifier_config){
		.recent = 10,
		.relative = 0.85,
		.n_state = n_state,
		.cell = 1.0f,
		.rare_visits = 5,
		.disagreement = 0.25,
		.rare_share = 0.5,
		.differ = 0.1,
		.reward_ratio = 0.9,
		.n_kinds = n_kinds,
		.mix_distance = 0.15,
		.mix_requests = 500,
	};
}

int drpc_notifier_new(const struct drpc_notifier_config *c, struct drpc_notifier **ret)
{
	struct drpc_notifier *n;

	if (c->recent < 1 || c->recent > 100000 || c->n_state < 1 ||
	    c->n_state > DRPC_NOTIFIER_MAX_STATE || c->n_kinds > DRPC_NOTIFIER_MAX_KINDS)
		return drpc_err(
			-EINVAL,
			"notifier: %zu rewards, %zu state numbers, %zu kinds of requests: expected 1..100000, 1..%d, 0..%d",
			c->recent, c->n_state, c->n_kinds, DRPC_NOTIFIER_MAX_STATE,
			DRPC_NOTIFIER_MAX_KINDS);
	if (!(c->cell > 0 && isfinite(c->cell)) || !(c->relative > 0 && c->relative <= 1) ||
	    !(c->absolute >= 0 && c->absolute <= 1))
		return drpc_err(
			-EINVAL,
			"notifier: cell %g, relative threshold %g, absolute threshold %g: expected above 0, 0..1, 0..1",
			(double)c->cell, c->relative, c->absolute);
	if (!(c->rare_share > 0 && c->rare_share <= 1) || !(c->disagreement >= 0) ||
	    !(c->mix_distance > 0))
		return drpc_err(
			-EINVAL,
			"notifier: rare share %g, disagreement %g, mix distance %g: expected 0..1, 0 or more, above 0",
			c->rare_share, c->disagreement, c->mix_distance);
	n = calloc(1, sizeof(*n));
	if (!n)
		return drpc_err(-ENOMEM, "notifier");
	n->config = *c;
	n->threshold = c->absolute > 0 ? c->absolute : NAN;
	n->rewards = calloc(c->recent, sizeof(*n->rewards));
	n->rare = calloc(c->recent, sizeof(*n->rare));
	n->visits = calloc(CELLS, sizeof(*n->visits));
	if (!n->rewards || !n->rare || !n->visits) {
		drpc_notifier_free(&n);
		return drpc_err(-ENOMEM, "notifier");
	}
	*ret = n;
	return 0;
}

void drpc_notifier_free(struct drpc_notifier **notifier)
{
	struct drpc_notifier *n = *notifier;

	if (!n)
		return;
	free(n->rewards);
	free(n->rare);
	free(n->visits);
	free(n);
	*notifier = NULL;
}

/* --- visits ------------------------------------------------------------------------------- */

/* The counter of a state's cell; NULL where the state is not finite. */
static uint32_t *visits_of(const struct drpc_notifier *n, const float *state)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n->config.n_state; i++) {
		int64_t cell;

		if (!isfinite(state[i]))
			return NULL;
		cell = (int64_t)floor(DRPC_CLAMP((double)(state[i] / n->config.cell), -1e6, 1e6));
		hash = (hash ^ (uint64_t)cell) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	return &n->visits[hash % CELLS];
}

void drpc_notifier_visit(struct drpc_notifier *n, const float *state)
{
	uint32_t *visits = visits_of(n, state);

	if (visits && *visits < UINT32_MAX)
		(*visits)++;
}

void drpc_notifier_state(struct drpc_notifier *n, const float *state, double q1, double q2)
{
	const uint32_t *visits = visits_of(n, state);
	const bool asked = !isnan(q1) && !isnan(q2);
	const double apart = asked ? fabs(q1 - q2) / (1.0 + fmin(fabs(q1), fabs(q2))) : INFINITY;

	if (!visits)
		return;
	n->rare[n->state_head] = *visits < n->config.rare_visits && apart > n->config.disagreement;
	n->state_head = (n->state_head + 1) % n->config.recent;
	n->n_states = DRPC_MIN(n->n_states + 1, n->config.recent);
}

/* --- rewards, students, requests ---------------------------------------------------------- */

static uint64_t shares_of(const struct drpc_notifier *n, const uint64_t *kinds, double *ret)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n->config.n_kinds; i++)
		total += kinds[i];
	for (size_t i = 0; i < n->config.n_kinds; i++)
		ret[i] = total ? (double)kinds[i] / (double)total : 0.0;
	return total;
}

void drpc_notifier_trained(struct drpc_notifier *n, double reward, const uint64_t *kinds)
{
	n->threshold = n->config.absolute > 0 ? n->config.absolute : n->config.relative * reward;
	n->n_rewards = n->reward_head = 0;
	n->n_states = n->state_head = 0;
	n->failed = false;
	memset(n->seen, 0, sizeof(n->seen));
	n->has_reference = kinds && shares_of(n, kinds, n->reference) >= n->config.mix_requests;
}

void drpc_notifier_reward(struct drpc_notifier *n, double reward)
{
	if (!isfinite(reward))
		return;
	n->rewards[n->reward_head] = reward;
	n->reward_head = (n->reward_head + 1) % n->config.recent;
	n->n_rewards = DRPC_MIN(n->n_rewards + 1, n->config.recent);
}

void drpc_notifier_imitation(struct drpc_notifier *n, const struct drpc_imitation_report *report)
{
	n->report = *report;
	/* An unmeasured reward ratio is NAN and compares false. */
	n->failed =
		report->differ > n->config.differ || report->reward_ratio < n->config.reward_ratio;
}

/* Halved when there is enough of it, so that the mix follows what comes now. */
void drpc_notifier_requests(struct drpc_notifier *n, const uint64_t *kinds)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n->config.n_kinds; i++) {
		n->seen[i] += kinds[i];
		total += n->seen[i];
	}
	for (size_t i = 0; total > 4 * n->config.mix_requests && i < n->config.n_kinds; i++)
		n->seen[i] /= 2;
}

/* Square root of the Jensen-Shannon divergence to base 2: 0 for equal, 1 for disjoint. */
static double mix_distance(const struct drpc_notifier *n, const double *now)
{
	double sum = 0;

	for (size_t i = 0; i < n->config.n_kinds; i++) {
		const double p = n->reference[i], q = now[i], mid = (p + q) / 2;

		sum += p > 0 ? p * log2(p / mid) / 2 : 0;
		sum += q > 0 ? q * log2(q / mid) / 2 : 0;
	}
	return sqrt(fmax(sum, 0.0));
}

/* --- verdict ------------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4))) static void say(char *text, size_t bytes, const char *fmt,
						      ...)
{
	const size_t used = text && bytes ? strlen(text) : 0;
	va_list args;

	if (!text || used + 1 >= bytes)
		return;
	va_start(args, fmt);
	if (used)
		snprintf(text + used, bytes - used, "; ");
	vsnprintf(text + strlen(text), bytes - strlen(text), fmt, args);
	va_end(args);
}

static bool reward_fell(const struct drpc_notifier *n, char *text, size_t bytes)
{
	double mean = 0;

	if (n->n_rewards < n->config.recent)
		return false;
	for (size_t i = 0; i < n->n_rewards; i++)
		mean += n->rewards[i] / (double)n->n_rewards;
	/* Written so that a threshold that is not set (NAN) never fires. */
	if (!(mean < n->threshold))
		return false;
	say(text, bytes, "reward %.3f over the last %zu decisions is under %.3f", mean,
	    n->config.recent, n->threshold);
	return true;
}

static bool states_are_rare(const struct drpc_notifier *n, char *text, size_t bytes)
{
	size_t rare = 0;

	if (n->n_states < n->config.recent)
		return false;
	for (size_t i = 0; i < n->n_states; i++)
		rare += n->rare[i];
	if ((double)rare < n->config.rare_share * (double)n->n_states)
		return false;
	say(text, bytes, "%zu of the last %zu states were hardly seen in training", rare,
	    n->n_states);
	return true;
}

static bool mix_changed(const struct drpc_notifier *n, char *text, size_t bytes)
{
	double now[DRPC_NOTIFIER_MAX_KINDS], distance;

	if (!n->has_reference || shares_of(n, n->seen, now) < n->config.mix_requests)
		return false;
	distance = mix_distance(n, now);
	if (distance <= n->config.mix_distance)
		return false;
	say(text, bytes, "the request mix is %.2f away from that of training (at most %.2f)",
	    distance, n->config.mix_distance);
	return true;
}

unsigned int drpc_notifier_check(const struct drpc_notifier *n, char *text, size_t text_bytes)
{
	unsigned int reasons = 0;

	if (text && text_bytes)
		text[0] = '\0';
	if (reward_fell(n, text, text_bytes))
		reasons |= DRPC_RETRAIN_REWARD;
	if (states_are_rare(n, text, text_bytes))
		reasons |= DRPC_RETRAIN_RARE_STATE;
	if (n->failed) {
		reasons |= DRPC_RETRAIN_IMITATION;
		say(text, text_bytes,
		    "a student differs from the teacher in %.1f %% of decisions, reward ratio %.2f",
		    100 * n->report.differ, n->report.reward_ratio);
	}
	if (mix_changed(n, text, text_bytes))
		reasons |= DRPC_RETRAIN_MIX;
	return reasons;
}

double drpc_notifier_threshold(const struct drpc_notifier *n)
{
	return n->threshold;
}
