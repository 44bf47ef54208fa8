// SPDX-License-Identifier: Apache-2.0
/* From YAML to an application: its name, cluster and services. docs/simulator.md is the format. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "sim/app_internal.h"

#define FILE_MAX_BYTES ((size_t)64 << 20)
#define NODES_MAX      100000
#define REPLICAS_MAX   10000

#define AT(member) offsetof(struct app_service, member)
#define OF(member) offsetof(struct app_service, service.member)

static const struct app_key service_keys[] = {
	{"replicas", APP_COUNT, OF(replicas), true, NAN},
	{"min-replicas", APP_COUNT, OF(min_replicas), true, NAN},
	{"max-replicas", APP_COUNT, OF(max_replicas), false, NAN},
	{"cpu", APP_CPU, OF(cpu_cores), false, -1},
	{"min-cpu", APP_CPU, OF(min_cpu_cores), false, NAN},
	{"max-cpu", APP_CPU, OF(max_cpu_cores), false, NAN},
	{"cpu-burst", APP_TIME, OF(cpu_burst_ns), true, NAN},
	{"memory", APP_BYTES, OF(memory_bytes), false, NAN},
	{"min-memory", APP_BYTES, OF(min_memory_bytes), false, NAN},
	{"max-memory", APP_BYTES, OF(max_memory_bytes), false, NAN},
	{"workers", APP_COUNT, OF(workers), false, DRPC_SIM_WORKERS_MAX},
	{"queue", APP_COUNT, OF(queue), true, UINT32_MAX / 2},
	{"holds-worker", APP_BOOL, OF(holds_worker), false, NAN},
	{"optional", APP_BOOL, OF(optional), false, NAN},
	{"balance", APP_BALANCE, OF(balance), false, NAN},
	{"memory-base", APP_BYTES, OF(memory_base_bytes), true, NAN},
	{"memory-per-call", APP_BYTES, OF(memory_per_call_bytes), true, NAN},
	{"cache", APP_BYTES, OF(cache_bytes), true, NAN},
	{"cache-per-call", APP_BYTES, OF(cache_per_call_bytes), true, NAN},
	{"reclaim-slowdown", APP_FACTOR, OF(reclaim_slowdown), true, NAN},
	{"startup", APP_DIST, OF(startup), true, NAN},
	{"warmup", APP_TIME, OF(warmup_ns), true, NAN},
	{"warmup-factor", APP_FACTOR, OF(warmup_factor), false, NAN},
	{"drain", APP_TIME, OF(drain_ns), true, NAN},
	{"call-timeout", APP_DURATION, AT(calls.timeout_ns), false, 0},
	{"call-retries", APP_COUNT, AT(calls.retries), true, NAN},
	{"call-backoff", APP_DURATION, AT(calls.backoff_ns), true, NAN},
	{"operations", APP_COUNT, 0, false, NAN},
	{NULL, APP_COUNT, 0, false, NAN},
};

static struct app_service first_defaults(void)
{
	return (struct app_service){
		.service =
			{
				.replicas = 1,
				.cpu_cores = 1.0,
				.memory_bytes = 512.0 * (double)DRPC_MIB,
				.workers = 64,
				.queue = 1024,
				.holds_worker = true,
				.memory_base_bytes = 64.0 * (double)DRPC_MIB,
				.startup = drpc_sim_constant(5e9),
				.warmup_factor = 1.0,
				.drain_ns = 30e9,
				/* Not given: */
				.min_replicas = UINT32_MAX,
				.min_cpu_cores = -1.0,
				.max_cpu_cores = -1.0,
				.min_memory_bytes = -1.0,
				.max_memory_bytes = -1.0,
			},
	};
}

/* --- services ----------------------------------------------------------------------------------- */

struct service_arg {
	struct app_service *service;
	bool is_defaults;
};

static int read_service_key(struct drpc_yaml *y, const char *name, yaml_node_t *value, void *arg)
{
	const struct service_arg *a = arg;
	const struct app_key *key;
	int err = app_find_key(y, service_keys, a->is_defaults ? "defaults" : "services", name,
			       value, &key);

	if (err)
		return err;
	if (strcmp(name, "operations") == 0) {
		if (a->is_defaults)
			return drpc_yaml_complain(y, drpc_yaml_line(value),
						  "defaults: operations belong to a service");
		a->service->operations = value;
		return 0;
	}
	return app_read_value(y, key, value, a->service);
}

/* Bounds that are not given are the value itself: nothing to scale. */
static void fill_bounds(struct drpc_sim_service *s)
{
	if (s->min_replicas == UINT32_MAX)
		s->min_replicas = s->optional ? 0 : DRPC_MIN(s->replicas, 1u);
	if (!s->max_replicas)
		s->max_replicas = DRPC_MAX(s->replicas, 1u);
	if (s->cpu_cores < 0.0)
		s->cpu_cores = 0.0; /* none */
	if (s->min_cpu_cores < 0.0)
		s->min_cpu_cores = s->cpu_cores;
	if (s->max_cpu_cores < 0.0)
		s->max_cpu_cores = s->cpu_cores;
	if (s->min_memory_bytes < 0.0)
		s->min_memory_bytes = s->memory_bytes;
	if (s->max_memory_bytes < 0.0)
		s->max_memory_bytes = s->memory_bytes;
}

static int check_numbers(struct drpc_yaml *y, const struct drpc_sim_service *s)
{
	if (s->max_replicas > REPLICAS_MAX)
		return drpc_yaml_complain(y, s->line, "%s: max-replicas %u, at most %d", s->name,
					  s->max_replicas, REPLICAS_MAX);
	if (s->workers > DRPC_SIM_WORKERS_MAX)
		return drpc_yaml_complain(y, s->line, "%s: workers %u, at most %d", s->name,
					  s->workers, DRPC_SIM_WORKERS_MAX);
	if (s->min_replicas == 0 && !s->optional)
		return drpc_yaml_complain(y, s->line,
					  "%s: zero capacity: min-replicas 0 is for a service with "
					  "`optional: true`",
					  s->name);
	return 0;
}

static int read_service(struct drpc_yaml *y, const char *name, yaml_node_t *value, void *arg)
{
	struct app_reader *r = arg;
	struct drpc_sim_app *app = r->app;
	struct app_service *s = &r->services[app->n_services];
	struct service_arg a = {.service = s};
	int err;

	*s = r->defaults;
	err = app_read_name(y, "services", name, value, &s->service.name);
	if (err)
		return err;
	app->n_services++; /* what was read is freed by the application */
	s->service.line = drpc_yaml_line(value);
	/* A mapping's mark is its first key; the name's line is the one above it. */
	if (value->type == YAML_MAPPING_NODE && s->service.line > 1 &&
	    value->data.mapping.style == YAML_BLOCK_MAPPING_STYLE)
		s->service.line--;
	err = drpc_yaml_for_each(y, value, name, read_service_key, &a);
	if (err)
		return err;
	fill_bounds(&s->service);
	return check_numbers(y, &s->service);
}

static int read_services(struct drpc_yaml *y, struct app_reader *r)
{
	const yaml_node_t *node = r->services_node;
	struct service_arg a = {.service = &r->defaults, .is_defaults = true};
	size_t n = 0;
	int err = 0;

	if (r->defaults_node)
		err = drpc_yaml_for_each(y, r->defaults_node, "defaults", read_service_key, &a);
	if (err)
		return err;
	if (node && node->type == YAML_MAPPING_NODE)
		n = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
	if (n == 0)
		return drpc_yaml_complain(y, node ? drpc_yaml_line(node) : 1,
					  "services: expected at least one");
	r->services = calloc(n, sizeof(*r->services));
	if (!r->services)
		return -ENOMEM;
	return drpc_yaml_for_each(y, node, "services", read_service, r);
}

/* --- cluster ------------------------------------------------------------------------------------ */

struct node_group {
	struct drpc_sim_node node;
	uint32_t count;
};

#define NODE(member)	offsetof(struct node_group, member)
#define CLUSTER(member) offsetof(struct drpc_sim_app, member)

static const struct app_key node_keys[] = {
	{"count", APP_COUNT, NODE(count), false, NAN},
	{"cpu", APP_CPU, NODE(node.cpu_cores), false, NAN},
	{"memory", APP_BYTES, NODE(node.memory_bytes), false, NAN},
	{"name", APP_COUNT, 0, false, NAN},
	{NULL, APP_COUNT, 0, false, NAN},
};

static const struct app_key cluster_keys[] = {
	{"network", APP_DIST, CLUSTER(network), true, 0},
	{"cfs-tick", APP_TIME, CLUSTER(cfs_tick_ns), true, 0},
	{"cpu-overcommit", APP_FACTOR, CLUSTER(cpu_overcommit), false, NAN},
	{"restart", APP_TIME, CLUSTER(restart_ns), false, NAN},
	{"restart-max", APP_TIME, CLUSTER(restart_max_ns), false, NAN},
	{"nodes", APP_COUNT, 0, false, NAN},
	{NULL, APP_COUNT, 0, false, NAN},
};

static int read_node_key(struct drpc_yaml *y, const char *name, yaml_node_t *value, void *arg)
{
	struct node_group *g = arg;
	const struct app_key *key;
	int err = app_find_key(y, node_keys, "nodes", name, value, &key);

	if (err)
		return err;
	if (strcmp(name, "name") != 0)
		return app_read_value(y, key, value, g);
	free(g->node.name);
	g->node.name = NULL;
	return app_read_name(y, "nodes: name", drpc_yaml_text(value), value, &g->node.name);
}

static int add_nodes(struct drpc_sim_app *app, const struct node_group *g)
{
	for (uint32_t i = 0; i < g->count; i++) {
		struct drpc_sim_node *node = app_grow(&app->nodes, &app->n_nodes, sizeof(*node));
		char name[APP_NAME_MAX + 16];

		if (!node)
			return -ENOMEM;
		*node = g->node;
		snprintf(name, sizeof(name), g->count > 1 ? "%s-%u" : "%s",
			 g->node.name ? g->node.name : "node", i + 1);
		node->name = strdup(name);
		if (!node->name)
			return -ENOMEM;
	}
	return 0;
}

static int read_nodes(struct drpc_yaml *y, struct drpc_sim_app *app, yaml_node_t *list)
{
	if (list->type != YAML_SEQUENCE_NODE)
		return drpc_yaml_complain(
			y, drpc_yaml_line(list),
			"nodes: expected a list such as `- {count: 5, cpu: 8, memory: 8Gi}`");
	for (size_t i = 0; i < drpc_yaml_items(list); i++) {
		const yaml_node_t *item = drpc_yaml_item(y, list, i);
		struct node_group g = {.count = 1};
		int err = drpc_yaml_for_each(y, item, "nodes", read_node_key, &g);

		if (!err && (g.node.cpu_cores <= 0.0 || g.node.memory_bytes <= 0.0))
			err = drpc_yaml_complain(
				y, drpc_yaml_line(item),
				"nodes: zero capacity: a node needs `cpu` and `memory`");
		if (!err && g.count + app->n_nodes > NODES_MAX)
			err = drpc_yaml_complain(y, drpc_yaml_line(item), "nodes: at most %d",
						 NODES_MAX);
		if (!err)
			err = add_nodes(app, &g);
		free(g.node.name);
		if (err)
			return err;
	}
	return 0;
}

static int read_cluster_key(struct drpc_yaml *y, const char *name, yaml_node_t *value, void *arg)
{
	struct drpc_sim_app *app = arg;
	const struct app_key *key;
	int err = app_find_key(y, cluster_keys, "cluster", name, value, &key);

	if (err)
		return err;
	if (strcmp(name, "nodes") == 0)
		return read_nodes(y, app, value);
	return app_read_value(y, key, value, app);
}

static int read_cluster(struct drpc_yaml *y, struct drpc_sim_app *app, const yaml_node_t *node)
{
	int err;

	for (uint32_t i = 0; i < app->n_nodes; i++)
		free(app->nodes[i].name);
	free(app->nodes);
	app->nodes = NULL;
	app->n_nodes = 0;
	app->network = drpc_sim_constant(0.0);
	app->cfs_tick_ns = 0.0;
	app->cpu_overcommit = 1.0;
	app->restart_ns = 1e9;
	app->restart_max_ns = 300e9;
	err = drpc_yaml_for_each(y, node, "cluster", read_cluster_key, app);
	if (!err && app->n_nodes == 0)
		err = drpc_yaml_complain(y, drpc_yaml_line(node),
					 "cluster: zero capacity: it has no nodes");
	return err;
}

/* --- the file ----------------------------------------------------------------------------------- */

static int read_slo(struct drpc_yaml *y, struct drpc_sim_app *app, const yaml_node_t *value)
{
	const struct app_key key = {"slo-p99", APP_TIME, CLUSTER(slo_ns), false, NAN};

	return app_read_value(y, &key, value, app);
}

static int read_top_key(struct drpc_yaml *y, const char *name, yaml_node_t *value, void *arg)
{
	struct app_reader *r = arg;

	if (strcmp(name, "name") == 0) {
		free(r->app->name);
		r->app->name = NULL;
		return app_read_name(y, "name", drpc_yaml_text(value), value, &r->app->name);
	}
	if (strcmp(name, "slo-p99") == 0)
		return read_slo(y, r->app, value);
	if (strcmp(name, "cluster") == 0)
		r->cluster = value;
	else if (strcmp(name, "defaults") == 0)
		r->defaults_node = value;
	else if (strcmp(name, "services") == 0)
		r->services_node = value;
	else if (strcmp(name, "requests") == 0)
		r->requests = value;
	else
		return drpc_yaml_complain(y, drpc_yaml_line(value),
					  "unknown key \"%.80s\", expected name, slo-p99, cluster, "
					  "defaults, services, requests",
					  name);
	return 0;
}

static int read_app(struct drpc_yaml *y, yaml_node_t *root)
{
	struct app_reader *r = y->data;
	struct drpc_sim_app *app = r->app;
	int err;

	if (!root)
		return drpc_yaml_complain(y, 1, "the file is empty");
	err = drpc_yaml_for_each(y, root, "file", read_top_key, r);
	if (!err && !app->name)
		err = drpc_yaml_complain(y, 1, "name: the application has none");
	if (!err && app->slo_ns <= 0.0)
		err = drpc_yaml_complain(y, 1, "slo-p99: the application has no objective");
	if (!err && r->cluster)
		err = read_cluster(y, app, r->cluster);
	if (!err)
		err = read_services(y, r);
	if (!err)
		err = app_read_operations(y, r);
	if (!err)
		err = app_read_requests(y, r);
	return err;
}

static int read_cluster_top(struct drpc_yaml *y, const char *name, yaml_node_t *value, void *arg)
{
	struct app_reader *r = arg;

	if (strcmp(name, "cluster") != 0)
		return drpc_yaml_complain(
			y, drpc_yaml_line(value),
			"unknown key \"%.80s\", a cluster's file holds `cluster:` alone", name);
	return read_cluster(y, r->app, value);
}

static int read_cluster_file(struct drpc_yaml *y, yaml_node_t *root)
{
	if (!root)
		return drpc_yaml_complain(y, 1, "the file is empty, expected `cluster:`");
	return drpc_yaml_for_each(y, root, "file", read_cluster_top, y->data);
}

/* The services, read, become the application's. */
static int finish(struct app_reader *r, const char *name, char *why, size_t why_size)
{
	struct drpc_sim_app *app = r->app;
	char rule[512];
	size_t line = 1;
	int err;

	if (app->n_nodes == 0) {
		snprintf(why, why_size, "%s:1: no cluster: neither here nor in a file of its own",
			 name);
		return -EINVAL;
	}
	err = drpc_sim_app_check(app, &line, rule, sizeof(rule));
	if (err == -EINVAL)
		snprintf(why, why_size, "%s:%zu: %s", name, line, rule);
	return err;
}

/* Services are read beside what their calls get; they move to the application, which frees them. */
static int move_services(struct app_reader *r)
{
	struct drpc_sim_app *app = r->app;

	app->services = calloc(app->n_services + 1, sizeof(*app->services));
	for (uint32_t i = 0; i < app->n_services; i++) {
		if (app->services)
			app->services[i] = r->services[i].service;
		else
			free(r->services[i].service.name);
	}
	free(r->services);
	r->services = NULL;
	if (!app->services) {
		app->n_services = 0;
		return -ENOMEM;
	}
	return 0;
}

static int parse(const char *text, size_t len, const char *name, const char *cluster,
		 size_t cluster_len, const char *cluster_name, struct drpc_sim_app **ret, char *why,
		 size_t why_size)
{
	struct app_reader r = {.app = calloc(1, sizeof(*r.app)), .defaults = first_defaults()};
	int err, moved;

	if (!r.app) {
		snprintf(why, why_size, "%s: out of memory", name);
		return -ENOMEM;
	}
	err = drpc_yaml_read(text, len, name, why, why_size, read_app, &r);
	moved = move_services(&r);
	err = err ? err : moved;
	if (!err && cluster)
		err = drpc_yaml_read(cluster, cluster_len, cluster_name, why, why_size,
				     read_cluster_file, &r);
	if (!err)
		err = finish(&r, name, why, why_size);
	if (err == -ENOMEM)
		snprintf(why, why_size, "%s: out of memory", name);
	if (err) {
		drpc_sim_app_free(&r.app);
		return err;
	}
	*ret = r.app;
	return 0;
}

int drpc_sim_app_parse(const char *text, size_t len, const char *name, struct drpc_sim_app **ret,
		       char *why, size_t why_size)
{
	return parse(text, len, name, NULL, 0, NULL, ret, why, why_size);
}

int drpc_sim_app_load(const char *path, const char *cluster_path, struct drpc_sim_app **ret)
{
	_cleanup_free_ char *text = NULL, *cluster = NULL;
	ssize_t len = drpc_read_file_at(AT_FDCWD, path, FILE_MAX_BYTES, &text), cluster_len = 0;
	char why[1024];
	int err;

	if (len < 0)
		return drpc_err((int)len, "cannot read %s", path);
	if (cluster_path)
		cluster_len = drpc_read_file_at(AT_FDCWD, cluster_path, FILE_MAX_BYTES, &cluster);
	if (cluster_len < 0)
		return drpc_err((int)cluster_len, "cannot read %s", cluster_path);
	err = parse(text, (size_t)len, path, cluster, (size_t)cluster_len, cluster_path, ret, why,
		    sizeof(why));
	if (err < 0)
		drpc_error("%s", why);
	return err;
}
