/* SPDX-License-Identifier: Apache-2.0 */
/* Where the sub-commands that work on recorded series get them from. */
#pragma once

#include "workload/import.h"
#include "workload/series.h"

struct sim_source {
	const char *path;    /* a trace, "-" for standard input, or a history database */
	const char *machine; /* NULL: the only one there is */
	enum drpc_trace_format format;
	double step_s; /* of a trace whose rows are counted */
};

/* -EINVAL where a machine has to be named, and what the readers return; logged. */
int sim_source_load(const struct sim_source *source, struct drpc_series *ret);
