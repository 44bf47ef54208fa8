// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/executor.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/execute/executor_internal.h"
#include "lib/log.h"
#include "lib/util.h"

/* What the engine said is asked again after this, where limits are read from it. */
#define PRESENT_MAX_AGE_NS (5 * DRPC_NSEC_PER_SEC)

/* --- the table of containers ------------------------------------------------------------------ */

static size_t bucket_of(uint64_t cgroup_id)
{
	return (cgroup_id * 0x9e3779b97f4a7c15ULL) >> 54;
}

struct executor_entry *executor_find(const struct drpc_executor *ex, uint64_t cgroup_id)
{
	struct executor_entry *e = ex->buckets[bucket_of(cgroup_id)];

	while (e && e->cgroup_id != cgroup_id)
		e = e->next;
	return e;
}

static void entry_free(struct executor_entry *e)
{
	drpc_cgroupfs_close(&e->cg);
	free(e);
}

void executor_forget(struct executor_entry *e)
{
	struct executor_entry **link = &e->executor->buckets[bucket_of(e->cgroup_id)];

	if (!e->gone) {
		while (*link != e)
			link = &(*link)->next;
		*link = e->next;
		e->gone = true;
		e->executor->gone_calls += e->call != CALL_NONE;
	}
	if (e->call == CALL_NONE)
		entry_free(e);
}

static void entry_open(struct executor_entry *e)
{
	e->open_err = drpc_cgroupfs_open(e->executor->config.cgroup_fd, e->cgroup, e->cgroup_id,
					 &e->cg, e->open_why, sizeof(e->open_why));
}

/* What an earlier life of this container, or an earlier agent, left on record. */
static uint32_t on_record(const struct drpc_executor *ex, const struct executor_entry *e)
{
	const struct drpc_journal_record *record = NULL;

	if (ex->config.journal)
		record = drpc_journal_find(ex->config.journal, e->id, e->cgroup);
	/* Of another cgroup: the record must be renewed before it counts for this one. */
	if (!record || record->cgroup_id != e->cgroup_id ||
	    strcmp(record->boot_id, ex->boot_id) != 0)
		return 0;
	return record->what;
}

static struct executor_entry *entry_of(struct drpc_executor *ex, const struct drpc_container *c)
{
	struct executor_entry *e = executor_find(ex, c->cgroup_id);

	if (e) {
		e->engine_known = c->engine_known;
		return e;
	}
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->executor = ex;
	drpc_strcpy(e->id, sizeof(e->id), c->id);
	drpc_strcpy(e->name, sizeof(e->name), c->name);
	drpc_strcpy(e->cgroup, sizeof(e->cgroup), c->cgroup);
	e->cgroup_id = c->cgroup_id;
	e->engine_known = c->engine_known;
	e->cg = DRPC_CGROUPFS_CLOSED;
	e->journalled = on_record(ex, e);
	e->next = ex->buckets[bucket_of(e->cgroup_id)];
	ex->buckets[bucket_of(e->cgroup_id)] = e;
	entry_open(e);
	return e;
}

void executor_note(struct executor_entry *e, int err, const char *why)
{
	/* Once in the log when it begins, not every tick. */
	if (err < 0 && err != e->err)
		drpc_warn("execute: %s: %s (%s)", e->name, why, strerror(-err));
	e->err = err;
	drpc_strcpy(e->why, sizeof(e->why), why);
}

void executor_record(const struct executor_entry *e, struct drpc_journal_record *ret)
{
	*ret = (struct drpc_journal_record){
		.cgroup_id = e->cgroup_id,
		.cgroup_dev = e->executor->cgroup_dev,
		.realtime_ns = drpc_realtime_ns(),
	};
	drpc_strcpy(ret->id, sizeof(ret->id), e->id);
	drpc_strcpy(ret->name, sizeof(ret->name), e->name);
	drpc_strcpy(ret->cgroup, sizeof(ret->cgroup), e->cgroup);
	drpc_strcpy(ret->boot_id, sizeof(ret->boot_id), e->executor->boot_id);
}

/* --- life ------------------------------------------------------------------------------------- */

int drpc_executor_new(const struct drpc_executor_config *config, struct drpc_executor **ret)
{
	struct drpc_executor *ex = calloc(1, sizeof(*ex));
	struct stat st = {0};
	int r;

	if (!ex)
		return -ENOMEM;
	ex->config = *config;
	ex->restore = (struct drpc_restore_config){
		.cgroup_fd = config->cgroup_fd,
		.journal = config->journal,
		.runtime = config->runtime,
	};
	r = drpc_boot_id(ex->boot_id);
	if (r == 0 && fstat(config->cgroup_fd, &st) < 0)
		r = -errno;
	if (r < 0) {
		free(ex);
		return drpc_err(r, "execute: cannot tell this boot or the cgroup file system");
	}
	ex->cgroup_dev = st.st_dev;
	*ret = ex;
	return 0;
}

void drpc_executor_free(struct drpc_executor **executor)
{
	struct drpc_executor *ex = *executor;

	if (!ex)
		return;
	assert(ex->calls == 0 && !ex->orphan_busy);
	for (size_t i = 0; i < EXECUTOR_BUCKETS; i++) {
		while (ex->buckets[i])
			executor_forget(ex->buckets[i]);
	}
	free(ex->entries);
	free(ex->records);
	free(ex);
	*executor = NULL;
}

/* --- which way -------------------------------------------------------------------------------- */

const char *drpc_via_name(enum drpc_via via)
{
	static const char *const names[] = {"none", "cgroup files", "engine"};

	return via <= DRPC_VIA_ENGINE ? names[via] : "unknown";
}

/*
 * Files where all that is wanted can be written, else the engine, else what files there are. `why`
 * says what stands against files, "" where nothing does.
 */
static enum drpc_via choose(const struct executor_entry *e, uint32_t what, char *why,
			    size_t why_size)
{
	bool engine = e->engine_known && e->executor->config.runtime;
	uint32_t missing = what & ~e->cg.writable;

	why[0] = '\0';
	if (e->open_err)
		drpc_strcpy(why, why_size, e->open_why);
	else if (missing)
		snprintf(why, why_size, "%s%s%s cannot be written here: %s",
			 missing & DRPC_LIMIT_CPU ? "cpu.max" : "",
			 missing == (DRPC_LIMIT_CPU | DRPC_LIMIT_MEMORY) ? " and " : "",
			 missing & DRPC_LIMIT_MEMORY ? "memory.max" : "",
			 e->cg.write_err == -EOPNOTSUPP ? "the cgroup has no such controller"
							: strerror(-e->cg.write_err));
	else
		return DRPC_VIA_FILES;
	if (engine)
		return DRPC_VIA_ENGINE;
	return !e->open_err && what & e->cg.writable ? DRPC_VIA_FILES : DRPC_VIA_NONE;
}

enum drpc_via drpc_executor_probe(struct drpc_executor *ex, const struct drpc_container *container,
				  char *why, size_t why_size)
{
	struct executor_entry *e = entry_of(ex, container);

	if (!e) {
		drpc_strcpy(why, why_size, "no memory");
		return DRPC_VIA_NONE;
	}
	return choose(e, DRPC_LIMIT_CPU | DRPC_LIMIT_MEMORY, why, why_size);
}

/* --- reading ---------------------------------------------------------------------------------- */

static int read_engine(struct executor_entry *e, uint32_t what, struct drpc_limits *ret)
{
	bool old = drpc_now_ns() - e->present_ns > PRESENT_MAX_AGE_NS;
	struct drpc_limits view;
	int r = 0;

	if ((!e->present_ns || old) && e->call == CALL_NONE)
		r = executor_engine_inspect(e);
	if (!e->present_ns)
		return r < 0 ? r : -EINPROGRESS;
	drpc_runtime_limits_view(&e->present, &view);
	/* An engine that keeps no note of updates shows the original for ever. */
	if (e->via == DRPC_VIA_ENGINE && !e->executor->config.runtime->remembers) {
		if (e->applied_what & DRPC_LIMIT_CPU) {
			view.cpu_quota_usec = e->applied.cpu_quota_usec;
			view.cpu_period_usec = e->applied.cpu_period_usec;
		}
		if (e->applied_what & DRPC_LIMIT_MEMORY)
			view.mem_max_bytes = e->applied.mem_max_bytes;
	}
	if (what & DRPC_LIMIT_CPU) {
		ret->cpu_quota_usec = view.cpu_quota_usec;
		ret->cpu_period_usec = view.cpu_period_usec;
		ret->cpu_burst_usec = view.cpu_burst_usec;
	}
	if (what & DRPC_LIMIT_MEMORY) {
		ret->mem_high_bytes = view.mem_high_bytes;
		ret->mem_max_bytes = view.mem_max_bytes;
	}
	return 0;
}

int drpc_executor_read(struct drpc_executor *ex, const struct drpc_container *container,
		       uint32_t what, struct drpc_limits *ret)
{
	struct executor_entry *e = entry_of(ex, container);
	char why[160];

	if (!e)
		return -ENOMEM;
	if (!e->open_err && (e->cg.readable & what) == what)
		return drpc_cgroupfs_read(&e->cg, what, ret, why, sizeof(why));
	if (e->engine_known && ex->config.runtime)
		return read_engine(e, what, ret);
	if (e->open_err)
		return e->open_err;
	what &= e->cg.readable;
	return what ? drpc_cgroupfs_read(&e->cg, what, ret, why, sizeof(why)) : -EOPNOTSUPP;
}

/* --- applying --------------------------------------------------------------------------------- */

static void result_set(struct drpc_apply_result *result, int err, const char *why)
{
	result->err = err;
	drpc_strcpy(result->why, sizeof(result->why), why);
}

static int scratch_fit(struct drpc_executor *ex, size_t n)
{
	void *p;

	if (n <= ex->scratch)
		return 0;
	p = reallocarray(ex->entries, n, sizeof(struct executor_entry *));
	if (!p)
		return -ENOMEM;
	ex->entries = p;
	p = reallocarray(ex->records, n, sizeof(*ex->records));
	if (!p)
		return -ENOMEM;
	ex->records = p;
	ex->scratch = n;
	return 0;
}

static bool being_restored(const struct drpc_executor *ex, const struct executor_entry *e)
{
	return e->call == CALL_RESTORE || (ex->orphan_busy && strcmp(ex->orphan_id, e->id) == 0 &&
					   strcmp(ex->orphan_cgroup, e->cgroup) == 0);
}

/* Finds the container and its way; an error ends the matter for this target. */
static void prepare(struct drpc_executor *ex, const struct drpc_target *t,
		    struct executor_entry **ret, struct drpc_apply_result *result)
{
	struct executor_entry *e = entry_of(ex, t->container);
	char why[sizeof(result->why)];

	*result = (struct drpc_apply_result){0};
	*ret = e;
	if (!e) {
		result_set(result, -ENOMEM, "no memory");
		return;
	}
	result->via = choose(e, t->what, why, sizeof(why));
	e->via = result->via;
	if (!ex->config.journal)
		result_set(result, -ESHUTDOWN,
			   "originals cannot be journalled, so nothing is written");
	else if (being_restored(ex, e) || ex->closing)
		result_set(result, -EAGAIN, "its original limits are being put back");
	else if (result->via == DRPC_VIA_NONE)
		result_set(result, e->open_err ? e->open_err : e->cg.write_err, why);
	if (result->err == 0)
		e->leaving = false;
}

/* Adds the record that must be durable before files of this container are written. */
static size_t collect_record(struct drpc_executor *ex, const struct drpc_target *t,
			     struct executor_entry *e, struct drpc_apply_result *result, size_t n)
{
	uint32_t what = t->what & e->cg.writable;
	struct drpc_journal_record *record = &ex->records[n];
	int r;

	if (((what | DRPC_JOURNAL_FILES) & ~e->journalled) == 0)
		return n;
	executor_record(e, record);
	record->what = what | DRPC_JOURNAL_FILES;
	r = drpc_cgroupfs_read(&e->cg, what, &record->original, result->why, sizeof(result->why));
	if (r < 0) {
		result->err = r;
		return n;
	}
	return n + 1;
}

/* Everything new to the journal in one go. Where that fails, its containers stay untouched. */
static void journal_targets(struct drpc_executor *ex, const struct drpc_target *targets, size_t n,
			    struct drpc_apply_result *results)
{
	size_t records = 0;
	int r;

	for (size_t i = 0; i < n; i++) {
		if (results[i].err == 0 && results[i].via == DRPC_VIA_FILES)
			records = collect_record(ex, &targets[i], ex->entries[i], &results[i],
						 records);
	}
	if (records == 0)
		return;
	r = drpc_journal_add(ex->config.journal, ex->records, records);
	for (size_t i = 0; i < n; i++) {
		struct executor_entry *e = ex->entries[i];
		uint32_t what;

		if (!e || results[i].err || results[i].via != DRPC_VIA_FILES)
			continue;
		what = (targets[i].what & e->cg.writable) | DRPC_JOURNAL_FILES;
		if ((what & ~e->journalled) == 0)
			continue;
		if (r == 0)
			e->journalled |= what;
		else
			result_set(&results[i], r,
				   "the original limits cannot be journalled, nothing is written");
	}
}

static bool grows(const struct drpc_limits *from, const struct drpc_limits *to, uint32_t what)
{
	if (what == DRPC_LIMIT_MEMORY)
		return to->mem_max_bytes > from->mem_max_bytes ||
		       (to->mem_max_bytes == from->mem_max_bytes &&
			to->mem_high_bytes > from->mem_high_bytes);
	/* Another period compares through the share: unlimited is more than anything. */
	return drpc_limits_cpu_mcpu(to) > drpc_limits_cpu_mcpu(from);
}

/* One resource of one container by its files. */
static void apply_files(struct drpc_executor *ex, const struct drpc_target *t,
			struct executor_entry *e, uint32_t what, uint64_t now_ns,
			struct drpc_apply_result *result)
{
	struct drpc_cgroupfs_change change = {
		.what = what,
		.target = t->limits,
		.memory_margin_bytes = ex->config.memory_margin_bytes,
		.stats = &ex->stats,
	};
	char why[sizeof(result->why)];
	int r = drpc_cgroupfs_apply(&e->cg, &change, &result->before, why, sizeof(why));

	if (r < 0) {
		result_set(result, r, why);
		return;
	}
	result->done |= what;
	if (r > 0 || (e->applied_what & what) == 0) {
		e->told = false;
		e->changed_ns = now_ns;
	}
	if (what == DRPC_LIMIT_CPU) {
		e->applied.cpu_quota_usec = t->limits.cpu_quota_usec;
		e->applied.cpu_period_usec = t->limits.cpu_period_usec;
		e->applied.cpu_burst_usec = t->limits.cpu_burst_usec;
	} else {
		e->applied.mem_high_bytes = t->limits.mem_high_bytes;
		e->applied.mem_max_bytes = t->limits.mem_max_bytes;
	}
	e->applied_what |= what;
}

/* All that grows, or all that does not, of all targets that go by files. */
static void apply_pass(struct drpc_executor *ex, const struct drpc_target *targets, size_t n,
		       bool growing, uint64_t now_ns, struct drpc_apply_result *results)
{
	static const uint32_t resources[] = {DRPC_LIMIT_CPU, DRPC_LIMIT_MEMORY};

	for (size_t i = 0; i < n; i++) {
		struct executor_entry *e = ex->entries[i];

		if (results[i].via != DRPC_VIA_FILES || (results[i].err && !results[i].done))
			continue;
		for (size_t k = 0; k < DRPC_ARRAY_SIZE(resources); k++) {
			uint32_t what = resources[k];

			if (targets[i].what & what & e->cg.writable &&
			    grows(&results[i].before, &targets[i].limits, what) == growing)
				apply_files(ex, &targets[i], e, what, now_ns, &results[i]);
		}
	}
}

/* What is in force before: the last that was verified, where there is one. */
static void note_before(struct executor_entry *e, uint32_t what, struct drpc_apply_result *result)
{
	if ((e->applied_what & what) == what) {
		result->before = e->applied;
		return;
	}
	if (result->via == DRPC_VIA_ENGINE) {
		drpc_runtime_limits_view(&e->present, &result->before);
		return;
	}
	result->err = drpc_cgroupfs_read(&e->cg, what & e->cg.readable, &result->before,
					 result->why, sizeof(result->why));
}

static void apply_engine(const struct drpc_target *t, struct executor_entry *e,
			 struct drpc_apply_result *result)
{
	const char *why = "";
	int r = executor_engine_usable(e, &why);

	if (r == 0) {
		e->target = t->limits;
		e->target_what = t->what;
		e->want = true;
		r = executor_engine_go(e);
		why = "the engine cannot be asked";
	}
	result_set(result, r < 0 ? r : -EINPROGRESS, r < 0 ? why : "");
}

static void apply_engine_pass(struct drpc_executor *ex, const struct drpc_target *targets, size_t n,
			      bool growing, struct drpc_apply_result *results)
{
	for (size_t i = 0; i < n; i++) {
		if (results[i].via != DRPC_VIA_ENGINE || results[i].err)
			continue;
		if (grows(&results[i].before, &targets[i].limits, DRPC_LIMIT_CPU) == growing)
			apply_engine(&targets[i], ex->entries[i], &results[i]);
	}
}

/* A controller that is not there leaves the other resource's part done. */
static void note_missing(const struct drpc_target *t, const struct executor_entry *e,
			 struct drpc_apply_result *result)
{
	if (result->err == 0 && result->via == DRPC_VIA_FILES && t->what & ~e->cg.writable) {
		result->err = e->cg.write_err;
		choose(e, t->what, result->why, sizeof(result->why));
	}
}

size_t drpc_executor_apply(struct drpc_executor *ex, const struct drpc_target *targets, size_t n,
			   uint64_t now_ns, struct drpc_apply_result *results)
{
	size_t failed = 0;

	if (scratch_fit(ex, n) < 0) {
		for (size_t i = 0; i < n; i++)
			result_set(&results[i], -ENOMEM, "no memory");
		return n;
	}
	for (size_t i = 0; i < n; i++) {
		prepare(ex, &targets[i], &ex->entries[i], &results[i]);
		if (results[i].err == 0)
			note_before(ex->entries[i], targets[i].what, &results[i]);
	}
	journal_targets(ex, targets, n, results);
	apply_pass(ex, targets, n, true, now_ns, results);
	apply_engine_pass(ex, targets, n, true, results);
	apply_pass(ex, targets, n, false, now_ns, results);
	apply_engine_pass(ex, targets, n, false, results);
	for (size_t i = 0; i < n; i++) {
		if (ex->entries[i]) {
			note_missing(&targets[i], ex->entries[i], &results[i]);
			executor_note(ex->entries[i],
				      results[i].err == -EINPROGRESS ? 0 : results[i].err,
				      results[i].why);
		}
		failed += results[i].err < 0 && results[i].err != -EINPROGRESS;
	}
	return failed;
}

/* --- telling ---------------------------------------------------------------------------------- */

bool drpc_executor_status(const struct drpc_executor *ex, uint64_t cgroup_id,
			  struct drpc_executor_status *ret)
{
	const struct executor_entry *e = executor_find(ex, cgroup_id);

	if (!e)
		return false;
	*ret = (struct drpc_executor_status){
		.via = e->via,
		.journalled = e->journalled != 0,
		.pending = e->want || e->call == CALL_UPDATE || e->call == CALL_RESTORE,
		.engine_told = e->told,
		.err = e->err,
	};
	drpc_strcpy(ret->why, sizeof(ret->why), e->why);
	return true;
}

const struct drpc_cgroupfs_stats *drpc_executor_stats(const struct drpc_executor *ex)
{
	return &ex->stats;
}
