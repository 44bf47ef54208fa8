// SPDX-License-Identifier: Apache-2.0
/* The configuration file: whatever it holds, it is refused with a reason or gives sound policies. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "agent/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"", "shop/front", "a", "*", "[", "batch-1"};
	struct drpc_config config;
	struct drpc_policy policy;
	char why[512] = "";

	if (drpc_config_parse((const char *)data, size, "fuzz.yaml", 4000, 8ULL << 30, &config, why,
			      sizeof(why)) < 0) {
		assert(strncmp(why, "fuzz.yaml:", 10) == 0);
		return 0;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		drpc_config_policy(&config, names[i], &policy);
		assert(drpc_policy_check(&policy, why, sizeof(why)) == 0);
	}
	drpc_config_free(&config);
	return 0;
}
