// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/restore.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "agent/execute/executor.h"
#include "tests/unit/agent/execute/fake_runtime.h"

#define BOTH (DRPC_LIMIT_CPU | DRPC_LIMIT_MEMORY)
#define MIB  DRPC_MIB

static struct fixture fx;
static struct fake_runtime engine;
static struct drpc_journal *journal;
static struct drpc_container web;
static struct drpc_restore_report report;

static void setup(void)
{
	fixture_open(&fx);
	fixture_cgroup(&fx, "/web");
	fixture_container(&fx, "/web", &web);
	fake_open(&engine, &fx);
	fake_add(&engine, "web");
	journal = NULL;
	cr_assert_eq(drpc_journal_open(fx.journal, &journal), 0);
}

static void teardown(void)
{
	fake_free(&engine.rt);
	drpc_journal_free(&journal);
	fixture_close(&fx);
}

TestSuite(restore, .init = setup, .fini = teardown);

static struct drpc_journal_record record_of(uint32_t what)
{
	struct drpc_journal_record r = {
		.cgroup_id = web.cgroup_id,
		.what = what,
		.original = limits_of(40000, 0, 30 * MIB, 32 * MIB),
		.engine = {.cpu_quota_usec = 40000,
			   .memory_bytes = 32 * MIB,
			   .memory_swap_bytes = 64 * MIB},
	};
	struct stat st;

	cr_assert_eq(fstat(fx.fd, &st), 0);
	r.cgroup_dev = st.st_dev;
	drpc_strcpy(r.id, sizeof(r.id), "web");
	drpc_strcpy(r.name, sizeof(r.name), "web");
	drpc_strcpy(r.cgroup, sizeof(r.cgroup), "/web");
	cr_assert_eq(drpc_boot_id(r.boot_id), 0);
	return r;
}

static int restore(const struct drpc_journal_record *r, bool with_engine)
{
	struct drpc_restore_config config = {
		.cgroup_fd = fx.fd,
		.journal = journal,
		.runtime = with_engine ? &engine.rt : NULL,
	};

	cr_assert_eq(drpc_journal_add(journal, r, 1), 0);
	return drpc_restore_all(&config, 300, &report);
}

static void expect_report(unsigned int restored, unsigned int gone, unsigned int waiting,
			  unsigned int failed)
{
	cr_expect(report.restored == restored && report.gone == gone && report.waiting == waiting &&
			  report.failed == failed,
		  "%u restored, %u gone, %u waiting, %u failed: %s", report.restored, report.gone,
		  report.waiting, report.failed, report.why);
	cr_expect_eq(drpc_journal_count(journal), waiting + failed);
}

Test(restore, files)
{
	struct drpc_journal_record r = record_of(BOTH | DRPC_JOURNAL_FILES);

	/* Somebody else has been at it, and the container uses more than its original allows. */
	fixture_put(&fx, "/web", "cpu.max", "77000 100000\n");
	fixture_put(&fx, "/web", "memory.max", "268435456\n");
	fixture_put(&fx, "/web", "memory.current", "99999999\n");
	cr_expect_eq(restore(&r, false), 0);
	expect_report(1, 0, 0, 0);
	cr_expect_str_eq(fixture_get(&fx, "/web", "cpu.max"), "40000 100000");
	cr_expect_str_eq(fixture_get(&fx, "/web", "memory.high"), "31457280");
	cr_expect_str_eq(fixture_get(&fx, "/web", "memory.max"), "33554432");
}

Test(restore, another_cgroup_of_the_same_path)
{
	struct drpc_journal_record r = record_of(BOTH | DRPC_JOURNAL_FILES);

	r.cgroup_id++;
	cr_expect_eq(restore(&r, false), 0);
	expect_report(0, 1, 0, 0);
	cr_expect_str_eq(fixture_get(&fx, "/web", "cpu.max"), "max 100000");
}

Test(restore, another_boot)
{
	struct drpc_journal_record r = record_of(BOTH | DRPC_JOURNAL_FILES);

	r.boot_id[0] ^= 1;
	cr_expect_eq(restore(&r, false), 0);
	expect_report(0, 1, 0, 0);
	cr_expect_str_eq(fixture_get(&fx, "/web", "cpu.max"), "max 100000");
}

Test(restore, another_tree_says_nothing)
{
	struct drpc_journal_record r = record_of(BOTH | DRPC_JOURNAL_FILES);

	r.cgroup_dev++;
	cr_expect_eq(restore(&r, false), -EAGAIN);
	expect_report(0, 0, 0, 1);
}

Test(restore, controller_taken_away)
{
	struct drpc_journal_record r = record_of(BOTH | DRPC_JOURNAL_FILES);

	unlinkat(fx.fd, "web/memory.max", 0);
	cr_expect_eq(restore(&r, false), 0);
	expect_report(1, 0, 0, 0);
	cr_expect_str_eq(fixture_get(&fx, "/web", "cpu.max"), "40000 100000");
}

Test(restore, engine)
{
	struct drpc_journal_record r = record_of(BOTH | DRPC_JOURNAL_ENGINE);

	engine.containers[0].limits.cpu_quota_usec = 90000;
	engine.containers[0].limits.memory_bytes = 90 * MIB;
	engine.containers[0].limits.memory_swap_bytes = 122 * MIB;
	cr_expect_eq(restore(&r, true), 0);
	expect_report(1, 0, 0, 0);
	cr_expect_eq(engine.containers[0].limits.cpu_quota_usec, 40000);
	cr_expect_eq(engine.containers[0].limits.memory_bytes, 32 * MIB);
	cr_expect_eq(engine.containers[0].limits.memory_swap_bytes, 64 * MIB);
}

Test(restore, engine_of_an_earlier_boot_and_stopped)
{
	struct drpc_journal_record r = record_of(BOTH | DRPC_JOURNAL_ENGINE | DRPC_JOURNAL_FILES);

	r.boot_id[0] ^= 1;
	engine.containers[0].running = false;
	engine.containers[0].limits.cpu_quota_usec = 90000;
	cr_expect_eq(restore(&r, true), 0);
	expect_report(1, 0, 0, 0);
	cr_expect_eq(engine.containers[0].limits.cpu_quota_usec, 40000,
		     "the engine's note outlives the boot");
}

Test(restore, engine_knows_it_no_more)
{
	struct drpc_journal_record r = record_of(BOTH | DRPC_JOURNAL_ENGINE);

	engine.count = 0;
	cr_expect_eq(restore(&r, true), 0);
	expect_report(0, 1, 0, 0);
}

Test(restore, engine_that_is_not_there_keeps_the_record)
{
	struct drpc_journal_record r = record_of(BOTH | DRPC_JOURNAL_ENGINE | DRPC_JOURNAL_FILES);

	cr_expect_eq(restore(&r, false), -EAGAIN);
	expect_report(0, 0, 1, 0);
	cr_expect_str_eq(fixture_get(&fx, "/web", "cpu.max"), "40000 100000", "the files are back");
	engine.rt.state = DRPC_RUNTIME_AWAY;
	cr_expect_eq(restore(&r, true), -EAGAIN);
	expect_report(0, 0, 1, 0);
	engine.rt.state = DRPC_RUNTIME_READY;
	engine.hold = true;
	cr_expect_eq(restore(&r, true), -EAGAIN);
	cr_expect_eq(report.waiting, 1, "it does not answer in time");
	engine.hold = false;
	fake_run(&engine); /* it does later */
	cr_expect_eq(drpc_journal_count(journal), 0);
	engine.fail = -EREMOTEIO;
	cr_expect_eq(restore(&r, true), -EAGAIN);
	expect_report(0, 0, 0, 1);
}

/* --- kill -9 ---------------------------------------------------------------------------------- */

enum { SERVICES = 6, KILLS = 60 };

static const char *original_cpu(int i)
{
	static char text[32];

	if (i % 3 == 0)
		return "max 100000";
	snprintf(text, sizeof(text), "%d 100000", 30000 + i * 1000);
	return text;
}

static const char *original_memory(int i)
{
	static char text[32];

	if (i % 2 == 0)
		return "max";
	snprintf(text, sizeof(text), "%llu", (unsigned long long)(100 + (unsigned int)i) * MIB);
	return text;
}

/* An agent that does nothing but act, until it is killed. */
static void act_for_ever(const struct drpc_container *containers, unsigned int seed, int ready)
{
	struct drpc_executor_config config = {.cgroup_fd = fx.fd, .memory_margin_bytes = MIB};
	struct drpc_executor *ex;
	struct drpc_target t[SERVICES];
	struct drpc_apply_result r[SERVICES];

	if (drpc_journal_open(fx.journal, &config.journal) < 0 ||
	    drpc_executor_new(&config, &ex) < 0)
		_exit(1);
	for (uint64_t now = 1;; now++) {
		size_t n = 0;

		for (unsigned int i = 0; i < SERVICES; i++) {
			if (rand_r(&seed) % 3 == 0)
				continue;
			t[n++] = (struct drpc_target){
				.container = &containers[i],
				.what = BOTH,
				.limits = limits_of(10000U + (unsigned int)rand_r(&seed) % 80000,
						    (unsigned int)rand_r(&seed) % 9999,
						    (20 + (unsigned int)rand_r(&seed) % 20) * MIB,
						    (40 + (unsigned int)rand_r(&seed) % 80) * MIB)};
		}
		if (drpc_executor_apply(ex, t, n, now, r) != 0)
			_exit(1);
		if (now == 1 && write(ready, "x", 1) != 1)
			_exit(1);
		/* Leaving and coming back, too. */
		if (now % 16 == 0)
			drpc_executor_release(ex, &containers[rand_r(&seed) % SERVICES]);
	}
}

Test(restore, kill_9_at_any_instant_loses_no_original, .timeout = 120)
{
	struct drpc_container containers[SERVICES];
	struct drpc_restore_config config = {.cgroup_fd = fx.fd};
	int changed = 0;
	char name[16], text[40];

	for (int i = 0; i < SERVICES; i++) {
		snprintf(name, sizeof(name), "/s%d", i);
		fixture_cgroup(&fx, name);
		fixture_container(&fx, name, &containers[i]);
		snprintf(text, sizeof(text), "%s\n", original_cpu(i));
		fixture_put(&fx, name, "cpu.max", text);
		snprintf(text, sizeof(text), "%s\n", original_memory(i));
		fixture_put(&fx, name, "memory.max", text);
	}
	drpc_journal_free(&journal);
	for (unsigned int kill_no = 0; kill_no < KILLS; kill_no++) {
		struct timespec nap = {0, (long)(kill_no * 7919 % 997) * 10000};
		int ready[2], status;
		char byte;
		pid_t pid;

		cr_assert_eq(pipe(ready), 0);
		pid = fork();
		if (pid == 0)
			act_for_ever(containers, kill_no, ready[1]);
		close(ready[1]);
		/* Every third dies even while it begins. */
		if (kill_no % 3)
			cr_assert_eq(read(ready[0], &byte, 1), 1);
		nanosleep(&nap, NULL);
		kill(pid, SIGKILL);
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert(WIFSIGNALED(status), "it must not have failed by itself");
		close(ready[0]);
		cr_assert_eq(drpc_journal_open(fx.journal, &config.journal), 0);
		changed += drpc_journal_count(config.journal) > 0;
		cr_assert_eq(drpc_restore_all(&config, 1000, &report), 0, "%s", report.why);
		drpc_journal_free(&config.journal);
		for (int i = 0; i < SERVICES; i++) {
			snprintf(name, sizeof(name), "/s%d", i);
			cr_assert_str_eq(fixture_get(&fx, name, "cpu.max"), original_cpu(i),
					 "%s after kill %u", name, kill_no);
			cr_assert_str_eq(fixture_get(&fx, name, "cpu.max.burst"), "0");
			cr_assert_str_eq(fixture_get(&fx, name, "memory.high"), "max");
			cr_assert_str_eq(fixture_get(&fx, name, "memory.max"), original_memory(i));
		}
	}
	cr_expect_geq(changed, 30, "%d of the kills came while something was changed", changed);
}
