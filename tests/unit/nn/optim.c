// SPDX-License-Identifier: Apache-2.0
#include "nn/optim.h"

#include <errno.h>

#include "tests/unit/nn/near.h"

Test(optim, adam_walks_down_a_parabola)
{
	struct drpc_adam adam = drpc_adam_make(0.05, 0.0);
	float p[3] = {3, -2, 1}, m[3] = {0}, v[3] = {0}, g[3];

	for (int i = 0; i < 500; i++) {
		for (int j = 0; j < 3; j++)
			g[j] = 2 * (p[j] - 0.5f);
		drpc_adam_step(&adam, 3, p, g, m, v, 1.0, NULL, 0.0);
	}
	cr_assert_eq(adam.t, 500);
	for (int j = 0; j < 3; j++)
		cr_assert_float_eq((double)p[j], 0.5, 1e-3);
}

/* The first step of Adam is lr in the gradient's direction, whatever its size. */
Test(optim, first_step_is_the_learning_rate)
{
	struct drpc_adam adam = drpc_adam_make(0.01, 0.0);
	float p[2] = {0, 0}, m[2] = {0}, v[2] = {0}, g[2] = {1e-3f, -50};

	drpc_adam_step(&adam, 2, p, g, m, v, 1.0, NULL, 0.0);
	cr_assert_float_eq((double)p[0], -0.01, 1e-6);
	cr_assert_float_eq((double)p[1], 0.01, 1e-6);
}

Test(optim, settings_that_cannot_train_are_refused)
{
	static const double bad[] = {0.0, 10.0, -1e-3, NAN, INFINITY};
	struct drpc_adam adam;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		adam = drpc_adam_make(bad[i], 0.0);
		cr_assert_eq(drpc_adam_check(&adam, "test"), -EINVAL);
	}
	adam = drpc_adam_make(3e-4, 0.01);
	cr_assert_eq(drpc_adam_check(&adam, "test"), 0);
	adam.decay = -1;
	cr_assert_eq(drpc_adam_check(&adam, "test"), -EINVAL);
	adam = drpc_adam_make(3e-4, 0);
	adam.beta2 = 1.0;
	cr_assert_eq(drpc_adam_check(&adam, "test"), -EINVAL);
}

Test(optim, clipping_holds_the_norm)
{
	float g[2] = {3, 4};

	cr_assert_float_eq(drpc_grad_norm(2, g), 5.0, 1e-6);
	cr_assert_float_eq(drpc_grad_scale(5.0, 1.0), 0.2, 1e-6);
	cr_assert_eq(drpc_grad_scale(0.5, 1.0), 1.0);
	cr_assert_eq(drpc_grad_scale(5.0, 0.0), 1.0);
	g[1] = INFINITY;
	cr_assert_not(isfinite(drpc_grad_norm(2, g)));
}

Test(optim, squared_loss_and_its_gradient)
{
	float y[4] = {1, 2, 3, 4}, target[4] = {1, 1, 5, 4}, dy[4];

	cr_assert_float_eq(drpc_mse(4, y, target, dy), 1.25, 1e-12);
	cr_assert_float_eq((double)dy[1], 0.5, 1e-7);
	cr_assert_float_eq((double)dy[2], -1.0, 1e-7);
	cr_assert_eq(drpc_mse(4, y, target, NULL), 1.25);
}
