// SPDX-License-Identifier: Apache-2.0
#include "tools/sim/source.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/log.h"
#include "workload/history.h"

/* The only machine of a history; the caller frees. */
static int only_machine(struct drpc_history *history, const char *path, char **ret)
{
	char **names = NULL;
	const ssize_t n = drpc_history_machines(history, &names);

	if (n < 0)
		return (int)n;
	if (n == 1)
		*ret = names[0];
	else
		drpc_error("%s: holds %zd machines: expected the name of one (--machine)", path, n);
	for (ssize_t i = 0; n != 1 && i < n; i++)
		free(names[i]);
	free((void *)names);
	return n == 1 ? 0 : -EINVAL;
}

static int load_history(const struct sim_source *source, struct drpc_series *ret)
{
	struct drpc_history *history = NULL;
	char *own = NULL;
	int err = drpc_history_open(source->path, false, &history);

	if (!err && !source->machine)
		err = only_machine(history, source->path, &own);
	if (!err)
		err = drpc_history_query(history, source->machine ? source->machine : own, NULL, 0,
					 0, INT64_MAX, ret);
	free(own);
	drpc_history_free(&history);
	return err;
}

int sim_source_load(const struct sim_source *source, struct drpc_series *ret)
{
	if (drpc_history_is(source->path))
		return load_history(source, ret);
	return drpc_trace_load(source->path, source->format, source->step_s, source->machine, ret,
			       NULL);
}
