/* SPDX-License-Identifier: Apache-2.0 */
/* The formats of the limit files. Strict: a container may own its files and write nonsense. */
#pragma once

#include <stdint.h>

/* "max" (DRPC_UNLIMITED) or a decimal number, up to the end or the first newline; -EBADMSG. */
int drpc_cgroupfs_parse_value(const char *text, uint64_t *ret);

/* "QUOTA PERIOD", quota a value as above; -EBADMSG. */
int drpc_cgroupfs_parse_cpu_max(const char *text, uint64_t *ret_quota, uint64_t *ret_period);
