// SPDX-License-Identifier: Apache-2.0
#include "nn/rnn_infer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/isa.h"

#define PAD 16 /* the widest vector */

/* Copies rows of `gates` blocks of `hidden` floats to rows of as many blocks of `pad`. */
static const float *rnn_spread(float *dst, const float *src, size_t rows, size_t gates,
			       size_t hidden, size_t pad)
{
	for (size_t i = 0; i < rows * gates; i++, src += hidden)
		memcpy(dst + i * pad, src, hidden * sizeof(*dst));
	return src;
}

int drpc_rnn_pack(enum drpc_rnn_cell cell, size_t in, size_t hidden, const float *params,
		  struct drpc_rnn_packed *ret)
{
	const size_t gates = cell == DRPC_RNN_GRU ? 3 : 4;
	const size_t pad = (hidden + PAD - 1) / PAD * PAD, width = gates * pad;
	const float *p = params;
	float *wx, *wh, *bx, *bh;

	if (in < 1 || in > DRPC_RNN_MAX_INPUTS || hidden < 1 || hidden > DRPC_RNN_MAX_HIDDEN)
		return drpc_err(-EINVAL,
				"rnn: %zu inputs and %zu hidden units, expected 1..%d and 1..%d",
				in, hidden, DRPC_RNN_MAX_INPUTS, DRPC_RNN_MAX_HIDDEN);
	/* width is a multiple of 16 floats, so that every part begins on a cache line. */
	wx = aligned_alloc(64, (in + hidden + 2) * width * sizeof(*wx));
	if (!wx)
		return drpc_err(-ENOMEM, "rnn");
	memset(wx, 0, (in + hidden + 2) * width * sizeof(*wx));
	wh = wx + in * width;
	bx = wh + hidden * width;
	bh = bx + width;
	p = rnn_spread(wx, p, in, gates, hidden, pad);
	p = rnn_spread(wh, p, hidden, gates, hidden, pad);
	p = rnn_spread(bx, p, 1, gates, hidden, pad);
	if (cell == DRPC_RNN_GRU)
		rnn_spread(bh, p, 1, gates, hidden, pad);
	*ret = (struct drpc_rnn_packed){.cell = cell,
					.in = in,
					.hidden = hidden,
					.pad = pad,
					.wx = wx,
					.wh = wh,
					.bx = bx,
					.bh = bh,
					.allocation = wx};
	return 0;
}

void drpc_rnn_packed_done(struct drpc_rnn_packed *net)
{
	free(net->allocation);
	*net = (struct drpc_rnn_packed){0};
}

void drpc_rnn_infer(const struct drpc_rnn_packed *net, size_t steps, const float *x, float *ret)
{
	_Alignas(64) float h[DRPC_RNN_MAX_HIDDEN] = {0}, c[DRPC_RNN_MAX_HIDDEN] = {0};

	if (net->cell == DRPC_RNN_GRU)
		drpc_isa()->gru_infer(net, steps, x, h);
	else
		drpc_isa()->lstm_infer(net, steps, x, h, c);
	memcpy(ret, h, net->hidden * sizeof(*ret));
}
