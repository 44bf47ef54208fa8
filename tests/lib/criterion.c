// SPDX-License-Identifier: Apache-2.0
/*
 * What every Criterion program gets besides its tests.
 *
 * Gives every test that names no time limit of its own the default one. Criterion's --timeout only
 * lowers limits that are there: without this a test that hangs would take its whole program along.
 *
 * Keeps LeakSanitizer from the process that only starts the tests: Criterion itself leaks there now and
 * then. The tests run in processes of their own, whose leaks are reported.
 */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

/* Not there in a build without the sanitizer. */
extern void __lsan_disable(void) __attribute__((weak));

#define DEFAULT_LIMIT_SECONDS 120

ReportHook(PRE_ALL)(struct criterion_test_set *set)
{
	if (__lsan_disable)
		__lsan_disable();
	FOREACH_SET(struct criterion_suite_set * suite, set->suites)
	{
		const struct criterion_test_extra_data *of_suite = suite->suite.data;

		if (!suite->tests || (of_suite && of_suite->timeout > 0))
			continue;
		FOREACH_SET(struct criterion_test * test, suite->tests)
		{
			if (test->data->timeout <= 0)
				test->data->timeout = DEFAULT_LIMIT_SECONDS;
		}
	}
}
