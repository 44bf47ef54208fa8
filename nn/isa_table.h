/* SPDX-License-Identifier: Apache-2.0 */
/* Every kernel, and the table of them; each nn/isa_*.c includes this once, under its own flags. */
#pragma once

#include "nn/isa_sets.h"
#include "nn/kernels_gemm.h"
#include "nn/kernels_layers.h"
#include "nn/kernels_optim.h"
#include "nn/kernels_pool.h"
#include "nn/kernels_rng.h"
#include "nn/kernels_rnn.h"
#include "nn/kernels_student.h"

/* clang-format off */
#define DRPC_ISA_TABLE(isa_name) {			\
	.name = (isa_name),				\
	.lanes = VF_LANES,				\
	.student = kernel_student,			\
	.student_batch = kernel_student_batch,		\
	.normal = kernel_normal,			\
	.gemm = kernel_gemm,				\
	.gemm_bias_relu = kernel_gemm_bias_relu,	\
	.gemm_back_relu = kernel_gemm_back_relu,	\
	.bias_act = kernel_bias_act,			\
	.act_back = kernel_act_back,			\
	.norm_act = kernel_norm_act,			\
	.norm_back = kernel_norm_back,			\
	.adam = kernel_adam,				\
	.average = kernel_average,			\
	.sum_squares = kernel_sum_squares,		\
	.smooth = kernel_smooth,			\
	.gather = kernel_gather,			\
	.pool = kernel_pool,				\
	.pool_back = kernel_pool_back,			\
	.group_add = kernel_group_add,			\
	.group_sum = kernel_group_sum,			\
	.gru_gates = kernel_gru_gates,			\
	.gru_gates_back = kernel_gru_gates_back,	\
	.lstm_gates = kernel_lstm_gates,		\
	.lstm_gates_back = kernel_lstm_gates_back,	\
	.gru_infer = kernel_gru_infer,			\
	.lstm_infer = kernel_lstm_infer,		\
}
/* clang-format on */
