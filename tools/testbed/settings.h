/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of the testbed: one table for flags, environment and routes. */
#pragma once

#include "tools/testbed/options.h"

/* Where settings go while they are read. */
struct tb_reader {
	struct tb_options *options;
	struct tb_work *work; /* the general one, or a route's */
	struct tb_work general;
	const char *source; /* "--cpu-ms", "DRPC_TESTBED_CPU_MS", "--route /buy: cpu-ms" */
	const char *routes[TB_ROUTES_MAX];
	unsigned int route_count;
	bool env;
	bool from_env_calls; /* flags replace what the environment gave */
	bool from_env_routes;
	bool own_calls; /* the route has named calls of its own */
};

enum tb_scope {
	TB_PROCESS,
	TB_WORK,       /* also in a route */
	TB_ROUTE_ONLY, /* only there */
};

struct tb_setting {
	const char *name;
	/* Returns 0, -EINVAL (logged) or -ENOMEM. */
	int (*set)(struct tb_reader *reader, const char *value);
	enum tb_scope scope;
	int argument; /* of getopt */
};

extern const struct tb_setting tb_settings[];
extern const unsigned int tb_setting_count;
