// SPDX-License-Identifier: Apache-2.0
#include "nn/optim.h"

#include <errno.h>
#include <math.h>

#include "lib/log.h"
#include "nn/isa.h"

int drpc_adam_check(const struct drpc_adam *adam, const char *where)
{
	if (!(adam->lr >= DRPC_LR_MIN && adam->lr <= DRPC_LR_MAX))
		return drpc_err(-EINVAL, "%s: learning rate %g, expected %g..%g", where, adam->lr,
				DRPC_LR_MIN, DRPC_LR_MAX);
	if (!(adam->beta1 >= 0 && adam->beta1 < 1 && adam->beta2 >= 0 && adam->beta2 < 1 &&
	      adam->eps > 0 && adam->eps < 1))
		return drpc_err(
			-EINVAL,
			"%s: Adam's beta1 %g, beta2 %g, eps %g, expected 0..1 each, below 1, eps above 0",
			where, adam->beta1, adam->beta2, adam->eps);
	if (!(adam->decay >= 0 && adam->decay * adam->lr < 1))
		return drpc_err(
			-EINVAL,
			"%s: weight decay %g, expected 0 or more, and less than 1 / learning rate",
			where, adam->decay);
	return 0;
}

void drpc_adam_step(struct drpc_adam *adam, size_t n, float *p, const float *g, float *m, float *v,
		    double grad_scale, float *target, double tau)
{
	const double t = (double)++adam->t;
	const struct drpc_adam_step step = {
		.beta1 = (float)adam->beta1,
		.beta2 = (float)adam->beta2,
		.eps = (float)adam->eps,
		.keep = (float)(1.0 - adam->lr * adam->decay),
		.step = (float)(adam->lr / (1.0 - pow(adam->beta1, t))),
		.v_scale = (float)(1.0 / sqrt(1.0 - pow(adam->beta2, t))),
		.grad_scale = (float)grad_scale,
		.tau = (float)tau,
	};

	drpc_isa()->adam(&step, n, p, g, m, v, target);
}

double drpc_grad_norm(size_t n, const float *g)
{
	return sqrt(drpc_isa()->sum_squares(n, g));
}

double drpc_grad_scale(double norm, double max_norm)
{
	/* PyTorch's 1e-6 keeps the quotient from rounding to above the limit. */
	return max_norm > 0 && norm > max_norm ? max_norm / (norm + 1e-6) : 1.0;
}

double drpc_mse(size_t n, const float *y, const float *target, float *dy)
{
	const float share = 2.0f / (float)n;
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		const float off = y[i] - target[i];

		sum += (double)off * (double)off;
		if (dy)
			dy[i] = off * share;
	}
	return sum / (double)n;
}
