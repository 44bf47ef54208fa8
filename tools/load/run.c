// SPDX-License-Identifier: Apache-2.0
#include "tools/load/run.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/load/worker.h"

#define TICK_NS	  (100 * DRPC_NSEC_PER_MSEC)
/* Descriptors besides the connections: standard streams, epoll and eventfd a thread, files. */
#define SPARE_FDS 32

struct thread {
	struct load_worker worker;
	struct run *run;
	pthread_t id;
	bool made;
	int error;
};

struct run {
	struct load_shared shared;
	struct thread *threads;
	unsigned int count;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int connected; /* threads that have opened their connections, or failed to */
	unsigned int finished;
	bool released; /* start_ns is set */
	bool cancelled;
};

static int check_config(const struct drpc_load_config *config)
{
	unsigned int least = config->threads * config->workload->target_count;
	struct rlimit limit;

	if (!config->threads || config->threads > DRPC_LOAD_THREADS_MAX) {
		drpc_error("%u threads: expected 1 to %u", config->threads, DRPC_LOAD_THREADS_MAX);
		return -EINVAL;
	}
	if (config->connections < least) {
		drpc_error("%u connections: expected at least one for each thread and target: %u",
			   config->connections, least);
		return -EINVAL;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	if (limit.rlim_max != RLIM_INFINITY && config->connections + SPARE_FDS > limit.rlim_max) {
		drpc_error("%u connections: at most %lu here: raise the limit of open files "
			   "(ulimit -n)",
			   config->connections, (unsigned long)limit.rlim_max - SPARE_FDS);
		return -EINVAL;
	}
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return 0;
}

/* Waits at the start line. Returns false where the run is called off. */
static bool wait_start(struct run *run)
{
	bool go;

	pthread_mutex_lock(&run->lock);
	run->connected++;
	pthread_cond_broadcast(&run->changed);
	while (!run->released)
		pthread_cond_wait(&run->changed, &run->lock);
	go = !run->cancelled;
	pthread_mutex_unlock(&run->lock);
	return go;
}

static void *thread_main(void *arg)
{
	struct thread *thread = arg;
	struct run *run = thread->run;

	thread->error = load_worker_connect(&thread->worker);
	if (wait_start(run) && !thread->error)
		thread->error = load_worker_run(&thread->worker);

	pthread_mutex_lock(&run->lock);
	run->finished++;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
	return NULL;
}

static int make_threads(struct run *run)
{
	const struct drpc_load_config *config = run->shared.config;
	unsigned int first = 0;

	for (unsigned int i = 0; i < run->count; i++) {
		unsigned int share =
			config->connections / run->count + (i < config->connections % run->count);
		struct thread *thread = &run->threads[i];
		int err;

		thread->run = run;
		err = load_worker_init(&thread->worker, &run->shared, i, first, share);
		if (err)
			return drpc_err(err, "cannot set up thread %u", i);
		first += share;
	}
	for (unsigned int i = 0; i < run->count; i++) {
		struct thread *thread = &run->threads[i];
		int err = pthread_create(&thread->id, NULL, thread_main, thread);

		if (err)
			return drpc_err(-err, "cannot start thread %u", i);
		thread->made = true;
	}
	return 0;
}

/* Waits until all threads have connected, and sets them off, or calls them back. */
static int release_threads(struct run *run, int err)
{
	unsigned int made = 0;

	for (unsigned int i = 0; i < run->count; i++)
		made += run->threads[i].made;
	pthread_mutex_lock(&run->lock);
	while (run->connected < made)
		pthread_cond_wait(&run->changed, &run->lock);
	for (unsigned int i = 0; i < run->count && !err; i++) {
		const struct thread *t = &run->threads[i];

		if (t->error)
			err = drpc_err(t->error, "%s: cannot connect",
				       t->worker.failed ? t->worker.failed->name : "thread");
	}
	run->cancelled = err != 0;
	run->shared.start_ns = drpc_now_ns() + DRPC_NSEC_PER_MSEC;
	run->released = true;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
	return err;
}

static void send_stop(struct run *run)
{
	const uint64_t one = 1;

	atomic_store(&run->shared.stop_ns, drpc_now_ns());
	for (unsigned int i = 0; i < run->count; i++) {
		if (write(run->threads[i].worker.wake, &one, sizeof(one)) < 0)
			drpc_warn("cannot wake thread %u, it stops at its next wake-up", i);
	}
}

/* Makes the row complete that the series knows counts and latencies of. */
static bool get_row(struct run *run, size_t index, struct drpc_load_row *row)
{
	if (!drpc_load_series_row(run->shared.series, index, row))
		return false;
	row->target_rps = drpc_schedule_mean_rps(
		run->shared.config->schedule, (double)row->second,
		DRPC_MIN((double)row->second + 1,
			 drpc_schedule_duration_s(run->shared.config->schedule)));
	return true;
}

static bool wait_tick(struct run *run)
{
	uint64_t until_ns = drpc_now_ns() + TICK_NS;
	struct timespec ts = {(time_t)(until_ns / DRPC_NSEC_PER_SEC),
			      (long)(until_ns % DRPC_NSEC_PER_SEC)};
	bool done;

	pthread_mutex_lock(&run->lock);
	if (run->finished < run->count)
		pthread_cond_timedwait(&run->changed, &run->lock, &ts);
	done = run->finished == run->count;
	pthread_mutex_unlock(&run->lock);
	return done;
}

static void watch_run(struct run *run, const atomic_bool *stop, const struct drpc_load_watch *watch)
{
	struct drpc_load_row row;
	bool stopping = false, done;
	size_t seen = 0;

	do {
		done = wait_tick(run);
		while (watch && watch->on_row && get_row(run, seen, &row)) {
			watch->on_row(watch->arg, &row);
			seen++;
		}
		if (watch && watch->on_tick && !done)
			watch->on_tick(watch->arg,
				       (double)(drpc_now_ns() - run->shared.start_ns) / 1e9);
		if (stop && atomic_load(stop) && !stopping && !done) {
			stopping = true;
			send_stop(run);
		}
	} while (!done);
}

static int collect_rows(struct run *run, struct drpc_load_result *result)
{
	struct drpc_load_row row;
	size_t capacity = 0;

	while (get_row(run, result->row_count, &row)) {
		if (result->row_count == capacity) {
			struct drpc_load_row *rows;

			capacity = DRPC_MAX(capacity * 2, 64);
			rows = reallocarray(result->rows, capacity, sizeof(*rows));
			if (!rows)
				return -ENOMEM;
			result->rows = rows;
		}
		result->rows[result->row_count++] = row;
	}
	return 0;
}

static int collect(struct run *run, struct drpc_load_result **ret)
{
	const struct drpc_load_config *config = run->shared.config;
	struct drpc_load_result *result = calloc(1, sizeof(*result));
	uint64_t stop_ns = atomic_load(&run->shared.stop_ns), start_ns = run->shared.start_ns;
	uint64_t last_ns = start_ns;
	int err;

	if (!result)
		return -ENOMEM;
	result->class_count = config->workload->class_count;
	result->classes = calloc(result->class_count, sizeof(*result->classes));
	err = result->classes ? collect_rows(run, result) : -ENOMEM;
	if (err) {
		drpc_load_result_free(&result);
		return err;
	}
	for (unsigned int c = 0; c < result->class_count; c++)
		drpc_load_bin_reset(&result->classes[c]);
	drpc_hdr_reset(&result->lag);
	drpc_load_series_total(run->shared.series, &result->total);
	for (unsigned int i = 0; i < run->count; i++) {
		const struct load_worker *worker = &run->threads[i].worker;

		for (unsigned int c = 0; c < result->class_count; c++)
			drpc_load_bin_merge(&result->classes[c], &worker->classes[c]);
		drpc_hdr_merge(&result->lag, &worker->lag);
		result->connects += worker->connects;
		last_ns = DRPC_MAX(last_ns, worker->last_ns);
	}
	result->duration_s = drpc_schedule_duration_s(config->schedule);
	if (stop_ns > start_ns)
		result->duration_s =
			DRPC_MIN(result->duration_s, (double)(stop_ns - start_ns) / 1e9);
	result->stopped = stop_ns != 0;
	result->elapsed_s = DRPC_MAX(result->duration_s, (double)(last_ns - start_ns) / 1e9);
	*ret = result;
	return 0;
}

static int run_init(struct run *run, const struct drpc_load_config *config)
{
	pthread_condattr_t attr;

	memset(run, 0, sizeof(*run));
	run->shared.config = config;
	run->count = config->threads;
	run->threads = calloc(run->count, sizeof(*run->threads));
	if (!run->threads || drpc_load_series_new(run->count, &run->shared.series)) {
		free(run->threads);
		drpc_err(-ENOMEM, "cannot set up %u threads", run->count);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < run->count; i++)
		run->threads[i].worker.epoll = run->threads[i].worker.wake = -1;
	pthread_mutex_init(&run->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&run->changed, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

static void run_release(struct run *run)
{
	for (unsigned int i = 0; i < run->count; i++)
		load_worker_release(&run->threads[i].worker);
	drpc_load_series_free(&run->shared.series);
	pthread_cond_destroy(&run->changed);
	pthread_mutex_destroy(&run->lock);
	free(run->threads);
}

int drpc_load_run(const struct drpc_load_config *config, const atomic_bool *stop,
		  const struct drpc_load_watch *watch, struct drpc_load_result **ret)
{
	struct run run;
	int err;

	err = check_config(config);
	if (!err)
		err = run_init(&run, config);
	if (err)
		return err;
	err = make_threads(&run);
	err = release_threads(&run, err);
	if (!err)
		watch_run(&run, stop, watch);
	for (unsigned int i = 0; i < run.count; i++) {
		if (run.threads[i].made)
			pthread_join(run.threads[i].id, NULL);
		if (!err && run.threads[i].error)
			err = drpc_err(run.threads[i].error, "thread %u failed", i);
	}
	if (!err)
		err = collect(&run, ret);
	run_release(&run);
	return err;
}

void drpc_load_result_free(struct drpc_load_result **result)
{
	if (!*result)
		return;
	free((*result)->classes);
	free((*result)->rows);
	free(*result);
	*result = NULL;
}
