/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRU and LSTM for inference: one series at a time, no BLAS, no allocation after packing, safe from
 * any thread.
 */
#pragma once

#include <stddef.h>

#define DRPC_RNN_MAX_HIDDEN 256
#define DRPC_RNN_MAX_INPUTS 64

enum drpc_rnn_cell {
	DRPC_RNN_GRU,
	DRPC_RNN_LSTM,
};

/* Gates side by side as in gru.h and lstm.h, each padded to a multiple of 16 columns of zeros. */
struct drpc_rnn_packed {
	enum drpc_rnn_cell cell;
	size_t in;
	size_t hidden;
	size_t pad;	 /* hidden, rounded up */
	const float *wx; /* [in][gates pad] */
	const float *wh; /* [hidden][gates pad] */
	const float *bx; /* [gates pad]; of an LSTM the sum of both biases */
	const float *bh; /* [gates pad], GRU only */
	float *allocation;
};

/*
 * Packs the parameters of a GRU (drpc_gru_params) or an LSTM (drpc_lstm_params). Returns 0,
 * -EINVAL for sizes of 0 or over the most, -ENOMEM; logged.
 */
int drpc_rnn_pack(enum drpc_rnn_cell cell, size_t in, size_t hidden, const float *params,
		  struct drpc_rnn_packed *ret);

/* Frees what packing allocated and zeroes it. */
void drpc_rnn_packed_done(struct drpc_rnn_packed *net);

/* Runs x [steps][in] from a zero state; `ret` [hidden] is the last step's output. */
void drpc_rnn_infer(const struct drpc_rnn_packed *net, size_t steps, const float *x, float *ret);
