/* SPDX-License-Identifier: Apache-2.0 */
/* Several arrays of floats in one allocation, each on a cache line of its own. */
#pragma once

#include <stddef.h>

/*
 * *parts[i] becomes an array of sizes[i] zeros, for each of the n; *ret_memory, to be freed, holds
 * them all. -ENOMEM, not logged.
 */
int drpc_floats_new(size_t n, const size_t sizes[], float **const parts[], float **ret_memory);
