// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/engine_parse.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/util.h"
#include "tests/unit/agent/runtime/data.h"

static struct drpc_runtime_container c;

static int container(const char *text)
{
	drpc_runtime_container_clear(&c);
	memset(&c, 0, sizeof(c));
	return drpc_engine_parse_container(text, strlen(text), &c);
}

static const char *label(const char *key)
{
	for (size_t i = 0; i < c.label_count; i++) {
		if (strcmp(c.labels[i].key, key) == 0)
			return c.labels[i].value;
	}
	return "";
}

Test(engine_parse, versions)
{
	_cleanup_free_ char *docker = data_read("docker-version.json");
	_cleanup_free_ char *podman = data_read("podman-version.json");
	struct drpc_engine_version v;
	static const struct {
		const char *text, *api;
	} cases[] = {
		{"{\"ApiVersion\":\"1.48\",\"MinAPIVersion\":\"1.24\"}", "1.41"},
		{"{\"ApiVersion\":\"1.52\",\"MinAPIVersion\":\"1.44\"}", "1.44"},
		{"{\"ApiVersion\":\"1.40\"}", "1.40"},
		{"{\"ApiVersion\":\"x\"}", NULL},
		{"{\"ApiVersion\":141}", NULL},
		{"{}", NULL},
		{"[]", NULL},
		{"", NULL},
		{"OK", NULL},
	};

	cr_assert_eq(drpc_engine_parse_version(docker, strlen(docker), &v), 0);
	cr_expect_str_eq(v.kind, "docker");
	cr_expect_str_eq(v.version, "20.10.24+dfsg1");
	cr_expect_str_eq(v.api, "1.41");
	cr_assert_eq(drpc_engine_parse_version(podman, strlen(podman), &v), 0);
	cr_expect_str_eq(v.kind, "podman");
	cr_expect_str_eq(v.version, "4.3.1");
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(cases); i++) {
		int r = drpc_engine_parse_version(cases[i].text, strlen(cases[i].text), &v);

		cr_expect_eq(r, cases[i].api ? 0 : -EBADMSG, "%s", cases[i].text);
		if (cases[i].api)
			cr_expect_str_eq(v.api, cases[i].api);
	}
}

Test(engine_parse, docker_inspect)
{
	_cleanup_free_ char *text = data_read("docker-inspect.json");
	_cleanup_free_ char *cpus = data_read("docker-inspect-cpus.json");

	cr_assert_eq(container(text), 0);
	cr_expect_eq(strlen(c.id), 64);
	cr_expect_str_eq(c.name, "ca");
	cr_expect_str_eq(c.image, "drpc-bb");
	cr_expect_str_eq(c.project, "shop");
	cr_expect_str_eq(c.service, "front");
	cr_expect_eq(c.number, 2);
	cr_expect(c.running && c.pid > 1);
	cr_expect_eq(c.limits.nano_cpus, 300000000);
	cr_expect_eq(c.limits.cpu_quota_usec, -1);
	cr_expect_eq(c.limits.memory_bytes, 67108864);
	cr_expect_eq(c.limits.memory_swap_bytes, 134217728);
	cr_expect_str_eq(label("drpc.slo-p99"), "200ms");
	cr_assert_eq(c.address_count, 1);
	if (c.addresses)
		cr_expect_eq(strncmp(c.addresses[0], "172.17.0.", 9), 0);
	cr_assert_eq(container(cpus), 0);
	cr_expect_str_eq(c.name, "cb");
	cr_expect_str_eq(c.service, "");
	drpc_runtime_container_clear(&c);
}

Test(engine_parse, podman_inspect)
{
	_cleanup_free_ char *text = data_read("podman-inspect.json");

	cr_assert_eq(container(text), 0);
	cr_expect_str_eq(c.name, "pa");
	cr_expect_eq(c.limits.nano_cpus, 500000000);
	cr_expect_eq(c.limits.cpu_quota_usec, 50000);
	cr_expect_eq(c.address_count, 0);
	drpc_runtime_container_clear(&c);
}

Test(engine_parse, lists)
{
	_cleanup_free_ char *docker = data_read("docker-list.json");
	_cleanup_free_ char *podman = data_read("podman-list.json");
	struct drpc_runtime_container *list = NULL;
	size_t n = 0;

	cr_assert_eq(drpc_engine_parse_list(docker, strlen(docker), &list, &n), 0);
	cr_assert_eq(n, 2);
	cr_expect_str_eq(list[0].name, "cb");
	cr_expect_str_eq(list[1].name, "ca");
	cr_expect_str_eq(list[1].project, "shop");
	cr_expect(list[0].running);
	cr_expect_eq(list[0].address_count, 1);
	drpc_runtime_containers_free(&list, n);
	cr_assert_eq(drpc_engine_parse_list(podman, strlen(podman), &list, &n), 0);
	cr_assert_eq(n, 1);
	cr_expect_str_eq(list[0].name, "pa");
	drpc_runtime_containers_free(&list, n);
}

/* Everything of the wrong type, missing, or hostile. */
Test(engine_parse, nonsense)
{
	static const char *const bad[] = {
		"",
		"null",
		"[]",
		"{}",
		"{\"Id\":7}",
		"{\"Id\":\"\"}",
		"{\"Id\":\"../../etc\"}",
		"{\"Id\":\"a b\"}",
		"{\"Id\":\"abc\"",
		"{\"Id\":\"abc\"} trailing",
	};
	static const char *const odd[] = {
		"{\"Id\":\"abc\",\"State\":[],\"HostConfig\":\"x\",\"Config\":7}",
		"{\"Id\":\"abc\",\"State\":{\"Pid\":\"1\",\"Running\":\"yes\"}}",
		"{\"Id\":\"abc\",\"State\":{\"Pid\":-5}}",
		"{\"Id\":\"abc\",\"State\":{\"Pid\":99999999999}}",
		"{\"Id\":\"abc\",\"Config\":{\"Labels\":{\"a\":1,\"b\":null,\"c\":{}}}}",
		"{\"Id\":\"abc\",\"NetworkSettings\":{\"Networks\":{\"n\":null,\"m\":{\"IPAddress\":7}}}}",
		"{\"Id\":\"abc\",\"HostConfig\":{\"Memory\":1e300,\"NanoCpus\":\"5\"}}",
	};
	struct drpc_runtime_container *list = NULL;
	static const char mixed[] = "[1,null,{\"Id\":\"ok\"},{\"Id\":\"no/way\"}]";
	char deep[4096];
	size_t n;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++)
		cr_expect_eq(container(bad[i]), -EBADMSG, "%s", bad[i]);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(odd); i++) {
		cr_expect_eq(container(odd[i]), 0, "%s", odd[i]);
		cr_expect(c.pid == 0 && !c.running && c.limits.nano_cpus == 0 &&
				  c.limits.memory_bytes == 0 && c.label_count == 0 &&
				  c.address_count == 0,
			  "%s", odd[i]);
	}
	cr_expect_eq(container("{\"Id\":\"abc\",\"Name\":\"/x\\u001b[2Jy\\n\"}"), 0);
	cr_expect_str_eq(c.name, "x?[2Jy?");
	drpc_runtime_container_clear(&c);
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	cr_expect_eq(drpc_engine_parse_list(deep, strlen(deep), &list, &n), -EBADMSG);
	cr_expect_eq(drpc_engine_parse_list(mixed, strlen(mixed), &list, &n), 0);
	cr_assert_eq(n, 1);
	cr_expect_str_eq(list[0].id, "ok");
	drpc_runtime_containers_free(&list, n);
}

Test(engine_parse, events)
{
	static const struct {
		const char *text;
		int kind;
	} cases[] = {
		{"{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":\"abc\",\"Attributes\":{\"name\":\"web\"}}}",
		 DRPC_RUNTIME_START},
		{"{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"abc\"}}",
		 DRPC_RUNTIME_DIE},
		{"{\"Type\":\"container\",\"Action\":\"remove\",\"Actor\":{\"ID\":\"abc\"}}",
		 DRPC_RUNTIME_DESTROY},
		{"{\"Type\":\"network\",\"Action\":\"start\",\"Actor\":{\"ID\":\"abc\"}}", -1},
		{"{\"Type\":\"container\",\"Action\":\"exec_start: sh\",\"Actor\":{\"ID\":\"abc\"}}",
		 -1},
		{"{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"a/b\"}}", -1},
		{"{\"Type\":\"container\",\"Action\":\"die\"}", -1},
		{"7", -1},
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(cases); i++) {
		struct json_object *o = json_tokener_parse(cases[i].text);
		struct drpc_runtime_event e = {0};

		cr_expect_eq(drpc_engine_parse_event(o, &e), cases[i].kind >= 0, "%s",
			     cases[i].text);
		if (cases[i].kind >= 0)
			cr_expect(e.kind == (enum drpc_runtime_event_kind)cases[i].kind &&
				  strcmp(e.id, "abc") == 0);
		json_object_put(o);
	}
}
