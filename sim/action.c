// SPDX-License-Identifier: Apache-2.0
/* What a policy does to the simulation, and anomalies. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/log.h"
#include "sim/internal.h"

static int find(struct drpc_sim *sim, uint32_t service, struct sim_service **ret)
{
	if (service >= sim->app->n_services)
		return -ENOENT;
	*ret = &sim->services[service];
	return 0;
}

int drpc_sim_set_replicas(struct drpc_sim *sim, uint32_t service, uint32_t replicas)
{
	struct sim_service *s;
	int err = find(sim, service, &s);

	if (err)
		return err;
	if (replicas > s->spec->max_replicas ||
	    (replicas < s->spec->min_replicas && !(replicas == 0 && s->spec->optional)))
		return -EINVAL;
	if (replicas == s->wanted)
		return 0;
	sim->actions++;
	s->off = replicas == 0;
	sim_replicas_scale(sim, service, replicas);
	return 0;
}

int drpc_sim_set_brownout(struct drpc_sim *sim, uint32_t service, bool off)
{
	struct sim_service *s;
	int err = find(sim, service, &s);

	if (err)
		return err;
	if (!s->spec->optional)
		return -EINVAL;
	if (off == s->off)
		return 0;
	return drpc_sim_set_replicas(sim, service,
				     off ? 0 : (s->spec->replicas ? s->spec->replicas : 1));
}

/* Up and not on its way out of the accounts: its limits count on its node. */
static bool is_placed(const struct sim_replica *r)
{
	return r->state != SIM_REPLICA_NONE && r->state != SIM_REPLICA_PENDING;
}

int drpc_sim_set_cpu_limit(struct drpc_sim *sim, uint32_t service, double cores)
{
	struct sim_service *s;
	double change;
	int err = find(sim, service, &s);

	if (err)
		return err;
	if (!(cores >= s->spec->min_cpu_cores && cores <= s->spec->max_cpu_cores) || cores <= 0.0)
		return -EINVAL;
	if (cores == s->cpu_limit)
		return 0;
	sim->actions++;
	sim_account(sim);
	sim_service_account(sim, s);
	change = cores - s->cpu_limit;
	s->cpu_limit = cores;
	for (uint32_t i = s->first_replica; i < s->first_replica + s->n_slots; i++) {
		const struct sim_replica *r = &sim->replicas[i];

		if (!is_placed(r))
			continue;
		sim->nodes[r->node].cpu_allocated += change;
		sim->account.cpu += change;
		sim_cpu_limit(sim, i, cores, s->spec->cpu_burst_ns);
	}
	sim_cpu_flush(sim);
	return 0;
}

int drpc_sim_set_memory_limit(struct drpc_sim *sim, uint32_t service, double bytes)
{
	struct sim_service *s;
	double change;
	int err = find(sim, service, &s);

	if (err)
		return err;
	if (!(bytes >= s->spec->min_memory_bytes && bytes <= s->spec->max_memory_bytes))
		return -EINVAL;
	if (bytes == s->memory_limit)
		return 0;
	change = bytes - s->memory_limit;
	sim_account(sim);
	for (uint32_t i = s->first_replica; i < s->first_replica + s->n_slots; i++) {
		const struct sim_replica *r = &sim->replicas[i];

		if (is_placed(r)) {
			sim->nodes[r->node].memory_allocated += change;
			sim->account.memory += change;
		}
	}
	sim->actions++;
	s->memory_limit = bytes;
	sim_service_check_memory(sim, service);
	sim_cpu_flush(sim);
	return 0;
}

int drpc_sim_set_cpu_weight(struct drpc_sim *sim, uint32_t service, uint32_t weight)
{
	struct sim_service *s;
	int err = find(sim, service, &s);

	if (err)
		return err;
	if (weight < 1 || weight > 10000)
		return -EINVAL;
	if (weight == s->weight)
		return 0;
	sim->actions++;
	s->weight = weight;
	for (uint32_t n = 0; n < sim->app->n_nodes; n++)
		sim_cpu_rebalance(sim, n);
	return 0;
}

/* --- anomalies ---------------------------------------------------------------------------------- */

/* Effects are recomputed from those that are on: they add up and end without a rest. */
static void apply_anomalies(struct drpc_sim *sim)
{
	for (uint32_t i = 0; i < sim->app->n_services; i++) {
		struct sim_service *s = &sim->services[i];

		s->slower = s->network_ns = s->memory_anomaly = 0.0;
	}
	for (uint32_t n = 0; n < sim->app->n_nodes; n++)
		sim->nodes[n].capacity = sim->app->nodes[n].cpu_cores;
	sim->next_anomaly_ns = UINT64_MAX;
	for (size_t i = 0; i < SIM_ANOMALIES; i++) {
		const struct sim_anomaly *a = &sim->anomalies[i];
		struct sim_service *s = &sim->services[a->service];

		if (!a->on)
			continue;
		if (a->end_ns < sim->next_anomaly_ns)
			sim->next_anomaly_ns = a->end_ns;
		switch (a->kind) {
		case DRPC_SIM_ANOMALY_CPU:
			for (uint32_t n = 0; n < sim->app->n_nodes; n++) {
				struct sim_node *node = &sim->nodes[n];
				bool here = false;

				for (uint32_t k = 0; k < s->n_ready; k++)
					here = here || sim->replicas[s->ready[k]].node == n;
				/* A core is always left over, or nothing would ever end. */
				if (here)
					node->capacity = fmax(
						node->capacity -
							a->intensity * sim->app->nodes[n].cpu_cores,
						0.05 * sim->app->nodes[n].cpu_cores);
			}
			break;
		case DRPC_SIM_ANOMALY_MEMORY:
			s->memory_anomaly += a->intensity;
			break;
		case DRPC_SIM_ANOMALY_CACHE:
			s->slower += a->intensity;
			break;
		case DRPC_SIM_ANOMALY_NETWORK:
			s->network_ns += a->intensity * 1e7;
			break;
		}
	}
	for (uint32_t i = 0; i < sim->app->n_services; i++)
		sim_service_check_memory(sim, i);
	for (uint32_t n = 0; n < sim->app->n_nodes; n++)
		sim_cpu_rebalance(sim, n);
	sim_cpu_flush(sim);
}

int drpc_sim_inject(struct drpc_sim *sim, uint32_t service, enum drpc_sim_anomaly kind,
		    double intensity, uint64_t duration_ns)
{
	struct sim_service *s;
	int err = find(sim, service, &s);

	if (err)
		return err;
	if (!(intensity >= 0.0 && intensity <= 1.0) || kind < DRPC_SIM_ANOMALY_CPU ||
	    kind > DRPC_SIM_ANOMALY_NETWORK || duration_ns == 0)
		return -EINVAL;
	for (size_t i = 0; i < SIM_ANOMALIES; i++) {
		if (sim->anomalies[i].on)
			continue;
		sim->anomalies[i] = (struct sim_anomaly){.end_ns = sim->now_ns + duration_ns,
							 .service = service,
							 .kind = kind,
							 .intensity = intensity,
							 .on = true};
		apply_anomalies(sim);
		return 0;
	}
	return -EBUSY;
}

void sim_anomalies_end(struct drpc_sim *sim)
{
	for (size_t i = 0; i < SIM_ANOMALIES; i++) {
		if (sim->anomalies[i].end_ns <= sim->now_ns)
			sim->anomalies[i].on = false;
	}
	apply_anomalies(sim);
}
