// SPDX-License-Identifier: Apache-2.0
#include "sim/app.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"

#define CALLS_MAX 100000.0 /* of one request, expected */

void drpc_sim_app_free(struct drpc_sim_app **app)
{
	struct drpc_sim_app *a = *app;

	if (!a)
		return;
	for (uint32_t i = 0; i < a->n_services; i++)
		free(a->services[i].name);
	for (uint32_t i = 0; i < a->n_operations; i++)
		free(a->operations[i].name);
	for (uint32_t i = 0; i < a->n_nodes; i++)
		free(a->nodes[i].name);
	for (uint32_t i = 0; i < a->n_classes; i++)
		free(a->classes[i].name);
	free(a->name);
	free(a->nodes);
	free(a->services);
	free(a->operations);
	free(a->steps);
	free(a->calls);
	free(a->classes);
	free(a->edges);
	free(a->timeouts);
	free(a->demand_ns);
	free(a->class_demand_ns);
	free(a->visits);
	free(a);
	*app = NULL;
}

/* --- the graph of operations -------------------------------------------------------------------- */

enum mark { NEW, OPEN, DONE };

struct walk {
	const struct drpc_sim_app *app;
	unsigned char *mark;
	uint32_t *path;	 /* operations from the first one to here */
	uint32_t *order; /* finished ones: callees before callers */
	uint32_t n_path, n_order;
	size_t line;
	char *why;
	size_t why_size;
};

/* "a.x → b.y → a.x" */
static void spell_cycle(struct walk *w, uint32_t operation)
{
	const struct drpc_sim_operation *ops = w->app->operations;
	uint32_t first = w->n_path;
	size_t len;

	while (first > 0 && w->path[--first] != operation)
		;
	len = (size_t)snprintf(w->why, w->why_size, "a path that never ends: ");
	for (uint32_t i = first; i < w->n_path && len < w->why_size; i++)
		len += (size_t)snprintf(w->why + len, w->why_size - len, "%s -> ",
					ops[w->path[i]].name);
	if (len < w->why_size)
		snprintf(w->why + len, w->why_size - len, "%s is a cycle of calls",
			 ops[operation].name);
}

static int visit(struct walk *w, uint32_t operation)
{
	const struct drpc_sim_app *app = w->app;
	const struct drpc_sim_operation *op = &app->operations[operation];

	if (w->n_path == DRPC_SIM_DEPTH_MAX) {
		w->line = op->line;
		snprintf(w->why, w->why_size,
			 "%s is called %d calls deep: a path may have at most so many", op->name,
			 DRPC_SIM_DEPTH_MAX);
		return -EINVAL;
	}
	w->mark[operation] = OPEN;
	w->path[w->n_path++] = operation;
	for (uint32_t s = op->first_step; s < op->first_step + op->n_steps; s++) {
		const struct drpc_sim_step *step = &app->steps[s];

		for (uint32_t c = step->first_call; c < step->first_call + step->n_calls; c++) {
			const uint32_t callee = app->calls[c].operation;
			int err = 0;

			if (w->mark[callee] == OPEN) {
				w->line = app->calls[c].line;
				spell_cycle(w, callee);
				return -EINVAL;
			}
			if (w->mark[callee] == NEW)
				err = visit(w, callee);
			if (err)
				return err;
		}
	}
	w->n_path--;
	w->mark[operation] = DONE;
	w->order[w->n_order++] = operation;
	return 0;
}

/* A finished operation is not walked again, so its depth is found in a pass of its own. */
static int check_depth(struct walk *w)
{
	const struct drpc_sim_app *app = w->app;
	_cleanup_free_ uint32_t *depth = calloc(app->n_operations + 1, sizeof(*depth));

	if (!depth)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->n_order; i++) {
		const struct drpc_sim_operation *op = &app->operations[w->order[i]];
		uint32_t deepest = 0;

		for (uint32_t s = op->first_step; s < op->first_step + op->n_steps; s++) {
			const struct drpc_sim_step *step = &app->steps[s];

			for (uint32_t c = step->first_call; c < step->first_call + step->n_calls;
			     c++)
				deepest = DRPC_MAX(deepest, depth[app->calls[c].operation]);
		}
		depth[w->order[i]] = deepest + 1;
		if (deepest + 1 > DRPC_SIM_DEPTH_MAX) {
			w->line = op->line;
			snprintf(
				w->why, w->why_size,
				"below %s calls are more than %d deep: a path may have at most so many",
				op->name, DRPC_SIM_DEPTH_MAX);
			return -EINVAL;
		}
	}
	return 0;
}

/* --- what a request costs ----------------------------------------------------------------------- */

/* What requests cause, by service; edges (services × services) NULL where nobody asks. */
struct cost {
	double *ops; /* expected calls of each operation; given for those that users call */
	double *demand_ns, *visits, *edges;
	double calls;
};

static void follow_calls(const struct drpc_sim_app *app, const struct walk *w, struct cost *cost)
{
	for (uint32_t i = w->n_order; i-- > 0;) { /* callers before callees */
		const struct drpc_sim_operation *op = &app->operations[w->order[i]];
		double times = cost->ops[w->order[i]]; /* that the next step is reached */

		cost->visits[op->service] += times;
		cost->calls += times;
		for (uint32_t s = op->first_step; s < op->first_step + op->n_steps; s++) {
			const struct drpc_sim_step *step = &app->steps[s];

			if (step->kind == DRPC_SIM_STEP_CPU)
				cost->demand_ns[op->service] += times * step->time.mean_ns;
			if (step->kind == DRPC_SIM_STEP_FAIL)
				times *= 1.0 - step->probability;
			for (uint32_t c = step->first_call; c < step->first_call + step->n_calls;
			     c++) {
				const struct drpc_sim_call_site *site = &app->calls[c];

				cost->ops[site->operation] += times * site->probability;
				if (cost->edges)
					cost->edges[(size_t)op->service * app->n_services +
						    site->service] += times * site->probability;
			}
		}
	}
}

/* Each class by itself. */
static int count_classes(struct drpc_sim_app *app, const struct walk *w)
{
	const size_t n = app->n_services;
	_cleanup_free_ double *ops = calloc(app->n_operations + 1, sizeof(*ops));
	_cleanup_free_ double *visits = calloc(n + 1, sizeof(*visits));

	app->class_demand_ns = calloc(n * app->n_classes + 1, sizeof(*app->class_demand_ns));
	if (!ops || !visits || !app->class_demand_ns)
		return -ENOMEM;
	for (uint32_t c = 0; c < app->n_classes; c++) {
		struct cost cost = {
			.ops = ops, .demand_ns = app->class_demand_ns + c * n, .visits = visits};

		memset(ops, 0, app->n_operations * sizeof(*ops));
		ops[app->calls[app->classes[c].site].operation] = 1;
		follow_calls(app, w, &cost);
	}
	return 0;
}

/* Expected calls of each operation by a request of the mix, and edges between services. */
static int count_calls(struct drpc_sim_app *app, const struct walk *w)
{
	const uint32_t n = app->n_services;
	_cleanup_free_ double *ops = calloc(app->n_operations + 1, sizeof(*ops));
	_cleanup_free_ double *edges = calloc((size_t)n * n + 1, sizeof(*edges));
	struct cost cost = {.ops = ops, .edges = edges};
	double share = 0.0;
	size_t n_edges = 0;

	cost.demand_ns = app->demand_ns = calloc(n + 1, sizeof(*app->demand_ns));
	cost.visits = app->visits = calloc(n + 1, sizeof(*app->visits));
	if (!ops || !edges || !app->demand_ns || !app->visits)
		return -ENOMEM;
	for (uint32_t c = 0; c < app->n_classes; c++)
		share += app->classes[c].share;
	for (uint32_t c = 0; c < app->n_classes; c++)
		ops[app->calls[app->classes[c].site].operation] += app->classes[c].share / share;
	follow_calls(app, w, &cost);
	app->calls_per_request = cost.calls;
	for (size_t e = 0; e < (size_t)n * n; e++)
		n_edges += edges[e] > 0.0;
	app->edges = calloc(n_edges + 1, sizeof(*app->edges));
	if (!app->edges)
		return -ENOMEM;
	for (uint32_t a = 0; a < n; a++) {
		for (uint32_t b = 0; b < n; b++) {
			const double calls = edges[(size_t)a * n + b];

			if (calls > 0.0)
				app->edges[app->n_edges++] = (struct drpc_sim_edge){
					.caller = a, .callee = b, .calls = calls / app->visits[a]};
		}
	}
	return count_classes(app, w);
}

/* Sites of the same timeout form a class: their deadlines come in the order of their calls. */
static int class_timeouts(struct drpc_sim_app *app)
{
	app->timeouts = calloc(app->n_calls + 1, sizeof(*app->timeouts));
	if (!app->timeouts)
		return -ENOMEM;
	for (uint32_t c = 0; c < app->n_calls; c++) {
		struct drpc_sim_call_site *site = &app->calls[c];
		uint32_t k = 0;

		if (!site->timeout_ns)
			continue;
		while (k < app->n_timeouts && app->timeouts[k] != site->timeout_ns)
			k++;
		if (k == app->n_timeouts)
			app->timeouts[app->n_timeouts++] = site->timeout_ns;
		site->timeout_class = k;
	}
	return 0;
}

/* --- room --------------------------------------------------------------------------------------- */

static int check_service(const struct drpc_sim_app *app, const struct drpc_sim_service *s,
			 char *why, size_t why_size)
{
	double cores = 0.0, memory = 0.0;

	for (uint32_t i = 0; i < app->n_nodes; i++) {
		cores = DRPC_MAX(cores, app->nodes[i].cpu_cores);
		memory = DRPC_MAX(memory, app->nodes[i].memory_bytes);
	}
	if (s->memory_base_bytes + s->memory_per_call_bytes > s->memory_bytes)
		snprintf(why, why_size,
			 "%s: zero capacity: its memory limit is below memory-base and one call's "
			 "memory, each replica would be killed at once",
			 s->name);
	else if (s->memory_bytes > memory)
		snprintf(why, why_size, "%s: its memory limit is more than any node has", s->name);
	else if (s->cpu_cores > cores)
		snprintf(why, why_size, "%s: its CPU limit is more than any node has", s->name);
	else if (s->min_replicas > s->replicas || s->replicas > s->max_replicas)
		snprintf(why, why_size,
			 "%s: replicas %u are not within min-replicas %u and "
			 "max-replicas %u",
			 s->name, s->replicas, s->min_replicas, s->max_replicas);
	else if (s->min_cpu_cores > s->cpu_cores || s->cpu_cores > s->max_cpu_cores)
		snprintf(why, why_size, "%s: cpu %g is not within min-cpu %g and max-cpu %g",
			 s->name, s->cpu_cores, s->min_cpu_cores, s->max_cpu_cores);
	else if (s->min_memory_bytes > s->memory_bytes || s->memory_bytes > s->max_memory_bytes)
		snprintf(why, why_size,
			 "%s: memory %.0f is not within min-memory %.0f and max-memory %.0f",
			 s->name, s->memory_bytes, s->min_memory_bytes, s->max_memory_bytes);
	else
		return 0;
	return -EINVAL;
}

int drpc_sim_app_check(struct drpc_sim_app *app, size_t *ret_line, char *why, size_t why_size)
{
	_cleanup_free_ unsigned char *mark = calloc(app->n_operations + 1, 1);
	_cleanup_free_ uint32_t *path = calloc(DRPC_SIM_DEPTH_MAX + 1, sizeof(*path));
	_cleanup_free_ uint32_t *order = calloc(app->n_operations + 1, sizeof(*order));
	struct walk w = {.app = app,
			 .mark = mark,
			 .path = path,
			 .order = order,
			 .why = why,
			 .why_size = why_size};
	int err = mark && path && order ? 0 : -ENOMEM;

	for (uint32_t i = 0; !err && i < app->n_operations; i++) {
		if (mark[i] == NEW)
			err = visit(&w, i);
	}
	if (!err)
		err = check_depth(&w);
	for (uint32_t i = 0; !err && i < app->n_services; i++) {
		err = check_service(app, &app->services[i], why, why_size);
		if (err)
			w.line = app->services[i].line;
	}
	if (!err)
		err = count_calls(app, &w);
	if (!err && app->calls_per_request > CALLS_MAX) {
		snprintf(
			why, why_size,
			"a path that never ends: one request makes %.3g calls, at most %.0f make sense",
			app->calls_per_request, CALLS_MAX);
		w.line = app->calls[app->classes[0].site].line;
		err = -EINVAL;
	}
	if (!err)
		err = class_timeouts(app);
	if (err == -EINVAL)
		*ret_line = w.line;
	return err;
}
