// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/picture.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "agent/api/json.h"
#include "agent/monitor/series.h"
#include "lib/hist.h"
#include "lib/util.h"
#include "tests/unit/cli/paper.h"

/* The very JSON that the agent gives. */
static struct json_object *hist_of(const struct drpc_total *total)
{
	return drpc_json_hist_total("web-1", total);
}

static void add(struct drpc_total *total, double ms, uint64_t count)
{
	uint64_t ns = (uint64_t)(ms * 1e6);

	total->turns += count;
	total->seen += count;
	total->hist[DRPC_HIST_TOTAL][drpc_hist_index(ns)] += count;
	total->sum_ns[DRPC_HIST_TOTAL] += count * ns;
	total->hist[DRPC_HIST_QUEUE][drpc_hist_index(ns / 2)] += count;
	total->sum_ns[DRPC_HIST_QUEUE] += count * (ns / 2);
	total->hist[DRPC_HIST_SERVICE][drpc_hist_index(ns / 2)] += count;
	total->sum_ns[DRPC_HIST_SERVICE] += count * (ns / 2);
	total->hist[DRPC_HIST_SEND][0] += count;
}

static const struct paper *draw(const struct drpc_total *total, const char *container, int width,
				int max_rows)
{
	static struct paper paper;
	struct drpc_term term = paper_term(width);
	const struct drpc_picture picture = {.hist = hist_of(total),
					     .container = json_tokener_parse(container),
					     .since_sec = 30,
					     .width = width,
					     .max_rows = max_rows};

	memset(&paper, 0, sizeof(paper));
	drpc_picture_emit(&picture, &term, paper_emit, &paper);
	json_object_put(picture.hist);
	json_object_put(picture.container);
	return &paper;
}

static unsigned int lines_with(const struct paper *paper, const char *word)
{
	unsigned int n = 0;

	for (const char *at = paper->text; (at = strstr(at, word)); at += strlen(word))
		n++;
	return n;
}

#define WITH_SLO "{\"deployment\": \"shop/web\", \"slo_p99_ms\": 200.0}"

Test(picture, fits_80_columns_whatever_the_range)
{
	static struct drpc_total total;

	add(&total, 0.0005, 1);
	for (double ms = 0.001; ms < 60000; ms *= 1.0905)
		add(&total, ms, 123456789);
	add(&total, 100000, 3); /* overflow */
	for (int rows = 1; rows <= 60; rows += 7) {
		const struct paper *paper = draw(&total, WITH_SLO, 80, rows);

		cr_expect_leq(paper_width(paper), 80, "%d columns", paper_width(paper));
		cr_expect_leq(lines_with(paper, "│"), 18);
		cr_expect_geq(lines_with(paper, "│"), 4);
	}
	cr_expect_leq(paper_width(draw(&total, WITH_SLO, 60, 16)), 60);
	cr_expect_leq(paper_width(draw(&total, WITH_SLO, 200, 16)), 80);
}

Test(picture, rows_hold_every_request)
{
	static struct drpc_total total;
	const struct paper *paper;

	add(&total, 1, 1);
	add(&total, 3, 10);
	add(&total, 7, 100);
	add(&total, 30, 1000);
	paper = draw(&total, WITH_SLO, 80, 8);
	cr_expect_not_null(strstr(paper->text, "1,111 requests"));
	cr_expect_not_null(strstr(paper->text, "1,000    90%"), "%s", paper->text);
	cr_expect_not_null(strstr(paper->text, "100   9.0%"), "%s", paper->text);
	cr_expect_not_null(strstr(paper->text, "web-1 of shop/web"));
	cr_expect_not_null(strstr(paper->text, "last 30 s"));
}

Test(picture, percentiles_are_marked_once)
{
	static struct drpc_total total;
	const struct paper *paper;

	add(&total, 1, 900);
	add(&total, 20, 95);
	add(&total, 300, 5);
	paper = draw(&total, WITH_SLO, 80, 16);
	for (size_t i = 0; i < 3; i++) {
		static const char *const marks[] = {"◂ p50 p90\n", "◂ p99\n", "◂ p99.9\n"};

		cr_expect_eq(lines_with(paper, marks[i]), 1, "%s in %s", marks[i], paper->text);
	}
}

Test(picture, objective_lies_between_its_rows)
{
	static struct drpc_total total;
	const struct paper *paper;
	const char *line;

	add(&total, 1, 900);
	add(&total, 1000, 100);
	paper = draw(&total, WITH_SLO, 80, 16);
	cr_assert_eq(lines_with(paper, "objective"), 1);
	line = strstr(paper->text, "objective");
	cr_expect_not_null(strstr(line, "p99 within 200 ms"));
	/* What missed it lies below the line, and is red; so is the p99. */
	cr_expect_not_null(strstr(line, "100    10%"));
	cr_expect_null(strstr(line, "900    90%"));
	cr_expect(paper->bad[0] != '\0');

	/* Under the objective nothing is red, and the line is the last. */
	memset(&total, 0, sizeof(total));
	add(&total, 1, 900);
	paper = draw(&total, WITH_SLO, 80, 16);
	cr_expect_eq(lines_with(paper, "objective"), 1);
	cr_expect_str_empty(paper->bad);
	cr_expect_eq(lines_with(draw(&total, "{}", 80, 16), "objective"), 0);
}

Test(picture, without_a_request)
{
	static const struct drpc_total total;
	const struct paper *paper = draw(&total, WITH_SLO, 80, 16);

	cr_expect_not_null(strstr(paper->text, "No answered request"));
	cr_expect_not_null(strstr(paper->text, "dropped: none"));
	cr_expect_eq(lines_with(paper, "│"), 0);
}

Test(picture, says_what_was_lost)
{
	static struct drpc_total total;
	const struct paper *paper;

	add(&total, 1, 1000);
	total.errors = total.dropped[DRPC_DROP_CLOSED] = 12;
	total.dropped[DRPC_DROP_NO_STORAGE] = 3;
	total.seen += 15;
	/* A tenth was read by splice: its queue time is unknown. */
	total.hist[DRPC_HIST_QUEUE][drpc_hist_index(500000)] -= 100;
	paper = draw(&total, WITH_SLO, 80, 16);
	cr_expect_not_null(strstr(paper->text, "coverage 99.7%"), "%s", paper->text);
	cr_expect_not_null(strstr(paper->text, "without an answer 12"));
	cr_expect_not_null(strstr(paper->text, "dropped: closed 12, no_storage 3"));
	cr_expect_not_null(strstr(paper->text, "queue time is known of 90%"));
}

Test(picture, survives_an_answer_of_another_shape)
{
	static const char *const answers[] = {
		"{}",
		"[]",
		"{\"count\": 5}",
		"{\"count\": 5, \"total\": 3}",
		"{\"count\": 5, \"total\": {\"buckets\": {}}}",
		"{\"count\": 5, \"total\": {\"buckets\": [1, null, {\"le_ms\": -1, \"count\": 2}, "
		"{\"le_ms\": 1e300, \"count\": -7}, {\"le_ms\": \"x\"}]}}"};
	struct drpc_term term = paper_term(80);
	static struct paper paper;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(answers); i++) {
		const struct drpc_picture picture = {
			.hist = json_tokener_parse(answers[i]), .width = 80, .max_rows = 16};

		memset(&paper, 0, sizeof(paper));
		drpc_picture_emit(&picture, &term, paper_emit, &paper);
		cr_expect_gt(paper.size, 0);
		json_object_put(picture.hist);
	}
}
