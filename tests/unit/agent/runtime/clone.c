// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/clone.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "lib/util.h"
#include "tests/unit/agent/runtime/data.h"

#define ID "525af24a1cab603e3fb5fc98271357db75c8e82d9008da32d83fadd89451e008"

/* A container of compose in two networks; %s are members of Config, HostConfig, an endpoint. */
static const char form[] =
	"{\"Id\":\"" ID "\",\"Name\":\"/shop-front-1\",\"Image\":\"sha256:aa\","
	"\"Config\":{\"Hostname\":\"525af24a1cab\",\"Image\":\"front:1\",\"Env\":[\"A=1\"],"
	"\"Cmd\":[\"/bin/front\",\"-x\"],\"Labels\":{\"com.docker.compose.service\":\"front\","
	"\"com.docker.compose.container-number\":\"1\",\"com.docker.compose.replace\":\"x\","
	"\"drpc.mode\":\"act\"}%s},"
	"\"HostConfig\":{\"NetworkMode\":\"shop_default\",\"NanoCpus\":500000000,\"Memory\":67108864,"
	"\"MemorySwap\":134217728,\"AutoRemove\":true,\"ContainerIDFile\":\"/x\","
	"\"Binds\":[\"data:/data:rw\"],\"Links\":[\"/db:/shop-front-1/store\"]%s},"
	"\"Mounts\":[{\"Type\":\"volume\",\"Name\":\"data\",\"Destination\":\"/data\"}%s],"
	"\"NetworkSettings\":{\"Networks\":{"
	"\"shop_default\":{\"NetworkID\":\"n1\",\"Aliases\":[\"shop-front-1\",\"front\",\"525af24a1cab\"]%s},"
	"\"back\":{\"NetworkID\":\"n2\",\"Aliases\":[\"525af24a1cab\"]}}}}";

static struct drpc_clone clone;
static char why[192];
static struct drpc_clone_spec spec;

static void setup(void)
{
	spec = (struct drpc_clone_spec){.deployment = "shop/front", .number = 2};
	clone = (struct drpc_clone){0};
	why[0] = '\0';
}

static void teardown(void)
{
	drpc_clone_clear(&clone);
}

TestSuite(clone, .init = setup, .fini = teardown);

static int make(const char *config, const char *host, const char *mounts, const char *endpoint)
{
	char text[4096];

	snprintf(text, sizeof(text), form, config, host, mounts, endpoint);
	return drpc_clone_make(text, strlen(text), &spec, 4, &clone, why, sizeof(why));
}

static const char *at(const char *pointer)
{
	struct json_object *o = NULL;

	if (json_pointer_get(clone.body, pointer, &o) < 0)
		return "(none)";
	return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
}

Test(clone, as_compose_would)
{
	char name[128];

	cr_assert_eq(make("", "", "", ""), 0, "%s", why);
	cr_assert_not_null(drpc_clone_number(&clone, 4, name, sizeof(name)));
	cr_expect_str_eq(name, "shop-front-4");
	cr_expect_str_eq(at("/Image"), "\"sha256:aa\"", "the very image");
	cr_expect_str_eq(at("/Cmd"), "[\"/bin/front\",\"-x\"]");
	cr_expect_str_eq(at("/Env"), "[\"A=1\"]");
	cr_expect_str_eq(at("/Hostname"), "(none)", "the engine's own choice");
	cr_expect_str_eq(at("/Labels/com.docker.compose.container-number"), "\"4\"");
	cr_expect_str_eq(at("/Labels/com.docker.compose.replace"), "(none)");
	cr_expect_str_eq(at("/Labels/drpc.mode"), "\"act\"");
	cr_expect_str_eq(at("/Labels/drpc.deployment"), "(none)");
	cr_expect_str_eq(at("/Labels/" DRPC_CLONE_LABEL), "\"shop/front\"");
	cr_expect_str_eq(at("/HostConfig/Binds"), "[\"data:/data:rw\"]", "shared as compose does");
	cr_expect_str_eq(at("/HostConfig/Links"), "[\"db:store\"]");
	cr_expect_str_eq(at("/HostConfig/AutoRemove"), "false");
	cr_expect_str_eq(at("/HostConfig/ContainerIDFile"), "(none)");
	cr_expect_str_eq(at("/HostConfig/NanoCpus"), "500000000");
	cr_expect_str_eq(at("/NetworkingConfig/EndpointsConfig/shop_default/Aliases"),
			 "[\"front\"]", "own id and name are its own");
	cr_expect_str_eq(at("/NetworkingConfig/EndpointsConfig/back"), "(none)", "one at a time");
	cr_assert_eq(clone.network_count, 1);
	cr_expect_str_eq(clone.networks[0].name, "back");
	cr_expect_not_null(
		strstr(json_object_to_json_string(clone.networks[0].endpoint), "shop-front-1"),
		"where it goes by its name alone, so does its copy");
}

Test(clone, limits_in_force)
{
	spec.limits = (struct drpc_limits){30000, 100000, 0, DRPC_UNLIMITED, 32 << 20};
	spec.what = DRPC_LIMIT_CPU | DRPC_LIMIT_MEMORY;
	cr_assert_eq(make("", "", "", ""), 0);
	cr_expect_str_eq(at("/HostConfig/NanoCpus"), "300000000", "in its own field");
	cr_expect_str_eq(at("/HostConfig/Memory"), "33554432");
	cr_expect_str_eq(at("/HostConfig/MemorySwap"), "100663296", "swap stays what it was");
}

Test(clone, a_name_without_number)
{
	static const char *const names[][2] = {
		{"/web", "web-3"}, {"/web-2", "web-2-3"}, {"/shop_front_1", "shop_front_3"}};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(names); i++) {
		char text[512], name[128];

		snprintf(
			text, sizeof(text),
			"{\"Id\":\"" ID "\",\"Name\":\"%s\",\"Image\":\"i\",\"Config\":{\"Labels\":"
			"{%s}},\"HostConfig\":{\"NetworkMode\":\"default\"},"
			"\"NetworkSettings\":{\"Networks\":{\"bridge\":{}}}}",
			names[i][0], i == 2 ? "\"com.docker.compose.container-number\":\"1\"" : "");
		cr_assert_eq(
			drpc_clone_make(text, strlen(text), &spec, 4, &clone, why, sizeof(why)), 0);
		cr_assert_not_null(drpc_clone_number(&clone, 3, name, sizeof(name)));
		cr_expect_str_eq(name, names[i][1]);
		cr_expect_str_eq(at("/Labels/drpc.deployment"), "\"shop/front\"",
				 "its own name would part it");
		cr_expect_str_eq(at("/NetworkingConfig"), "(none)", "the bridge knows no names");
		drpc_clone_clear(&clone);
	}
}

Test(clone, what_there_cannot_be_two_of)
{
	static const struct {
		const char *config, *host, *mounts, *endpoint, *why;
	} cases[] = {
		{"", ",\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"8080\"}]}", "", "", "8080"},
		{"", "", "", ",\"IPAMConfig\":{\"IPv4Address\":\"10.0.0.9\"}", "10.0.0.9"},
		{"", "", "", ",\"IPAMConfig\":{\"IPv6Address\":\"fd00::9\"}", "fd00::9"},
		{",\"MacAddress\":\"02:42:ac:11:00:02\"", "", "", "", "MAC"},
		{"", "", ",{\"Type\":\"npipe\",\"Destination\":\"/p\"}", "", "npipe"},
		{"", ",\"NetworkMode\":\"host\"", "", "", "host's network"},
		{"", ",\"NetworkMode\":\"container:x\"", "", "", "another container"},
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(cases); i++) {
		cr_expect_eq(
			make(cases[i].config, cases[i].host, cases[i].mounts, cases[i].endpoint),
			-EOPNOTSUPP, "%s", cases[i].why);
		cr_expect_not_null(strstr(why, cases[i].why), "%s", why);
		cr_expect_null(clone.body);
	}
	/* Any free port will do. */
	cr_expect_eq(make("", ",\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"\"}]}", "", ""), 0);
}

Test(clone, of_a_real_engine)
{
	static const char *const files[] = {"docker-inspect.json", "docker-inspect-cpus.json",
					    "podman-inspect.json"};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *text = data_read(files[i]);
		char name[128];

		cr_assert_eq(
			drpc_clone_make(text, strlen(text), &spec, 4, &clone, why, sizeof(why)), 0,
			"%s: %s", files[i], why);
		cr_expect_not_null(drpc_clone_number(&clone, 9, name, sizeof(name)));
		drpc_clone_clear(&clone);
	}
}

Test(clone, ulimits_as_they_are_taken)
{
	cr_assert_eq(make("",
			  ",\"Ulimits\":[{\"Name\":\"RLIMIT_NOFILE\",\"Soft\":7},"
			  "{\"Name\":\"nproc\",\"Soft\":8}]",
			  "", ""),
		     0);
	cr_expect_str_eq(at("/HostConfig/Ulimits"),
			 "[{\"Name\":\"nofile\",\"Soft\":7},{\"Name\":\"nproc\",\"Soft\":8}]");
}

Test(clone, nonsense)
{
	static const char *const texts[] = {
		"",
		"[]",
		"{}",
		"{\"Id\":\"" ID "\",\"Config\":{}}",
		"{\"Id\":\"x\",\"Config\":{},\"HostConfig\":{}}",
		"{\"Id\":\"" ID "\",\"Name\":\"/a b\",\"Config\":{},\"HostConfig\":{}}",
		"{\"Id\":7,\"Config\":[],\"HostConfig\":\"\"}",
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(texts); i++)
		cr_expect_eq(drpc_clone_make(texts[i], strlen(texts[i]), &spec, 4, &clone, why,
					     sizeof(why)),
			     -EBADMSG, "%s", texts[i]);
	/* What is of another type counts as not given. */
	cr_expect_eq(drpc_clone_make("{\"Id\":\"" ID "\",\"Name\":\"/a\",\"Config\":{\"Labels\":7},"
				     "\"HostConfig\":{\"PortBindings\":[],\"Links\":7},"
				     "\"Mounts\":{},\"NetworkSettings\":{\"Networks\":[]}}",
				     strlen("{\"Id\":\"" ID
					    "\",\"Name\":\"/a\",\"Config\":{\"Labels\":7},"
					    "\"HostConfig\":{\"PortBindings\":[],\"Links\":7},"
					    "\"Mounts\":{},\"NetworkSettings\":{\"Networks\":[]}}"),
				     &spec, 4, &clone, why, sizeof(why)),
		     0);
}
