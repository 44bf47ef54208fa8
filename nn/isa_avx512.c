// SPDX-License-Identifier: Apache-2.0
/* AVX-512 F, BW, DQ, VL; mk/build.mk gives the flags. */
#if defined(__x86_64__)
#include "nn/isa_table.h"

_Static_assert(VF_LANES == 16, "compile with -mavx512f -mavx512bw -mavx512dq -mavx512vl");
const struct drpc_isa drpc_isa_avx512 = DRPC_ISA_TABLE("avx512");
#endif
