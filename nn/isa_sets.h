/* SPDX-License-Identifier: Apache-2.0 */
/* The tables that the nn/isa_*.c object files define, for isa.c. */
#pragma once

#include "nn/isa.h"

extern const struct drpc_isa drpc_isa_base;
extern const struct drpc_isa drpc_isa_avx2;
extern const struct drpc_isa drpc_isa_avx512;
