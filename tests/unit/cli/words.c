// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/words.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>

#include "agent/api/json.h"
#include "agent/plan/decision.h"
#include "lib/util.h"
#include "tests/unit/cli/paper.h"

static const struct drpc_decision raise = {
	.realtime_ns = 1777625703120000000ULL,
	.verdict = DRPC_VERDICT_CLIP,
	.applied = true,
	.outcome_known = true,
	.planner = "reactive",
	.features = {[DRPC_F_CPU_UTIL] = 0.97F,
		     [DRPC_F_RATE] = 0.411F,
		     [DRPC_F_RATE_PRED] = 0.6F,
		     [DRPC_F_P99_SLO] = 1.31F,
		     [DRPC_F_QUEUE_SHARE] = 0.62F,
		     [DRPC_F_THROTTLED] = 0.44F},
	.raw = {[DRPC_OUT_CPU] = 0.8F, [DRPC_OUT_MEMORY] = -0.3F},
	.before = {.cpu_quota_usec = 40000,
		   .cpu_period_usec = 100000,
		   .mem_high_bytes = DRPC_UNLIMITED,
		   .mem_max_bytes = 128 * DRPC_MIB},
	.after = {.cpu_quota_usec = 50000,
		  .cpu_period_usec = 100000,
		  .mem_high_bytes = DRPC_UNLIMITED,
		  .mem_max_bytes = 128 * DRPC_MIB},
	.replicas_before = 2,
	.replicas_after = 2,
	.outcome_p99_ns = 143000000,
	.outcome_throttled = 0.02,
	.reason = "max-cpu is 0.5",
};

static const char *say(const struct drpc_decision *decision, int width)
{
	struct json_object *o = drpc_json_decision(decision);
	struct drpc_term term = paper_term(width);
	static struct paper paper;

	setenv("TZ", "UTC", 1);
	tzset();
	memset(&paper, 0, sizeof(paper));
	drpc_words_decision(o, &term, paper_emit, &paper);
	json_object_put(o);
	cr_expect(width == 0 || paper_width(&paper) <= width, "%s", paper.text);
	return paper.text;
}

Test(words, a_raise)
{
	cr_expect_str_eq(
		say(&raise, 0),
		"2026-05-01 08:55:03\n"
		"  saw      411 requests/s (soon 600), p99 at 131% of the objective, 62% of the time in the queue, throttled in 44% of the periods, CPU 97% of its limit\n"
		"  wanted   the reactive planner asks for more CPU (+0.80)\n"
		"  guard    clip\n"
		"           max-cpu is 0.5\n"
		"  limits   CPU 0.40 → 0.50\n"
		"  then     p99 143 ms, throttled in 2% of the periods\n");
}

Test(words, wrap_at_the_terminals_edge)
{
	cr_expect_not_null(strstr(say(&raise, 80), "\n           "));
	say(&raise, 60);
}

Test(words, nothing_to_do)
{
	struct drpc_decision hold = raise;
	const char *text;

	hold.verdict = DRPC_VERDICT_HOLD;
	hold.applied = hold.outcome_known = false;
	hold.raw[DRPC_OUT_CPU] = 0;
	hold.after = hold.before;
	hold.repeats = 37;
	text = say(&hold, 0);
	cr_expect_not_null(strstr(text, "asks for nothing\n"));
	cr_expect_not_null(strstr(text, "limits   stay as they are\n"));
	cr_expect_not_null(strstr(text, "the same 37 times before"));
	cr_expect_null(strstr(text, "then"));
	cr_expect_null(strstr(text, "not written"));
}

Test(words, a_recommendation_is_not_written)
{
	struct drpc_decision decision = raise;
	const char *text;

	decision.verdict = DRPC_VERDICT_RECOMMEND;
	decision.applied = false;
	decision.replicas_after = 3;
	decision.after.mem_max_bytes = DRPC_UNLIMITED;
	text = say(&decision, 0);
	cr_expect_not_null(
		strstr(text,
		       "CPU 0.40 → 0.50, memory 128M → no limit, replicas 2 → 3 (not written)"),
		"%s", text);
}

Test(words, an_answer_of_another_shape)
{
	struct json_object *o = json_tokener_parse("{\"time\": \"yesterday\", \"raw\": 3}");
	struct drpc_term term = paper_term(80);
	static struct paper paper;

	drpc_words_decision(o, &term, paper_emit, &paper);
	cr_expect_not_null(strstr(paper.text, "yesterday\n"));
	json_object_put(o);
}
