// SPDX-License-Identifier: Apache-2.0
/* Labels: "key=value", as containers bring them. A refusal changes nothing and says why. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *line, *rest;
	struct drpc_policy policy, before;
	char why[512];

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	drpc_policy_defaults(&policy, 4000, 8ULL << 30);
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		char *value = strchr(line, '=');

		if (!value)
			continue;
		*value++ = '\0';
		memcpy(&before, &policy, sizeof(policy));
		why[0] = '\0';
		if (drpc_policy_set(&policy, line, value, why, sizeof(why)) < 0) {
			assert(why[0]);
			assert(memcmp(&before, &policy, sizeof(policy)) == 0);
			for (const char *p = why; *p; p++)
				assert((unsigned char)*p >= 0x20);
		}
	}
	why[0] = '\0';
	if (drpc_policy_check(&policy, why, sizeof(why)) < 0)
		assert(why[0]);
	free(text);
	return 0;
}
