/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instruction sets: the kernels of nn/ are built for several, and the best that the processor has
 * is taken the first time one is needed. DRPC_ISA=base|avx2|avx512 in the environment holds it to
 * one of them (for tests and comparisons).
 */
#pragma once

#include <stddef.h>

struct drpc_student;

struct drpc_isa {
	const char *name;
	/* drpc_student_forward(), drpc_student_forward_batch() */
	void (*student)(const struct drpc_student *student, const float *state, float *ret);
	void (*student_batch)(const struct drpc_student *student, size_t rows, const float *states,
			      float *ret);
};

/* Never NULL; the same for the life of the process. Safe from any thread. */
const struct drpc_isa *drpc_isa(void);

/* The kernels of one set by name, NULL where this build or this processor lacks it. */
const struct drpc_isa *drpc_isa_named(const char *name);
