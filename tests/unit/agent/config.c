// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

#define NODE_MCPU 8000
#define NODE_MEM  (16ULL << 30)

static char why[1024];

static int parse(const char *text, struct drpc_config *ret)
{
	why[0] = '\0';
	return drpc_config_parse(text, strlen(text), "agent.yaml", NODE_MCPU, NODE_MEM, ret, why,
				 sizeof(why));
}

Test(config, nothing_is_the_defaults)
{
	static const char *const empties[] = {"", "# only words\n", "---\n", "{}\n",
					      "guard:\nbpf:\ndefaults:\ndeployments:\n"};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(empties); i++) {
		struct drpc_config c;
		struct drpc_policy p;

		cr_assert_eq(parse(empties[i], &c), 0, "%s", why);
		cr_expect_eq(c.window_ns, 200 * DRPC_NSEC_PER_MSEC);
		cr_expect_str_eq(c.socket, "/run/drpc/agent.sock");
		cr_expect_str_eq(c.listen, "");
		cr_expect_str_eq(c.cgroup_root, "");
		cr_expect_eq(c.engine_count, 2);
		cr_expect(c.bpf.latency && c.bpf.cgroup_iter);
		cr_expect_eq(c.guard.interval_ns, c.control_interval_ns);
		cr_expect_eq(drpc_config_check(&c, why, sizeof(why)), 0, "%s", why);
		drpc_config_policy(&c, "anything", &p);
		cr_expect_eq(p.mode, DRPC_MODE_RECOMMEND);
		cr_expect_eq(p.max_cpu_mcpu, NODE_MCPU);
		drpc_config_free(&c);
		drpc_config_free(&c);
	}
}

Test(config, every_part)
{
	struct drpc_config c;
	struct drpc_guard_node node;

	cr_assert_eq(parse("cgroup_root: /drpc-test\n"
			   "engine: [/a.sock, /b.sock]\n"
			   "socket: /tmp/x.sock\n"
			   "listen: '[::1]:9464'\n"
			   "journal: /tmp/j\n"
			   "planner: student\n"
			   "policy_file: /etc/drpc/p.drpc\n"
			   "mode: act\n"
			   "window: 100ms\n"
			   "control_interval: 1s\n"
			   "max_containers: 16\n"
			   "bpf: {edges: false, sched: false}\n"
			   "node:\n  cpu: 4\n  memory: 8Gi\n  headroom: 25%\n"
			   "guard:\n  flap_budget: 3\n  cut_interval: 0s\n  cpu_burst: 10%\n"
			   "  memory_margin_least: 0\n",
			   &c),
		     0, "%s", why);
	cr_expect_str_eq(c.cgroup_root, "/drpc-test");
	cr_expect_eq(c.engine_count, 2);
	cr_expect_str_eq(c.engines[1], "/b.sock");
	cr_expect_str_eq(c.listen, "[::1]:9464");
	cr_expect_eq(c.planner, DRPC_PLANNER_STUDENT);
	cr_expect_eq(c.mode, DRPC_MODE_ACT);
	cr_expect_eq(c.window_ns, 100000000);
	cr_expect_eq(c.control_interval_ns, 1000000000);
	cr_expect_eq(c.guard.interval_ns, 1000000000, "the guard goes by the control interval");
	cr_expect_eq(c.max_containers, 16);
	cr_expect(c.bpf.latency && !c.bpf.edges && !c.bpf.sched);
	cr_expect_eq(c.guard.flap_budget, 3);
	cr_expect_eq(c.guard.cut_interval_ns, 0);
	cr_expect_eq(c.guard.memory_margin_bytes, 0);
	cr_expect_float_eq(c.guard.cpu_burst, 0.1, 1e-12);
	drpc_config_guard_node(&c, &node);
	cr_expect_eq(node.cpu_mcpu, 3000);
	cr_expect_eq(node.memory_bytes, 6ULL << 30);
	cr_expect_eq(drpc_config_check(&c, why, sizeof(why)), 0, "%s", why);
	drpc_config_free(&c);
}

static const char precedence[] = "mode: act\n"
				 "defaults:\n"
				 "  slo-p99: 300ms\n"
				 "  max-cpu: 2\n"
				 "deployments:\n"
				 "  - match: shop/*\n"
				 "    slo-p99: 200ms\n"
				 "    replicas: 1..3\n"
				 "  - match: shop/front\n"
				 "    slo-p99: 100ms\n"
				 "  - match: 'batch-?'\n"
				 "    mode: off\n";

Test(config, precedence)
{
	struct drpc_config c;
	struct drpc_policy p;

	cr_assert_eq(parse(precedence, &c), 0, "%s", why);
	drpc_config_policy(&c, "other", &p);
	cr_expect_eq(p.mode, DRPC_MODE_ACT, "from mode:");
	cr_expect_eq(p.slo_p99_ns, 300000000, "from defaults");
	drpc_config_policy(&c, "shop/back/deep", &p);
	cr_expect_eq(p.slo_p99_ns, 200000000, "from shop/*");
	cr_expect_eq(p.max_cpu_mcpu, 2000, "defaults stay below it");
	drpc_config_policy(&c, "shop/front", &p);
	cr_expect_eq(p.slo_p99_ns, 100000000, "the later entry wins");
	cr_expect_eq(p.max_replicas, 3, "and the earlier one still holds for the rest");
	drpc_config_policy(&c, "batch-1", &p);
	cr_expect_eq(p.mode, DRPC_MODE_OFF);
	/* A label goes over all of it. */
	cr_assert_eq(drpc_policy_set(&p, "mode", "recommend", why, sizeof(why)), 0);
	cr_expect_eq(p.mode, DRPC_MODE_RECOMMEND);
	/* The command line's mode is what the file leaves open. */
	cr_assert_eq(drpc_config_set(&c, "mode", "off", why, sizeof(why)), 0);
	drpc_config_policy(&c, "shop/front", &p);
	cr_expect_eq(p.mode, DRPC_MODE_OFF);
	drpc_config_free(&c);
}

Test(config, rules_that_contradict_each_other_leave_a_sound_policy)
{
	struct drpc_config c;
	struct drpc_policy p;

	cr_assert_eq(parse("deployments:\n"
			   "  - {match: a*, max-cpu: 500m}\n"
			   "  - {match: '*b', min-cpu: 1}\n",
			   &c),
		     0, "%s", why);
	drpc_config_policy(&c, "ab", &p);
	cr_expect_eq(drpc_policy_check(&p, why, sizeof(why)), 0, "%s", why);
	cr_expect_eq(p.max_cpu_mcpu, 500);
	drpc_config_free(&c);
}

static const struct bad {
	const char *text,
		*message; /* the beginning, up to and with the accepted form or part of it */
} bads[] = {
	{"window: 200ms\nwindos: 1\n",
	 "agent.yaml:2: unknown key \"windos\"; the keys are cgroup_root"},
	{"\ncontrol-interval: 1s\n",
	 "agent.yaml:2: unknown key \"control-interval\"; it is spelled \"control_interval\""},
	{"slo-p99: 1s\n",
	 "agent.yaml:1: \"slo-p99\" is a key of a policy; it goes below `defaults:`"},
	{"guard:\n  flap: 2\n", "agent.yaml:2: unknown key \"flap\" in guard; the keys are stale"},
	{"guard.flap_budget: 2\n",
	 "agent.yaml:1: unknown key \"guard.flap_budget\"; write a block"},
	{"window: 200\n", "agent.yaml:1: window: \"200\" is not accepted; give a duration such as "
			  "250us, 200ms or 1.5s, from 50ms to 10s"},
	{"# x\n\nwindow: 20s\n", "agent.yaml:3: window: \"20s\" is not accepted"},
	{"window: [1, 2]\n", "agent.yaml:1: window: expected one value, not a list"},
	{"window:\n  a: 1\n", "agent.yaml:2: window: expected one value, not a block of keys"},
	{"window:\n", "agent.yaml:1: window: \"\" is not accepted; give a duration"},
	{"window: 1s\nmode: act\nwindow: 2s\n",
	 "agent.yaml:3: \"window\" is given twice, first in line 1"},
	{"bpf: yes\n", "agent.yaml:1: bpf: expected a block of `key: value` lines, not a value"},
	{"bpf:\n  latency: yes\n",
	 "agent.yaml:2: bpf.latency: \"yes\" is not accepted; give true or false"},
	{"node:\n  headroom: 95%\n", "agent.yaml:2: node.headroom: \"95%\" is not accepted; give a "
				     "share such as 20% or 0.2, from 0% to 90%"},
	{"guard:\n  flap_budget: 17\n", "agent.yaml:2: guard.flap_budget: \"17\" is not accepted; "
					"give a whole number, from 1 to 16"},
	{"engine: [docker.sock]\n", "agent.yaml:1: engine: \"docker.sock\" is not accepted; give"},
	{"engine: [/a, /b, /c, /d, /e]\n", "agent.yaml:1: engine: \"/a,/b"},
	{"engine:\n - /a\n - [b]\n", "agent.yaml:3: engine: each entry is the path of a socket"},
	{"listen: 9464\n", "agent.yaml:1: listen: \"9464\" is not accepted; give ADDRESS:PORT"},
	{"listen: localhost:9464\n", "agent.yaml:1: listen: \"localhost:9464\" is not accepted"},
	{"listen: 127.0.0.1:70000\n", "agent.yaml:1: listen: \"127.0.0.1:70000\" is not accepted"},
	{"planner: magic\n",
	 "agent.yaml:1: planner: \"magic\" is not accepted; give reactive or student"},
	{"defaults:\n  slo-p99: 200\n",
	 "agent.yaml:2: slo-p99: \"200\" is not accepted; give a duration such as"},
	{"defaults:\n  slo: 200ms\n", "agent.yaml:2: unknown key \"slo\" (value \"200ms\")"},
	{"defaults:\n  min-cpu: 3\n  max-cpu: 2\n",
	 "agent.yaml:2: defaults: min-cpu 3000m is above max-cpu 2000m"},
	{"defaults:\n  min-cpu: 9\n",
	 "agent.yaml:2: defaults: min-cpu 9000m is above max-cpu 8000m"},
	{"defaults: [a]\n", "agent.yaml:1: defaults: expected a block"},
	{"deployments:\n  a: 1\n", "agent.yaml:2: deployments: expected a list"},
	{"deployments:\n  - slo-p99: 1s\n", "agent.yaml:2: deployments: an entry needs `match:`"},
	{"deployments:\n  - match: ''\n", "agent.yaml:2: match: expected a name or a glob"},
	{"deployments:\n  - match: a\n    replicas: 0..2\n",
	 "agent.yaml:2: deployments: replicas: 0..2 allows 0 replicas, which needs brownout"},
	{"defaults:\n  max-cpu: 1\ndeployments:\n  - match: a\n    min-cpu: 2\n",
	 "agent.yaml:4: deployments: min-cpu 2000m is above max-cpu 1000m"},
	{"deployments:\n  - match: a\n    mode: {x: 1}\n",
	 "agent.yaml:3: mode: expected one value, not a block of keys"},
	{"defaults:\n  max-cpu: 1.00000000000000000000000000000000000000000000\n",
	 "agent.yaml:2: max-cpu: "},
	{"a: b: c\n", "agent.yaml:1: not valid YAML: mapping values are not allowed"},
	{"mode: \"act\n", "agent.yaml:2: not valid YAML: "},
	{"- a\n", "agent.yaml:1: file: expected a block of `key: value` lines, not a list"},
	{"mode: act\n---\nmode: off\n", "agent.yaml:3: a second document begins here"},
	{"? [a]\n: b\n", "agent.yaml:1: file: a key must be plain text"},
	{"mode: \"act\\0\"\n", "agent.yaml:1: mode: expected one value"},
	{"mode: \xff\n", "agent.yaml: not a text file in UTF-8"},
	{"mode: *nobody\n", "agent.yaml:1: not valid YAML: found undefined alias"},
};

Test(config, bad_files_say_where_what_and_the_form)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bads); i++) {
		struct drpc_config c, before;

		memset(&c, 0x5a, sizeof(c));
		before = c;
		cr_expect_eq(parse(bads[i].text, &c), -EINVAL, "accepted: %s", bads[i].text);
		cr_expect_eq(strncmp(why, bads[i].message, strlen(bads[i].message)), 0,
			     "expected: %s\n got: %s", bads[i].message, why);
		cr_expect_eq(memcmp(&c, &before, sizeof(c)), 0, "touched by: %s", bads[i].text);
	}
}

Test(config, command_line_settings)
{
	struct drpc_config c;

	drpc_config_defaults(&c, NODE_MCPU, NODE_MEM);
	cr_expect_eq(drpc_config_set(&c, "engine", "none", why, sizeof(why)), 0);
	cr_expect_eq(c.engine_count, 0);
	cr_expect_eq(drpc_config_set(&c, "engine", "/a,/b", why, sizeof(why)), 0);
	cr_expect_eq(c.engine_count, 2);
	cr_expect_eq(drpc_config_set(&c, "engine", "/a,", why, sizeof(why)), -EINVAL);
	cr_expect_eq(c.engine_count, 2);
	cr_expect_eq(drpc_config_set(&c, "guard.flap_budget", "2", why, sizeof(why)), 0);
	cr_expect_eq(c.guard.flap_budget, 2);
	cr_expect_eq(drpc_config_set(&c, "flap_budget", "2", why, sizeof(why)), -ENOENT);
	cr_expect_eq(drpc_config_set(&c, "listen", "127.0.0.1:1", why, sizeof(why)), 0);
	cr_expect_eq(drpc_config_set(&c, "listen", "off", why, sizeof(why)), 0);
	cr_expect_str_eq(c.listen, "");
}

Test(config, settings_that_need_each_other)
{
	struct drpc_config c;

	drpc_config_defaults(&c, NODE_MCPU, NODE_MEM);
	drpc_config_set(&c, "planner", "student", why, sizeof(why));
	cr_expect_eq(drpc_config_check(&c, why, sizeof(why)), -EINVAL);
	cr_expect_not_null(strstr(why, "policy_file"), "%s", why);
	drpc_config_set(&c, "policy_file", "/p", why, sizeof(why));
	cr_expect_eq(drpc_config_check(&c, why, sizeof(why)), 0);
	drpc_config_set(&c, "control_interval", "100ms", why, sizeof(why));
	cr_expect_eq(drpc_config_check(&c, why, sizeof(why)), -EINVAL);
	cr_expect_not_null(strstr(why, "control_interval: 100 ms is shorter than window"), "%s",
			   why);
}

Test(config, the_example_is_valid_and_says_the_defaults)
{
	struct drpc_config example, built_in;

	cr_assert_eq(drpc_config_load("deploy/agent.yaml", NODE_MCPU, NODE_MEM, &example), 0);
	drpc_config_defaults(&built_in, NODE_MCPU, NODE_MEM);
	cr_expect_str_eq(example.socket, built_in.socket);
	cr_expect_eq(example.mode, DRPC_MODE_RECOMMEND);
	cr_expect_eq(drpc_config_check(&example, why, sizeof(why)), 0, "%s", why);
	drpc_config_free(&example);
}

/* Every commented line of the example, with its mark taken away, is valid as well. */
Test(config, the_examples_comments_are_valid)
{
	_cleanup_free_ char *text = NULL;
	ssize_t len = drpc_read_file_at(AT_FDCWD, "deploy/agent.yaml", 65536, &text);
	struct drpc_config c, built_in;
	char *to = text;

	cr_assert_gt(len, 0);
	/* "#key: value" and "#  key: value" are settings, "# words" are words. */
	for (char *from = text; *from; from++) {
		bool line_start = from == text || from[-1] == '\n';

		if (line_start && *from == '#' && from[1] != '\n' &&
		    (from[1] != ' ' || from[2] == ' '))
			continue;
		*to++ = *from;
	}
	*to = '\0';
	cr_assert_eq(parse(text, &c), 0, "%s", why);
	drpc_config_defaults(&built_in, NODE_MCPU, NODE_MEM);
	cr_expect_eq(memcmp(&c.guard, &built_in.guard, sizeof(c.guard)), 0,
		     "the example's guard differs from the built-in one");
	cr_expect_eq(c.window_ns, built_in.window_ns);
	cr_expect_eq(c.max_containers, built_in.max_containers);
	cr_expect_str_eq(c.journal, built_in.journal);
	cr_expect_gt(c.rule_count, 1);
	drpc_config_free(&c);
}

Test(config, a_file_that_is_not_there)
{
	struct drpc_config c;

	drpc_log_set_level(DRPC_LOG_ERROR);
	cr_expect_eq(drpc_config_load("/nonexistent/agent.yaml", NODE_MCPU, NODE_MEM, &c), -ENOENT);
	cr_expect_eq(drpc_config_load("/proc", NODE_MCPU, NODE_MEM, &c), -EISDIR);
	cr_expect_eq(drpc_config_load("/dev/zero", NODE_MCPU, NODE_MEM, &c), -EFBIG);
}
