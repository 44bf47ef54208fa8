// SPDX-License-Identifier: Apache-2.0
#include "tools/sim/pool.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define JOBS 100

static atomic_int *shared(void)
{
	void *p = mmap(NULL, JOBS * sizeof(atomic_int), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(p, MAP_FAILED);
	return p;
}

static int count(void *arg, size_t job)
{
	atomic_int *ran = arg;

	atomic_fetch_add(&ran[job], 1);
	return 0;
}

Test(simcli_pool, each_job_once)
{
	atomic_int *ran = shared();

	cr_assert_eq(sim_pool_run(JOBS, 4, count, ran), 0);
	for (size_t i = 0; i < JOBS; i++)
		cr_assert_eq(atomic_load(&ran[i]), 1);
}

static int fail_one(void *arg, size_t job)
{
	count(arg, job);
	return job == 3 ? -EDOM : 0;
}

Test(simcli_pool, one_that_fails_is_told_and_the_others_go_on)
{
	atomic_int *ran = shared();

	cr_assert_eq(sim_pool_run(JOBS, 2, fail_one, ran), -EDOM);
	for (size_t i = 0; i < JOBS; i++)
		cr_assert_eq(atomic_load(&ran[i]), 1);
}

static int die(void *arg, size_t job)
{
	count(arg, job);
	if (job == 3)
		_exit(9);
	return 0;
}

Test(simcli_pool, one_that_dies_is_told)
{
	atomic_int *ran = shared();

	cr_assert_eq(sim_pool_run(JOBS, 2, die, ran), -ECHILD);
}
