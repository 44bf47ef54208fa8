/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging: one line per message on standard error, "LEVEL subject: text".
 *
 * Messages are unbroken string literals, so that grep finds them. A message about a failure that
 * is survived ends in ", ignoring" or says what happens instead. Under systemd the level is sent
 * as a <N> prefix, which the journal understands.
 */
#pragma once

#include <stdarg.h>

enum drpc_log_level {
	DRPC_LOG_ERROR,
	DRPC_LOG_WARN,
	DRPC_LOG_INFO,
	DRPC_LOG_DEBUG,
};

/* Sets the highest level that is printed (default DRPC_LOG_INFO). Not thread-safe: call at start. */
void drpc_log_set_level(enum drpc_log_level level);

/* Whether messages of `level` are printed now. */
int drpc_log_enabled(enum drpc_log_level level);

void drpc_log(enum drpc_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void drpc_logv(enum drpc_log_level level, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));

/*
 * Log and return in one expression: `return drpc_err(-EINVAL, "roster: %u slots, at most %u", …)`.
 * Returns `err` (a negative errno) unchanged; the text of the errno is appended.
 */
int drpc_err(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define drpc_error(...) drpc_log(DRPC_LOG_ERROR, __VA_ARGS__)
#define drpc_warn(...)	drpc_log(DRPC_LOG_WARN, __VA_ARGS__)
#define drpc_info(...)	drpc_log(DRPC_LOG_INFO, __VA_ARGS__)
#define drpc_debug(...)                                        \
	do {                                                   \
		if (drpc_log_enabled(DRPC_LOG_DEBUG))          \
			drpc_log(DRPC_LOG_DEBUG, __VA_ARGS__); \
	} while (0)
