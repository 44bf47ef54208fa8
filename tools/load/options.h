/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of drpc-load. */
#pragma once

#include <stdbool.h>

#include "tools/load/run.h"

struct load_options {
	struct drpc_load_config config;
	struct drpc_schedule schedule;
	struct drpc_workload workload;
	bool json;
	bool per_second;
	bool help;
	bool version;
};

/*
 * Returns 0, -EINVAL for wrong usage and another negative errno where something it names cannot be
 * had; logged. The caller releases in any case.
 */
int load_options_parse(struct load_options *options, int argc, char **argv);

void load_options_release(struct load_options *options);

extern const char load_options_help[];
