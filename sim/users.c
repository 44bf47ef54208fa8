// SPDX-License-Identifier: Apache-2.0
/* Users: when their requests arrive, of which class they are, and how they begin. */
#include <math.h>

#include "sim/internal.h"

#define STREAM_ARRIVALS 0x6172726976616cULL /* "arrival" */
#define NS		1e9

static void enter_piece(struct drpc_sim *sim)
{
	struct sim_arrivals *a = &sim->arrivals;
	const struct drpc_sim_load *load = &sim->config.load;
	const struct drpc_sim_piece *p = &load->pieces[a->piece];
	const double *shares = load->shares ? load->shares + a->piece * sim->app->n_classes : NULL;
	double sum = 0.0, so_far = 0.0;

	a->time_ns = a->piece_end_ns;
	a->piece_end_ns += p->duration_s * NS;
	a->rate = p->from_rps / NS;
	a->slope = (p->to_rps - p->from_rps) / p->duration_s / (NS * NS);
	if (!shares && a->piece > 0)
		return;
	for (uint32_t c = 0; c < sim->app->n_classes; c++)
		sum += shares ? shares[c] : sim->app->classes[c].share;
	for (uint32_t c = 0; c < sim->app->n_classes; c++) {
		so_far += shares ? shares[c] : sim->app->classes[c].share;
		sim->classes[c].cumulative = so_far / sum;
	}
}

/* The next arrival: where the integral of the rate has grown by an exponential of mean 1. */
static void next_arrival(struct drpc_sim *sim)
{
	struct sim_arrivals *a = &sim->arrivals;
	double due =
		sim->config.load.uniform ? 1.0 : drpc_sim_exponential(&sim->tables, &a->random);

	for (;;) {
		const double left = a->piece_end_ns - a->time_ns;
		const double end = a->rate + a->slope * left;
		const double area = 0.5 * (a->rate + end) * left;

		if (due <= area && area > 0.0) {
			double dt;

			if (a->slope == 0.0) {
				dt = due / a->rate;
			} else {
				const double root = sqrt(a->rate * a->rate + 2.0 * a->slope * due);

				dt = 2.0 * due / (a->rate + root);
				a->rate = root;
			}
			a->time_ns += dt;
			drpc_simq_set(&sim->queue, SIM_HANDLE_ARRIVAL,
				      (uint64_t)(a->time_ns + 0.5));
			return;
		}
		due -= area;
		if (++a->piece >= sim->config.load.n_pieces) {
			drpc_simq_unset(&sim->queue, SIM_HANDLE_ARRIVAL);
			return;
		}
		enter_piece(sim);
	}
}

static uint32_t choose_class(struct drpc_sim *sim)
{
	const uint32_t n = sim->app->n_classes;
	uint32_t class = 0;
	double u;

	if (n == 1)
		return 0;
	u = drpc_sim_uniform(&sim->arrivals.random);
	while (class + 1 < n && u >= sim->classes[class].cumulative)
		class ++;
	return class;
}

static void send_request(struct drpc_sim *sim)
{
	const uint32_t class = choose_class(sim), call = sim_call_take(sim);
	const uint64_t number = sim->arrivals.number++;
	struct sim_call *c;

	if (call == SIM_NONE)
		return;
	c = &sim->calls[call];
	c->random = drpc_sim_stream(sim->config.seed, number);
	c->flags = SIM_CALL_ROOT;
	c->site = sim->app->classes[class].site;
	c->attempt = 0;
	c->first_ns = sim->now_ns;
	sim->arrived++;
	sim->interval_arrived++;
	sim->open_requests++;
	sim->classes[class].arrived++;
	if (sim->spans)
		sim_span_root(sim, c, number);
	sim_call_send(sim, call);
}

void sim_arrivals_begin(struct drpc_sim *sim)
{
	sim->arrivals.random = drpc_sim_stream(sim->config.seed, STREAM_ARRIVALS);
	enter_piece(sim);
	next_arrival(sim);
}

void sim_arrival_event(struct drpc_sim *sim)
{
	next_arrival(sim);
	send_request(sim);
}
