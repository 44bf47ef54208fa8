/* SPDX-License-Identifier: Apache-2.0 */
/* Adam and AdamW (decoupled decay), as PyTorch computes them; gradient norms; the squared loss. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Learning rates outside of this are refused: below nothing moves, above Adam only diverges. */
#define DRPC_LR_MIN 1e-8
#define DRPC_LR_MAX 0.1

struct drpc_adam {
	double lr;
	double beta1, beta2, eps;
	double decay; /* AdamW's; 0 is plain Adam */
	uint64_t t;   /* steps done */
};

static inline struct drpc_adam drpc_adam_make(double lr, double decay)
{
	return (struct drpc_adam){
		.lr = lr, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .decay = decay};
}

/* 0, or -EINVAL (logged, beginning with `where`) for a setting that cannot train. */
int drpc_adam_check(const struct drpc_adam *adam, const char *where);

/*
 * One step: t counts up; p, m, v [n] move by g times grad_scale. Where target is not NULL, it moves
 * by tau towards the new p in the same pass.
 */
void drpc_adam_step(struct drpc_adam *adam, size_t n, float *p, const float *g, float *m, float *v,
		    double grad_scale, float *target, double tau);

/* Euclidean norm; not finite where an element is not, or is beyond 1e19. */
double drpc_grad_norm(size_t n, const float *g);

/* What to scale gradients with so that their norm is at most max_norm; 1 where max_norm is 0. */
double drpc_grad_scale(double norm, double max_norm);

/* Mean of (y - target)^2 over n numbers; dy (may be y, may be NULL) = 2 (y - target) / n. */
double drpc_mse(size_t n, const float *y, const float *target, float *dy);
