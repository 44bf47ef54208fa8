// SPDX-License-Identifier: Apache-2.0
/*
 * TAP for test programs that Criterion cannot run: it isolates each test in a process in a way that
 * ThreadSanitizer does not survive, and that loses BPF programs loaded once for many tests.
 *
 *	int main(void)
 *	{
 *		tap_ok(drpc_queue_len(q) == 0, "a new queue is empty");
 *		tap_skip("no BTF", "programs load");
 *		return tap_done();
 *	}
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int tap_count, tap_failures;

__attribute__((format(printf, 2, 3))) static inline bool tap_ok(bool ok, const char *fmt, ...)
{
	va_list args;

	printf("%sok %d - ", ok ? "" : "not ", ++tap_count);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	tap_failures += !ok;
	return ok;
}

static inline void tap_skip(const char *reason, const char *what)
{
	printf("ok %d - %s # SKIP %s\n", ++tap_count, what, reason);
	fflush(stdout);
}

/* The plan comes last, so that a program that dies has none. Returns the exit status. */
static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);
	fflush(stdout);
	return tap_failures != 0;
}
