// SPDX-License-Identifier: Apache-2.0
/* From YAML to an application: operations, their steps, the calls in them, request classes. */
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"
#include "sim/app_internal.h"

#define TIMES_MAX 1000
#define FORM_STEP \
	"a step such as `cpu: 2ms`, `wait: 1ms`, `fail: 0.01` or `call: service.operation`"

/* --- operations' names -------------------------------------------------------------------------- */

struct names_arg {
	struct app_reader *r;
	uint32_t service;
};

static int read_operation_name(struct drpc_yaml *y, const char *name, yaml_node_t *value, void *arg)
{
	const struct names_arg *a = arg;
	struct drpc_sim_app *app = a->r->app;
	const char *service = a->r->services[a->service].service.name;
	struct drpc_sim_operation *op;
	_cleanup_free_ char *own = NULL;
	int err = app_read_name(y, service, name, value, &own);

	if (err)
		return err;
	op = app_grow(&app->operations, &app->n_operations, sizeof(*op));
	if (!op || asprintf(&op->name, "%s.%s", service, own) < 0)
		return -ENOMEM;
	op->service = a->service;
	op->line = drpc_yaml_line(value);
	return 0;
}

static int find_operation(struct drpc_yaml *y, const struct app_reader *r, const char *name,
			  const yaml_node_t *node, uint32_t *ret)
{
	const struct drpc_sim_app *app = r->app;
	const char *dot = name ? strchr(name, '.') : NULL;
	char shown[2 * APP_NAME_MAX];

	if (!dot)
		return drpc_yaml_complain(y, drpc_yaml_line(node),
					  "call: expected service.operation");
	for (uint32_t i = 0; i < app->n_services; i++) {
		const struct app_service *s = &r->services[i];
		const char *own = s->service.name;
		uint32_t end = i + 1 < app->n_services ? s[1].first_operation : app->n_operations;

		if (strlen(own) != (size_t)(dot - name) || strncmp(own, name, strlen(own)) != 0)
			continue;
		for (uint32_t op = s->first_operation; op < end; op++) {
			if (strcmp(app->operations[op].name, name) == 0) {
				*ret = op;
				return 0;
			}
		}
		drpc_sanitize(shown, sizeof(shown), dot + 1);
		return drpc_yaml_complain(y, drpc_yaml_line(node),
					  "call: unknown callee: %s has no operation \"%s\"", own,
					  shown);
	}
	drpc_sanitize(shown, sizeof(shown), name);
	return drpc_yaml_complain(y, drpc_yaml_line(node),
				  "call: unknown callee: there is no service of \"%s\"", shown);
}

/* --- calls -------------------------------------------------------------------------------------- */

struct call_arg {
	struct app_reader *r;
	struct drpc_sim_call_site site;
	uint32_t times;
	bool has_target;
	double share; /* of a request class */
	bool is_request;
};

#define CALL(member) offsetof(struct call_arg, member)

static const struct app_key call_keys[] = {
	{"to", APP_COUNT, 0, false, NAN},
	{"probability", APP_SHARE, CALL(site.probability), true, NAN},
	{"times", APP_COUNT, CALL(times), false, NAN},
	{"timeout", APP_DURATION, CALL(site.timeout_ns), false, 0},
	{"retries", APP_COUNT, CALL(site.retries), true, NAN},
	{"backoff", APP_DURATION, CALL(site.backoff_ns), true, NAN},
	{"optional", APP_BOOL, CALL(site.optional), false, NAN},
	{NULL, APP_COUNT, 0, false, NAN},
};

static const struct app_key request_keys[] = {
	{"to", APP_COUNT, 0, false, NAN},
	{"share", APP_FACTOR, CALL(share), true, NAN},
	{"timeout", APP_DURATION, CALL(site.timeout_ns), false, 0},
	{"retries", APP_COUNT, CALL(site.retries), true, NAN},
	{"backoff", APP_DURATION, CALL(site.backoff_ns), true, NAN},
	{NULL, APP_COUNT, 0, false, NAN},
};

static int set_target(struct drpc_yaml *y, struct call_arg *a, const yaml_node_t *node)
{
	int err = find_operation(y, a->r, drpc_yaml_text(node), node, &a->site.operation);

	if (err)
		return err;
	a->site.service = a->r->app->operations[a->site.operation].service;
	a->site.line = drpc_yaml_line(node);
	a->has_target = true;
	return 0;
}

static int read_call_key(struct drpc_yaml *y, const char *name, yaml_node_t *value, void *arg)
{
	struct call_arg *a = arg;
	const struct app_key *key;
	int err = app_find_key(y, a->is_request ? request_keys : call_keys,
			       a->is_request ? "requests" : "call", name, value, &key);

	if (err)
		return err;
	if (strcmp(name, "to") == 0)
		return set_target(y, a, value);
	return app_read_value(y, key, value, a);
}

/* `service.operation`, or a block with `to` and more. */
static int read_call(struct drpc_yaml *y, struct call_arg *a, const yaml_node_t *node)
{
	int err;

	if (node->type == YAML_SCALAR_NODE)
		return set_target(y, a, node);
	err = drpc_yaml_for_each(y, node, a->is_request ? "requests" : "call", read_call_key, a);
	if (!err && !a->has_target)
		err = drpc_yaml_complain(y, drpc_yaml_line(node),
					 "call: expected `to: service.operation`");
	if (!err && a->times > TIMES_MAX)
		err = drpc_yaml_complain(y, drpc_yaml_line(node), "times: %u, at most %d", a->times,
					 TIMES_MAX);
	if (!err && a->site.retries > UINT16_MAX)
		err = drpc_yaml_complain(y, drpc_yaml_line(node),
					 "a path that never ends: retries %u, at most %d",
					 a->site.retries, UINT16_MAX);
	return err;
}

static struct call_arg new_call(struct app_reader *r, uint32_t service)
{
	const struct app_call_defaults *d = &r->services[service].calls;

	return (struct call_arg){.r = r,
				 .times = 1,
				 .site = {.probability = 1.0,
					  .timeout_ns = d->timeout_ns,
					  .retries = d->retries,
					  .backoff_ns = d->backoff_ns}};
}

static int add_site(struct drpc_sim_app *app, const struct drpc_sim_call_site *site)
{
	struct drpc_sim_call_site *s = app_grow(&app->calls, &app->n_calls, sizeof(*s));

	if (!s)
		return -ENOMEM;
	*s = *site;
	return 0;
}

static struct drpc_sim_step *add_step(struct drpc_sim_app *app, enum drpc_sim_step_kind kind)
{
	struct drpc_sim_step *s = app_grow(&app->steps, &app->n_steps, sizeof(*s));

	if (s) {
		s->kind = kind;
		s->first_call = app->n_calls;
	}
	return s;
}

/* One call: as many steps as times it is made, one after another. */
static int read_call_alone(struct drpc_yaml *y, struct app_reader *r, uint32_t service,
			   const yaml_node_t *node)
{
	struct call_arg a = new_call(r, service);
	int err = read_call(y, &a, node);

	for (uint32_t i = 0; i < a.times && !err; i++) {
		struct drpc_sim_step *step = add_step(r->app, DRPC_SIM_STEP_CALL);

		if (!step)
			return -ENOMEM;
		step->n_calls = 1;
		err = add_site(r->app, &a.site);
	}
	return err;
}

/* A list of calls: all at the same time. */
static int read_call_list(struct drpc_yaml *y, struct app_reader *r, uint32_t service,
			  const yaml_node_t *list)
{
	struct drpc_sim_step *step = add_step(r->app, DRPC_SIM_STEP_CALL);
	const uint32_t at = r->app->n_steps - 1;

	if (!step)
		return -ENOMEM;
	if (drpc_yaml_items(list) == 0)
		return drpc_yaml_complain(y, drpc_yaml_line(list), "call: the list is empty");
	for (size_t i = 0; i < drpc_yaml_items(list); i++) {
		struct call_arg a = new_call(r, service);
		int err = read_call(y, &a, drpc_yaml_item(y, list, i));

		for (uint32_t k = 0; k < a.times && !err; k++)
			err = add_site(r->app, &a.site);
		if (err)
			return err;
	}
	r->app->steps[at].n_calls = r->app->n_calls - r->app->steps[at].first_call;
	if (r->app->steps[at].n_calls > TIMES_MAX)
		return drpc_yaml_complain(y, drpc_yaml_line(list),
					  "call: %u calls at the same time, at most %d",
					  r->app->steps[at].n_calls, TIMES_MAX);
	return 0;
}

/* --- steps -------------------------------------------------------------------------------------- */

struct step_arg {
	struct app_reader *r;
	uint32_t service;
};

static int read_step_key(struct drpc_yaml *y, const char *name, yaml_node_t *value, void *arg)
{
	static const struct app_key cpu = {"cpu", APP_DIST, offsetof(struct drpc_sim_step, time),
					   false, NAN};
	static const struct app_key wait = {"wait", APP_DIST, offsetof(struct drpc_sim_step, time),
					    false, NAN};
	static const struct app_key fail = {"fail", APP_SHARE,
					    offsetof(struct drpc_sim_step, probability), true, NAN};
	const struct step_arg *a = arg;
	struct drpc_sim_app *app = a->r->app;
	const struct app_key *key = NULL;
	enum drpc_sim_step_kind kind = DRPC_SIM_STEP_CPU;
	struct drpc_sim_step *step;

	if (strcmp(name, "call") == 0)
		return value->type == YAML_SEQUENCE_NODE
			       ? read_call_list(y, a->r, a->service, value)
			       : read_call_alone(y, a->r, a->service, value);
	if (strcmp(name, "cpu") == 0) {
		key = &cpu;
	} else if (strcmp(name, "wait") == 0) {
		key = &wait;
		kind = DRPC_SIM_STEP_WAIT;
	} else if (strcmp(name, "fail") == 0) {
		key = &fail;
		kind = DRPC_SIM_STEP_FAIL;
	} else {
		char shown[APP_NAME_MAX];

		drpc_sanitize(shown, sizeof(shown), name);
		return drpc_yaml_complain(y, drpc_yaml_line(value),
					  "unknown key \"%s\", expected " FORM_STEP, shown);
	}
	step = add_step(app, kind);
	if (!step)
		return -ENOMEM;
	return app_read_value(y, key, value, step);
}

static int read_steps(struct drpc_yaml *y, const char *name, yaml_node_t *list, void *arg)
{
	const struct names_arg *a = arg;
	struct app_reader *r = a->r;
	struct step_arg steps = {.r = r, .service = a->service};
	const char *service = r->services[a->service].service.name;
	struct drpc_sim_operation *op = NULL;

	for (uint32_t i = r->services[a->service].first_operation; !op; i++) {
		if (strcmp(r->app->operations[i].name + strlen(service) + 1, name) == 0)
			op = &r->app->operations[i];
	}
	op->first_step = r->app->n_steps;
	if (list->type != YAML_SEQUENCE_NODE || drpc_yaml_items(list) == 0)
		return drpc_yaml_complain(y, drpc_yaml_line(list),
					  "%s: expected a list of steps, " FORM_STEP, op->name);
	for (size_t i = 0; i < drpc_yaml_items(list); i++) {
		const yaml_node_t *item = drpc_yaml_item(y, list, i);
		int err;

		if (item->type != YAML_MAPPING_NODE ||
		    item->data.mapping.pairs.top - item->data.mapping.pairs.start != 1)
			return drpc_yaml_complain(y, drpc_yaml_line(item),
						  "%s: expected " FORM_STEP, op->name);
		err = drpc_yaml_for_each(y, item, "step", read_step_key, &steps);
		if (err)
			return err;
	}
	op->n_steps = r->app->n_steps - op->first_step;
	return 0;
}

/* Names first: steps call operations that stand below them. */
int app_read_operations(struct drpc_yaml *y, struct app_reader *r)
{
	int err = 0;

	for (uint32_t i = 0; i < r->app->n_services && !err; i++) {
		struct app_service *s = &r->services[i];
		struct names_arg a = {.r = r, .service = i};

		s->first_operation = r->app->n_operations;
		if (!s->operations)
			return drpc_yaml_complain(y, s->service.line,
						  "%s: it has no operations, nobody could call it",
						  s->service.name);
		err = drpc_yaml_for_each(y, s->operations, s->service.name, read_operation_name,
					 &a);
		if (!err && s->first_operation == r->app->n_operations)
			err = drpc_yaml_complain(y, s->service.line,
						 "%s: it has no operations, nobody could call it",
						 s->service.name);
	}
	for (uint32_t i = 0; i < r->app->n_services && !err; i++) {
		struct names_arg a = {.r = r, .service = i};

		err = drpc_yaml_for_each(y, r->services[i].operations, r->services[i].service.name,
					 read_steps, &a);
	}
	return err;
}

/* --- request classes ---------------------------------------------------------------------------- */

static int read_request(struct drpc_yaml *y, const char *name, yaml_node_t *value, void *arg)
{
	struct app_reader *r = arg;
	struct drpc_sim_app *app = r->app;
	struct call_arg a = {
		.r = r, .times = 1, .share = 1.0, .is_request = true, .site = {.probability = 1.0}};
	struct drpc_sim_class *class;
	int err;

	class = app_grow(&app->classes, &app->n_classes, sizeof(*class));
	if (!class)
		return -ENOMEM;
	err = app_read_name(y, "requests", name, value, &class->name);
	if (!err)
		err = read_call(y, &a, value);
	class->site = app->n_calls;
	class->share = a.share;
	return err ? err : add_site(app, &a.site);
}

int app_read_requests(struct drpc_yaml *y, struct app_reader *r)
{
	double share = 0.0;
	int err = 0;

	if (r->requests)
		err = drpc_yaml_for_each(y, r->requests, "requests", read_request, r);
	if (err)
		return err;
	for (uint32_t i = 0; i < r->app->n_classes; i++)
		share += r->app->classes[i].share;
	if (share <= 0.0)
		return drpc_yaml_complain(y, r->requests ? drpc_yaml_line(r->requests) : 1,
					  "requests: expected at least one class with a share");
	return 0;
}
