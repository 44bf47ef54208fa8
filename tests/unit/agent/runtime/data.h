/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of real engines, recorded. Found from the repository's root, where tests run. */
#pragma once

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/util.h"

static inline char *data_read(const char *name)
{
	char path[128], *text = NULL;

	snprintf(path, sizeof(path), "tests/unit/agent/runtime/data/%s", name);
	cr_assert_gt(drpc_read_file_at(AT_FDCWD, path, 1 << 20, &text), 0, "%s", path);
	return text;
}
