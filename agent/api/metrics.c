// SPDX-License-Identifier: Apache-2.0
#include "agent/api/metrics.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api/exposition.h"
#include "agent/api/metrics_internal.h"
#include "agent/api/summary.h"
#include "agent/control.h"
#include "agent/monitor/series.h"
#include "lib/util.h"

/* --- rows: what is exposed of one container, or of `other` ------------------------------------ */

/* Of two containers: levels add up as totals do. */
static void counters_add(struct drpc_cgroup_counters *into, const struct drpc_cgroup_counters *cg)
{
	drpc_cgroup_totals_add(into, cg);
	into->mem_current_bytes += cg->mem_current_bytes;
	into->mem_working_set_bytes += cg->mem_working_set_bytes;
	into->valid |= cg->valid;
}

static void row_from(struct metrics_row *row, const struct drpc_container *c)
{
	const struct drpc_control *control = c->deployment->control;
	struct drpc_window_scalars last;
	struct drpc_window window;

	*row = (struct metrics_row){.container = c->name,
				    .deployment = c->deployment->name,
				    .cpu_limit_cores = NAN,
				    .memory_limit_bytes = NAN,
				    .coverage = 1,
				    .containers = 1};
	if (control && control->limits_known) {
		uint64_t mcpu = drpc_limits_cpu_mcpu(&control->limits);
		uint64_t bytes =
			DRPC_MIN(control->limits.mem_max_bytes, control->limits.mem_high_bytes);

		if (mcpu != DRPC_UNLIMITED)
			row->cpu_limit_cores = (double)mcpu / 1000;
		if (bytes != DRPC_UNLIMITED)
			row->memory_limit_bytes = (double)bytes;
	}
	if (!c->series)
		return;
	row->total = drpc_series_total(c->series);
	row->cg = *drpc_series_counters(c->series);
	if (drpc_series_last(c->series, &last))
		row->inflight = (double)last.inflight;
	if (row->total && drpc_series_recent(c->series, 0, &window) > 0)
		row->coverage = drpc_window_coverage(&window);
}

/* Levels add up, coverage takes the worst; limits of many have no meaning and are left out. */
static void other_add(struct metrics_row *other, struct drpc_total *sum,
		      const struct metrics_row *row)
{
	if (row->total) {
		drpc_total_add(sum, row->total);
		other->total = sum;
	}
	counters_add(&other->cg, &row->cg);
	other->inflight += row->inflight;
	other->coverage = DRPC_MIN(other->coverage, row->coverage);
	other->containers++;
}

static bool is_own(struct drpc_metrics *metrics, struct drpc_container *c)
{
	if (c->exposed == DRPC_EXPOSED_NOT_YET) {
		c->exposed = metrics->own < metrics->cap ? DRPC_EXPOSED_OWN : DRPC_EXPOSED_OTHER;
		metrics->own += c->exposed == DRPC_EXPOSED_OWN;
	}
	return c->exposed == DRPC_EXPOSED_OWN;
}

/* Makes metrics->rows of everybody. Returns how many. */
static size_t rows_collect(struct drpc_metrics *metrics, const struct drpc_agent *agent)
{
	struct metrics_row *other = &metrics->rows[metrics->cap];
	size_t count = 0;

	*other = metrics->gone;
	other->container = other->deployment = "other";
	other->coverage = 1;
	other->cpu_limit_cores = other->memory_limit_bytes = NAN;
	metrics->other_total = metrics->gone_total;
	other->total = metrics->gone.total ? &metrics->other_total : NULL;

	for (struct drpc_container *c = drpc_roster_next(agent->roster, NULL); c;
	     c = drpc_roster_next(agent->roster, c)) {
		struct metrics_row row;

		if (is_own(metrics, c)) {
			row_from(&metrics->rows[count++], c);
		} else {
			row_from(&row, c);
			other_add(other, &metrics->other_total, &row);
		}
	}
	/* Shown once there is something in it, and for ever after. */
	if (other->containers > 0 || other->cg.valid) {
		if (count != metrics->cap)
			metrics->rows[count] = *other;
		count++;
	}
	return count;
}

void drpc_metrics_gone(struct drpc_metrics *metrics, const struct drpc_container *container)
{
	struct metrics_row row;

	if (container->exposed == DRPC_EXPOSED_OWN)
		metrics->own--;
	if (container->exposed != DRPC_EXPOSED_OTHER)
		return;
	row_from(&row, container);
	if (row.total) {
		drpc_total_add(&metrics->gone_total, row.total);
		metrics->gone.total = &metrics->gone_total;
	}
	/* What it counted stays, what it held goes. */
	row.cg.mem_current_bytes = row.cg.mem_working_set_bytes = 0;
	counters_add(&metrics->gone.cg, &row.cg);
}

/* --- life ------------------------------------------------------------------------------------- */

int drpc_metrics_new(struct drpc_metrics **ret)
{
	struct drpc_metrics *metrics = calloc(1, sizeof(*metrics));

	if (!metrics)
		return -ENOMEM;
	metrics->cap = DRPC_METRICS_CONTAINERS;
	metrics->rows = calloc(metrics->cap + 1, sizeof(*metrics->rows));
	if (!metrics->rows) {
		free(metrics);
		return -ENOMEM;
	}
	*ret = metrics;
	return 0;
}

void drpc_metrics_free(struct drpc_metrics **metrics)
{
	if (!*metrics)
		return;
	free((*metrics)->rows);
	free(*metrics);
	*metrics = NULL;
}

void drpc_metrics_set_cap(struct drpc_metrics *metrics, size_t containers)
{
	metrics->cap = DRPC_MIN(containers, (size_t)DRPC_METRICS_CONTAINERS);
}

void drpc_metrics_count_request(struct drpc_metrics *metrics, unsigned int status)
{
	metrics->requests[DRPC_MIN(status / 100, 5U)]++;
}

int drpc_metrics_expose(struct drpc_metrics *metrics, struct drpc_agent *agent, const char *accept,
			char **ret, size_t *ret_size, const char **ret_type)
{
	enum drpc_expo_format format = drpc_expo_negotiate(accept);
	size_t count = rows_collect(metrics, agent);
	struct drpc_expo expo;
	int r;

	drpc_expo_init(&expo, format);
	drpc_metrics_containers(&expo, metrics->rows, count);
	drpc_metrics_deployments(&expo, agent);
	drpc_metrics_agent(&expo, metrics, agent);
	r = drpc_expo_finish(&expo, ret, ret_size);
	if (r == 0)
		*ret_type = drpc_expo_content_type(format);
	return r;
}
