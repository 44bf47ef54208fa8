// SPDX-License-Identifier: Apache-2.0
#include "nn/floats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES  64
#define LINE_FLOATS (LINE_BYTES / sizeof(float))

static size_t whole_lines(size_t floats)
{
	return (floats + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
}

int drpc_floats_new(size_t n, const size_t sizes[], float **const parts[], float **ret_memory)
{
	size_t floats = 0;
	float *at;

	for (size_t i = 0; i < n; i++)
		floats += whole_lines(sizes[i]);
	at = aligned_alloc(LINE_BYTES, floats * sizeof(*at));
	if (!at)
		return -ENOMEM;
	memset(at, 0, floats * sizeof(*at));
	*ret_memory = at;
	for (size_t i = 0; i < n; i++) {
		*parts[i] = at;
		at += whole_lines(sizes[i]);
	}
	return 0;
}
