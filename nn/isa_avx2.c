// SPDX-License-Identifier: Apache-2.0
/* AVX2 and FMA; mk/build.mk gives the flags. */
#if defined(__x86_64__)
#include "nn/isa_table.h"

_Static_assert(VF_LANES == 8, "compile with -mavx2 -mfma");
const struct drpc_isa drpc_isa_avx2 = DRPC_ISA_TABLE("avx2");
#endif
