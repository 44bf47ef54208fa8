// SPDX-License-Identifier: Apache-2.0
#include "agent/execute/restore.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/execute/cgroupfs.h"
#include "lib/log.h"
#include "lib/util.h"

#define WHY_MAX 224

/* One record on its way; alive until `fn` was called. */
struct restoration {
	struct drpc_restore_config config;
	struct drpc_journal_record record;
	enum drpc_restore_outcome files;
	drpc_restore_fn fn;
	void *arg;
};

/* --- files ------------------------------------------------------------------------------------ */

/* Whether the record is of this boot; where not, its cgroup went with that boot. */
static bool this_boot(const struct drpc_journal_record *record)
{
	char boot_id[DRPC_BOOT_ID_MAX];

	return drpc_boot_id(boot_id) < 0 || strcmp(boot_id, record->boot_id) == 0;
}

static void log_change(const struct drpc_journal_record *record, const struct drpc_limits *before)
{
	const struct drpc_limits *o = &record->original;

	if (record->what & DRPC_LIMIT_CPU)
		drpc_info("restore: %s: CPU limit %lld -> %lld mCPU (-1: none)", record->name,
			  (long long)drpc_limits_cpu_mcpu(before),
			  (long long)drpc_limits_cpu_mcpu(o));
	if (record->what & DRPC_LIMIT_MEMORY)
		drpc_info("restore: %s: memory limit %lld -> %lld bytes (-1: none)", record->name,
			  (long long)before->mem_max_bytes, (long long)o->mem_max_bytes);
}

static enum drpc_restore_outcome outcome_of(int err)
{
	if (err >= 0)
		return DRPC_RESTORE_DONE;
	return err == -ENODEV ? DRPC_RESTORE_GONE : DRPC_RESTORE_FAILED;
}

static int write_files(const struct drpc_restore_config *config,
		       const struct drpc_journal_record *record, char *why, size_t why_size)
{
	struct drpc_cgroupfs cg = DRPC_CGROUPFS_CLOSED;
	struct drpc_limits before = record->original;
	struct drpc_cgroupfs_change change = {.target = record->original, .force = true};
	int r = drpc_cgroupfs_open(config->cgroup_fd, record->cgroup, record->cgroup_id, &cg, why,
				   why_size);

	if (r < 0)
		return r;
	/* The limits of a controller that was taken from the cgroup went with it. */
	change.what = record->what & cg.readable;
	r = drpc_cgroupfs_apply(&cg, &change, &before, why, why_size);
	drpc_cgroupfs_close(&cg);
	if (r > 0)
		log_change(record, &before);
	return r;
}

static enum drpc_restore_outcome restore_files(const struct drpc_restore_config *config,
					       const struct drpc_journal_record *record, char *why,
					       size_t why_size)
{
	struct stat st;

	why[0] = '\0';
	if (!(record->what & DRPC_JOURNAL_FILES))
		return DRPC_RESTORE_DONE;
	if (!this_boot(record)) {
		snprintf(why, why_size, "the machine was booted again since");
		return DRPC_RESTORE_GONE;
	}
	if (fstat(config->cgroup_fd, &st) < 0)
		return outcome_of(-errno);
	if (st.st_dev != record->cgroup_dev) {
		/* "Not found" in another tree would say nothing. */
		snprintf(why, why_size, "recorded under another cgroup file system");
		return DRPC_RESTORE_FAILED;
	}
	return outcome_of(write_files(config, record, why, why_size));
}

/* --- one record ------------------------------------------------------------------------------- */

static void finish(struct restoration *r, enum drpc_restore_outcome outcome, const char *why)
{
	const struct drpc_journal_record *record = &r->record;

	if (outcome == DRPC_RESTORE_DONE || outcome == DRPC_RESTORE_GONE) {
		int err = drpc_journal_close_record(r->config.journal, record->id, record->cgroup,
						    outcome == DRPC_RESTORE_DONE ? "restored"
										 : "gone");

		if (err < 0 && err != -ENOENT)
			drpc_warn(
				"restore: %s is put back, but its record stays open: it will be put back once more",
				record->name);
	}
	if (outcome == DRPC_RESTORE_GONE)
		drpc_info("restore: %s: nothing to put back: %s", record->name, why);
	else if (outcome != DRPC_RESTORE_DONE)
		drpc_warn("restore: %s: not put back, its record stays: %s", record->name, why);
	r->fn(r->arg, outcome, why);
	free(r);
}

static void engine_restored(void *arg, int err, const char *why,
			    const struct drpc_runtime_container *container)
{
	struct restoration *r = arg;
	char files_why[WHY_MAX] = "";

	(void)container;
	switch (err) {
	case 0:
		/* The engine has written its own original over the files: look again. */
		if (r->files != DRPC_RESTORE_GONE)
			r->files =
				restore_files(&r->config, &r->record, files_why, sizeof(files_why));
		finish(r, r->files == DRPC_RESTORE_FAILED ? DRPC_RESTORE_FAILED : DRPC_RESTORE_DONE,
		       files_why);
		return;
	case -ENOENT:
		finish(r, r->record.what & DRPC_JOURNAL_FILES ? r->files : DRPC_RESTORE_GONE,
		       "the engine knows no such container");
		return;
	case -EHOSTDOWN:
	case -ECONNREFUSED:
	case -ETIMEDOUT:
	case -ECANCELED:
		finish(r, DRPC_RESTORE_WAITING, why);
		return;
	default:
		finish(r, DRPC_RESTORE_FAILED, why);
	}
}

void drpc_restore_one(const struct drpc_restore_config *config,
		      const struct drpc_journal_record *record, drpc_restore_fn fn, void *arg)
{
	struct restoration *r = calloc(1, sizeof(*r));
	char why[WHY_MAX] = "";
	int err;

	if (!r) {
		fn(arg, DRPC_RESTORE_FAILED, "no memory");
		return;
	}
	r->config = *config;
	r->record = *record;
	r->fn = fn;
	r->arg = arg;
	r->files = restore_files(config, record, why, sizeof(why));
	if (!(record->what & DRPC_JOURNAL_ENGINE)) {
		finish(r, r->files, why);
		return;
	}
	if (!config->runtime) {
		finish(r, DRPC_RESTORE_WAITING, "no engine was found to ask");
		return;
	}
	err = drpc_runtime_restore(config->runtime, record->id, &record->engine, record->what,
				   engine_restored, r);
	if (err < 0)
		engine_restored(r, err, config->runtime->why, NULL);
}

/* --- all records ------------------------------------------------------------------------------ */

/* Shared by the restorations of one call; outlives the call where the engine does not answer. */
struct batch {
	struct drpc_restore_report report;
	unsigned int outstanding;
	bool done, abandoned;
};

static void batch_note(void *arg, enum drpc_restore_outcome outcome, const char *why)
{
	struct batch *b = arg;

	switch (outcome) {
	case DRPC_RESTORE_DONE:
		b->report.restored++;
		break;
	case DRPC_RESTORE_GONE:
		b->report.gone++;
		break;
	case DRPC_RESTORE_WAITING:
		b->report.waiting++;
		break;
	case DRPC_RESTORE_FAILED:
		b->report.failed++;
		break;
	}
	if (outcome >= DRPC_RESTORE_WAITING && b->report.why[0] == '\0')
		drpc_strcpy(b->report.why, sizeof(b->report.why), why);
	b->done = --b->outstanding == 0;
	if (b->done && b->abandoned)
		free(b);
}

static bool engine_needed(const struct drpc_journal *journal)
{
	for (size_t i = 0; i < drpc_journal_count(journal); i++) {
		if (drpc_journal_at(journal, i)->what & DRPC_JOURNAL_ENGINE)
			return true;
	}
	return false;
}

static int remaining_ms(uint64_t end_ns)
{
	uint64_t now = drpc_now_ns();

	return now >= end_ns ? 0 : (int)((end_ns - now) / DRPC_NSEC_PER_MSEC);
}

int drpc_restore_all(const struct drpc_restore_config *config, int timeout_ms,
		     struct drpc_restore_report *ret)
{
	uint64_t end_ns = drpc_now_ns() + (uint64_t)timeout_ms * DRPC_NSEC_PER_MSEC;
	_cleanup_free_ struct drpc_journal_record *records = NULL;
	struct drpc_restore_report report;
	struct batch *b;
	size_t n;

	if (config->runtime && engine_needed(config->journal))
		drpc_runtime_wait_ready(config->runtime, timeout_ms);
	/* Closing a record moves the others: work on a copy. */
	n = drpc_journal_count(config->journal);
	records = calloc(n + 1, sizeof(*records));
	b = calloc(1, sizeof(*b));
	if (!records || !b) {
		free(b);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		records[i] = *drpc_journal_at(config->journal, i);
	b->outstanding = 1; /* ours, so that none of them is the last before all have begun */
	for (size_t i = 0; i < n; i++) {
		b->outstanding++;
		drpc_restore_one(config, &records[i], batch_note, b);
	}
	b->done = --b->outstanding == 0;
	if (!b->done)
		drpc_runtime_wait(config->runtime, &b->done, remaining_ms(end_ns));
	report = b->report;
	if (b->done) {
		free(b);
	} else {
		report.waiting += b->outstanding;
		drpc_strcpy(report.why, sizeof(report.why), "the engine did not answer in time");
		b->abandoned = true;
	}
	if (ret)
		*ret = report;
	return report.waiting + report.failed ? -EAGAIN : 0;
}
