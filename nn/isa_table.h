/* SPDX-License-Identifier: Apache-2.0 */
/* Every kernel, and the table of them; each nn/isa_*.c includes this once, under its own flags. */
#pragma once

#include "nn/isa_sets.h"
#include "nn/kernels_student.h"

/* clang-format off */
#define DRPC_ISA_TABLE(isa_name) {	\
	.name = isa_name,		\
	.student = kernel_student,	\
	.student_batch = kernel_student_batch, \
}
/* clang-format on */
