// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/reactive.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lib/log.h"
#include "lib/util.h"

/* Outputs: all of the step, most of it, or the least that still counts comfortably. */
#define FULL 1.0f
#define MOST 0.7f
#define SOME 0.6f

/* Share of the objective. */
#define P99_COMFORTABLE 0.6f
#define P99_CLOSE	0.85f
#define P99_MISSED	1.0f
#define P99_SEVERE	3.0f

/* Share of the CPU limit in use. */
#define UTIL_BUSY	     0.7f
#define UTIL_HIGH	     0.85f
#define UTIL_FULL	     0.9f
#define UTIL_SLACK	     0.5f /* no objective to go by */
#define UTIL_SLACK_SLO	     0.6f /* the objective is met with room */
#define UTIL_IDLE	     0.25f
#define UTIL_IDLE_SLO	     0.3f
#define UTIL_AFTER_SCALE_IN  0.6f
#define PREDICTION_RATIO_MAX 2.0f

/* Shares of the periods that were throttled. */
#define THROTTLED_NONE	0.01f
#define THROTTLED_SHARE 0.2f
#define THROTTLED_MUCH	0.6f
#define THROTTLED_ALL	0.8f

/* Share of the latency spent waiting in the socket. */
#define QUEUE_LONG 0.5f

/* Memory: share of the limit, and PSI. */
#define MEM_FULL	  0.92f
#define MEM_HIGH	  0.85f
#define MEM_SLACK	  0.65f
#define MEM_IDLE	  0.4f
#define MEM_PRESSURE_HARD 0.1f
#define MEM_PRESSURE	  0.03f
#define MEM_PRESSURE_NONE 0.001f

struct state {
	float util, util_ahead; /* now, and when the predicted rate arrives */
	float p99, queue, throttled;
	float mem_util, mem_pressure;
	float replicas;
	bool comfortable; /* there are an objective and traffic, and it is met with room */
	bool cpu_bound;
};

static bool read_state(const float f[DRPC_F_COUNT], struct state *s)
{
	float growth = 1;

	for (int i = 0; i < DRPC_F_COUNT; i++) {
		if (!isfinite(f[i]))
			return false;
	}
	if (f[DRPC_F_RATE] > 0)
		growth = DRPC_CLAMP(f[DRPC_F_RATE_PRED] / f[DRPC_F_RATE], 1.0f,
				    PREDICTION_RATIO_MAX);
	s->util = f[DRPC_F_CPU_UTIL];
	s->util_ahead = s->util * growth;
	s->p99 = f[DRPC_F_P99_SLO];
	s->queue = f[DRPC_F_QUEUE_SHARE];
	s->throttled = f[DRPC_F_THROTTLED];
	s->mem_util = f[DRPC_F_MEM_UTIL];
	s->mem_pressure = f[DRPC_F_MEM_PRESSURE];
	s->replicas = f[DRPC_F_REPLICAS];
	s->comfortable = s->p99 > 0 && s->p99 < P99_COMFORTABLE;
	s->cpu_bound = s->throttled > THROTTLED_NONE || s->util >= UTIL_BUSY;
	return true;
}

static float cpu_raise(const struct state *s)
{
	if (s->p99 > P99_MISSED && s->cpu_bound)
		return FULL;
	if (!s->comfortable && s->throttled >= THROTTLED_SHARE)
		return FULL;
	/* A long queue alone is no overload: at low load the wake-up of a sleeping server is half
	 * of a short latency. */
	if (!s->comfortable && s->queue >= QUEUE_LONG && s->util >= UTIL_HIGH)
		return FULL;
	if (s->p99 >= P99_CLOSE && s->cpu_bound)
		return MOST;
	if (!s->comfortable && s->util_ahead >= UTIL_FULL)
		return MOST;
	if (s->comfortable && s->throttled >= THROTTLED_MUCH)
		return MOST;
	return 0;
}

static float cpu_cut(const struct state *s)
{
	const float slack = s->comfortable ? UTIL_SLACK_SLO : UTIL_SLACK;
	const float idle = s->comfortable ? UTIL_IDLE_SLO : UTIL_IDLE;

	if (s->throttled > THROTTLED_NONE || s->p99 >= P99_COMFORTABLE || s->util_ahead >= slack)
		return 0;
	if (s->util_ahead < idle)
		return -FULL;
	if (!s->comfortable && s->queue >= QUEUE_LONG)
		return 0;
	return -SOME;
}

static float memory_output(const struct state *s)
{
	if (s->mem_pressure >= MEM_PRESSURE_HARD || s->mem_util >= MEM_FULL)
		return FULL;
	if (s->mem_pressure >= MEM_PRESSURE || s->mem_util >= MEM_HIGH)
		return MOST;
	/* 0 is no figure: a container that runs uses memory. */
	if (s->mem_pressure > MEM_PRESSURE_NONE || s->mem_util <= 0)
		return 0;
	if (s->mem_util < MEM_IDLE)
		return -FULL;
	return s->mem_util < MEM_SLACK ? -SOME : 0;
}

static float replicas_output(const struct state *s)
{
	const float n = s->replicas;

	/* These rules never take the last replica away, so they bring it back. */
	if (n < 1)
		return FULL;
	/* The workers are short, not the CPU: nothing is throttled and yet requests queue. */
	if (s->p99 > P99_MISSED && !s->cpu_bound && s->queue >= QUEUE_LONG)
		return FULL;
	if (s->p99 >= P99_SEVERE && s->cpu_bound)
		return FULL;
	if (!s->comfortable && s->throttled >= THROTTLED_ALL && s->queue >= QUEUE_LONG &&
	    s->util >= UTIL_HIGH)
		return FULL;
	if (n >= 2 && s->throttled <= THROTTLED_NONE && s->p99 < P99_COMFORTABLE &&
	    s->queue < QUEUE_LONG && s->util_ahead * n / (n - 1) < UTIL_AFTER_SCALE_IN)
		return -FULL;
	return 0;
}

void drpc_reactive_decide(const float features[DRPC_F_COUNT], float raw[DRPC_OUT_COUNT])
{
	struct state s;
	float raise;

	raw[DRPC_OUT_CPU] = raw[DRPC_OUT_MEMORY] = raw[DRPC_OUT_REPLICAS] = 0;
	if (!read_state(features, &s))
		return;
	raise = cpu_raise(&s);
	raw[DRPC_OUT_CPU] = raise > 0 ? raise : cpu_cut(&s);
	raw[DRPC_OUT_MEMORY] = memory_output(&s);
	raw[DRPC_OUT_REPLICAS] = replicas_output(&s);
}

static int reactive_decide(struct drpc_planner *planner, const struct drpc_observation *observation,
			   float raw[DRPC_OUT_COUNT])
{
	(void)planner;
	drpc_reactive_decide(observation->features, raw);
	return 0;
}

static void reactive_free(struct drpc_planner *planner)
{
	free(planner);
}

static const struct drpc_planner_ops reactive_ops = {
	.name = "reactive",
	.decide = reactive_decide,
	.free = reactive_free,
};

int drpc_planner_reactive_new(struct drpc_planner **ret)
{
	struct drpc_planner *planner = calloc(1, sizeof(*planner));

	if (!planner)
		return drpc_err(-ENOMEM, "planner reactive: cannot allocate");
	planner->ops = &reactive_ops;
	*ret = planner;
	return 0;
}
