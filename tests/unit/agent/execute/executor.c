// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/executor.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>

#include "tests/unit/agent/execute/fake_runtime.h"

#define BOTH   (DRPC_LIMIT_CPU | DRPC_LIMIT_MEMORY)
#define MIB    DRPC_MIB
#define NONE   DRPC_UNLIMITED
#define SETTLE (3 * DRPC_NSEC_PER_SEC)
#define NOW    (1000 * DRPC_NSEC_PER_SEC)

static struct fixture fx;
static struct fake_runtime engine;
static struct drpc_journal *journal;
static struct drpc_executor *executor;
static struct drpc_container web, db;
static struct drpc_apply_result result;
static int last_err;
static unsigned int told;

static void on_result(void *arg, uint64_t cgroup_id, int err, const char *why)
{
	(void)arg;
	(void)why;
	cr_expect(cgroup_id == web.cgroup_id || cgroup_id == db.cgroup_id);
	last_err = err;
	told++;
}

static void executor_open(bool with_journal, bool with_engine)
{
	struct drpc_executor_config config = {
		.cgroup_fd = fx.fd,
		.journal = with_journal ? journal : NULL,
		.runtime = with_engine ? &engine.rt : NULL,
		.memory_margin_bytes = 4 * MIB,
		.settle_ns = SETTLE,
		.on_result = on_result,
	};

	drpc_executor_free(&executor);
	cr_assert_eq(drpc_executor_new(&config, &executor), 0);
}

static void setup(void)
{
	fixture_open(&fx);
	fixture_cgroup(&fx, "/web");
	fixture_cgroup(&fx, "/db");
	fixture_container(&fx, "/web", &web);
	fixture_container(&fx, "/db", &db);
	fake_open(&engine, &fx);
	fake_add(&engine, "web");
	journal = NULL;
	executor = NULL;
	told = 0;
	cr_assert_eq(drpc_journal_open(fx.journal, &journal), 0);
	executor_open(true, true);
}

static void teardown(void)
{
	fake_free(&engine.rt);
	drpc_executor_free(&executor);
	drpc_journal_free(&journal);
	fixture_close(&fx);
}

TestSuite(executor, .init = setup, .fini = teardown);

static int apply_at(uint64_t now_ns, const struct drpc_container *c, uint64_t quota, uint64_t max,
		    uint32_t what)
{
	struct drpc_target t = {
		.container = c, .limits = limits_of(quota, 0, NONE, max), .what = what};

	drpc_executor_apply(executor, &t, 1, now_ns, &result);
	return result.err;
}

static int apply(const struct drpc_container *c, uint64_t quota, uint64_t max)
{
	return apply_at(NOW, c, quota, max, BOTH);
}

static void expect(const char *cgroup, const char *cpu, const char *max)
{
	cr_expect_str_eq(fixture_get(&fx, cgroup, "cpu.max"), cpu);
	cr_expect_str_eq(fixture_get(&fx, cgroup, "memory.max"), max);
}

/* The host has no limit files: the engine alone can do it. */
static void without_files(void)
{
	static const char *const files[] = {"cpu.max", "cpu.max.burst", "memory.high",
					    "memory.max"};
	char path[64];

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "web/%s", files[i]);
		unlinkat(fx.fd, path, 0);
	}
	engine.fx = NULL;
	web.engine_known = true;
}

/* --- by files --------------------------------------------------------------------------------- */

Test(executor, writes_files_and_journals_the_original_first)
{
	const struct drpc_journal_record *r;

	cr_expect_eq(apply(&web, 50000, 64 * MIB), 0, "%s", result.why);
	cr_expect_eq(result.via, DRPC_VIA_FILES);
	cr_expect_eq(result.done, BOTH);
	cr_expect_eq(result.before.cpu_quota_usec, NONE);
	expect("/web", "50000 100000", "67108864");
	r = drpc_journal_find(journal, "web", "/web");
	cr_assert_not_null(r);
	cr_expect_eq(r->original.cpu_quota_usec, NONE);
	cr_expect_eq(r->original.mem_max_bytes, NONE);
	cr_expect_eq(r->what, BOTH | DRPC_JOURNAL_FILES);
	cr_expect_eq(apply(&web, 70000, 64 * MIB), 0);
	cr_expect_eq(result.before.cpu_quota_usec, 50000);
	cr_expect_eq(drpc_journal_find(journal, "web", "/web")->original.cpu_quota_usec, NONE);
}

Test(executor, memory_that_is_not_ours_is_left_alone)
{
	cr_expect_eq(apply_at(NOW, &web, 50000, 64 * MIB, DRPC_LIMIT_CPU), 0);
	expect("/web", "50000 100000", "max");
	fixture_put(&fx, "/web", "memory.max", "536870912\n");
	cr_expect_eq(drpc_executor_restore_all(executor, 1000, NULL), 0);
	expect("/web", "max 100000", "536870912");
}

Test(executor, later_managed_memory_keeps_the_first_cpu_original)
{
	cr_expect_eq(apply_at(NOW, &web, 50000, 0, DRPC_LIMIT_CPU), 0);
	fixture_put(&fx, "/web", "memory.max", "536870912\n");
	cr_expect_eq(apply(&web, 60000, 64 * MIB), 0, "%s", result.why);
	cr_expect_eq(drpc_executor_restore_all(executor, 1000, NULL), 0);
	expect("/web", "max 100000", "536870912");
}

Test(executor, memory_in_use_does_not_stop_the_cpu)
{
	cr_expect_eq(apply(&web, 50000, 12 * MIB), -EBUSY);
	cr_expect_eq(result.done, DRPC_LIMIT_CPU);
	expect("/web", "50000 100000", "max");
}

Test(executor, reading_only)
{
	struct drpc_limits limits = {0};

	executor_open(false, false);
	cr_expect_eq(apply(&web, 50000, 64 * MIB), -ESHUTDOWN);
	expect("/web", "max 100000", "max");
	cr_expect_eq(drpc_executor_read(executor, &web, BOTH, &limits), 0);
	cr_expect_eq(limits.cpu_quota_usec, NONE);
	cr_expect_eq(limits.cpu_period_usec, 100000);
}

Test(executor, no_way)
{
	char why[160];

	without_files();
	web.engine_known = false;
	cr_expect_eq(drpc_executor_probe(executor, &web, why, sizeof(why)), DRPC_VIA_NONE);
	cr_expect_not_null(strstr(why, "no such controller"), "%s", why);
	cr_expect_eq(apply(&web, 50000, 64 * MIB), -EOPNOTSUPP);
	cr_expect_eq(drpc_journal_count(journal), 0);
}

Test(executor, one_controller_is_missing)
{
	struct drpc_executor_status status;
	struct drpc_limits limits = {.mem_max_bytes = 7};

	unlinkat(fx.fd, "web/memory.max", 0);
	cr_expect_eq(drpc_executor_read(executor, &web, BOTH, &limits), 0);
	cr_expect(limits.cpu_quota_usec == NONE && limits.mem_max_bytes == 7);
	cr_expect_eq(apply(&web, 50000, 64 * MIB), -EOPNOTSUPP);
	cr_expect_eq(result.done, DRPC_LIMIT_CPU);
	cr_expect_str_eq(fixture_get(&fx, "/web", "cpu.max"), "50000 100000");
	cr_assert(drpc_executor_status(executor, web.cgroup_id, &status));
	cr_expect_eq(status.err, -EOPNOTSUPP, "a degraded state that can be seen");
	cr_expect_eq(drpc_executor_restore_all(executor, 1000, NULL), 0);
	cr_expect_str_eq(fixture_get(&fx, "/web", "cpu.max"), "max 100000");
}

Test(executor, vanished)
{
	fixture_remove(&fx, "/cgroup/web");
	cr_expect_eq(apply(&web, 50000, 64 * MIB), -ENODEV);
	cr_expect_eq(drpc_journal_count(journal), 0);
	drpc_executor_gone(executor, web.cgroup_id);
	cr_expect_eq(
		drpc_executor_status(executor, web.cgroup_id, &(struct drpc_executor_status){0}),
		false);
}

Test(executor, goes_while_it_is_managed)
{
	cr_expect_eq(apply(&web, 50000, 64 * MIB), 0);
	cr_expect_eq(drpc_journal_count(journal), 1);
	drpc_executor_gone(executor, web.cgroup_id);
	cr_expect_eq(drpc_journal_count(journal), 0);
	drpc_executor_gone(executor, web.cgroup_id);
}

Test(executor, full_disk_under_the_journal)
{
	struct drpc_executor_status status;
	char path[128], block[4096] = {0};
	int filler;

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		cr_skip_test("mount namespaces are not permitted");
	snprintf(path, sizeof(path), "%s/state", fx.dir);
	cr_assert_eq(mount("none", path, "tmpfs", 0, "size=16k"), 0);
	drpc_journal_free(&journal);
	cr_assert_eq(drpc_journal_open(fx.journal, &journal), 0);
	executor_open(true, true);
	cr_expect_eq(apply(&db, 40000, 64 * MIB), 0, "%s", result.why);
	snprintf(path, sizeof(path), "%s/state/filler", fx.dir);
	filler = open(path, O_WRONLY | O_CREAT, 0600);
	while (write(filler, block, sizeof(block)) > 0)
		;
	/* The present page of the journal may have room: use it up. */
	for (int i = 0; i < 64; i++) {
		struct drpc_journal_record r = {.what = DRPC_LIMIT_CPU};

		snprintf(r.id, sizeof(r.id), "filler%d", i);
		if (drpc_journal_add(journal, &r, 1) < 0)
			break;
	}
	cr_expect_eq(apply(&web, 50000, 64 * MIB), -ENOSPC);
	expect("/web", "max 100000", "max");
	cr_assert(drpc_executor_status(executor, web.cgroup_id, &status));
	cr_expect(status.err == -ENOSPC && !status.journalled && status.why[0]);
	cr_expect_eq(apply(&db, 60000, 64 * MIB), 0, "its original is on record: %s", result.why);
	unlink(path);
	close(filler);
	cr_expect_eq(apply(&web, 50000, 64 * MIB), 0, "room again: %s", result.why);
	drpc_journal_free(&journal);
	executor_open(false, false);
	*strrchr(path, '/') = '\0';
	umount2(path, MNT_DETACH);
}

Test(executor, what_grows_goes_first)
{
	struct drpc_target t[2] = {
		{.container = &web, .limits = limits_of(30000, 0, NONE, NONE), .what = BOTH},
		{.container = &db, .limits = limits_of(70000, 0, NONE, NONE), .what = BOTH},
	};
	struct drpc_apply_result r[2];
	struct stat a, b;
	char path[128];

	cr_assert_eq(apply(&web, 50000, NONE), 0);
	cr_assert_eq(apply(&db, 50000, NONE), 0);
	usleep(20000); /* more than the file system's clock */
	cr_expect_eq(drpc_executor_apply(executor, t, 2, NOW, r), 0);
	cr_expect(r[0].err == 0 && r[1].err == 0);
	expect("/web", "30000 100000", "max");
	expect("/db", "70000 100000", "max");
	snprintf(path, sizeof(path), "%s/cgroup/web/cpu.max", fx.dir);
	cr_assert_eq(stat(path, &a), 0);
	snprintf(path, sizeof(path), "%s/cgroup/db/cpu.max", fx.dir);
	cr_assert_eq(stat(path, &b), 0);
	cr_expect(b.st_mtim.tv_sec < a.st_mtim.tv_sec || (b.st_mtim.tv_sec == a.st_mtim.tv_sec &&
							  b.st_mtim.tv_nsec <= a.st_mtim.tv_nsec),
		  "db grew before web shrank");
}

/* --- the engine is told ----------------------------------------------------------------------- */

Test(executor, engine_is_told_once_it_has_settled)
{
	struct drpc_executor_status status;
	const struct drpc_runtime_limits *l = &engine.containers[0].limits;

	web.engine_known = true;
	engine.containers[0].limits = (struct drpc_runtime_limits){
		.nano_cpus = 800000000, .memory_bytes = 100 * MIB, .memory_swap_bytes = 150 * MIB};
	fake_write_files(&engine, &engine.containers[0]);
	cr_expect_eq(apply(&web, 50000, 64 * MIB), 0, "%s", result.why);
	drpc_executor_tick(executor, NOW + SETTLE - 1);
	cr_expect_eq(engine.pending, 0, "not yet");
	cr_expect_eq(apply_at(NOW + SETTLE - 1, &web, 60000, 64 * MIB, BOTH), 0);
	drpc_executor_tick(executor, NOW + SETTLE);
	cr_expect_eq(engine.pending, 0, "it has moved since");
	drpc_executor_tick(executor, NOW + 2 * SETTLE);
	fake_run(&engine);
	cr_expect_eq(engine.updates, 1);
	cr_expect_eq(l->nano_cpus, 600000000);
	cr_expect_eq(l->memory_bytes, 64 * MIB);
	cr_expect_eq(l->memory_swap_bytes, 114 * MIB, "what it may swap stays");
	cr_assert(drpc_executor_status(executor, web.cgroup_id, &status));
	cr_expect(status.engine_told && !status.pending && status.err == 0);
	drpc_executor_tick(executor, NOW + 4 * SETTLE);
	cr_expect_eq(engine.pending, 0, "once");
	cr_expect_eq(drpc_executor_restore_all(executor, 1000, NULL), 0);
	cr_expect_eq(l->nano_cpus, 800000000);
	cr_expect_eq(l->memory_bytes, 100 * MIB);
	cr_expect_eq(l->memory_swap_bytes, 150 * MIB);
	expect("/web", "80000 100000", "104857600");
	cr_expect_eq(drpc_journal_count(journal), 0);
}

Test(executor, a_newer_limit_survives_a_late_engine)
{
	web.engine_known = true;
	cr_expect_eq(apply(&web, 50000, 64 * MIB), 0);
	drpc_executor_tick(executor, NOW + SETTLE);
	fake_dispatch(&engine.rt); /* inspected; the update is under way */
	cr_expect_eq(engine.pending, 1);
	cr_expect_eq(apply_at(NOW + SETTLE, &web, 90000, 80 * MIB, BOTH), 0);
	fake_run(&engine); /* the engine writes 50000 over it */
	expect("/web", "90000 100000", "83886080");
	drpc_executor_tick(executor, NOW + 2 * SETTLE);
	fake_run(&engine);
	cr_expect_eq(engine.containers[0].limits.cpu_quota_usec, 90000);
	cr_expect_not(engine.conflict);
}

Test(executor, telling_fails_and_is_tried_again)
{
	struct drpc_executor_status status;

	web.engine_known = true;
	cr_expect_eq(apply(&web, 50000, 64 * MIB), 0);
	engine.fail = -EREMOTEIO;
	drpc_executor_tick(executor, NOW + SETTLE);
	fake_run(&engine);
	cr_assert(drpc_executor_status(executor, web.cgroup_id, &status));
	cr_expect(!status.engine_told && status.err == 0, "the limits are in force");
	expect("/web", "50000 100000", "67108864");
	engine.fail = 0;
	drpc_executor_tick(executor, NOW + SETTLE + 1);
	cr_expect_eq(engine.pending, 0, "not at once");
}

/* --- by the engine alone ---------------------------------------------------------------------- */

Test(executor, engine_alone)
{
	struct drpc_limits limits = {0};
	const struct drpc_journal_record *r;

	without_files();
	cr_expect_eq(drpc_executor_read(executor, &web, BOTH, &limits), -EINPROGRESS);
	fake_run(&engine);
	cr_expect_eq(drpc_executor_read(executor, &web, BOTH, &limits), 0);
	cr_expect_eq(limits.cpu_quota_usec, NONE);
	cr_expect_eq(apply(&web, 50000, 64 * MIB), -EINPROGRESS);
	cr_expect_eq(result.via, DRPC_VIA_ENGINE);
	cr_expect_eq(drpc_journal_count(journal), 0, "nothing was touched yet");
	fake_dispatch(&engine.rt);
	r = drpc_journal_find(journal, "web", "/web");
	cr_assert_not_null(r, "journalled before the update is sent");
	cr_expect_eq(r->what, BOTH | DRPC_JOURNAL_ENGINE);
	cr_expect_eq(engine.updates, 0);
	fake_run(&engine);
	cr_expect_eq(engine.containers[0].limits.cpu_quota_usec, 50000);
	cr_expect(told == 1 && last_err == 0);
	cr_expect_eq(drpc_executor_read(executor, &web, BOTH, &limits), 0);
	cr_expect_eq(limits.cpu_quota_usec, 50000);
	cr_expect_eq(drpc_executor_restore_all(executor, 1000, NULL), 0);
	cr_expect_eq(engine.containers[0].limits.cpu_quota_usec, -1);
	cr_expect_eq(drpc_journal_count(journal), 0);
}

Test(executor, the_latest_target_wins)
{
	struct drpc_executor_status status;

	without_files();
	for (unsigned int i = 1; i <= 20; i++)
		cr_expect_eq(apply(&web, i * 5000, 64 * MIB), -EINPROGRESS);
	cr_expect_eq(engine.pending, 1, "one call at a time");
	fake_dispatch(&engine.rt);
	for (unsigned int i = 1; i <= 20; i++)
		cr_expect_eq(apply(&web, i * 1000, 64 * MIB), -EINPROGRESS);
	cr_assert(drpc_executor_status(executor, web.cgroup_id, &status));
	cr_expect(status.pending);
	fake_run(&engine);
	cr_expect_eq(engine.updates, 2);
	cr_expect_eq(engine.containers[0].limits.cpu_quota_usec, 20000);
	cr_expect_not(engine.conflict);
}

Test(executor, engine_is_away)
{
	struct drpc_executor_status status;

	without_files();
	engine.rt.state = DRPC_RUNTIME_AWAY;
	drpc_strcpy(engine.rt.why, sizeof(engine.rt.why), "Connection refused");
	cr_expect_eq(apply(&web, 50000, 64 * MIB), -EHOSTDOWN);
	cr_assert(drpc_executor_status(executor, web.cgroup_id, &status));
	cr_expect_eq(status.err, -EHOSTDOWN);
	cr_expect_str_eq(status.why, "Connection refused");
	engine.rt.state = DRPC_RUNTIME_READY;
	cr_expect_eq(apply(&web, 50000, 64 * MIB), -EINPROGRESS);
	engine.fail = -ETIMEDOUT;
	fake_run(&engine);
	cr_expect(told == 1 && last_err == -ETIMEDOUT);
	engine.fail = 0;
	cr_expect_eq(apply(&web, 50000, 64 * MIB), -EINPROGRESS);
	fake_run(&engine);
	cr_expect_eq(engine.containers[0].limits.cpu_quota_usec, 50000);
}

Test(executor, container_dies_under_an_engine_call)
{
	without_files();
	cr_expect_eq(apply(&web, 50000, 64 * MIB), -EINPROGRESS);
	fake_dispatch(&engine.rt);
	drpc_executor_gone(executor, web.cgroup_id);
	fake_run(&engine); /* the update still lands in the stopped container */
	cr_expect_eq(engine.containers[0].limits.cpu_quota_usec, 50000);
	engine.containers[0].running = false;
	drpc_executor_tick(executor, NOW);
	fake_run(&engine);
	cr_expect_eq(engine.containers[0].limits.cpu_quota_usec, -1, "put back all the same");
	cr_expect_eq(drpc_journal_count(journal), 0);
}

Test(executor, runtime_freed_under_a_call)
{
	without_files();
	cr_expect_eq(apply(&web, 50000, 64 * MIB), -EINPROGRESS);
	/* teardown frees the runtime first, then the executor */
}

/* --- leaving and coming back ------------------------------------------------------------------ */

Test(executor, release_puts_back_one)
{
	cr_expect_eq(drpc_executor_release(executor, &web), -ENOENT);
	cr_expect_eq(apply(&web, 50000, 64 * MIB), 0);
	cr_expect_eq(apply(&db, 50000, 64 * MIB), 0);
	cr_expect_eq(drpc_executor_release(executor, &web), 0);
	expect("/web", "max 100000", "max");
	expect("/db", "50000 100000", "67108864");
	cr_expect_eq(drpc_journal_count(journal), 1);
	cr_expect_eq(apply(&web, 30000, 64 * MIB), 0, "and may be managed again");
	cr_expect_eq(drpc_journal_count(journal), 2);
}

Test(executor, release_waits_for_the_call_under_way)
{
	without_files();
	cr_expect_eq(apply(&web, 50000, 64 * MIB), -EINPROGRESS);
	fake_dispatch(&engine.rt);
	cr_expect_eq(drpc_executor_release(executor, &web), 0);
	fake_run(&engine);
	cr_expect_eq(engine.containers[0].limits.cpu_quota_usec, -1);
	cr_expect_eq(drpc_journal_count(journal), 0);
	cr_expect_not(engine.conflict);
}

Test(executor, restarted_container_keeps_the_true_original)
{
	web.engine_known = true;
	engine.containers[0].limits.nano_cpus = 800000000;
	fake_write_files(&engine, &engine.containers[0]);
	cr_expect_eq(apply_at(NOW, &web, 50000, 0, DRPC_LIMIT_CPU), 0);
	drpc_executor_tick(executor, NOW + SETTLE);
	fake_run(&engine);
	/* docker restart: a new cgroup of the same path, with what the engine was told. */
	cr_assert_eq(renameat(fx.fd, "web", fx.fd, "old"), 0);
	fixture_cgroup(&fx, "/web");
	fake_write_files(&engine, &engine.containers[0]);
	drpc_executor_gone(executor, web.cgroup_id);
	fixture_container(&fx, "/web", &web);
	web.engine_known = true;
	cr_expect_eq(apply_at(NOW, &web, 30000, 0, DRPC_LIMIT_CPU), 0, "%s", result.why);
	cr_expect_str_eq(fixture_get(&fx, "/web", "cpu.max"), "30000 100000");
	cr_expect_eq(drpc_executor_restore_all(executor, 1000, NULL), 0);
	cr_expect_str_eq(fixture_get(&fx, "/web", "cpu.max"), "80000 100000");
	cr_expect_eq(engine.containers[0].limits.nano_cpus, 800000000);
}

Test(executor, records_of_an_earlier_agent_are_put_back)
{
	cr_expect_eq(apply(&web, 50000, 64 * MIB), 0);
	cr_expect_eq(apply(&db, 50000, 64 * MIB), 0);
	executor_open(true, true);
	for (int i = 0; i < 3; i++)
		drpc_executor_tick(executor, NOW);
	expect("/web", "max 100000", "max");
	expect("/db", "max 100000", "max");
	cr_expect_eq(drpc_journal_count(journal), 0);
}

/* 40 deployments in one tick: everything in force and verified, no allocation in between. */
Test(executor, many_at_once)
{
	enum { N = 40 };
	struct drpc_container c[N];
	struct drpc_target t[N];
	struct drpc_apply_result r[N];
	char name[16];

	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "/c%d", i);
		fixture_cgroup(&fx, name);
		fixture_container(&fx, name, &c[i]);
	}
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < N; i++)
			t[i] = (struct drpc_target){
				.container = &c[i],
				.what = BOTH,
				.limits = limits_of(20000 + 1000 * ((i * 7 + round * 11) % 40),
						    5000, (50 + i) * MIB, (60 + i + round) * MIB)};
		cr_expect_eq(drpc_executor_apply(executor, t, N, NOW, r), 0);
		for (int i = 0; i < N; i++)
			cr_expect(r[i].err == 0 && r[i].done == BOTH, "%s", r[i].why);
	}
	cr_expect_gt(drpc_executor_stats(executor)->writes, N);
	cr_expect_eq(drpc_journal_count(journal), N);
	cr_expect_eq(drpc_executor_restore_all(executor, 1000, NULL), 0);
	for (int i = 0; i < N; i++)
		expect(c[i].cgroup, "max 100000", "max");
}
