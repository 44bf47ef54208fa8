/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/monitor/kernel_load.h"

#include <string.h>

#include "lib/log.h"

int drpc_kernel_load(struct drpc_kernel *kernel, const char *concern,
		     struct bpf_object_skeleton *skeleton, const struct drpc_need *needs,
		     size_t n_needs)
{
	struct bpf_object *object = *skeleton->obj;
	int r;

	r = drpc_kernel_share_maps(kernel, object);
	if (r < 0)
		return r;
	drpc_ladder_autoload(object, needs, n_needs);
	r = bpf_object__load_skeleton(skeleton);
	if (r < 0)
		return drpc_err(r, "%s: the kernel refuses the programs together", concern);
	r = bpf_object__attach_skeleton(skeleton);
	if (r < 0)
		return drpc_err(r, "%s: cannot attach the programs", concern);
	drpc_kernel_account_maps(kernel, object);
	return 0;
}

bool drpc_need_uses(const struct drpc_need *need, const char *program)
{
	if (!need->chosen)
		return false;
	for (int i = 0; i < DRPC_RUNG_PROGRAMS && need->chosen->programs[i]; i++) {
		if (!strcmp(need->chosen->programs[i], program))
			return true;
	}
	return false;
}
