/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of an application's file share: app_yaml.c, app_values.c, app_steps.c. */
#pragma once

#include "lib/yaml_file.h"
#include "sim/app.h"

#define APP_NAME_MAX 100

/* Calls that a service makes, where they say nothing else. */
struct app_call_defaults {
	uint64_t timeout_ns, backoff_ns;
	uint32_t retries;
};

/* A service as it is read: its own part, what its calls get, where its operations are. */
struct app_service {
	struct drpc_sim_service service;
	struct app_call_defaults calls;
	yaml_node_t *operations;
	uint32_t first_operation;
};

struct app_reader {
	struct drpc_sim_app *app;
	struct app_service defaults, *services;
	yaml_node_t *cluster, *services_node, *requests, *defaults_node;
};

enum app_value {
	APP_COUNT,    /* uint32_t */
	APP_CPU,      /* double, cores */
	APP_BYTES,    /* double */
	APP_DURATION, /* uint64_t, ns */
	APP_TIME,     /* double, ns */
	APP_DIST,     /* struct drpc_sim_dist */
	APP_SHARE,    /* double, 0..1 */
	APP_FACTOR,   /* double, >= 0 */
	APP_BOOL,     /* bool */
	APP_BALANCE,  /* enum drpc_sim_balance */
};

/* One key of a block: where its value goes. `none` is what the word none stands for, NAN: refused. */
struct app_key {
	const char *name;
	enum app_value type;
	size_t offset;
	bool zero; /* 0 is allowed */
	double none;
};

/* Sets the value of `key` in the struct at `base`; complains about what it cannot be. */
int app_read_value(struct drpc_yaml *y, const struct app_key *key, const yaml_node_t *value,
		   void *base);

/* Finds the key in a table that ends with a NULL name. Complains about one that is not there. */
int app_find_key(struct drpc_yaml *y, const struct app_key *keys, const char *what,
		 const char *name, const yaml_node_t *value, const struct app_key **ret);

/* A copy of a name that the caller frees; complains about one that is none. */
int app_read_name(struct drpc_yaml *y, const char *what, const char *text, const yaml_node_t *node,
		  char **ret);

/* Room for one more in an array of `n`: grows it by doubling. Returns it zeroed, NULL without memory. */
void *app_grow(void *array_pointer, uint32_t *n, size_t size);

int app_read_operations(struct drpc_yaml *y, struct app_reader *r);
int app_read_requests(struct drpc_yaml *y, struct app_reader *r);
