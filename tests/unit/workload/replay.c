// SPDX-License-Identifier: Apache-2.0
#include "workload/replay.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>

#define MINUTE_MS 60000

static struct drpc_series recorded(const float *values, const int64_t *minutes, size_t n)
{
	static const char *const names[] = {"mem", "cpu"};
	struct drpc_series series;

	drpc_series_init(&series, "m", names, 2);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(drpc_series_add(&series,
					     (minutes ? minutes[i] : (int64_t)i) * MINUTE_MS,
					     (const float[]){50, values[i]}),
			     0);
	return series;
}

Test(workload_replay, without_a_profile_load_is_proportional)
{
	static const float values[] = {10, 20, 40, 20, 10};
	struct drpc_series in = recorded(values, NULL, 5), out;
	const struct drpc_replay_config config = {
		.column = 1, .speed = 60, .step_s = 0.5, .mean_rps = 45};
	struct drpc_replay_report report;

	cr_assert_eq(drpc_replay(&in, &config, NULL, &out, &report), 0);
	cr_assert_eq(report.points, 5);
	cr_assert_eq(report.gaps, 0);
	/* Four minutes become four seconds, of which each has two steps; the mean was 22.5. */
	cr_assert_eq(out.count, 8);
	cr_assert_float_eq(drpc_series_at(&out, 0, 0), 20, 1e-4);
	cr_assert_float_eq(drpc_series_at(&out, 1, 0), 30, 1e-4);
	cr_assert_float_eq(drpc_series_at(&out, 4, 0), 80, 1e-4);
	cr_assert_eq(out.columns, 5);
	cr_assert_float_eq(drpc_series_at(&out, 4, 1), 0.6, 1e-6);
	drpc_series_done(&in);
	drpc_series_done(&out);
}

Test(workload_replay, a_profile_leads_back_to_its_loads)
{
	static const double load[] = {0, 25, 50, 75, 100}, use[] = {0, 20, 40, 60, 80};
	static const float values[] = {20, 60, 40};
	struct drpc_series in = recorded(values, NULL, 3), out;
	struct drpc_profile profile;
	const struct drpc_replay_config config = {
		.column = 1, .profile = &profile, .speed = 60, .step_s = 1};
	struct drpc_replay_report report;

	cr_assert_eq(drpc_profile_fit(load, use, 5, 1, &profile), 0);
	cr_assert_eq(drpc_replay(&in, &config, NULL, &out, &report), 0);
	cr_assert_eq(out.count, 2);
	cr_assert_float_eq(drpc_series_at(&out, 0, 0), 25, 3);
	cr_assert_float_eq(drpc_series_at(&out, 1, 0), 75, 3);
	drpc_series_done(&in);
	drpc_series_done(&out);
}

Test(workload_replay, gaps_are_bridged_and_told)
{
	static const float values[] = {10, 10, NAN, 30, 30, 30};
	static const int64_t minutes[] = {0, 1, 2, 3, 4, 8};
	struct drpc_series in = recorded(values, minutes, 6), out;
	const struct drpc_replay_config config = {
		.column = 1, .speed = 60, .step_s = 1, .mean_rps = 10};
	struct drpc_replay_report report;

	cr_assert_eq(drpc_replay(&in, &config, NULL, &out, &report), 0);
	cr_assert_eq(report.points, 5);
	cr_assert_eq(report.gaps, 2);
	cr_assert_eq(report.bridged, 4);
	cr_assert_float_eq(drpc_series_at(&out, 2, 0) / drpc_series_at(&out, 0, 0), 2, 1e-4);
	drpc_series_done(&in);
	drpc_series_done(&out);
}

Test(workload_replay, what_makes_no_trace)
{
	static const float values[] = {10, NAN, 0};
	static const float zeros[] = {0, 0};
	struct drpc_series in = recorded(values, NULL, 2), none = recorded(zeros, NULL, 2), out;
	struct drpc_replay_config config = {.column = 1, .speed = 1, .step_s = 1, .mean_rps = 10};
	struct drpc_replay_report report;

	cr_assert_eq(drpc_replay(&in, &config, NULL, &out, &report), -ENODATA);
	cr_assert_eq(drpc_replay(&none, &config, NULL, &out, &report), -ENODATA);
	config.mean_rps = 0;
	cr_assert_eq(drpc_replay(&in, &config, NULL, &out, &report), -EINVAL);
	config = (struct drpc_replay_config){.column = 2, .speed = 1, .step_s = 1, .mean_rps = 1};
	cr_assert_eq(drpc_replay(&in, &config, NULL, &out, &report), -EINVAL);
	config = (struct drpc_replay_config){.column = 1, .speed = 0, .step_s = 1, .mean_rps = 1};
	cr_assert_eq(drpc_replay(&in, &config, NULL, &out, &report), -EINVAL);
	drpc_series_done(&in);
	drpc_series_done(&none);
}
