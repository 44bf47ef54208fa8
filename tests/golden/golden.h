/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what generate.py wrote, and comparing with it.
 *
 * Tolerances, all of the error's Euclidean norm by the tensor's:
 *   1e-5  outputs, losses and gradients. Single precision carries 6e-8 a number; sums over some 40
 *         rows and 30 inputs, through three layers there and back, gather some twenty of those each,
 *         and LayerNorm divides by a deviation under 1: a few 1e-7 is what is seen, 1e-5 leaves room
 *         for other instruction sets' order of sums and no room for a wrong term.
 *   1e-4  after ten optimiser steps. Adam divides a gradient by its own size: where a gradient is
 *         all rounding, its step is of full length in a random direction. Such numbers move by up to
 *         10 lr = 3e-3, and there are few of them.
 */
#pragma once

#include <stddef.h>

#define NEAR_LAYER 1e-5
#define NEAR_STEPS 1e-4

struct golden;

/* A file of tests/golden/data; the test fails where it cannot be read. */
struct golden *golden_open(const char *name);
void golden_close(struct golden *golden);

/*
 * A tensor by name, printf-like; n is what its size must be. The test fails where it is not there.
 * Stands until golden_close().
 */
const float *golden_get(struct golden *golden, size_t n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Fails the test where |got - want| > tolerance |want|; NaN fails. */
void golden_near(size_t n, const float *got, const float *want, double tolerance, const char *fmt,
		 ...) __attribute__((format(printf, 5, 6)));

/* w [out][in] of PyTorch to ours, [in][out] with rows ld apart. */
void golden_transpose(size_t out, size_t in, const float *w, float *ret, size_t ld);
