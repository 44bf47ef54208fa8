/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For tests alone: the shared arithmetic as the kernel runs it, by BPF_PROG_TEST_RUN. */
#include "common.bpf.h"

/* The bucket of the first argument. */
SEC("raw_tp/sys_enter")
int hist_bucket(struct bpf_raw_tracepoint_args *ctx)
{
	return (int)drpc_hist_bucket(ctx->args[0]);
}
