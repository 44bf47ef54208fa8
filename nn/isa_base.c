// SPDX-License-Identifier: Apache-2.0
/* What every processor of the architecture has. */
#include "nn/isa_table.h"

const struct drpc_isa drpc_isa_base = DRPC_ISA_TABLE("base");
