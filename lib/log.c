// SPDX-License-Identifier: Apache-2.0
#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum drpc_log_level log_max = DRPC_LOG_INFO;

void drpc_log_set_level(enum drpc_log_level level)
{
	log_max = level;
}

int drpc_log_enabled(enum drpc_log_level level)
{
	return level <= log_max;
}

void drpc_logv(enum drpc_log_level level, const char *fmt, va_list args)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	/* Priorities of sd-daemon(3). */
	static const char *const prefixes[] = {"<3>", "<4>", "<6>", "<7>"};
	char text[2048];

	if (!drpc_log_enabled(level))
		return;

	vsnprintf(text, sizeof(text), fmt, args);
	/* One call, so that lines of several threads do not mix. */
	fprintf(stderr, "%s%s %s\n", getenv("JOURNAL_STREAM") ? prefixes[level] : "", names[level],
		text);
}

void drpc_log(enum drpc_log_level level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	drpc_logv(level, fmt, args);
	va_end(args);
}

int drpc_err(int err, const char *fmt, ...)
{
	char text[1792];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	drpc_log(DRPC_LOG_ERROR, "%s: %s", text, strerror(-err));
	return err;
}
