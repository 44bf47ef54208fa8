// SPDX-License-Identifier: Apache-2.0
#include "agent/node.h"

#include <sys/sysinfo.h>
#include <unistd.h>

void drpc_node_size(uint64_t *ret_mcpu, uint64_t *ret_memory_bytes)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct sysinfo info;

	*ret_mcpu = (uint64_t)(cpus > 0 ? cpus : 1) * 1000;
	*ret_memory_bytes = sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : 0;
}
