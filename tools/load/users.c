// SPDX-License-Identifier: Apache-2.0
/* User types from one option instead of a mix file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/load/workload.h"
#include "workload/users.h"

static int add_ratio(struct drpc_workload *workload, const struct drpc_user_mix *mix, size_t i)
{
	struct drpc_load_ratio *more =
		reallocarray(workload->ratios, workload->ratio_count + 1, sizeof(*more));
	double *shares = calloc(DRPC_USERS_MAX_TYPES, sizeof(*shares));

	if (more)
		workload->ratios = more;
	if (!more || !shares) {
		free(shares);
		return -ENOMEM;
	}
	memcpy(shares, mix->ratio[i].shares, mix->types * sizeof(*shares));
	more[workload->ratio_count++] = (struct drpc_load_ratio){
		.at_s = mix->ratio[i].at_s, .ramp = mix->ratio[i].ramp, .shares = shares};
	return 0;
}

int drpc_workload_users(struct drpc_workload *workload, const char *flag, const char *spec)
{
	struct drpc_user_mix mix;
	int err = drpc_user_mix_parse(flag, spec, &mix);

	if (err)
		return err;
	for (size_t i = 0; !err && i < mix.types; i++) {
		unsigned int class;

		err = drpc_workload_class(workload, mix.type[i].name, mix.type[i].count, &class);
	}
	for (size_t i = 0; !err && i < mix.ratios; i++)
		err = add_ratio(workload, &mix, i);
	drpc_user_mix_done(&mix);
	return err;
}
