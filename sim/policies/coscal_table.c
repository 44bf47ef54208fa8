// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "lib/util.h"
#include "sim/policies/coscal.h"

#define UTILISATION 0.75 /* wanted, of both resources */

unsigned int drpc_coscal_quartile(double share)
{
	if (!(share > 0))
		return 0;
	return (unsigned int)DRPC_CLAMP(ceil(share * DRPC_COSCAL_LEVELS) - 1, 0.0,
					DRPC_COSCAL_LEVELS - 1.0);
}

unsigned int drpc_coscal_state(double cpu, double memory, double load)
{
	return (drpc_coscal_quartile(cpu) * DRPC_COSCAL_LEVELS + drpc_coscal_quartile(memory)) *
		       DRPC_COSCAL_LEVELS +
	       drpc_coscal_quartile(load);
}

enum drpc_coscal_action drpc_coscal_best(const struct drpc_coscal_table *table, unsigned int state,
					 drpc_coscal_set allowed)
{
	enum drpc_coscal_action best = DRPC_COSCAL_NOTHING;
	float most = -INFINITY;

	for (unsigned int a = 0; a < DRPC_COSCAL_ACTIONS; a++) {
		if (!(allowed & 1U << a) || table->visits[state][a] == 0 ||
		    table->q[state][a] <= most)
			continue;
		most = table->q[state][a];
		best = (enum drpc_coscal_action)a;
	}
	return best;
}

void drpc_coscal_learn(struct drpc_coscal_table *table, const struct drpc_coscal_step *step)
{
	const unsigned int s = (unsigned int)step->state, a = (unsigned int)step->action;
	const unsigned int next = (unsigned int)step->next;
	double most = -INFINITY, q = (double)table->q[s][a];

	for (unsigned int i = 0; i < DRPC_COSCAL_ACTIONS; i++) {
		if (table->visits[next][i] > 0)
			most = fmax(most, (double)table->q[next][i]);
	}
	if (!isfinite(most))
		most = 0;
	q += DRPC_COSCAL_ALPHA * ((double)step->reward + DRPC_COSCAL_GAMMA * most - q);
	table->q[s][a] = (float)q;
	table->visits[s][a]++;
}

double drpc_coscal_reward(double p99_ns, double slo_ns, double cpu, double memory)
{
	const double over = p99_ns > slo_ns ? (p99_ns - slo_ns) / slo_ns : 0;
	const double off = pow(fabs(UTILISATION - cpu), 3) + pow(fabs(UTILISATION - memory), 3);

	return exp(-over * over) / (1 + off);
}
