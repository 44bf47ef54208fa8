// SPDX-License-Identifier: Apache-2.0
#include "teacher/imitation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/nn/near.h"

/* A teacher of plain rules: more CPU where it is throttled, a replica where the rate is high. */
static void teach(const float f[DRPC_F_COUNT], float ret[DRPC_OUT_COUNT])
{
	ret[DRPC_OUT_REPLICAS] = tanhf(4.0f * (f[DRPC_F_RATE] - 0.5f));
	ret[DRPC_OUT_CPU] = tanhf(3.0f * (f[DRPC_F_CPU_UTIL] - 0.6f) + f[DRPC_F_RATE_PRED]);
	ret[DRPC_OUT_MEMORY] = tanhf(5.0f * (f[DRPC_F_MEM_UTIL] - 0.7f));
}

static void draw(struct drpc_rng *rng, float f[DRPC_F_COUNT])
{
	for (int i = 0; i < DRPC_F_COUNT; i++)
		f[i] = (float)drpc_rng_uniform(rng);
	f[DRPC_F_REPLICAS] = 3; /* does not vary: must not blow up when scaled */
}

static struct drpc_imitation *taught(unsigned int n_inputs, size_t pairs, size_t epochs)
{
	struct drpc_imitation_config c = drpc_imitation_defaults(n_inputs);
	struct drpc_rng rng = drpc_rng_make(1, 5);
	struct drpc_imitation *im = NULL;

	c.epochs = epochs;
	c.lr = 2e-3;
	c.seed = 3;
	cr_assert_eq(drpc_imitation_new(&c, &im), 0);
	for (size_t i = 0; i < pairs; i++) {
		float f[DRPC_F_COUNT], out[DRPC_OUT_COUNT];

		draw(&rng, f);
		teach(f, out);
		cr_assert_eq(drpc_imitation_push(im, f, out), 0);
	}
	return im;
}

Test(imitation, both_profiles_learn_a_teacher)
{
	for (unsigned int n = DRPC_F_PAPER_COUNT; n <= DRPC_F_COUNT; n += 5) {
		struct drpc_imitation *im = taught(n, 2000, 40);
		static float f[500 * DRPC_F_COUNT], out[500 * DRPC_OUT_COUNT];
		struct drpc_rng rng = drpc_rng_make(2, 6);
		struct drpc_imitation_report report;
		double loss;

		for (size_t i = 0; i < 500; i++) {
			draw(&rng, f + i * DRPC_F_COUNT);
			teach(f + i * DRPC_F_COUNT, out + i * DRPC_OUT_COUNT);
		}
		cr_assert_eq(drpc_imitation_compare(im, 500, f, out, 0, 0, &report), -ENODATA);
		cr_assert_eq(drpc_imitation_train(im, &loss), 0);
		cr_assert_lt(loss, 0.01);
		cr_assert_eq(drpc_imitation_compare(im, 500, f, out, 0.8, 0.76, &report), 0);
		cr_assert_lt(report.mse, 0.01, "%g on states it has not seen", report.mse);
		cr_assert_lt(report.differ, 0.25);
		cr_assert_float_eq(report.reward_ratio, 0.95, 1e-9);
		drpc_imitation_free(&im);
		cr_assert_null(im);
	}
}

/* Outputs on either side of the dead band, by hand. */
Test(imitation, decisions_are_compared_after_the_dead_band)
{
	struct drpc_imitation *im = taught(5, 100, 1);
	const struct drpc_policy_info none = {.reward = NAN};
	struct drpc_imitation_report report;
	struct drpc_policy_net *net = NULL;
	float f[4 * DRPC_F_COUNT] = {0}, got[3], out[4 * 3];
	double loss;

	cr_assert_eq(drpc_imitation_train(im, &loss), 0);
	cr_assert_eq(drpc_imitation_policy(im, &none, &net), 0);
	cr_assert_eq(drpc_policy_net_forward(net, f, got), 0);
	for (int r = 0; r < 4; r++)
		memcpy(out + r * 3, got, sizeof(got));
	cr_assert_eq(drpc_imitation_compare(im, 4, f, out, 0, 0, &report), 0);
	cr_assert_eq(report.differ, 0);
	cr_assert(isnan(report.reward_ratio));
	/* Row 1 differs in CPU, row 3 in CPU and memory. */
	out[1 * 3 + 1] = fabsf(got[1]) > DRPC_DEAD_BAND ? 0.0f : 0.9f;
	out[3 * 3 + 1] = fabsf(got[1]) > DRPC_DEAD_BAND ? -got[1] : -0.9f;
	out[3 * 3 + 2] = fabsf(got[2]) > DRPC_DEAD_BAND ? -got[2] : 0.51f;
	cr_assert_eq(drpc_imitation_compare(im, 4, f, out, 0, 0, &report), 0);
	cr_assert_eq(report.differ, 0.5);
	cr_assert_eq(report.differ_in[0], 0);
	cr_assert_eq(report.differ_in[1], 0.5);
	cr_assert_eq(report.differ_in[2], 0.25);
	drpc_policy_net_free(&net);
	drpc_imitation_free(&im);
}

/* What differs is counted by direction, too. */
Test(imitation, moves_are_counted_by_what_both_decide)
{
	const struct drpc_policy_info info = {
		.n_inputs = 1, .inputs = {{0, 0, 1}}, .clip = 5, .reward = NAN};
	float f[4 * DRPC_F_COUNT] = {0}, params[1024] = {0};
	const size_t n = drpc_student_params(1);
	/* The network says up, down, none whatever the state. */
	const float out[4 * 3] = {0.6f, -0.6f, 0, -0.6f, 0.7f, 0, 0.5f, -0.51f, 1, 1, 1, -1};
	struct drpc_imitation_report report;
	struct drpc_policy_net *net = NULL;

	params[n - 3] = 2;
	params[n - 2] = -2;
	cr_assert_eq(drpc_policy_net_new(&info, params, &net), 0);
	cr_assert_eq(drpc_imitation_compare_net(net, 4, f, out, &report), 0);
	cr_assert_eq(report.moves[0][DRPC_MOVE_UP][DRPC_MOVE_UP], 2);
	cr_assert_eq(report.moves[0][DRPC_MOVE_DOWN][DRPC_MOVE_UP], 1);
	cr_assert_eq(report.moves[0][DRPC_MOVE_NONE][DRPC_MOVE_UP], 1, "0.5 is in the dead band");
	cr_assert_eq(report.moves[1][DRPC_MOVE_DOWN][DRPC_MOVE_DOWN], 2);
	cr_assert_eq(report.moves[1][DRPC_MOVE_UP][DRPC_MOVE_DOWN], 2);
	cr_assert_eq(report.moves[2][DRPC_MOVE_UP][DRPC_MOVE_NONE], 1);
	cr_assert_eq(report.moves[2][DRPC_MOVE_DOWN][DRPC_MOVE_NONE], 1);
	cr_assert_eq(drpc_imitation_opposed(&report), 3);
	cr_assert_float_eq(report.differ, 0.75, 1e-9);
	drpc_policy_net_free(&net);
}

/* A step whose answers all decide as the teacher does learns nothing and changes nothing but decay. */
Test(imitation, the_same_decision_is_no_error)
{
	struct drpc_imitation_config c = drpc_imitation_defaults(5);
	float x[64 * 5] = {0}, y[64 * 3];
	struct drpc_imitation *im = NULL;

	c.same_decision = true;
	cr_assert_eq(drpc_imitation_new(&c, &im), 0);
	for (int i = 0; i < 64 * 3; i++)
		y[i] = 0;
	/* Untrained, it answers something near 0 for a state of zeros: inside the dead band. */
	cr_assert_eq(drpc_imitation_step(im, x, y), 0);
	for (int i = 0; i < 64 * 3; i++)
		y[i] = 0.3f;
	cr_assert_eq(drpc_imitation_step(im, x, y), 0, "0.3 decides as 0 does");
	for (int i = 0; i < 64 * 3; i++)
		y[i] = -0.6f;
	cr_assert_gt(drpc_imitation_step(im, x, y), 0.01);
	drpc_imitation_free(&im);
}

Test(imitation, scaling_and_rate_are_checked)
{
	const float zero[DRPC_F_COUNT] = {0}, one[DRPC_F_COUNT] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	const float bad[DRPC_F_COUNT] = {1, NAN, 1, 1, 1, 1, 1, 1, 1, 1};
	const struct drpc_policy_info none = {.reward = NAN};
	struct drpc_imitation *im = taught(5, 200, 1);
	struct drpc_policy_net *net = NULL;
	double loss;

	cr_assert_eq(drpc_imitation_scale(im, zero, zero), -EINVAL);
	cr_assert_eq(drpc_imitation_scale(im, bad, one), -EINVAL);
	cr_assert_eq(drpc_imitation_scale(im, zero, one), 0);
	cr_assert_eq(drpc_imitation_policy(im, &none, &net), -ENODATA, "not trained for that");
	cr_assert_eq(drpc_imitation_rate(im, 0), -EINVAL);
	cr_assert_eq(drpc_imitation_rate(im, NAN), -EINVAL);
	cr_assert_eq(drpc_imitation_rate(im, 1e-3), 0);
	cr_assert_eq(drpc_imitation_train(im, &loss), 0);
	cr_assert_eq(drpc_imitation_scale(im, zero, one), -EINVAL, "too late");
	cr_assert_eq(drpc_imitation_policy(im, &none, &net), 0);
	for (int i = 0; i < 5; i++) {
		cr_assert_eq(drpc_policy_net_info(net)->inputs[i].offset, 0);
		cr_assert_eq(drpc_policy_net_info(net)->inputs[i].scale, 1);
	}
	drpc_policy_net_free(&net);
	drpc_imitation_free(&im);
}

Test(imitation, the_file_answers_as_the_student_in_training)
{
	char path[] = "/tmp/drpc-student-XXXXXX";
	struct drpc_policy_info info = {.reward = 0.7f,
					.method = "imitation",
					.data = "drawn",
					.program = "test",
					.created_s = 5};
	struct drpc_imitation *im = taught(10, 300, 3);
	struct drpc_policy_net *direct = NULL, *loaded = NULL;
	struct drpc_rng rng = drpc_rng_make(4, 4);
	float f[DRPC_F_COUNT], a[3], b[3];
	double loss;

	close(mkstemp(path));
	cr_assert_eq(drpc_imitation_save(im, &info, path), -ENODATA, "not trained yet");
	cr_assert_eq(drpc_imitation_train(im, &loss), 0);
	cr_assert_eq(drpc_imitation_save(im, &info, path), 0);
	cr_assert_eq(drpc_imitation_policy(im, &info, &direct), 0);
	cr_assert_eq(drpc_policy_file_load(path, &loaded), 0);
	cr_assert_eq(drpc_policy_net_info(loaded)->samples, 300);
	cr_assert_eq(drpc_policy_net_info(loaded)->updates, 3 * (300 / 64));
	for (int i = 0; i < 50; i++) {
		draw(&rng, f);
		cr_assert_eq(drpc_policy_net_forward(direct, f, a), 0);
		cr_assert_eq(drpc_policy_net_forward(loaded, f, b), 0);
		cr_assert_arr_eq(a, b, sizeof(a));
	}
	drpc_policy_net_free(&direct);
	drpc_policy_net_free(&loaded);
	drpc_imitation_free(&im);
	unlink(path);
}

Test(imitation, same_seed_same_student)
{
	struct drpc_imitation *a = taught(5, 200, 5), *b = taught(5, 200, 5);
	double loss_a, loss_b;

	cr_assert_eq(drpc_imitation_train(a, &loss_a), 0);
	cr_assert_eq(drpc_imitation_train(b, &loss_b), 0);
	cr_assert_eq(loss_a, loss_b);
	drpc_imitation_free(&a);
	drpc_imitation_free(&b);
}

Test(imitation, bad_pairs_and_settings_are_refused)
{
	struct drpc_imitation_config c = drpc_imitation_defaults(5);
	struct drpc_imitation *im = NULL;
	float f[DRPC_F_COUNT] = {0}, out[3] = {0};
	double loss;

	c.lr = 10;
	cr_assert_eq(drpc_imitation_new(&c, &im), -EINVAL);
	c.lr = 0;
	cr_assert_eq(drpc_imitation_new(&c, &im), -EINVAL);
	c = drpc_imitation_defaults(0);
	cr_assert_eq(drpc_imitation_new(&c, &im), -EINVAL);
	c = drpc_imitation_defaults(5);
	c.capacity = 63;
	cr_assert_eq(drpc_imitation_new(&c, &im), -EINVAL);
	cr_assert_null(im);
	c = drpc_imitation_defaults(5);
	cr_assert_eq(drpc_imitation_new(&c, &im), 0);
	f[2] = NAN;
	cr_assert_eq(drpc_imitation_push(im, f, out), -EDOM);
	f[2] = 0;
	f[9] = NAN; /* not an input of this student */
	cr_assert_eq(drpc_imitation_push(im, f, out), 0);
	out[1] = 1.5f;
	cr_assert_eq(drpc_imitation_push(im, f, out), -EDOM);
	out[1] = NAN;
	cr_assert_eq(drpc_imitation_push(im, f, out), -EDOM);
	cr_assert_eq(drpc_imitation_count(im), 1);
	cr_assert_eq(drpc_imitation_train(im, &loss), -ENODATA);
	drpc_imitation_free(&im);
}
