// SPDX-License-Identifier: Apache-2.0
#include "link/experience.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/hist.h"
#include "lib/util.h"

/* A step takes no longer than a day, a run no longer than this program can count. */
#define DURATION_MAX_NS (24 * 3600 * DRPC_NSEC_PER_SEC)
#define COUNT_MAX	(UINT64_MAX / 4)
/* Everything over the last bound counts as twice it: bounds are 2^6 s at most. */
#define LATENCY_MAX_NS	(128 * DRPC_NSEC_PER_SEC)
#define REQUESTS_MAX	(1ULL << 48)
/* Sums of floats are compared with the float they were rounded to. */
#define REWARD_ROUNDING 1e-3f

/* Beyond these no machine of today measures; the widest ratios come of the smallest limits. */
static const float feature_most[DRPC_F_COUNT] = {
	[DRPC_F_CPU_UTIL] = 1e7f,  [DRPC_F_MEM_UTIL] = 1e7f,  [DRPC_F_REPLICAS] = 1e5f,
	[DRPC_F_RATE] = 1e6f,	   [DRPC_F_RATE_PRED] = 1e6f, [DRPC_F_P99_SLO] = 1e9f,
	[DRPC_F_QUEUE_SHARE] = 1,  [DRPC_F_CPU_PRESSURE] = 1, [DRPC_F_THROTTLED] = 1,
	[DRPC_F_MEM_PRESSURE] = 1,
};

/* --- building ------------------------------------------------------------------------------- */

void drpc_experience_start(struct drpc_experience *x, const char *deployment, uint64_t step,
			   uint64_t realtime_ns, const float features[DRPC_F_COUNT])
{
	*x = (struct drpc_experience){.realtime_ns = realtime_ns, .step = step};
	drpc_sanitize(x->deployment, sizeof(x->deployment), deployment);
	memcpy(x->state, features, sizeof(x->state));
}

static float effective(float output)
{
	return fabsf(output) > DRPC_DEAD_BAND ? output : 0.0f;
}

void drpc_experience_act(struct drpc_experience *x, enum drpc_experience_planner planner,
			 uint64_t policy_version, const float planned[DRPC_OUT_COUNT],
			 const float applied[DRPC_OUT_COUNT])
{
	x->planner = planner;
	x->policy_version = policy_version;
	x->flags &= ~(uint32_t)DRPC_X_GUARD;
	memcpy(x->planned, planned, sizeof(x->planned));
	memcpy(x->action, planned, sizeof(x->action));
	if (!applied)
		return;
	/* Limits are whole numbers: a hundredth is rounding, more is the guard. */
	for (int i = 0; i < DRPC_OUT_COUNT; i++) {
		if (fabsf(effective(planned[i]) - effective(applied[i])) > 0.01f)
			x->flags |= DRPC_X_GUARD;
	}
	if (x->flags & DRPC_X_GUARD)
		memcpy(x->action, applied, sizeof(x->action));
}

float drpc_experience_moved(double before, double after, double step)
{
	const double least = nextafter((double)DRPC_DEAD_BAND, 1.0) + 1e-6;
	double output;

	if (before == after)
		return 0;
	output = before > 0 && step > 0 ? (after - before) / (before * step) : after - before;
	if (!isfinite(output))
		return 0;
	return (float)copysign(DRPC_CLAMP(fabs(output), least, 1.0), output);
}

void drpc_experience_latency_of(const uint32_t hist[DRPC_HIST_BUCKETS],
				struct drpc_experience_latency *ret)
{
	*ret = (struct drpc_experience_latency){.requests = drpc_hist_count(hist)};
	if (ret->requests == 0)
		return;
	for (unsigned int b = 0; b < DRPC_HIST_BUCKETS; b++)
		ret->octaves[(b + DRPC_HIST_PER_OCTAVE - 1) / DRPC_HIST_PER_OCTAVE] += hist[b];
	ret->max_ns = drpc_hist_max_ns(hist);
	if (ret->max_ns > LATENCY_MAX_NS)
		ret->max_ns = LATENCY_MAX_NS;
	ret->p99_ns = DRPC_MIN((uint64_t)drpc_hist_quantile_ns(hist, 0.99), ret->max_ns);
	ret->p50_ns = DRPC_MIN((uint64_t)drpc_hist_quantile_ns(hist, 0.5), ret->p99_ns);
}

void drpc_experience_finish(struct drpc_experience *x, uint64_t duration_ns,
			    const float next[DRPC_F_COUNT],
			    const struct drpc_experience_reward *reward, float coverage,
			    const uint32_t hist[DRPC_HIST_BUCKETS])
{
	x->duration_ns = duration_ns / DRPC_NSEC_PER_USEC * DRPC_NSEC_PER_USEC;
	memcpy(x->next, next, sizeof(x->next));
	x->reward = *reward;
	x->coverage = coverage;
	if (hist)
		drpc_experience_latency_of(hist, &x->latency);
}

/* --- judging -------------------------------------------------------------------------------- */

static const char *const reject_names[DRPC_REJECT_COUNT] = {
	[DRPC_REJECT_NONE] = "none",	     [DRPC_REJECT_FORMAT] = "format",
	[DRPC_REJECT_VERSION] = "version",   [DRPC_REJECT_SIZE] = "size",
	[DRPC_REJECT_NODE] = "node",	     [DRPC_REJECT_SUBJECT] = "subject",
	[DRPC_REJECT_SEQUENCE] = "sequence", [DRPC_REJECT_DUPLICATE] = "duplicate",
	[DRPC_REJECT_EPOCH] = "epoch",	     [DRPC_REJECT_LATE] = "late",
	[DRPC_REJECT_NODES] = "nodes",	     [DRPC_REJECT_NAME] = "name",
	[DRPC_REJECT_TIME] = "time",	     [DRPC_REJECT_PLANNER] = "planner",
	[DRPC_REJECT_FLAGS] = "flags",	     [DRPC_REJECT_STATE] = "state",
	[DRPC_REJECT_ACTION] = "action",     [DRPC_REJECT_REWARD] = "reward",
	[DRPC_REJECT_COVERAGE] = "coverage", [DRPC_REJECT_LATENCY] = "latency",
};

const char *drpc_reject_name(enum drpc_reject reject)
{
	return (unsigned int)reject < DRPC_REJECT_COUNT ? reject_names[reject] : "unknown";
}

bool drpc_link_name_ok(const char *name)
{
	const size_t len = strnlen(name, DRPC_LINK_NAME_BYTES);
	char clean[DRPC_LINK_NAME_BYTES];

	if (len == 0 || len == DRPC_LINK_NAME_BYTES)
		return false;
	drpc_sanitize(clean, sizeof(clean), name);
	return strcmp(clean, name) == 0;
}

void drpc_link_token(const char *name, char *ret)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < DRPC_LINK_NAME_BYTES - 1 && name[i]; i++) {
		const unsigned char c = (unsigned char)name[i];

		if (isascii(c) && (isalnum(c) || c == '-' || c == '_')) {
			*ret++ = (char)c;
			continue;
		}
		*ret++ = '=';
		*ret++ = digits[c >> 4];
		*ret++ = digits[c & 15];
	}
	*ret = '\0';
}

/* Comparisons are written so that NaN fails. */
static bool within(float value, float least, float most)
{
	return value >= least && value <= most;
}

static bool state_ok(const float state[DRPC_F_COUNT])
{
	for (int i = 0; i < DRPC_F_COUNT; i++) {
		if (!within(state[i], 0, feature_most[i]))
			return false;
	}
	return true;
}

static bool action_ok(const float action[DRPC_OUT_COUNT])
{
	for (int i = 0; i < DRPC_OUT_COUNT; i++) {
		if (!within(action[i], -1, 1))
			return false;
	}
	return true;
}

static bool reward_ok(const struct drpc_experience_reward *reward)
{
	if (!within(reward->total, 0, 1) || !within(reward->qos, 0, 1) ||
	    !within(reward->cpu, 0, INFINITY) || !within(reward->memory, 0, INFINITY))
		return false;
	return within(reward->total - reward->qos / (1 + reward->cpu + reward->memory),
		      -REWARD_ROUNDING, REWARD_ROUNDING);
}

static bool flags_ok(const struct drpc_experience *x)
{
	if (x->flags & ~(uint32_t)DRPC_X_ALL)
		return false;
	if ((x->flags & DRPC_X_DONE) && (x->flags & DRPC_X_TRUNCATED))
		return false;
	for (int i = 0; i < DRPC_OUT_COUNT; i++) {
		if (x->action[i] != x->planned[i] && !(x->flags & DRPC_X_GUARD))
			return false;
	}
	return true;
}

static bool latency_ok(const struct drpc_experience_latency *latency)
{
	uint64_t sum = 0;

	if (latency->requests > REQUESTS_MAX || latency->max_ns > LATENCY_MAX_NS ||
	    latency->p50_ns > latency->p99_ns || latency->p99_ns > latency->max_ns)
		return false;
	for (size_t i = 0; i < DRPC_LINK_OCTAVES; i++) {
		if (latency->octaves[i] > latency->requests - sum)
			return false;
		sum += latency->octaves[i];
	}
	return sum == latency->requests && (latency->requests > 0) == (latency->max_ns > 0);
}

enum drpc_reject drpc_experience_check(const struct drpc_experience *x)
{
	if (!drpc_link_name_ok(x->deployment))
		return DRPC_REJECT_NAME;
	if (x->realtime_ns == 0 || x->realtime_ns > COUNT_MAX || x->step == 0 ||
	    x->step > COUNT_MAX || x->duration_ns == 0 || x->duration_ns > DURATION_MAX_NS)
		return DRPC_REJECT_TIME;
	if ((unsigned int)x->planner >= DRPC_BY_COUNT)
		return DRPC_REJECT_PLANNER;
	if (!action_ok(x->action) || !action_ok(x->planned))
		return DRPC_REJECT_ACTION;
	if (!flags_ok(x))
		return DRPC_REJECT_FLAGS;
	if (!state_ok(x->state) || !state_ok(x->next))
		return DRPC_REJECT_STATE;
	if (!reward_ok(&x->reward))
		return DRPC_REJECT_REWARD;
	if (!within(x->coverage, 0, 1))
		return DRPC_REJECT_COVERAGE;
	if (!latency_ok(&x->latency))
		return DRPC_REJECT_LATENCY;
	return DRPC_REJECT_NONE;
}
