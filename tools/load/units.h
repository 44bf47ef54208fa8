/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and durations as the command line gives them. Silent: the caller names flag and form. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What drpc_parse_duration_ns() takes, for messages. */
#define DRPC_DURATION_FORM "a number with ns, us, ms, s, m or h (seconds without a unit)"

/*
 * The whole of `text` as a number in [min, max]; no sign, hex, inf or nan. Returns false and
 * leaves *ret alone where it is none.
 */
bool drpc_parse_number(const char *text, double min, double max, double *ret);

bool drpc_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* "250ms", "30s", "1.5m", "2h", "10" (seconds), up to 1000 hours. */
bool drpc_parse_duration_ns(const char *text, uint64_t *ret_ns);
