// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/recommend.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

#define DAY 86400.0

/* Watched for three days, quiet: half of a CPU and 256 MiB, of which little is used. */
static struct drpc_evidence evidence;
static struct drpc_advice advice;

static void setup(void)
{
	evidence = (struct drpc_evidence){
		.deployment = "shop/front",
		.engine = true,
		.limits_known = true,
		.replicas = 2,
		.watched_sec = 3 * DAY,
		.cpu_has = 0.5,
		.cpu_p50 = 0.05,
		.cpu_p99 = 0.16,
		.cpu_max = 0.19,
		.cpu_min = 0.05,
		.mem_has = 256,
		.mem_p99 = 60,
		.mem_max = 64,
		.mem_min = 16,
		.requests = 1000000,
		.p99_ms = 40,
		.slo_ms = 200,
	};
}

TestSuite(recommend, .init = setup);

#define expect_near(value, wanted) \
	cr_expect_lt(((value) - (wanted)) * ((value) - (wanted)), 1e-6, "%g", (double)(value))
#define expect_why(text) cr_expect_not_null(strstr(advice.why, text), "why: %s", advice.why)

Test(recommend, what_is_not_used_is_saved)
{
	drpc_recommend_make(&evidence, &advice);
	expect_near(advice.cpu_needs, 0.20);
	expect_near(advice.mem_needs, 78);
	expect_near(advice.cpu_saves, 0.60);
	expect_near(advice.mem_saves, 356);
	cr_expect_eq(advice.risk, DRPC_RISK_LOW, "%s", advice.why);
	expect_why("watched 3.0 days");
	expect_why("p99 20% of the objective");
}

Test(recommend, what_fits_is_left_alone)
{
	evidence.cpu_has = 0.21;
	evidence.mem_has = 80;
	drpc_recommend_make(&evidence, &advice);
	expect_near(advice.cpu_needs, 0.21);
	expect_near(advice.mem_needs, 80);
	expect_near(advice.cpu_saves, 0);
}

Test(recommend, a_limit_in_the_way_hides_the_need)
{
	evidence.cpu_has = 0.15;
	evidence.cpu_p99 = 0.10;
	evidence.throttled = 0.3;
	drpc_recommend_make(&evidence, &advice);
	expect_near(advice.cpu_needs, 0.23);
	cr_expect_lt(advice.cpu_saves, 0, "more is not less");
	expect_why("throttled in 30%");
	evidence.throttled = 0.05;
	drpc_recommend_make(&evidence, &advice);
	expect_near(advice.cpu_needs, 0.15); /* the objective is met with room */
	evidence.p99_ms = 150;
	drpc_recommend_make(&evidence, &advice);
	expect_near(advice.cpu_needs, 0.18);
}

Test(recommend, a_missed_objective_saves_no_cpu)
{
	evidence.p99_ms = 300;
	evidence.queue_share = 0.8;
	drpc_recommend_make(&evidence, &advice);
	expect_near(advice.cpu_needs, 0.5);
	cr_expect_eq(advice.risk, DRPC_RISK_HIGH);
	expect_why("p99 150% of the objective");
	expect_why("80% of the time in the queue");
}

Test(recommend, memory_that_was_short)
{
	evidence.mem_has = 64;
	evidence.oom_kills = 2;
	drpc_recommend_make(&evidence, &advice);
	expect_near(advice.mem_needs, 96);
	cr_expect_eq(advice.risk, DRPC_RISK_HIGH);
	expect_why("killed 2 times");
	evidence.oom_kills = 0;
	evidence.mem_pressure = 0.05;
	evidence.mem_max = 40;
	drpc_recommend_make(&evidence, &advice);
	expect_near(advice.mem_needs, 77);
	cr_expect_eq(advice.risk, DRPC_RISK_MEDIUM);
}

Test(recommend, how_far_to_trust)
{
	evidence.watched_sec = 60;
	drpc_recommend_make(&evidence, &advice);
	cr_expect_eq(advice.risk, DRPC_RISK_HIGH);
	expect_why("watched 60 s, too short to trust");
	evidence.watched_sec = DAY / 2;
	drpc_recommend_make(&evidence, &advice);
	cr_expect_eq(advice.risk, DRPC_RISK_MEDIUM);
	evidence.watched_sec = 3 * DAY;
	evidence.cpu_max = 0.45;
	drpc_recommend_make(&evidence, &advice);
	cr_expect_eq(advice.risk, DRPC_RISK_MEDIUM);
	expect_why("peaks would be throttled");
	evidence.cpu_max = 0.19;
	evidence.slo_ms = 0;
	drpc_recommend_make(&evidence, &advice);
	cr_expect_eq(advice.risk, DRPC_RISK_MEDIUM);
	expect_why("no objective");
}

Test(recommend, without_a_limit_nothing_is_saved)
{
	evidence.cpu_has = evidence.mem_has = 0;
	evidence.throttled = 0.9;
	drpc_recommend_make(&evidence, &advice);
	expect_near(advice.cpu_needs, 0.20);
	expect_near(advice.cpu_saves, 0);
	expect_near(advice.mem_saves, 0);
}

Test(recommend, an_idle_one_keeps_the_policys_minimum)
{
	evidence.cpu_p50 = evidence.cpu_p99 = evidence.cpu_max = 0;
	evidence.mem_max = 1;
	drpc_recommend_make(&evidence, &advice);
	expect_near(advice.cpu_needs, 0.05);
	expect_near(advice.mem_needs, 16);
}

/* --- from the agent's answer to the formats --------------------------------------------------- */

static const char use_text[] =
	"[{\"name\": \"web-2\", \"deployment\": \"shop/web\", \"engine\": true, \"replicas\": 2,"
	"  \"watched_sec\": 100000, \"cpu_limit_cores\": 1, \"cpu_p99_cores\": 0.2,"
	"  \"cpu_max_cores\": 0.2, \"memory_limit_mib\": 128, \"memory_max_mib\": 40,"
	"  \"requests\": 500, \"p99_ms\": 10, \"slo_p99_ms\": 100, \"limits_known\": true},"
	" {\"name\": \"web-1\", \"deployment\": \"shop/web\", \"engine\": true, \"replicas\": 2,"
	"  \"watched_sec\": 200000, \"cpu_limit_cores\": 1, \"cpu_p99_cores\": 0.4,"
	"  \"cpu_max_cores\": 0.4, \"memory_limit_mib\": 128, \"memory_max_mib\": 30,"
	"  \"requests\": 700, \"p99_ms\": 20, \"slo_p99_ms\": 100, \"limits_known\": true},"
	" {\"name\": \"it's; rm\", \"deployment\": \"it's; rm\", \"engine\": true, \"replicas\": 1,"
	"  \"watched_sec\": 90000, \"cpu_max_cores\": 0.1, \"memory_max_mib\": 10},"
	" {\"name\": \"never\", \"deployment\": \"never\", \"watched_sec\": 0}]";

static char *print(const char *format, const char *name)
{
	const struct drpc_term term = {.width = 0};
	struct json_object *use = json_tokener_parse(use_text);
	struct drpc_recommendation *list;
	char *text = NULL;
	size_t n, size;
	FILE *out = open_memstream(&text, &size);

	cr_assert_eq(drpc_recommend_all(use, name, &list, &n), 0);
	cr_assert(drpc_recommend_print(format, list, n, &term, out));
	fclose(out);
	drpc_recommendations_free(&list, n);
	json_object_put(use);
	return text;
}

static void expect_in(const char *format, const char *wanted)
{
	_cleanup_free_ char *text = print(format, NULL);

	cr_expect_not_null(strstr(text, wanted), "%s:\n%s", format, text);
}

Test(recommend, replicas_are_one_deployment)
{
	struct json_object *use = json_tokener_parse(use_text);
	struct drpc_recommendation *list;
	size_t n;

	cr_assert_eq(drpc_recommend_all(use, NULL, &list, &n), 0);
	cr_assert_eq(n, 2, "one that never ran gives no evidence");
	cr_expect_str_eq(list[1].evidence.deployment, "shop/web");
	expect_near(list[1].evidence.cpu_p99, 0.4);
	expect_near(list[1].evidence.mem_max, 40);
	expect_near(list[1].evidence.requests, 1200);
	expect_near(list[1].advice.cpu_needs, 0.5);
	drpc_recommendations_free(&list, n);
	cr_expect_eq(drpc_recommend_all(use, "web-1", &list, &n), 0);
	drpc_recommendations_free(&list, n);
	cr_expect_eq(drpc_recommend_all(use, "none", &list, &n), -ENOENT);
	cr_expect_eq(drpc_recommend_all(NULL, NULL, &list, &n), 0);
	cr_expect_eq(n, 0);
	drpc_recommendations_free(&list, n);
	json_object_put(use);
}

Test(recommend, formats)
{
	const struct drpc_term term = {.width = 0};

	expect_in("text", "shop/web");
	expect_in("docker",
		  "docker update --cpus 0.50 --memory 50m --memory-swap 100m 'web-2' 'web-1'\n");
	expect_in("docker", "'it'\\''s; rm'\n");
	expect_in("compose", "# project shop\nservices:\n");
	expect_in("compose", "  \"web\":\n    deploy:\n      resources:\n        limits:\n"
			     "          cpus: \"0.50\"\n          memory: 50M\n");
	expect_in("kubectl", "kubectl --namespace 'shop' patch deployment 'web' --type strategic");
	expect_in("kubectl", "{\"cpu\":\"500m\",\"memory\":\"50Mi\"}");
	expect_in("helm", "\"web\":\n  resources:\n    requests:\n");
	cr_expect_not(drpc_recommend_print("toml", NULL, 0, &term, stdout));
}

Test(recommend, json)
{
	_cleanup_free_ char *text = print("json", "shop/web");
	struct json_object *o = json_tokener_parse(text), *v = NULL;

	cr_assert_not_null(o, "%s", text);
	cr_expect_eq(json_object_array_length(o), 1);
	cr_expect_eq(json_pointer_get(o, "/0/needs/cpu_cores", &v), 0);
	expect_near(json_object_get_double(v), 0.5);
	cr_expect_eq(json_pointer_get(o, "/0/evidence/requests", &v), 0);
	expect_near(json_object_get_double(v), 1200);
	json_object_put(o);
}
