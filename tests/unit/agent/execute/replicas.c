// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/replicas.h"

#include "agent/execute/replicas_plan.h"
#include "tests/unit/agent/execute/fake_engine.h"
#include "tests/unit/agent/execute/fixture.h"

#define FRONT "shop/front"

static struct fixture fx;
static struct drpc_journal *journal;
static struct engine engine;
static struct drpc_replicas *replicas;
static const struct drpc_limits limits = {50000, 100000, 0, DRPC_UNLIMITED, 64 << 20};

/* What the kernel would say. */
static int64_t inflight;
static int listening;

static unsigned int ended;
static int end_err;
static char end_why[192], end_of[DRPC_NAME_MAX];

static int64_t on_inflight(void *arg, const char *id)
{
	(void)arg;
	(void)id;
	return inflight;
}

static int on_listens(void *arg, const char *id, int32_t pid)
{
	(void)arg;
	(void)pid;
	/* The original does. */
	return strcmp(id, "id-shop-front-1") == 0 ? 1 : listening;
}

static void on_done(void *arg, const char *deployment, int err, const char *why)
{
	(void)arg;
	drpc_strcpy(end_of, sizeof(end_of), deployment);
	ended++;
	end_err = err;
	drpc_strcpy(end_why, sizeof(end_why), why);
}

static void replicas_open(void)
{
	const struct drpc_replicas_config config = {
		.journal = journal,
		.runtime = &engine.rt,
		.ready_timeout_ns = 2 * DRPC_NSEC_PER_SEC,
		.drain_timeout_ns = DRPC_NSEC_PER_SEC,
		.stop_grace_sec = 1,
		.inflight = on_inflight,
		.listens = on_listens,
		.on_done = on_done,
	};

	cr_assert_eq(drpc_replicas_new(&config, &replicas), 0);
}

static void setup(void)
{
	fixture_open(&fx);
	cr_assert_eq(drpc_journal_open(fx.journal, &journal), 0);
	engine_open(&engine);
	engine_add(&engine, "shop-front-1", 1);
	inflight = 0;
	listening = 1;
	ended = 0;
	end_err = 1;
	replicas_open();
}

static void teardown(void)
{
	struct drpc_runtime *rt = &engine.rt;

	drpc_runtime_free(&rt);
	drpc_replicas_free(&replicas);
	drpc_journal_free(&journal);
	fixture_close(&fx);
}

TestSuite(replicas, .init = setup, .fini = teardown);

/* Ticks of 20 ms until `done` is so, at most five seconds. */
#define until(done)                                          \
	for (int _i = 0; _i < 250 && !(done); _i++) {        \
		drpc_replicas_tick(replicas, drpc_now_ns()); \
		engine_dispatch(&engine.rt);                 \
		if (!(done))                                 \
			usleep(20000);                       \
	}

static size_t running(void)
{
	size_t n = 0;

	for (size_t i = 0; i < engine.count; i++)
		n += engine.containers[i].running;
	return n;
}

/* Scales and waits for the end. */
static int scale(uint32_t count)
{
	ended = 0;
	cr_assert_eq(drpc_replicas_scale(replicas, FRONT, count, &limits, DRPC_LIMIT_CPU), 0);
	until(ended);
	cr_assert_eq(ended, 1);
	cr_expect_str_eq(end_of, FRONT);
	return end_err;
}

static bool idle(void)
{
	struct drpc_replicas_status status;

	return !drpc_replicas_status(replicas, FRONT, &status);
}

static size_t stopped_on_record(void)
{
	const struct drpc_journal_scale *s = drpc_journal_scale_find(journal, FRONT);

	return s ? s->stopped_count : 99;
}

Test(replicas, out_and_back)
{
	struct drpc_replicas_status status;

	cr_expect_eq(scale(3), 0);
	cr_expect_eq(running(), 3);
	cr_expect_str_eq(engine.log, "clone id-shop-front-1\nclone id-shop-front-1\n");
	cr_assert(drpc_replicas_status(replicas, FRONT, &status));
	cr_expect_eq(status.clones, 2);
	cr_expect_not(status.busy);
	cr_expect_eq(drpc_journal_scale_count(journal), 1, "there is something to put back");

	engine.log[0] = '\0';
	cr_expect_eq(scale(2), 0);
	cr_expect_str_eq(engine.log, "stop id-shop-front-3\nremove id-shop-front-3\n",
			 "the newest first: %s", engine.log);
	cr_expect_eq(scale(1), 0);
	cr_expect_eq(engine.count, 1);
	until(idle());
	cr_expect(idle());
	cr_expect_eq(drpc_journal_scale_count(journal), 0, "as it was found");
	cr_expect_eq(drpc_replicas_count(replicas), 0);
}

Test(replicas, a_copy_gets_the_limits_in_force)
{
	ended = 0;
	cr_assert_eq(drpc_replicas_scale(replicas, FRONT, 2, &limits, DRPC_LIMIT_CPU), 0);
	until(engine.pending && engine.calls[0].verb == E_CLONE);
	cr_assert_eq(engine.calls[0].verb, E_CLONE);
	cr_expect_str_eq(engine.calls[0].spec.deployment, FRONT);
	cr_expect_eq(engine.calls[0].spec.number, 2);
	cr_expect_eq(engine.calls[0].spec.limits.cpu_quota_usec, 50000);
	cr_expect_eq(drpc_journal_scale_count(journal), 1, "on record before the engine is asked");
	cr_expect_eq(drpc_replicas_scale(replicas, FRONT, 3, &limits, 0), -EBUSY);
	until(ended);
}

Test(replicas, ready_when_it_listens)
{
	listening = 0;
	ended = 0;
	cr_assert_eq(drpc_replicas_scale(replicas, FRONT, 2, &limits, 0), 0);
	until(engine.did[E_INSPECT] >= 1);
	cr_expect_eq(ended, 0);
	listening = 1;
	until(ended);
	cr_expect_eq(end_err, 0);
}

Test(replicas, never_ready)
{
	listening = 0;
	cr_expect_eq(scale(2), -ETIME);
	cr_expect_not_null(strstr(end_why, "not ready"), "%s", end_why);
	cr_expect_eq(engine.count, 1, "the copy is removed");
	until(idle());
	cr_expect_eq(drpc_journal_scale_count(journal), 0, "nothing is left on record");
}

Test(replicas, unhealthy)
{
	engine.health = DRPC_HEALTH_UNHEALTHY;
	cr_expect_eq(scale(2), -EIO);
	cr_expect_not_null(strstr(end_why, "unhealthy"), "%s", end_why);
	cr_expect_eq(engine.count, 1);
}

Test(replicas, the_health_check_decides)
{
	listening = 1;
	engine.health = DRPC_HEALTH_STARTING;
	ended = 0;
	cr_assert_eq(drpc_replicas_scale(replicas, FRONT, 2, &limits, 0), 0);
	until(engine.did[E_INSPECT] >= 1);
	cr_expect_eq(ended, 0, "that it listens is not enough");
	engine_find(&engine, "id-shop-front-2")->health = DRPC_HEALTH_HEALTHY;
	until(ended);
	cr_expect_eq(end_err, 0);
}

Test(replicas, copies_that_end_at_once)
{
	engine.stillborn = true;
	cr_expect_lt(scale(2), 0);
	cr_expect_eq(engine.count, 1, "%zu", engine.count);
}

Test(replicas, cannot_be_copied)
{
	engine.fail[E_CLONE] = -EOPNOTSUPP;
	cr_expect_eq(scale(2), -EOPNOTSUPP);
	cr_expect_eq(engine.count, 1);
	until(idle());
	cr_expect_eq(drpc_journal_scale_count(journal), 0);
}

Test(replicas, drains_before_it_stops)
{
	uint64_t began;

	cr_assert_eq(scale(2), 0);
	inflight = 3;
	ended = 0;
	cr_assert_eq(drpc_replicas_scale(replicas, FRONT, 1, &limits, 0), 0);
	for (int i = 0; i < 10; i++) {
		drpc_replicas_tick(replicas, drpc_now_ns());
		engine_dispatch(&engine.rt);
		usleep(20000);
	}
	cr_expect_eq(engine.did[E_STOP], 0, "requests are in flight");
	inflight = 0;
	until(ended);
	cr_expect_eq(end_err, 0);
	cr_expect_eq(engine.count, 1);

	/* They never end. */
	cr_assert_eq(scale(2), 0);
	inflight = 1;
	began = drpc_now_ns();
	cr_expect_eq(scale(1), 0);
	cr_expect_geq(drpc_now_ns() - began, DRPC_NSEC_PER_SEC, "the deadline");
	/* It cannot be told: the container's own drain must do. */
	inflight = 0;
	cr_assert_eq(scale(2), 0);
	inflight = -1;
	began = drpc_now_ns();
	cr_expect_eq(scale(1), 0);
	cr_expect_lt(drpc_now_ns() - began, DRPC_NSEC_PER_SEC);
}

Test(replicas, brownout_and_back)
{
	engine_add(&engine, "shop-front-2", 2);
	cr_assert_eq(scale(3), 0);
	cr_expect_eq(scale(0), 0);
	cr_expect_eq(running(), 0);
	cr_expect_eq(engine.count, 2, "originals are stopped, never removed");
	cr_expect_eq(stopped_on_record(), 2);
	engine.log[0] = '\0';
	cr_expect_eq(scale(2), 0);
	cr_expect_eq(running(), 2);
	cr_expect_null(strstr(engine.log, "clone"), "they are started again: %s", engine.log);
	until(idle());
	cr_expect_eq(drpc_journal_scale_count(journal), 0);
}

Test(replicas, an_original_that_would_be_lost_is_not_stopped)
{
	engine_find(&engine, "id-shop-front-1")->auto_remove = true;
	cr_expect_eq(scale(0), -EPERM);
	cr_expect_eq(running(), 1);
}

Test(replicas, what_its_owner_stopped_stays_so)
{
	engine_state(engine_add(&engine, "shop-front-2", 2), "exited");
	cr_expect_eq(scale(2), 0);
	cr_expect_not(engine_find(&engine, "id-shop-front-2")->running);
	cr_expect_not_null(engine_find(&engine, "id-shop-front-3"), "numbers go on after all");
	drpc_replicas_restore(replicas, NULL);
	until(idle());
	cr_expect_not(engine_find(&engine, "id-shop-front-2")->running);
	cr_expect_eq(engine.count, 2);
}

Test(replicas, others_containers_are_not_ours)
{
	struct drpc_runtime_container *c = engine_add(&engine, "shop-back-1", 1);

	drpc_strcpy(c->service, sizeof(c->service), "back");
	cr_expect_eq(scale(2), 0);
	drpc_replicas_restore(replicas, FRONT);
	until(idle());
	cr_expect_eq(engine.count, 2);
	cr_expect(engine_find(&engine, "id-shop-back-1")->running);
}

Test(replicas, engine_goes_away_in_the_middle)
{
	static const enum engine_verb verbs[] = {E_LIST, E_CLONE, E_INSPECT};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(verbs); i++) {
		engine.fail[verbs[i]] = -ECONNREFUSED;
		cr_expect_eq(scale(2), 0, "verb %d", (int)verbs[i]);
		cr_expect_eq(running(), 2);
		cr_expect_eq(scale(1), 0);
		until(idle());
	}
	/* It did what it was asked, but the answer was lost. */
	engine.after[E_CLONE] = -EPROTO;
	cr_expect_eq(scale(2), 0);
	cr_expect_eq(engine.count, 2, "not two of them");
	engine.after[E_STOP] = -ETIMEDOUT;
	cr_expect_eq(scale(1), 0);
	cr_expect_eq(engine.count, 1);
}

Test(replicas, engine_away_for_a_while)
{
	ended = 0;
	engine.rt.state = DRPC_RUNTIME_AWAY;
	cr_expect_eq(drpc_replicas_scale(replicas, FRONT, 2, &limits, 0), -EHOSTDOWN);
	engine.rt.state = DRPC_RUNTIME_READY;
	cr_assert_eq(drpc_replicas_scale(replicas, FRONT, 2, &limits, 0), 0);
	engine.rt.state = DRPC_RUNTIME_AWAY;
	for (int i = 0; i < 5; i++) {
		drpc_replicas_tick(replicas, drpc_now_ns());
		engine_dispatch(&engine.rt);
	}
	cr_expect_eq(ended, 0);
	engine.rt.state = DRPC_RUNTIME_READY;
	until(ended);
	cr_expect_eq(end_err, 0);
	cr_expect_eq(running(), 2);
}

Test(replicas, gone_meanwhile)
{
	cr_assert_eq(scale(2), 0);
	/* Somebody removed the copy, and then the original. */
	engine_drop(&engine, "id-shop-front-2");
	cr_expect_eq(scale(1), 0);
	cr_assert_eq(scale(0), 0);
	engine_drop(&engine, "id-shop-front-1");
	cr_expect_eq(scale(1), -ENOENT);
	until(idle());
	cr_expect(idle(), "nothing is left to be put back");
}

Test(replicas, a_dead_copy_is_taken_away)
{
	cr_assert_eq(scale(2), 0);
	engine_state(engine_find(&engine, "id-shop-front-2"), "exited");
	drpc_replicas_event(replicas, "id-shop-front-2");
	until(idle());
	cr_expect_eq(engine.count, 1);
	cr_expect_eq(drpc_journal_scale_count(journal), 0);
}

Test(replicas, restored_by_the_next_process)
{
	struct drpc_restore_report report;

	engine_add(&engine, "shop-front-2", 2);
	cr_assert_eq(scale(1), 0);
	cr_assert_eq(stopped_on_record(), 1);
	cr_assert_eq(scale(2), 0);
	cr_assert_eq(scale(3), 0);
	cr_assert_eq(scale(2), 0);
	cr_assert_eq(scale(1), 0);
	cr_assert_eq(scale(3), 0);
	/* Killed here. */
	drpc_replicas_free(&replicas);
	drpc_journal_free(&journal);
	cr_assert_eq(drpc_journal_open(fx.journal, &journal), 0);
	replicas_open();
	inflight = 5;
	cr_expect_eq(drpc_replicas_restore_all(replicas, 5000, &report), 0, "%s", report.why);
	cr_expect_eq(report.restored, 1);
	cr_expect_eq(engine.count, 2);
	cr_expect_eq(running(), 2);
	cr_expect_eq(drpc_journal_scale_count(journal), 0);
}

Test(replicas, restore_all_waits_no_longer_than_it_may)
{
	struct drpc_restore_report report;

	cr_assert_eq(scale(2), 0);
	engine.fail_for_good = true;
	engine.fail[E_REMOVE] = -EREMOTEIO;
	cr_expect_eq(drpc_replicas_restore_all(replicas, 100, &report), -EAGAIN);
	cr_expect_eq(report.waiting, 1);
	cr_expect_not_null(strstr(report.why, "told to fail"), "%s", report.why);
	cr_expect_eq(drpc_journal_scale_count(journal), 1, "for the next one");
}

Test(replicas, restore_interrupts)
{
	listening = 0;
	ended = 0;
	cr_assert_eq(drpc_replicas_scale(replicas, FRONT, 2, &limits, 0), 0);
	until(engine.did[E_INSPECT] >= 1);
	cr_expect_eq(drpc_replicas_restore(replicas, FRONT), 1);
	cr_expect_eq(ended, 1);
	cr_expect_eq(end_err, -ECANCELED);
	until(idle());
	cr_expect_eq(engine.count, 1);
}

Test(replicas, few_at_a_time)
{
	ended = 0;
	for (unsigned int i = 0; i < 6; i++) {
		char name[32];
		struct drpc_runtime_container *c;

		snprintf(name, sizeof(name), "s%u-1", i);
		c = engine_add(&engine, name, 1);
		drpc_strcpy(c->service, sizeof(c->service), name);
	}
	for (unsigned int i = 0; i < 6; i++) {
		char name[DRPC_NAME_MAX];

		snprintf(name, sizeof(name), "shop/s%u-1", i);
		cr_assert_eq(drpc_replicas_scale(replicas, name, 0, &limits, 0), 0);
	}
	for (int i = 0; i < 3; i++) {
		drpc_replicas_tick(replicas, drpc_now_ns());
		engine.at_once_most = 0;
		engine_dispatch(&engine.rt);
	}
	cr_expect_leq(engine.at_once_most, 6);
	until(running() == 1);
	cr_expect_eq(running(), 1);
	drpc_replicas_restore(replicas, NULL);
	until(running() == 7);
	cr_expect_eq(running(), 7);
}

/* --- the plan --------------------------------------------------------------------------------- */

static struct replicas_member member(const char *id, bool clone, const char *state, uint32_t number)
{
	struct replicas_member m = {.clone = clone, .number = number};

	drpc_strcpy(m.id, sizeof(m.id), id);
	m.running = strcmp(state, "running") == 0;
	m.dead = strcmp(state, "exited") == 0;
	return m;
}

Test(replicas, plan)
{
	struct drpc_journal_scale scale = {.stopped_count = 1};
	struct replicas_member m[] = {
		member("a", false, "running", 1),
		member("b", false, "exited", 2),
		member("c", true, "running", 3),
		member("d", true, "restarting", 7),
	};
	struct replicas_plan p;

	drpc_strcpy(scale.stopped[0].id, sizeof(scale.stopped[0].id), "b");
	p = replicas_plan(m, 4, GOAL_COUNT, 2, &scale);
	cr_expect_eq(p.step, STEP_NONE);
	p = replicas_plan(m, 4, GOAL_COUNT, 3, &scale);
	cr_expect_eq(p.step, STEP_START);
	cr_expect(m[1].chosen && !m[0].chosen);
	p = replicas_plan(m, 4, GOAL_COUNT, 3, NULL);
	cr_expect_eq(p.step, STEP_CLONE);
	cr_expect_eq(p.source, 0);
	cr_expect_eq(p.number, 8);
	p = replicas_plan(m, 4, GOAL_COUNT, 1, &scale);
	cr_expect_eq(p.step, STEP_STOP);
	cr_expect(m[2].chosen && !m[0].chosen && !m[3].chosen);
	p = replicas_plan(m, 4, GOAL_COUNT, 0, &scale);
	cr_expect_eq(p.step, STEP_STOP);
	cr_expect(m[2].chosen && m[0].chosen);
	p = replicas_plan(m, 4, GOAL_RESTORE, 0, &scale);
	cr_expect_eq(p.step, STEP_START, "up before down");
	p = replicas_plan(m, 4, GOAL_RESTORE, 0, NULL);
	cr_expect_eq(p.step, STEP_STOP);
	cr_expect(m[2].chosen && m[3].chosen && !m[0].chosen);
	m[2] = member("c", true, "exited", 3);
	p = replicas_plan(m, 4, GOAL_SWEEP, 0, NULL);
	cr_expect_eq(p.step, STEP_REMOVE);
	cr_expect(m[2].chosen && !m[1].chosen, "an original is never removed");
	p = replicas_plan(m, 0, GOAL_COUNT, 1, NULL);
	cr_expect_eq(p.step, STEP_STUCK);
}
