// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/view.h"

#include <string.h>

#include "agent/monitor/series.h"
#include "lib/hist.h"
#include "lib/util.h"

static double share(double part, double whole)
{
	return whole > 0 ? DRPC_CLAMP(part / whole, 0.0, 1.0) : 0;
}

static void view_requests(const struct drpc_window *w, struct drpc_view *v)
{
	const struct drpc_window_scalars *s = &w->s;

	v->turns = s->turns;
	v->span_sec = (double)(s->end_ns - s->start_ns) / 1e9;
	v->rate_rps = v->span_sec > 0 ? (double)s->turns / v->span_sec : 0;
	v->error_rate = share((double)s->errors, (double)s->seen);
	v->mean_ms = s->turns ? (double)s->sum_ns[DRPC_HIST_TOTAL] / (double)s->turns / 1e6 : 0;
	if (s->turns > 0) {
		v->p50_ms = drpc_hist_quantile_ns(w->hist[DRPC_HIST_TOTAL], 0.50) / 1e6;
		v->p99_ms = drpc_hist_quantile_ns(w->hist[DRPC_HIST_TOTAL], 0.99) / 1e6;
	}
	v->queue_share =
		share((double)s->sum_ns[DRPC_HIST_QUEUE], (double)s->sum_ns[DRPC_HIST_TOTAL]);
	v->coverage = drpc_window_coverage(w);
	v->inflight = (double)s->inflight;
}

static void view_resources(const struct drpc_window_scalars *s, struct drpc_view *v)
{
	double span_usec = (double)(s->end_ns - s->start_ns) / 1e3;

	v->cpu_usage_cores = span_usec > 0 ? (double)s->cg.cpu_usage_usec / span_usec : 0;
	v->throttled_share = share((double)s->cg.nr_throttled, (double)s->cg.nr_periods);
	v->cpu_pressure = share((double)s->cg.cpu_some_usec, span_usec);
	v->memory_pressure = share((double)s->cg.mem_some_usec, span_usec);
	v->memory_usage_mib = (double)s->cg.mem_working_set_bytes / (double)DRPC_MIB;
}

void drpc_view_window(const struct drpc_window *window, struct drpc_view *ret)
{
	memset(ret, 0, sizeof(*ret));
	view_requests(window, ret);
	view_resources(&window->s, ret);
}

void drpc_view_container(const struct drpc_container *container, uint64_t now_ns, uint64_t span_ns,
			 struct drpc_view *ret)
{
	struct drpc_window_scalars last;
	struct drpc_window w;
	uint64_t since_ns;

	memset(ret, 0, sizeof(*ret));
	ret->coverage = 1;
	if (!container->series)
		return;
	/* What came since the last window ended is not counted yet. */
	if (drpc_series_last(container->series, &last))
		now_ns = DRPC_MIN(now_ns, last.end_ns);
	since_ns = now_ns - DRPC_MIN(span_ns, now_ns);
	drpc_series_since(container->series, since_ns, &w);
	view_requests(&w, ret);
	/* Seconds without a request leave no record, but they passed all the same; the first second
	 * counts in whole, and may have begun earlier. */
	if (w.s.end_ns > 0)
		since_ns = DRPC_MIN(since_ns, w.s.start_ns);
	ret->span_sec = (double)(now_ns - since_ns) / 1e9;
	ret->rate_rps = ret->span_sec > 0 ? (double)ret->turns / ret->span_sec : 0;
	drpc_series_recent(container->series, 0, &w);
	view_resources(&w.s, ret);
	ret->inflight = (double)w.s.inflight;
}
