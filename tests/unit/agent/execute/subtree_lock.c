// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/subtree_lock.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/agent/execute/fixture.h"

static struct fixture fx;

static void setup(void)
{
	fixture_open(&fx);
	cr_assert_eq(mkdirat(fx.fd, "a", 0755), 0);
	cr_assert_eq(mkdirat(fx.fd, "a/b", 0755), 0);
	cr_assert_eq(mkdirat(fx.fd, "ab", 0755), 0);
}

static void teardown(void)
{
	fixture_close(&fx);
}

TestSuite(subtree_lock, .init = setup, .fini = teardown);

Test(subtree_lock, equal_and_nested_subtrees_exclude_each_other)
{
	static const struct {
		const char *first, *second;
		int expected;
	} cases[] = {
		{"/a", "/a", -EBUSY},	   {"/a", "/a/b", -EBUSY}, {"/a/b", "/a", -EBUSY},
		{"/", "/a/b", -EBUSY},	   {"/a/b", "/", -EBUSY},  {"/", "/", -EBUSY},
		{"", "/a", -EBUSY},	   {"/a", "/ab", 0},	   {"/a/b", "/ab", 0},
		{"a//b/", "/a/b", -EBUSY},
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(cases); i++) {
		struct drpc_subtree_lock *first = NULL, *second = NULL;

		cr_assert_eq(drpc_subtree_lock_new(fx.fd, cases[i].first, &first), 0);
		cr_expect_eq(drpc_subtree_lock_new(fx.fd, cases[i].second, &second),
			     cases[i].expected, "%s then %s", cases[i].first, cases[i].second);
		drpc_subtree_lock_free(&first);
		if (cases[i].expected) {
			cr_expect_null(second);
			cr_expect_eq(drpc_subtree_lock_new(fx.fd, cases[i].second, &second), 0,
				     "free again");
		}
		drpc_subtree_lock_free(&second);
	}
}

Test(subtree_lock, ends_with_the_process)
{
	struct drpc_subtree_lock *lock = NULL;
	int ready[2], status;
	char byte;
	pid_t pid;

	cr_assert_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (drpc_subtree_lock_new(fx.fd, "/a", &lock) == 0 && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	cr_expect_eq(drpc_subtree_lock_new(fx.fd, "/a/b", &lock), -EBUSY);
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(drpc_subtree_lock_new(fx.fd, "/a/b", &lock), 0);
	drpc_subtree_lock_free(&lock);
}

Test(subtree_lock, bad_paths)
{
	struct drpc_subtree_lock *lock = NULL;

	cr_expect_eq(drpc_subtree_lock_new(fx.fd, "/nobody", &lock), -ENOENT);
	cr_expect_eq(drpc_subtree_lock_new(fx.fd, "/a/../ab", &lock), -EINVAL);
	cr_expect_null(lock);
}
