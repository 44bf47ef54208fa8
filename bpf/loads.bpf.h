/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Loads of kernel memory by address, where the verifier no longer knows what lies there. */
#pragma once

#include "common.bpf.h"

extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;

/*
 * Kernel memory by address. `typed` (since 6.2) makes plain loads of it, which fault to 0; without,
 * each is a helper call. Constant at each call, so that one of both is compiled away.
 */
#define OBJECT(typed, address, type)                                                 \
	((typed) ? bpf_rdonly_cast((void *)(address), bpf_core_type_id_kernel(type)) \
		 : (void *)(address))

/* The barrier keeps offset and load apart: libbpf would take an array's load for one of a field. */
#define DEFINE_LOAD(bits)                                                                         \
	static __always_inline __u##bits load##bits(bool typed, const void *object, __u64 offset) \
	{                                                                                         \
		__u##bits value = 0;                                                              \
                                                                                                  \
		barrier_var(offset);                                                              \
		if (typed)                                                                        \
			return *(const __u##bits *)(object + offset);                             \
		bpf_probe_read_kernel(&value, sizeof(value), object + offset);                    \
		return value;                                                                     \
	}

DEFINE_LOAD(8)
DEFINE_LOAD(32)
DEFINE_LOAD(64)
