// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "sim/policies/autothrottle.h"

#define DRAWS	      10000 /* of the aggregated samples, a training */
#define LEARNING_RATE 0.5
#define ADAGRAD_EPS   1e-6

const double drpc_tower_targets[DRPC_TOWER_TARGETS] = {0.0,  0.02, 0.04, 0.06, 0.1,
						       0.15, 0.2,  0.25, 0.3};

struct range {
	double least, most;
};

static void widen(struct range *r, double value)
{
	r->least = fmin(r->least, value);
	r->most = fmax(r->most, value);
}

static double within(const struct range *r, double value)
{
	return r->most > r->least ? (value - r->least) / (r->most - r->least) : 0.5;
}

void drpc_tower_costs(const struct drpc_tower_sample *samples, size_t n, double slo_ns, double *ret)
{
	struct range met = {INFINITY, -INFINITY}, missed = {INFINITY, -INFINITY};

	for (size_t i = 0; i < n; i++) {
		if (samples[i].latency_ns <= slo_ns)
			widen(&met, samples[i].allocation);
		else
			widen(&missed, samples[i].latency_ns);
	}
	for (size_t i = 0; i < n; i++) {
		if (samples[i].latency_ns <= slo_ns)
			ret[i] = within(&met, samples[i].allocation);
		else
			ret[i] = 2 + within(&missed, samples[i].latency_ns);
	}
}

void drpc_tower_add(struct drpc_tower *tower, const struct drpc_tower_sample *sample)
{
	tower->samples[tower->n++ % DRPC_TOWER_SAMPLES] = *sample;
}

static size_t kept(const struct drpc_tower *tower)
{
	return (size_t)DRPC_MIN(tower->n, (uint64_t)DRPC_TOWER_SAMPLES);
}

/* --- samples of one action at about one rate become their median -------------------------------- */

struct case_ {
	int action;
	double bin, cost;
};

static int compare_cases(const void *a, const void *b)
{
	const struct case_ *x = a, *y = b;

	if (x->action != y->action)
		return (x->action > y->action) - (x->action < y->action);
	if (x->bin != y->bin)
		return (x->bin > y->bin) - (x->bin < y->bin);
	return (x->cost > y->cost) - (x->cost < y->cost);
}

/* Sorted cases in, medians out, in place; returns how many. */
static size_t aggregate(struct case_ *cases, size_t n)
{
	size_t out = 0;

	qsort(cases, n, sizeof(*cases), compare_cases);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i; end < n && cases[end].action == cases[i].action &&
			      cases[end].bin == cases[i].bin;)
			end++;
		cases[out] = cases[i];
		cases[out++].cost =
			(cases[i + (end - i - 1) / 2].cost + cases[i + (end - i) / 2].cost) / 2;
	}
	return out;
}

/* --- a network of three hidden units: rate -> cost of each action ------------------------------- */

struct net {
	double w1[DRPC_TOWER_HIDDEN], b1[DRPC_TOWER_HIDDEN];
	double w2[DRPC_TOWER_ACTIONS][DRPC_TOWER_HIDDEN], b2[DRPC_TOWER_ACTIONS];
};

#define NET_NUMBERS (sizeof(struct net) / sizeof(double))

static double net_cost(const struct net *net, double x, int action, double *hidden)
{
	double cost = net->b2[action];

	for (size_t k = 0; k < DRPC_TOWER_HIDDEN; k++) {
		hidden[k] = tanh(net->w1[k] * x + net->b1[k]);
		cost += net->w2[action][k] * hidden[k];
	}
	return cost;
}

/* AdaGrad: frequent actions settle, rare ones still move. */
static void move(double *value, double *squares, double gradient)
{
	*squares += gradient * gradient;
	*value -= LEARNING_RATE * gradient / (sqrt(*squares) + ADAGRAD_EPS);
}

static void net_learn(struct net *net, struct net *squares, double x, int action, double cost)
{
	double hidden[DRPC_TOWER_HIDDEN];
	const double error = net_cost(net, x, action, hidden) - cost;

	for (size_t k = 0; k < DRPC_TOWER_HIDDEN; k++) {
		const double back = error * net->w2[action][k] * (1 - hidden[k] * hidden[k]);

		move(&net->w2[action][k], &squares->w2[action][k], error * hidden[k]);
		move(&net->w1[k], &squares->w1[k], back * x);
		move(&net->b1[k], &squares->b1[k], back);
	}
	move(&net->b2[action], &squares->b2[action], error);
}

static void net_init(struct net *net, struct drpc_rng *rng)
{
	float draws[NET_NUMBERS];

	drpc_rng_symmetric(rng, 0.5f, NET_NUMBERS, draws);
	for (size_t k = 0; k < DRPC_TOWER_HIDDEN; k++) {
		net->w1[k] = 2 * (double)draws[2 * k];
		net->b1[k] = 2 * (double)draws[2 * k + 1];
	}
	for (size_t a = 0; a < DRPC_TOWER_ACTIONS; a++) {
		for (size_t k = 0; k < DRPC_TOWER_HIDDEN; k++)
			net->w2[a][k] = 0.1 * (double)draws[6 + 3 * a + k];
		net->b2[a] = 1;
	}
}

/* Rates are seen as about -1..1. */
static double scaled(const struct range *rates, double rps)
{
	return 2 * within(rates, DRPC_CLAMP(rps, rates->least, rates->most)) - 1;
}

static int train(struct drpc_tower *tower, const struct case_ *cases, size_t n,
		 const struct range *rates, struct net *net)
{
	struct net *squares = calloc(1, sizeof(*squares));
	uint64_t *draws = calloc(DRAWS, sizeof(*draws));
	const bool room = squares && draws;

	if (room) {
		net_init(net, &tower->rng);
		drpc_rng_indices(&tower->rng, n, DRAWS, draws);
		for (size_t i = 0; i < DRAWS; i++) {
			const struct case_ *c = &cases[draws[i]];

			net_learn(net, squares, scaled(rates, c->bin), c->action, c->cost);
		}
	}
	free(squares);
	free(draws);
	return room ? 0 : -ENOMEM;
}

static int best_of(struct drpc_tower *tower, const struct case_ *cases, size_t n, double rps,
		   struct net *net)
{
	struct range rates = {INFINITY, -INFINITY};
	double hidden[DRPC_TOWER_HIDDEN], least = INFINITY;
	int best = -1, err;

	for (size_t i = 0; i < n; i++)
		widen(&rates, cases[i].bin);
	err = train(tower, cases, n, &rates, net);
	if (err)
		return err;
	/* Only what was tried: nothing is known of the others. */
	for (size_t i = 0; i < n; i++) {
		const double cost = net_cost(net, scaled(&rates, rps), cases[i].action, hidden);

		if (cost < least) {
			least = cost;
			best = cases[i].action;
		}
	}
	return best;
}

int drpc_tower_best(struct drpc_tower *tower, double rps)
{
	const size_t n = kept(tower);
	_cleanup_free_ double *costs = calloc(n + 1, sizeof(*costs));
	_cleanup_free_ struct case_ *cases = calloc(n + 1, sizeof(*cases));
	_cleanup_free_ struct net *net = calloc(1, sizeof(*net));

	if (!costs || !cases || !net)
		return -ENOMEM;
	if (n == 0)
		return -1;
	drpc_tower_costs(tower->samples, n, tower->slo_ns, costs);
	for (size_t i = 0; i < n; i++)
		cases[i] = (struct case_){
			.action = (int)tower->samples[i].action,
			.bin = round((double)tower->samples[i].rps / DRPC_TOWER_BIN_RPS) *
			       DRPC_TOWER_BIN_RPS,
			.cost = costs[i],
		};
	return best_of(tower, cases, aggregate(cases, n), rps, net);
}

/* --- exploring ---------------------------------------------------------------------------------- */

static int draw(struct drpc_tower *tower, int n)
{
	uint64_t index;

	drpc_rng_indices(&tower->rng, (uint64_t)n, 1, &index);
	return (int)index;
}

int drpc_tower_least_tried(struct drpc_tower *tower)
{
	uint32_t tried[DRPC_TOWER_ACTIONS] = {0}, least = UINT32_MAX;
	int candidates[DRPC_TOWER_ACTIONS] = {0}, n = 0;

	for (size_t i = 0; i < kept(tower); i++)
		tried[(int)tower->samples[i].action]++;
	for (int a = 0; a < DRPC_TOWER_ACTIONS; a++)
		least = DRPC_MIN(least, tried[a]);
	for (int a = 0; a < DRPC_TOWER_ACTIONS; a++) {
		if (tried[a] == least)
			candidates[n++] = a;
	}
	return candidates[draw(tower, n)];
}

int drpc_tower_neighbour(struct drpc_tower *tower, int action, double explore)
{
	const int row = action / DRPC_TOWER_TARGETS, column = action % DRPC_TOWER_TARGETS;
	int candidates[4], n = 0;

	if (drpc_rng_uniform(&tower->rng) >= explore)
		return action;
	if (row > 0)
		candidates[n++] = action - DRPC_TOWER_TARGETS;
	if (row + 1 < DRPC_TOWER_TARGETS)
		candidates[n++] = action + DRPC_TOWER_TARGETS;
	if (column > 0)
		candidates[n++] = action - 1;
	if (column + 1 < DRPC_TOWER_TARGETS)
		candidates[n++] = action + 1;
	return candidates[draw(tower, n)];
}

/* --- groups ------------------------------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sum of the squared distances to the mean of sorted[from .. to). */
static double spread(const double *sorted, size_t from, size_t to)
{
	double sum = 0, squares = 0;

	for (size_t i = from; i < to; i++) {
		sum += sorted[i];
		squares += sorted[i] * sorted[i];
	}
	return to > from ? squares - sum * sum / (double)(to - from) : 0;
}

int drpc_tower_groups(const double *usage, size_t n, uint8_t *ret)
{
	_cleanup_free_ double *sorted = calloc(n + 1, sizeof(*sorted));
	double least = INFINITY, border = INFINITY;

	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, usage, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_numbers);
	/* In one dimension 2-means is a cut of the sorted list. */
	for (size_t cut = 1; cut < n; cut++) {
		const double sum = spread(sorted, 0, cut) + spread(sorted, cut, n);

		if (sum < least && sorted[cut] > sorted[cut - 1]) {
			least = sum;
			border = sorted[cut];
		}
	}
	for (size_t i = 0; i < n; i++)
		ret[i] = usage[i] >= border;
	return 0;
}
