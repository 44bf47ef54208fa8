// SPDX-License-Identifier: Apache-2.0
/* The executor's asynchronous half: the engine's calls, putting originals back, housekeeping. */
#include <errno.h>
#include <string.h>

#include "agent/execute/executor_internal.h"
#include "lib/log.h"
#include "lib/util.h"

#define TELL_RETRY_NS (30 * DRPC_NSEC_PER_SEC)

static void restore_begin(struct executor_entry *e);

/* --- calls ------------------------------------------------------------------------------------ */

int executor_engine_usable(const struct executor_entry *e, const char **why)
{
	const struct drpc_runtime *rt = e->executor->config.runtime;

	if (!rt || !e->engine_known) {
		*why = "no engine knows this container";
		return -EOPNOTSUPP;
	}
	if (rt->state != DRPC_RUNTIME_READY) {
		*why = rt->why[0] ? rt->why : "the engine has not answered yet";
		return -EHOSTDOWN;
	}
	return 0;
}

/* A call has ended. Returns false where its container is gone meanwhile (and freed now). */
static bool call_ended(struct executor_entry *e)
{
	struct drpc_executor *ex = e->executor;

	e->call = CALL_NONE;
	ex->calls--;
	if (!e->gone)
		return true;
	ex->gone_calls--;
	executor_forget(e);
	return false;
}

static void call_begun(struct executor_entry *e, enum executor_call call)
{
	e->call = call;
	e->executor->calls++;
}

static void tell_owner(struct executor_entry *e, int err, const char *why)
{
	const struct drpc_executor_config *config = &e->executor->config;

	if (config->on_result)
		config->on_result(config->arg, e->cgroup_id, err, why);
}

/* Whether this call only tells the engine what the files say already. */
static bool only_telling(const struct executor_entry *e)
{
	return e->via == DRPC_VIA_FILES;
}

static void engine_failed(struct executor_entry *e, int err, const char *why)
{
	e->want = false;
	if (only_telling(e)) {
		e->retry_ns = drpc_now_ns() + TELL_RETRY_NS;
		if (err != e->tell_err)
			drpc_warn(
				"execute: %s: its limits are in force, but the engine could not be told: %s",
				e->name, why);
		e->tell_err = err;
		return;
	}
	executor_note(e, err, why);
	tell_owner(e, err, why);
}

static void engine_succeeded(struct executor_entry *e, const struct drpc_limits *limits,
			     uint32_t what)
{
	if (only_telling(e)) {
		e->tell_err = 0;
		e->told = drpc_limits_equal(limits, &e->applied);
		return;
	}
	e->applied = *limits;
	e->applied_what = what;
	e->told = true;
	executor_note(e, 0, "");
	tell_owner(e, 0, "");
}

/* The engine writes the files itself: whatever was newer than its call is written again. */
static void rewrite_files(struct executor_entry *e)
{
	struct drpc_cgroupfs_change change = {
		.what = e->applied_what & e->cg.writable,
		.target = e->applied,
		.memory_margin_bytes = e->executor->config.memory_margin_bytes,
		.stats = &e->executor->stats,
	};
	char why[160];
	int r;

	if (!only_telling(e) || e->leaving || !change.what)
		return;
	r = drpc_cgroupfs_apply(&e->cg, &change, NULL, why, sizeof(why));
	if (r < 0)
		executor_note(e, r, why);
	else if (r > 0)
		drpc_debug("execute: %s: limits newer than the engine's call written again",
			   e->name);
}

static void updated(void *arg, int err, const char *why,
		    const struct drpc_runtime_container *container)
{
	struct executor_entry *e = arg;

	if (!call_ended(e))
		return;
	rewrite_files(e);
	if (err) {
		engine_failed(e, err, why);
	} else {
		e->present = container->limits;
		e->present_ns = drpc_now_ns();
		engine_succeeded(e, &e->calling, e->calling_what);
	}
	executor_engine_go(e);
}

/* The original as the engine has it, durable before the engine is asked to change it. */
static int journal_engine(struct executor_entry *e)
{
	uint32_t what = e->target_what | DRPC_JOURNAL_ENGINE;
	struct drpc_journal_record record;
	int r;

	if ((what & ~e->journalled) == 0)
		return 0;
	executor_record(e, &record);
	record.what = what;
	record.engine = e->present;
	drpc_runtime_limits_view(&e->present, &record.original);
	r = drpc_journal_add(e->executor->config.journal, &record, 1);
	if (r == 0)
		e->journalled |= what;
	return r;
}

static bool has_already(const struct executor_entry *e)
{
	struct drpc_limits view;

	if (!e->executor->config.runtime->remembers)
		return false;
	drpc_runtime_limits_view(&e->present, &view);
	return (!(e->target_what & DRPC_LIMIT_CPU) ||
		(view.cpu_quota_usec == e->target.cpu_quota_usec &&
		 view.cpu_period_usec == e->target.cpu_period_usec)) &&
	       (!(e->target_what & DRPC_LIMIT_MEMORY) ||
		view.mem_max_bytes == e->target.mem_max_bytes);
}

/* Present limits are known: journal them, and send the update. */
static void update_begin(struct executor_entry *e)
{
	int r;

	if (has_already(e)) {
		e->want = false;
		engine_succeeded(e, &e->target, e->target_what);
		return;
	}
	r = journal_engine(e);
	if (r < 0) {
		engine_failed(e, r, "the original limits cannot be journalled, nothing is written");
		return;
	}
	e->want = false;
	e->calling = e->target;
	e->calling_what = e->target_what;
	call_begun(e, CALL_UPDATE);
	r = drpc_runtime_update(e->executor->config.runtime, e->id, &e->present, &e->calling,
				e->calling_what, updated, e);
	if (r < 0 && call_ended(e))
		engine_failed(e, r,
			      r == -ERANGE ? "the engine cannot express this limit" : strerror(-r));
}

static void inspected(void *arg, int err, const char *why,
		      const struct drpc_runtime_container *container)
{
	struct executor_entry *e = arg;
	bool prepare = e->call == CALL_PREPARE;

	if (!call_ended(e))
		return;
	if (err == 0 && prepare && !container->running) {
		err = -ENODEV;
		why = "the container does not run";
	}
	if (err) {
		if (prepare)
			engine_failed(e, err, why);
		else
			executor_note(e, err, why);
	} else {
		e->present = container->limits;
		e->present_ns = drpc_now_ns();
		if (prepare && e->want && !e->leaving && !e->executor->closing)
			update_begin(e);
	}
	executor_engine_go(e);
}

static int inspect_begin(struct executor_entry *e, enum executor_call call)
{
	const char *why = "";
	int r = executor_engine_usable(e, &why);

	if (r < 0)
		return r;
	call_begun(e, call);
	r = drpc_runtime_inspect(e->executor->config.runtime, e->id, inspected, e);
	if (r < 0)
		call_ended(e);
	return r;
}

int executor_engine_inspect(struct executor_entry *e)
{
	return inspect_begin(e, CALL_INSPECT);
}

int executor_engine_go(struct executor_entry *e)
{
	int r;

	if (e->call != CALL_NONE || e->executor->closing)
		return 0;
	if (e->leaving && drpc_now_ns() >= e->retry_ns) {
		restore_begin(e);
		return 0;
	}
	if (!e->want || e->leaving)
		return 0;
	r = inspect_begin(e, CALL_PREPARE);
	if (r < 0)
		e->want = false;
	return r;
}

/* --- putting back ----------------------------------------------------------------------------- */

static void forget_changes(struct executor_entry *e)
{
	e->journalled = 0;
	e->applied_what = 0;
	e->told = false;
	e->leaving = false;
	e->want = false;
	e->present_ns = 0;
	e->tell_err = 0;
}

static void restored(void *arg, enum drpc_restore_outcome outcome, const char *why)
{
	struct executor_entry *e = arg;
	int err = outcome == DRPC_RESTORE_WAITING  ? -EHOSTDOWN
		  : outcome == DRPC_RESTORE_FAILED ? -EIO
						   : 0;

	if (!call_ended(e))
		return;
	if (err)
		e->retry_ns = drpc_now_ns() + EXECUTOR_RETRY_NS;
	else
		forget_changes(e);
	/* drpc_restore_one() has logged it. */
	e->err = err;
	drpc_strcpy(e->why, sizeof(e->why), why);
	tell_owner(e, err, why);
}

/* Says so where somebody else has set other limits than ours; the original goes back anyway. */
static void warn_of_strangers(const struct executor_entry *e)
{
	struct drpc_limits now = e->applied, ours = e->applied;
	char why[160];

	if (!only_telling(e) || !e->applied_what ||
	    drpc_cgroupfs_read(&e->cg, e->applied_what, &now, why, sizeof(why)) < 0)
		return;
	drpc_cgroupfs_round(&e->cg, &ours);
	drpc_cgroupfs_round(&e->cg, &now);
	if (!drpc_limits_equal(&now, &ours))
		drpc_warn(
			"execute: %s: somebody else has changed its limits meanwhile, its original limits go back all the same",
			e->name);
}

static void restore_begin(struct executor_entry *e)
{
	const struct drpc_journal_record *record =
		drpc_journal_find(e->executor->config.journal, e->id, e->cgroup);
	struct drpc_journal_record copy;

	if (!record) {
		forget_changes(e);
		return;
	}
	copy = *record;
	warn_of_strangers(e);
	call_begun(e, CALL_RESTORE);
	drpc_restore_one(&e->executor->restore, &copy, restored, e);
}

static void orphan_restored(void *arg, enum drpc_restore_outcome outcome, const char *why)
{
	struct drpc_executor *ex = arg;

	(void)why;
	ex->orphan_busy = false;
	if (outcome >= DRPC_RESTORE_WAITING)
		ex->orphan_retry_ns = drpc_now_ns() + EXECUTOR_RETRY_NS;
}

static void orphan_begin(struct drpc_executor *ex, const struct drpc_journal_record *record)
{
	struct drpc_journal_record copy = *record;

	drpc_strcpy(ex->orphan_id, sizeof(ex->orphan_id), copy.id);
	drpc_strcpy(ex->orphan_cgroup, sizeof(ex->orphan_cgroup), copy.cgroup);
	ex->orphan_busy = true;
	drpc_restore_one(&ex->restore, &copy, orphan_restored, ex);
}

int drpc_executor_release(struct drpc_executor *ex, const struct drpc_container *container)
{
	struct executor_entry *e = executor_find(ex, container->cgroup_id);
	const struct drpc_journal_record *record = NULL;

	if (ex->config.journal)
		record = drpc_journal_find(ex->config.journal, container->id, container->cgroup);
	if (!record)
		return -ENOENT;
	if (!e) {
		if (ex->orphan_busy)
			return -EAGAIN;
		orphan_begin(ex, record);
		return 0;
	}
	e->want = false;
	e->leaving = true;
	e->retry_ns = 0;
	executor_engine_go(e);
	return 0;
}

void drpc_executor_gone(struct drpc_executor *ex, uint64_t cgroup_id)
{
	struct executor_entry *e = executor_find(ex, cgroup_id);
	const struct drpc_journal_record *record = NULL;

	if (!e)
		return;
	if (ex->config.journal)
		record = drpc_journal_find(ex->config.journal, e->id, e->cgroup);
	/* A record of another cgroup belongs to the container's next life; one that the engine has
	 * a part in is put back there by the next ticks, whether it runs or not. */
	if (record && record->cgroup_id == cgroup_id && !(record->what & DRPC_JOURNAL_ENGINE))
		drpc_journal_close_record(ex->config.journal, e->id, e->cgroup, "gone");
	executor_forget(e);
}

/* --- housekeeping ----------------------------------------------------------------------------- */

static bool should_tell(const struct executor_entry *e, uint64_t now_ns)
{
	const struct drpc_executor_config *config = &e->executor->config;

	return config->settle_ns && config->runtime && config->runtime->remembers &&
	       config->runtime->state == DRPC_RUNTIME_READY && e->engine_known &&
	       e->via == DRPC_VIA_FILES && e->applied_what && !e->told && !e->leaving &&
	       now_ns - e->changed_ns >= config->settle_ns && drpc_now_ns() >= e->retry_ns;
}

static bool owned(const struct drpc_executor *ex, const struct drpc_journal_record *record)
{
	const struct executor_entry *e = executor_find(ex, record->cgroup_id);

	return e && strcmp(e->id, record->id) == 0 && strcmp(e->cgroup, record->cgroup) == 0 &&
	       e->journalled;
}

/* One record at a time that no container here answers for. */
static void tend_orphans(struct drpc_executor *ex)
{
	bool ready = ex->config.runtime && ex->config.runtime->state == DRPC_RUNTIME_READY;
	size_t n = ex->config.journal ? drpc_journal_count(ex->config.journal) : 0;

	if (ex->orphan_busy || ex->gone_calls || drpc_now_ns() < ex->orphan_retry_ns)
		return;
	for (size_t i = 0; i < n; i++) {
		const struct drpc_journal_record *record = drpc_journal_at(ex->config.journal, i);

		if (!owned(ex, record) && (ready || !(record->what & DRPC_JOURNAL_ENGINE))) {
			orphan_begin(ex, record);
			return;
		}
	}
}

void drpc_executor_tick(struct drpc_executor *ex, uint64_t now_ns)
{
	if (ex->closing)
		return;
	for (size_t i = 0; i < EXECUTOR_BUCKETS; i++) {
		struct executor_entry *next;

		for (struct executor_entry *e = ex->buckets[i]; e; e = next) {
			next = e->next;
			if (e->call != CALL_NONE)
				continue;
			if (!e->want && should_tell(e, now_ns)) {
				e->target = e->applied;
				e->target_what = e->applied_what;
				e->want = true;
			}
			if (e->want || e->leaving)
				executor_engine_go(e);
		}
	}
	tend_orphans(ex);
}

/* --- everything back -------------------------------------------------------------------------- */

/* Waits for the calls under way, so that none of them comes after the original. */
static void settle_calls(struct drpc_executor *ex, uint64_t end_ns)
{
	while ((ex->calls || ex->orphan_busy) && drpc_now_ns() < end_ns) {
		bool never = false;

		drpc_runtime_wait(ex->config.runtime, &never, 1);
	}
}

static void all_entries(struct drpc_executor *ex, void (*fn)(struct executor_entry *e))
{
	for (size_t i = 0; i < EXECUTOR_BUCKETS; i++) {
		for (struct executor_entry *e = ex->buckets[i]; e; e = e->next)
			fn(e);
	}
}

static void entry_close(struct executor_entry *e)
{
	e->want = false;
	warn_of_strangers(e);
}

static void entry_reopen(struct executor_entry *e)
{
	if (!drpc_journal_find(e->executor->config.journal, e->id, e->cgroup))
		forget_changes(e);
}

int drpc_executor_restore_all(struct drpc_executor *ex, int timeout_ms,
			      struct drpc_restore_report *ret)
{
	uint64_t end_ns = drpc_now_ns() + (uint64_t)timeout_ms * DRPC_NSEC_PER_MSEC;
	uint64_t now;
	int r;

	if (!ex->config.journal) {
		if (ret)
			*ret = (struct drpc_restore_report){0};
		return 0;
	}
	ex->closing = true;
	all_entries(ex, entry_close);
	settle_calls(ex, end_ns);
	now = drpc_now_ns();
	r = drpc_restore_all(&ex->restore,
			     now < end_ns ? (int)((end_ns - now) / DRPC_NSEC_PER_MSEC) : 0, ret);
	all_entries(ex, entry_reopen);
	ex->closing = false;
	return r;
}
