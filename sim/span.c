// SPDX-License-Identifier: Apache-2.0
/*
 * Spans of sampled requests. A request that is sampled gets a trace: a slot that collects its spans
 * until its user has an answer; then they go out, whole, to the interval's list. The slot is free
 * again when the last call that refers to it is: orphans may outlive the request.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/internal.h"

#define TRACES	       1024  /* at the same time; further requests are not sampled */
#define TRACE_SPANS    512   /* of one request; one with more is not told */
#define INTERVAL_SPANS 65536 /* told in an interval */
#define NO_SLOT	       UINT16_MAX

struct trace {
	uint32_t references;
	uint16_t n, next_free;
	bool told, whole;
	struct drpc_sim_span spans[TRACE_SPANS];
};

struct sim_span_store {
	struct trace *traces; /* TRACES */
	uint16_t free;
	struct drpc_sim_span *collected, *shown; /* INTERVAL_SPANS each */
	size_t n_collected;
};

int sim_spans_init(struct drpc_sim *sim)
{
	struct sim_span_store *s = calloc(1, sizeof(*s));

	sim->spans = s;
	if (!s)
		return -ENOMEM;
	s->traces = calloc(TRACES, sizeof(*s->traces));
	s->collected = calloc(INTERVAL_SPANS, sizeof(*s->collected));
	s->shown = calloc(INTERVAL_SPANS, sizeof(*s->shown));
	if (!s->traces || !s->collected || !s->shown)
		return -ENOMEM;
	for (uint16_t i = 0; i < TRACES; i++)
		s->traces[i].next_free = i + 1 < TRACES ? (uint16_t)(i + 1) : NO_SLOT;
	return 0;
}

void sim_spans_free(struct drpc_sim *sim)
{
	if (!sim->spans)
		return;
	free(sim->spans->traces);
	free(sim->spans->collected);
	free(sim->spans->shown);
	free(sim->spans);
	sim->spans = NULL;
}

static void begin(struct drpc_sim *sim, struct sim_call *call, struct trace *t, uint32_t parent,
		  uint64_t request, uint16_t class)
{
	t->references++;
	call->flags |= SIM_CALL_TRACED;
	if (t->told || t->n == TRACE_SPANS) {
		if (!t->told)
			t->whole = false;
		call->span = UINT16_MAX;
		return;
	}
	call->span = t->n;
	t->spans[t->n++] = (struct drpc_sim_span){
		.request = request,
		.start_ns = sim->now_ns,
		.parent = parent,
		.service = (uint16_t)sim->app->calls[call->site].service,
		.class_ = class,
	};
}

void sim_span_root(struct drpc_sim *sim, struct sim_call *call, uint64_t number)
{
	struct sim_span_store *s = sim->spans;
	struct trace *t;

	if (number % sim->config.needs.span_every || s->free == NO_SLOT)
		return;
	call->trace = s->free;
	t = &s->traces[s->free];
	s->free = t->next_free;
	t->references = 0;
	t->n = 0;
	t->told = false;
	t->whole = true;
	begin(sim, call, t, DRPC_SIM_NO_PARENT, number,
	      (uint16_t)(call->site - (sim->app->n_calls - sim->app->n_classes)));
}

void sim_span_child(struct drpc_sim *sim, const struct sim_call *parent, struct sim_call *call)
{
	struct trace *t = &sim->spans->traces[parent->trace];

	call->trace = parent->trace;
	begin(sim, call, t, parent->span, t->spans[0].request, t->spans[0].class_);
}

void sim_span_again(struct drpc_sim *sim, const struct sim_call *call, struct sim_call *next)
{
	struct trace *t = &sim->spans->traces[call->trace];
	const uint32_t parent = call->span < t->n ? t->spans[call->span].parent : 0;

	next->trace = call->trace;
	begin(sim, next, t, parent, t->spans[0].request, t->spans[0].class_);
}

void sim_span_end(struct drpc_sim *sim, const struct sim_call *call, bool ok)
{
	struct trace *t = &sim->spans->traces[call->trace];

	if (call->span < t->n && !t->told) {
		t->spans[call->span].end_ns = sim->now_ns;
		t->spans[call->span].ok = ok;
	}
}

void sim_span_tell(struct drpc_sim *sim, const struct sim_call *root)
{
	struct sim_span_store *s = sim->spans;
	struct trace *t = &s->traces[root->trace];
	const size_t first = s->n_collected;

	t->told = true;
	if (!t->whole || first + t->n > INTERVAL_SPANS)
		return;
	for (uint16_t i = 0; i < t->n; i++) {
		struct drpc_sim_span *span = &s->collected[s->n_collected++];

		*span = t->spans[i];
		if (span->parent != DRPC_SIM_NO_PARENT)
			span->parent += (uint32_t)first;
		if (!span->end_ns) /* nobody waited for it any more */
			span->end_ns = sim->now_ns;
	}
}

void sim_span_drop(struct drpc_sim *sim, struct sim_call *call)
{
	struct sim_span_store *s = sim->spans;
	struct trace *t = &s->traces[call->trace];

	call->flags &= (uint8_t)~SIM_CALL_TRACED;
	if (--t->references == 0) {
		t->next_free = s->free;
		s->free = call->trace;
	}
}

const struct drpc_sim_span *sim_spans_take(struct drpc_sim *sim, size_t *ret_n)
{
	struct sim_span_store *s = sim->spans;
	struct drpc_sim_span *full = s->collected;

	*ret_n = s->n_collected;
	s->collected = s->shown;
	s->shown = full;
	s->n_collected = 0;
	return full;
}
