// SPDX-License-Identifier: Apache-2.0
/* Files that are wrong: file, line and rule. And what is found out about those that are right. */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/util.h"
#include "sim/app.h"

#define HEAD  "name: t\nslo-p99: 1s\ncluster: {nodes: [{cpu: 8, memory: 8Gi}]}\n"
#define GOOD  HEAD "services:\n  a: {operations: {x: [cpu: 1ms]}}\n"
#define USERS "requests: {all: {to: a.x}}\n"

struct bad {
	const char *text;
	const char *line; /* "t.yaml:LINE:" */
	const char *rule;
};

static const struct bad bad_files[] = {
	{"", "t.yaml:1:", "empty"},
	{"name: [", "t.yaml:", "not valid YAML"},
	{GOOD USERS "colour: red\n", "t.yaml:7:", "unknown key \"colour\""},
	{GOOD "requests: {}\n", "t.yaml:6:", "at least one class"},
	{GOOD, "t.yaml:1:", "at least one class"},
	{GOOD "requests: {all: {to: a.x, share: 0}}\n", "t.yaml:6:", "at least one class"},
	{GOOD "requests: {all: {to: b.x}}\n", "t.yaml:6:", "unknown callee: there is no service"},
	{GOOD "requests: {all: {to: a.y}}\n", "t.yaml:6:", "unknown callee: a has no operation"},
	{GOOD "requests: {all: {share: 1}}\n", "t.yaml:6:", "expected `to:"},
	{"slo-p99: 1s\n" USERS, "t.yaml:1:", "name:"},
	{"name: t\n", "t.yaml:1:", "slo-p99"},
	{"name: t\nslo-p99: 0s\n", "t.yaml:2:", "more than 0"},
	{"name: t\nslo-p99: 200\n", "t.yaml:2:", "a duration such as"},
	{"name: t\nslo-p99: 1s\nname: u\n", "t.yaml:3:", "given twice, first in line 1"},
	{HEAD "services: {}\n" USERS, "t.yaml:4:", "services: expected at least one"},
	{HEAD "services:\n  a: {cpu: 1}\n" USERS, "t.yaml:5:", "no operations"},
	{HEAD "services:\n  a.b: {operations: {x: [cpu: 1ms]}}\n", "t.yaml:5:", "without dots"},
	{HEAD "services:\n  a:\n    cpu: 0\n    operations: {x: [cpu: 1ms]}\n" USERS,
	 "t.yaml:6:", "cpu: zero capacity"},
	{HEAD "services:\n  a:\n    workers: 0\n    operations: {x: [cpu: 1ms]}\n" USERS,
	 "t.yaml:6:", "workers: zero capacity"},
	{HEAD "services:\n  a:\n    min-replicas: 0\n    operations: {x: [cpu: 1ms]}\n" USERS,
	 "t.yaml:5:", "zero capacity: min-replicas 0"},
	{HEAD "services:\n  a:\n    memory: 32Mi\n    operations: {x: [cpu: 1ms]}\n" USERS,
	 "t.yaml:5:", "zero capacity: its memory limit is below"},
	{HEAD "services:\n  a:\n    cpu: 9\n    operations: {x: [cpu: 1ms]}\n" USERS,
	 "t.yaml:5:", "more than any node has"},
	{HEAD
	 "services:\n  a:\n    cpu: 2\n    max-cpu: 1\n    operations: {x: [cpu: 1ms]}\n" USERS,
	 "t.yaml:5:", "not within min-cpu"},
	{HEAD
	 "services:\n  a:\n    replicas: 3\n    max-replicas: 2\n    operations: {x: [cpu: 1ms]}\n" USERS,
	 "t.yaml:5:", "not within min-replicas"},
	{HEAD "services:\n  a:\n    memory: 1Gb\n    operations: {x: [cpu: 1ms]}\n" USERS,
	 "t.yaml:6:", "memory: \"1Gb\", expected a size"},
	{HEAD "services:\n  a:\n    cpu: -1\n    operations: {x: [cpu: 1ms]}\n" USERS,
	 "t.yaml:6:", "cpu: \"-1\", expected a number of CPUs"},
	{HEAD "services:\n  a:\n    startup: 5s normal 2\n    operations: {x: [cpu: 1ms]}\n" USERS,
	 "t.yaml:6:", "startup: \"5s normal 2\", expected a time"},
	{HEAD "services:\n  a:\n    colour: 1\n    operations: {x: [cpu: 1ms]}\n" USERS,
	 "t.yaml:6:", "unknown key \"colour\", expected replicas"},
	{HEAD "services:\n  a:\n    operations:\n      x:\n        - cpu: 2 ms\n" USERS,
	 "t.yaml:8:", "cpu: \"2 ms\", expected"},
	{HEAD "services:\n  a:\n    operations:\n      x:\n        - cpu: 1ms pareto 1\n" USERS,
	 "t.yaml:8:", "tail index above 1"},
	{HEAD
	 "services:\n  a:\n    operations:\n      x:\n        - cpu: 1ms\n        - sleep: 1s\n" USERS,
	 "t.yaml:9:", "unknown key \"sleep\""},
	{HEAD "services:\n  a:\n    operations:\n      x: []\n" USERS,
	 "t.yaml:7:", "expected a list of steps"},
	{HEAD "services:\n  a:\n    operations:\n      x:\n        - fail: 200%\n" USERS,
	 "t.yaml:8:", "fail: \"200%\", expected a share"},
	{HEAD "services:\n  a:\n    operations:\n      x:\n        - call: b\n" USERS,
	 "t.yaml:8:", "expected service.operation"},
	{HEAD
	 "services:\n  a:\n    operations:\n      x:\n        - call: {to: a.x, times: 5000}\n" USERS,
	 "t.yaml:8:", "times: 5000, at most"},
	{HEAD "services:\n  a:\n    operations:\n      x:\n        - call: a.x\n" USERS,
	 "t.yaml:8:", "a path that never ends: a.x -> a.x is a cycle"},
	{HEAD "services:\n  a:\n    operations:\n      x:\n        - call: b.y\n"
	      "  b:\n    operations:\n      y:\n        - cpu: 1ms\n        - call: [a.x]\n" USERS,
	 "t.yaml:13:", "a.x -> b.y -> a.x is a cycle"},
	{"name: t\nslo-p99: 1s\ncluster: {nodes: []}\nservices:\n  a: {operations: {x: [cpu: 1ms]}}\n" USERS,
	 "t.yaml:3:", "zero capacity: it has no nodes"},
	{"name: t\nslo-p99: 1s\ncluster: {nodes: [{cpu: 0, memory: 1Gi}]}\n",
	 "t.yaml:3:", "cpu: zero capacity"},
	{"name: t\nslo-p99: 1s\ncluster: {nodes: [{cpu: 1}]}\n",
	 "t.yaml:3:", "a node needs `cpu` and `memory`"},
	{"name: t\nslo-p99: 1s\nservices:\n  a: {operations: {x: [cpu: 1ms]}}\n" USERS,
	 "t.yaml:1:", "no cluster"},
	{"name: t\nslo-p99: 1s\ncluster: {nodes: [{cpu: 1, memory: 1Gi}], network: fast}\n",
	 "t.yaml:3:", "network: \"fast\", expected"},
};

Test(sim_app, bad_files_are_told_by_file_line_and_rule)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad_files); i++) {
		const struct bad *b = &bad_files[i];
		struct drpc_sim_app *app = NULL;
		char why[1024] = "";

		cr_expect_eq(drpc_sim_app_parse(b->text, strlen(b->text), "t.yaml", &app, why,
						sizeof(why)),
			     -EINVAL, "%zu: accepted: %s", i, b->text);
		cr_expect_null(app);
		cr_expect_eq(strncmp(why, b->line, strlen(b->line)), 0, "%zu: %s, expected %s", i,
			     why, b->line);
		cr_expect_not_null(strstr(why, b->rule), "%zu: %s, expected %s", i, why, b->rule);
	}
}

/* Each operation calls the next one twice: 2^40 calls a request, without any cycle. */
Test(sim_app, paths_that_grow_without_end_are_refused)
{
	struct drpc_sim_app *app = NULL;
	char text[8192], why[1024] = "";
	size_t len =
		(size_t)snprintf(text, sizeof(text), HEAD "services:\n  a:\n    operations:\n");

	for (int i = 0; i < 40; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"      x%d: [call: [a.x%d, a.x%d]]\n", i, i + 1, i + 1);
	snprintf(text + len, sizeof(text) - len,
		 "      x40: [cpu: 1ms]\nrequests: {all: {to: a.x0}}\n");
	cr_assert_eq(drpc_sim_app_parse(text, strlen(text), "t.yaml", &app, why, sizeof(why)),
		     -EINVAL);
	cr_assert_not_null(strstr(why, "a path that never ends: one request makes"), "%s", why);
}

Test(sim_app, paths_that_are_too_deep_are_refused)
{
	struct drpc_sim_app *app = NULL;
	char text[8192], why[1024] = "";
	size_t len =
		(size_t)snprintf(text, sizeof(text), HEAD "services:\n  a:\n    operations:\n");

	/* Upwards, so that no single walk from the first one sees all of it. */
	for (int i = 0; i < 80; i++)
		len += (size_t)snprintf(
			text + len, sizeof(text) - len,
			i ? "      x%d: [call: a.x%d]\n" : "      x%d: [wait: 1ms]\n", i, i - 1);
	snprintf(text + len, sizeof(text) - len, "requests: {all: {to: a.x79}}\n");
	cr_assert_eq(drpc_sim_app_parse(text, strlen(text), "t.yaml", &app, why, sizeof(why)),
		     -EINVAL);
	cr_assert_not_null(strstr(why, "deep"), "%s", why);
}

static const char right[] = HEAD
	"defaults: {call-timeout: 1s, max-replicas: 3}\n"
	"services:\n"
	"  a:\n"
	"    operations:\n"
	"      x:\n"
	"        - cpu: 2ms lognormal 0.5\n"
	"        - fail: 50%\n"
	"        - call: {to: b.y, times: 3, timeout: none}\n"
	"        - call: [{to: b.y, probability: 25%, times: 2}, b.z]\n"
	"  b: {cpu: none, max-replicas: 1, operations: {y: [cpu: 1ms to 3ms], z: [wait: 1ms]}}\n"
	"requests: {one: {to: a.x, share: 3}, two: {to: b.y, share: 1, timeout: 2s}}\n";

Test(sim_app, what_a_request_needs_is_found_out)
{
	struct drpc_sim_app *app = NULL;
	char why[1024] = "";

	cr_assert_eq(drpc_sim_app_parse(right, strlen(right), "t.yaml", &app, why, sizeof(why)), 0,
		     "%s", why);
	cr_assert_eq(app->n_services, 2);
	cr_assert_eq(app->n_operations, 3);
	cr_assert_float_eq(app->visits[0], 0.75, 1e-12);
	/* Half of 0.75 goes on: 3 + 2 / 4 + 1 calls each, and a quarter comes directly. */
	cr_assert_float_eq(app->visits[1], 0.375 * 4.5 + 0.25, 1e-12);
	cr_assert_float_eq(app->demand_ns[0], 0.75 * 2e6, 1e-3);
	cr_assert_float_eq(app->demand_ns[1], (0.375 * 3.5 + 0.25) * 2e6, 1e-3);
	/* By class: one of the first, one of the second. */
	cr_assert_float_eq(app->class_demand_ns[0], 2e6, 1e-3);
	cr_assert_float_eq(app->class_demand_ns[1], 0.5 * 3.5 * 2e6, 1e-3);
	cr_assert_float_eq(app->class_demand_ns[2], 0, 1e-3);
	cr_assert_float_eq(app->class_demand_ns[3], 2e6, 1e-3);
	cr_assert_eq(app->n_edges, 1);
	cr_assert_float_eq(app->edges[0].calls, 0.375 * 4.5 / 0.75, 1e-12);
	cr_assert_eq(app->n_timeouts, 2, "1 s and 2 s");
	cr_assert_eq(app->services[0].max_replicas, 3);
	cr_assert_eq(app->services[1].max_replicas, 1);
	cr_assert_eq(app->services[1].cpu_cores, 0.0);
	cr_assert_eq(app->classes[1].site, app->n_calls - 1, "classes' sites are the last ones");
	drpc_sim_app_free(&app);
	cr_assert_null(app);
	drpc_sim_app_free(&app);
}

static void write_file(char *path, const char *text)
{
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

Test(sim_app, a_cluster_of_its_own_replaces_the_file_s)
{
	char app_path[] = "/tmp/drpc-app-XXXXXX", cluster_path[] = "/tmp/drpc-cluster-XXXXXX",
	     bad_path[] = "/tmp/drpc-bad-XXXXXX";
	struct drpc_sim_app *app = NULL;

	write_file(app_path, right);
	write_file(cluster_path, "cluster: {nodes: [{count: 3, name: n, cpu: 2, memory: 1Gi}]}\n");
	write_file(bad_path, right);
	cr_assert_eq(drpc_sim_app_load(app_path, cluster_path, &app), 0);
	cr_assert_eq(app->n_nodes, 3);
	cr_assert_str_eq(app->nodes[2].name, "n-3");
	drpc_sim_app_free(&app);
	drpc_log_set_level(DRPC_LOG_ERROR);
	cr_assert_eq(drpc_sim_app_load(app_path, bad_path, &app), -EINVAL);
	cr_assert_eq(drpc_sim_app_load("/nonexistent/app.yaml", NULL, &app), -ENOENT);
	cr_assert_null(app);
	unlink(app_path);
	unlink(cluster_path);
	unlink(bad_path);
}
