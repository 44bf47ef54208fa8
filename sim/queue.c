// SPDX-License-Identifier: Apache-2.0
#include "sim/queue.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#define LINE	64
#define LEADING (LINE / sizeof(struct drpc_simq_entry) - 1) /* so that entry 1 begins a line */

int drpc_simq_init(struct drpc_simq *q, uint32_t handles)
{
	const uint64_t heap = ((uint64_t)handles + LEADING + 1) * sizeof(struct drpc_simq_entry);
	const uint64_t at = (uint64_t)handles * sizeof(uint32_t);
	void *base = mmap(NULL, heap + at, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return -ENOMEM;
	*q = (struct drpc_simq){.heap = (struct drpc_simq_entry *)base + LEADING,
				.at = (uint32_t *)((char *)base + heap),
				.handles = handles,
				.base = base,
				.base_bytes = heap + at};
	return 0;
}

void drpc_simq_release(struct drpc_simq *q)
{
	if (q->base)
		munmap(q->base, q->base_bytes);
	*q = (struct drpc_simq){0};
}
