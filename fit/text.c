// SPDX-License-Identifier: Apache-2.0
/* A model as an application file, with a word about where each value is from. */
#include <errno.h>
#include <math.h>

#include "fit/model.h"
#include "lib/util.h"

#define TIME_LEAST_NS 1e3 /* shorter waits are left out */
#define PART_LEAST    0.02
#define CV_LEAST      0.03 /* less is a constant */

/* "2.13ms" */
static void write_time(FILE *out, double ns)
{
	if (ns >= 1e9)
		fprintf(out, "%.4gs", ns * 1e-9);
	else if (ns >= 1e6)
		fprintf(out, "%.4gms", ns * 1e-6);
	else
		fprintf(out, "%.4gus", ns * 1e-3);
}

static void write_bytes(FILE *out, double bytes)
{
	fprintf(out, "%.0fKi", ceil(bytes / 1024));
}

static void write_cores(FILE *out, double cores)
{
	if (cores > 0)
		fprintf(out, "%.0fm", fmax(cores * 1e3, 1));
	else
		fputs("none", out);
}

/* --- a service's limits ------------------------------------------------------------------------- */

static void write_cpu_limits(FILE *out, const struct drpc_fit_service *s, double node_cores)
{
	double least, most;

	if (s->cpu_limit_cores <= 0) {
		fprintf(out, "    cpu: none                 # as recorded\n");
		return;
	}
	least = fmin(0.1, s->cpu_limit_least);
	most = fmax(node_cores, s->cpu_limit_most);
	fprintf(out, "    cpu: ");
	write_cores(out, s->cpu_limit_cores);
	fprintf(out, "                 # as recorded last; bounds are for policies: change them\n");
	fprintf(out, "    min-cpu: ");
	write_cores(out, least);
	fprintf(out, "\n    max-cpu: ");
	write_cores(out, most);
	fputc('\n', out);
}

static void write_memory(FILE *out, const struct drpc_fit_service *s, double node_bytes)
{
	/* What cannot be reclaimed must have room, with some calls in it. */
	const double needed =
		s->memory_base_bytes + 4 * s->memory_per_call_bytes + (double)DRPC_MIB;
	double limit =
		s->memory_limit_bytes > 0 ? s->memory_limit_bytes : 2 * needed + s->cache_bytes;

	limit = fmin(fmax(limit, needed), node_bytes);
	fprintf(out, "    memory: ");
	write_bytes(out, limit);
	fprintf(out, s->memory_limit_bytes > 0
			     ? "        # as recorded last\n"
			     : "        # none was recorded: twice what it needs\n");
	fprintf(out, "    min-memory: ");
	write_bytes(out, fmin(needed, limit));
	fprintf(out, "\n    max-memory: ");
	write_bytes(out, fmin(4 * limit, node_bytes));
	fprintf(out, "\n    memory-base: ");
	write_bytes(out, s->memory_base_bytes);
	fprintf(out, "   # working set where few calls are in it\n");
	if (s->memory_per_call_bytes >= 1024) {
		fprintf(out, "    memory-per-call: ");
		write_bytes(out, s->memory_per_call_bytes);
		fprintf(out, "  # by its growth with the calls in it\n");
	}
	if (s->cache_bytes <= 0)
		return;
	fprintf(out, "    cache: ");
	write_bytes(out, s->cache_bytes);
	fprintf(out,
		"         # page cache; what less of it costs (reclaim-slowdown) was not seen\n");
	fprintf(out, "    cache-per-call: ");
	write_bytes(out, s->cache_per_call_bytes);
	fprintf(out,
		s->cache_grew ? "  # as it grew\n" : "  # it was full all the time: a guess\n");
}

/* --- its operation ------------------------------------------------------------------------------ */

static void write_cpu_step(FILE *out, const struct drpc_fit_service *s, double share)
{
	fprintf(out, "        - cpu: ");
	write_time(out, fmax(drpc_fit_demand_ns(s) * share, 1));
	if (s->exponential)
		fprintf(out, " exponential");
	else if (s->cv >= CV_LEAST)
		fprintf(out, " lognormal %.3g", s->cv);
	fputc('\n', out);
}

/* `a.serve`, or a block with how often; a whole number of calls and a chance of one more. */
static void write_call(FILE *out, const struct drpc_fit_model *m, const struct drpc_fit_call *c,
		       const char *before, const char *after)
{
	const char *to = m->services[c->callee].name;
	const double whole = floor(c->per_request + 1e-9), part = c->per_request - whole;

	if (whole == 1)
		fprintf(out, "%s%s.serve%s", before, to, after);
	else if (whole > 1)
		fprintf(out, "%s{to: %s.serve, times: %.0f}%s", before, to, fmin(whole, 1000),
			after);
	if (part > 1e-4)
		fprintf(out, "%s{to: %s.serve, probability: %.4g%%}%s", before, to, part * 100,
			after);
}

static void write_calls(FILE *out, const struct drpc_fit_model *m, const struct drpc_fit_service *s)
{
	const char *between = "";

	if (!s->n_calls)
		return;
	if (!s->order_known)
		fprintf(out, "        # one after the other: at the same time would fit as well\n");
	if (!s->parallel) {
		for (size_t i = 0; i < s->n_calls; i++)
			write_call(out, m, &s->calls[i], "        - call: ", "\n");
		return;
	}
	fprintf(out, "        - call: [");
	for (size_t i = 0; i < s->n_calls; i++) {
		write_call(out, m, &s->calls[i], between, "");
		between = ", ";
	}
	fprintf(out, "]  # at the same time: they take longer than their caller\n");
}

static void write_operation(FILE *out, const struct drpc_fit_model *m,
			    const struct drpc_fit_service *s)
{
	const bool waits = s->wait_ns >= TIME_LEAST_NS;
	/* After a wait or a call there is always an answer to be written. */
	const double after = waits || s->n_calls ? fmax(s->after, PART_LEAST) : 0;

	fprintf(out, "    operations:\n      serve:\n");
	fprintf(out, "        # ");
	write_time(out, drpc_fit_demand_ns(s));
	fprintf(out, " of CPU a request (+/- %.1f %%)",
		100 * s->cpu.slope_error / fmax(s->cpu.slope, 1e-12));
	if (!s->cpu.through_zero)
		fprintf(out, "; idle %.1f thousandths of a CPU, which the simulator leaves out",
			s->cpu.intercept * 1e3);
	fputc('\n', out);
	write_cpu_step(out, s, 1 - after);
	if (waits) {
		fprintf(out, "        - wait: ");
		write_time(out, s->wait_ns);
		fprintf(out, s->wait_exponential ? " exponential\n" : "\n");
	}
	write_calls(out, m, s);
	if (after > 0)
		write_cpu_step(out, s, after);
}

static void write_service(FILE *out, const struct drpc_fit_model *m,
			  const struct drpc_fit_service *s)
{
	const struct drpc_recording_node *node = &m->data->recorded->node;

	fprintf(out, "  %s:\n", s->name);
	fprintf(out,
		"    # %llu requests; latencies differ by %.1f %% from those recorded (docs/calibration.md)\n",
		(unsigned long long)s->requests, s->distance * 100);
	if (s->errors > 1e-3)
		fprintf(out,
			"    # %.2f %% of the requests ended without an answer: not in the model\n",
			s->errors * 100);
	fprintf(out, "    replicas: %u\n    max-replicas: %u\n", s->replicas,
		DRPC_MAX(s->replicas, 5u));
	write_cpu_limits(out, s, node->cpu_cores);
	if (s->workers)
		fprintf(out,
			"    workers: %u                # so many were busy while requests waited\n",
			s->workers);
	else
		fprintf(out,
			"    workers: none             # no limit shows; up to %.0f were busy\n",
			ceil(s->busy_most));
	write_memory(out, s, (double)node->memory_bytes);
	write_operation(out, m, s);
}

/* --- the whole ---------------------------------------------------------------------------------- */

static void write_cluster(FILE *out, const struct drpc_fit_model *m)
{
	const struct drpc_recording_node *node = &m->data->recorded->node;
	double limits = 0;

	for (size_t i = 0; i < m->n; i++)
		limits += m->services[i].replicas * m->services[i].cpu_limit_cores;
	fprintf(out, "cluster:                        # the node of the recording\n  nodes:\n");
	fprintf(out, "    - {name: node, count: 1, cpu: %g, memory: ", node->cpu_cores);
	write_bytes(out, (double)node->memory_bytes);
	fprintf(out, "}\n");
	if (m->network_ns >= TIME_LEAST_NS) {
		fprintf(out, "  network: ");
		write_time(out, m->network_ns);
		fprintf(out, "  # half of what callers wait longer than callees take\n");
	}
	if (node->tick_ns) {
		fprintf(out, "  cfs-tick: ");
		write_time(out, (double)node->tick_ns);
		fputc('\n', out);
	}
	if (limits > node->cpu_cores)
		fprintf(out, "  cpu-overcommit: %.3g\n", limits / node->cpu_cores + 0.01);
}

static void write_requests(FILE *out, const struct drpc_fit_model *m)
{
	fprintf(out, "requests:                       # shares as recorded\n");
	for (size_t i = 0; i < m->n; i++) {
		const struct drpc_fit_service *s = &m->services[i];

		if (s->outside_share > 0)
			fprintf(out, "  %s: {to: %s.serve, share: %.6g}\n", s->name, s->name,
				s->outside_share * (double)s->requests);
	}
}

int drpc_fit_model_write(const struct drpc_fit_model *model, FILE *out)
{
	fprintf(out, "name: %s\nslo-p99: ", model->name);
	write_time(out, model->slo_ns);
	fprintf(out, "\n\n");
	write_cluster(out, model);
	fprintf(out, "\nservices:\n");
	for (size_t i = 0; i < model->n; i++)
		write_service(out, model, &model->services[i]);
	fputc('\n', out);
	write_requests(out, model);
	return ferror(out) ? -EIO : 0;
}
