// SPDX-License-Identifier: Apache-2.0
#include "sim/policies/hpa.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "lib/log.h"
#include "lib/util.h"
#include "sim/policies/policies.h"
#include "sim/policies/store.h"

#define SECOND_NS 1000000000ULL

static bool within_tolerance(double ratio)
{
	return fabs(ratio - 1) <= DRPC_HPA_TOLERANCE + 1e-12;
}

uint32_t drpc_hpa_desired(uint32_t current, uint32_t measured, double utilisation, double target)
{
	const double ratio = utilisation / target;
	double whole;

	if (measured == 0 || current == 0 || within_tolerance(ratio))
		return current;
	if (current <= measured)
		return (uint32_t)ceil(ratio * measured - 1e-9);
	/* Some have no metric yet. */
	if (ratio > 1)
		whole = ratio * measured / current;
	else
		whole = (ratio * measured + fmax(1, 1 / target) * (current - measured)) / current;
	if (within_tolerance(whole) || (ratio > 1) != (whole > 1))
		return current;
	return (uint32_t)ceil(whole * current - 1e-9);
}

void drpc_hpa_start(struct drpc_hpa_history *history, uint32_t replicas)
{
	*history = (struct drpc_hpa_history){.desired = {replicas}, .n = 1};
}

uint32_t drpc_hpa_next(struct drpc_hpa_history *history, uint32_t current, uint32_t desired)
{
	const uint32_t most = DRPC_MAX(2 * current, current + 4);
	uint32_t floor = 0;

	history->desired[history->n++ % DRPC_HPA_HISTORY] = desired;
	if (desired >= current)
		return DRPC_MIN(desired, most);
	for (uint64_t i = 0; i < DRPC_MIN(history->n, (uint64_t)DRPC_HPA_HISTORY); i++)
		floor = DRPC_MAX(floor, history->desired[i]);
	return DRPC_MIN(current, floor);
}

/* --- policy ------------------------------------------------------------------------------------- */

struct hpa {
	double target;
	struct drpc_hpa_history *histories; /* by service */
	uint32_t *wanted;		    /* what was asked for: observations are older */
};

static void hpa_destroy(void *self)
{
	struct hpa *h = self;

	if (!h)
		return;
	free(h->histories);
	free(h->wanted);
	free(h);
}

static int make(struct drpc_sim *sim, double target, void **ret)
{
	struct hpa *h;

	if (!(target > 0 && target <= 1))
		return drpc_err(-EINVAL, "hpa: target=%g, expected above 0 and at most 1", target);
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->target = target;
	h->histories = calloc(drpc_sim_service_count(sim), sizeof(*h->histories));
	h->wanted = calloc(drpc_sim_service_count(sim), sizeof(*h->wanted));
	if (!h->histories || !h->wanted) {
		hpa_destroy(h);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < drpc_sim_service_count(sim); i++) {
		h->wanted[i] = drpc_sim_spec(sim, i)->replicas;
		drpc_hpa_start(&h->histories[i], h->wanted[i]);
	}
	*ret = h;
	return 0;
}

static int kuscal_create(struct drpc_sim *sim, const struct drpc_sim_params *params,
			 struct drpc_sim_needs *needs, void **ret)
{
	static const char *const known[] = {NULL};
	int err = drpc_sim_params_check(params, known);

	(void)needs;
	return err ? err : make(sim, DRPC_HPA_KUSCAL_TARGET, ret);
}

static int hpa_create(struct drpc_sim *sim, const struct drpc_sim_params *params,
		      struct drpc_sim_needs *needs, void **ret)
{
	static const char *const known[] = {"target", NULL};
	double target = DRPC_HPA_KUSCAL_TARGET;
	int err = drpc_sim_params_check(params, known);

	(void)needs;
	if (!err)
		err = drpc_sim_param_number(params, "target", &target);
	return err ? err : make(sim, target, ret);
}

static int tuned_create(struct drpc_sim *sim, const struct drpc_sim_params *params,
			struct drpc_sim_needs *needs, void **ret)
{
	static const char *const known[] = {"model", NULL};
	struct drpc_sim_store store;
	int err = drpc_sim_params_check(params, known);

	(void)needs;
	if (err)
		return err;
	err = drpc_sim_store_open(params, "baseline-hpa", &store);
	if (err)
		return err;
	if (!store.found || store.model.n_weights != 1)
		err = drpc_err(-EINVAL,
			       "hpa-tuned: expected model=FILE as drpc-sim tune writes it");
	else
		err = make(sim, (double)store.model.weights[0], ret);
	drpc_sim_store_done(&store);
	return err;
}

static int hpa_decide(void *self, struct drpc_sim *sim, const struct drpc_sim_obs *obs)
{
	struct hpa *h = self;

	for (size_t i = 0; i < obs->n_services; i++) {
		const struct drpc_sim_service_obs *o = &obs->services[i];
		const uint32_t current = h->wanted[i];
		uint32_t next;
		int err;

		if (o->cpu_limit_cores <= 0) /* nothing to be utilised */
			continue;
		next = drpc_hpa_next(
			&h->histories[i], current,
			drpc_hpa_desired(current, o->ready, o->cpu_utilisation, h->target));
		next = DRPC_CLAMP(next, o->min_replicas, o->max_replicas);
		h->wanted[i] = next;
		err = drpc_sim_move_replicas(sim, o->index, next);
		if (err)
			return err;
	}
	return 0;
}

#define HPA_NEEDS                                           \
	{                                                   \
		.period_ns = DRPC_HPA_PERIOD_S * SECOND_NS, \
		.lag_ns = DRPC_HPA_LAG_MS * 1000000ULL,     \
	}

const struct drpc_sim_policy drpc_sim_policy_kuscal = {
	.name = "kuscal",
	.help = "Kubernetes' horizontal autoscaler, 75 % CPU",
	.needs = HPA_NEEDS,
	.create = kuscal_create,
	.decide = hpa_decide,
	.destroy = hpa_destroy,
};

const struct drpc_sim_policy drpc_sim_policy_hpa = {
	.name = "hpa",
	.help = "the same with a target of its own (target=0.75)",
	.needs = HPA_NEEDS,
	.create = hpa_create,
	.decide = hpa_decide,
	.destroy = hpa_destroy,
};

const struct drpc_sim_policy drpc_sim_policy_hpa_tuned = {
	.name = "hpa-tuned",
	.help = "the same with the best target of the training traces (model=FILE)",
	.needs = HPA_NEEDS,
	.create = tuned_create,
	.decide = hpa_decide,
	.destroy = hpa_destroy,
};
