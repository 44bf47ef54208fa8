// SPDX-License-Identifier: Apache-2.0
/* The loop of one thread: take up what is due, send what can be sent, give up what is too late. */
#include "tools/load/worker.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>

#include "lib/log.h"
#include "lib/util.h"

#define EVENTS_MAX     256
#define BUFFER_BYTES   (64UL * 1024)
#define CONNECT_MAX_NS (2 * DRPC_NSEC_PER_SEC)
/* The longest sleep: seconds that are over are handed on at least this often. */
#define SLEEP_MAX_NS   (100 * DRPC_NSEC_PER_MSEC)

/* --- making and ending ---------------------------------------------------------------------- */

static void lane_init(struct load_lane *lane, const struct drpc_target *target)
{
	lane->target = target;
	lane->reason = DRPC_LOAD_REFUSED;
	load_list_init(&lane->idle);
	load_list_init(&lane->busy);
}

static void conn_init(struct load_conn *conn, const struct drpc_workload *workload,
		      unsigned int number)
{
	conn->fd = -1;
	conn->lane = number % workload->target_count;
	/* Spread over the addresses of a name: replicas, say. */
	conn->address = number / workload->target_count % workload->targets[conn->lane].count;
	conn->prev = conn->next = conn;
}

static int worker_allocate(struct load_worker *worker, const struct drpc_workload *workload,
			   unsigned int connections)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	worker->lanes = calloc(workload->target_count, sizeof(*worker->lanes));
	worker->conns = calloc(connections, sizeof(*worker->conns));
	worker->classes = calloc(workload->class_count, sizeof(*worker->classes));
	worker->buffer = malloc(BUFFER_BYTES);
	if (!worker->lanes || !worker->conns || !worker->classes || !worker->buffer)
		return -ENOMEM;
	worker->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll < 0)
		return -errno;
	worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->wake < 0)
		return -errno;
	return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->wake, &event) ? -errno : 0;
}

int load_worker_init(struct load_worker *worker, struct load_shared *shared, unsigned int index,
		     unsigned int first, unsigned int connections)
{
	const struct drpc_load_config *config = shared->config;
	const struct drpc_workload *workload = config->workload;
	int err;

	*worker = (struct load_worker){
		.shared = shared,
		.index = index,
		.epoll = -1,
		.wake = -1,
		.next_scan_ns = UINT64_MAX,
		.jitter = drpc_rng_stream(config->seed, 16 + index),
	};
	err = worker_allocate(worker, workload, connections);
	if (err) {
		load_worker_release(worker);
		return err;
	}
	worker->lane_count = workload->target_count;
	worker->conn_count = connections;
	worker->unready = connections;
	for (unsigned int i = 0; i < worker->lane_count; i++)
		lane_init(&worker->lanes[i], &workload->targets[i]);
	for (unsigned int i = 0; i < connections; i++)
		conn_init(&worker->conns[i], workload, first + i);
	for (unsigned int i = 0; i < workload->class_count; i++)
		drpc_load_bin_reset(&worker->classes[i]);
	drpc_hdr_reset(&worker->lag);
	drpc_arrivals_init(&worker->arrivals, config->schedule, config->arrivals, config->seed);
	drpc_workload_picker_init(&worker->picker, workload, config->seed);
	return 0;
}

void load_worker_release(struct load_worker *worker)
{
	for (unsigned int i = 0; i < worker->conn_count; i++) {
		if (worker->conns[i].fd >= 0)
			close(worker->conns[i].fd);
		free(worker->conns[i].own);
	}
	for (unsigned int i = 0; i < worker->lane_count; i++)
		free(worker->lanes[i].queue);
	if (worker->epoll >= 0)
		close(worker->epoll);
	if (worker->wake >= 0)
		close(worker->wake);
	drpc_load_window_release(&worker->window);
	free(worker->lanes);
	free(worker->conns);
	free(worker->classes);
	free(worker->buffer);
	memset(worker, 0, sizeof(*worker));
	worker->epoll = worker->wake = -1;
}

/* --- what becomes of a request -------------------------------------------------------------- */

static uint64_t second_of(const struct load_worker *worker, uint64_t due_ns)
{
	return (due_ns - worker->shared->start_ns) / DRPC_NSEC_PER_SEC;
}

static void bin_failure(struct drpc_load_bin *bin, uint64_t latency_ns, uint64_t sent_latency_ns,
			enum drpc_load_failure failure)
{
	bin->counts.failed[failure]++;
	bin->counts.slo_misses++;
	if (sent_latency_ns)
		bin->counts.sent++;
	if (failure != DRPC_LOAD_TIMEOUT)
		return;
	drpc_hdr_record(&bin->due, latency_ns);
	if (sent_latency_ns)
		drpc_hdr_record(&bin->sent, sent_latency_ns);
}

static struct drpc_load_bin *settle(struct load_worker *worker, const struct load_pending *pending,
				    uint64_t now_ns)
{
	struct drpc_load_open *open;

	open = drpc_load_window_at(&worker->window, second_of(worker, pending->due_ns));
	open->open--;
	worker->last_ns = now_ns;
	return &open->bin;
}

void load_settle_failure(struct load_worker *worker, const struct load_pending *pending,
			 uint64_t sent_ns, uint64_t now_ns, enum drpc_load_failure failure)
{
	uint64_t sent_latency_ns = sent_ns ? DRPC_MAX(now_ns - sent_ns, 1) : 0;
	uint64_t latency_ns = now_ns - pending->due_ns;

	bin_failure(settle(worker, pending, now_ns), latency_ns, sent_latency_ns, failure);
	bin_failure(&worker->classes[pending->request->class], latency_ns, sent_latency_ns,
		    failure);
}

static void bin_answer(struct drpc_load_bin *bin, uint64_t latency_ns, uint64_t sent_latency_ns,
		       uint64_t slo_ns, const struct drpc_http_response *response)
{
	bin->counts.sent++;
	bin->counts.body_bytes += response->body.bytes;
	if (response->status >= 400) {
		bin->counts.failed[DRPC_LOAD_STATUS]++;
		bin->counts.slo_misses++;
		return;
	}
	bin->counts.ok++;
	bin->counts.slo_misses += slo_ns && latency_ns > slo_ns;
	drpc_hdr_record(&bin->due, latency_ns);
	drpc_hdr_record(&bin->sent, sent_latency_ns);
}

void load_settle_answer(struct load_worker *worker, const struct load_pending *pending,
			uint64_t sent_ns, uint64_t now_ns,
			const struct drpc_http_response *response)
{
	uint64_t slo_ns = worker->shared->config->slo_ns, latency_ns = now_ns - pending->due_ns;

	bin_answer(settle(worker, pending, now_ns), latency_ns, now_ns - sent_ns, slo_ns, response);
	bin_answer(&worker->classes[pending->request->class], latency_ns, now_ns - sent_ns, slo_ns,
		   response);
}

static void settle_unfinished(struct load_worker *worker, const struct load_pending *pending,
			      bool sent)
{
	struct drpc_load_bin *bins[] = {settle(worker, pending, worker->last_ns),
					&worker->classes[pending->request->class]};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bins); i++) {
		bins[i]->counts.unfinished++;
		bins[i]->counts.sent += sent;
	}
}

/* --- queues --------------------------------------------------------------------------------- */

static int queue_push(struct load_lane *lane, const struct load_pending *pending)
{
	if (lane->queue_count == lane->queue_size) {
		size_t size = DRPC_MAX(lane->queue_size * 2, 256);
		struct load_pending *queue = malloc(size * sizeof(*queue));

		if (!queue)
			return -ENOMEM;
		for (size_t i = 0; i < lane->queue_count; i++)
			queue[i] = lane->queue[(lane->queue_head + i) % lane->queue_size];
		free(lane->queue);
		lane->queue = queue;
		lane->queue_size = size;
		lane->queue_head = 0;
	}
	lane->queue[(lane->queue_head + lane->queue_count++) % lane->queue_size] = *pending;
	return 0;
}

static struct load_pending queue_pop(struct load_lane *lane)
{
	struct load_pending pending = lane->queue[lane->queue_head];

	lane->queue_head = (lane->queue_head + 1) % lane->queue_size;
	lane->queue_count--;
	return pending;
}

void load_lane_dispatch(struct load_worker *worker, struct load_lane *lane, uint64_t now_ns)
{
	uint64_t timeout_ns = worker->shared->config->timeout_ns;

	while (lane->queue_count && !load_list_empty(&lane->idle)) {
		struct load_pending pending = queue_pop(lane);

		if (now_ns >= pending.due_ns + timeout_ns)
			load_settle_failure(worker, &pending, 0, now_ns, DRPC_LOAD_TIMEOUT);
		else
			load_conn_send(worker, lane->idle.next, &pending);
	}
}

void load_lane_check_down(struct load_worker *worker, struct load_lane *lane, uint64_t now_ns)
{
	if (lane->up || lane->connecting)
		return;
	while (lane->queue_count) {
		struct load_pending pending = queue_pop(lane);

		load_settle_failure(worker, &pending, 0, now_ns, lane->reason);
	}
}

static void expire(struct load_worker *worker, struct load_lane *lane, uint64_t now_ns)
{
	uint64_t timeout_ns = worker->shared->config->timeout_ns;

	while (lane->queue_count && lane->queue[lane->queue_head].due_ns + timeout_ns <= now_ns) {
		struct load_pending pending = queue_pop(lane);

		load_settle_failure(worker, &pending, 0, now_ns, DRPC_LOAD_TIMEOUT);
	}
	while (!load_list_empty(&lane->busy)) {
		struct load_conn *conn = lane->busy.next;

		if (conn->pending.due_ns + timeout_ns > now_ns)
			break;
		load_settle_failure(worker, &conn->pending, conn->sent_ns, now_ns,
				    DRPC_LOAD_TIMEOUT);
		load_conn_replace(worker, conn, now_ns);
	}
}

/* --- arrivals ------------------------------------------------------------------------------- */

/* Goes on to this thread's next arrival. All threads run through all arrivals and choices. */
static void next_arrival(struct load_worker *worker)
{
	unsigned int threads = worker->shared->config->threads;
	struct drpc_workload_pick pick;
	uint64_t at_ns;

	do {
		if (!drpc_arrivals_next(&worker->arrivals, &at_ns)) {
			worker->exhausted = true;
			return;
		}
		pick = drpc_workload_pick(&worker->picker, (double)at_ns / 1e9);
	} while (worker->arrival_number++ % threads != worker->index);
	worker->next = (struct load_pending){
		.due_ns = worker->shared->start_ns + at_ns,
		.request = pick.request,
		.user = pick.user,
	};
}

static int take_up(struct load_worker *worker, uint64_t now_ns)
{
	while (!worker->exhausted && worker->next.due_ns <= now_ns) {
		const struct load_pending *pending = &worker->next;
		struct load_lane *lane = &worker->lanes[pending->request->target];
		struct drpc_load_open *open;

		open = drpc_load_window_at(&worker->window, second_of(worker, pending->due_ns));
		if (!open || queue_push(lane, pending))
			return -ENOMEM;
		open->open++;
		open->bin.counts.due++;
		worker->classes[pending->request->class].counts.due++;
		drpc_hdr_record(&worker->lag, now_ns - pending->due_ns);
		next_arrival(worker);
	}
	return 0;
}

/* --- the loop ------------------------------------------------------------------------------- */

static uint64_t wake_time(const struct load_worker *worker, uint64_t now_ns)
{
	uint64_t timeout_ns = worker->shared->config->timeout_ns;
	uint64_t at_ns = now_ns + SLEEP_MAX_NS;

	if (!worker->exhausted)
		at_ns = DRPC_MIN(at_ns, worker->next.due_ns);
	if (worker->unready)
		at_ns = DRPC_MIN(at_ns, worker->next_scan_ns);
	for (unsigned int i = 0; i < worker->lane_count; i++) {
		const struct load_lane *lane = &worker->lanes[i];

		if (lane->queue_count)
			at_ns = DRPC_MIN(at_ns, lane->queue[lane->queue_head].due_ns + timeout_ns);
		if (!load_list_empty(&lane->busy))
			at_ns = DRPC_MIN(at_ns, lane->busy.next->pending.due_ns + timeout_ns);
	}
	return at_ns;
}

/* Waits for events until a time, to the nanosecond where the kernel can (5.11). */
static int wait_events(struct load_worker *worker, struct epoll_event *events, uint64_t until_ns)
{
	uint64_t now_ns = drpc_now_ns();
	uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	struct timespec ts = {
		.tv_sec = (time_t)(left_ns / DRPC_NSEC_PER_SEC),
		.tv_nsec = (long)(left_ns % DRPC_NSEC_PER_SEC),
	};
	int n;

	if (worker->shared->config->spin)
		return epoll_wait(worker->epoll, events, EVENTS_MAX, 0);
	n = epoll_pwait2(worker->epoll, events, EVENTS_MAX, &ts, NULL);
	/* Without it: whole milliseconds asleep, the rest awake. */
	if (n < 0 && errno == ENOSYS)
		n = epoll_wait(worker->epoll, events, EVENTS_MAX,
			       (int)(left_ns / DRPC_NSEC_PER_MSEC));
	return n;
}

static int handle_events(struct load_worker *worker, uint64_t until_ns)
{
	struct epoll_event events[EVENTS_MAX];
	int n = wait_events(worker, events, until_ns);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr)
			load_conn_event(worker, events[i].data.ptr, events[i].events);
	}
	return worker->error;
}

int load_worker_connect(struct load_worker *worker)
{
	uint64_t timeout_ns = worker->shared->config->timeout_ns;
	uint64_t now_ns = drpc_now_ns(), until_ns = now_ns + DRPC_MIN(timeout_ns, CONNECT_MAX_NS);

	for (unsigned int i = 0; i < worker->conn_count; i++)
		load_conn_open(worker, &worker->conns[i], now_ns);
	/* Until each is up or has tried every address. */
	while (worker->unready && (now_ns = drpc_now_ns()) < until_ns) {
		bool pending = false;
		int err;

		load_conn_scan(worker, now_ns);
		for (unsigned int i = 0; i < worker->conn_count; i++) {
			const struct load_conn *c = &worker->conns[i];

			pending |= c->state == LOAD_CONN_CONNECTING || c->tried;
		}
		if (!pending)
			break;
		err = handle_events(worker, DRPC_MIN(until_ns, DRPC_MIN(worker->next_scan_ns,
									now_ns + SLEEP_MAX_NS)));
		if (err)
			return err;
	}
	for (unsigned int i = 0; i < worker->lane_count; i++) {
		const struct load_lane *lane = &worker->lanes[i];

		if (!lane->up) {
			worker->failed = lane->target;
			return lane->error ? -lane->error : -ETIMEDOUT;
		}
	}
	return 0;
}

static bool settled(const struct load_worker *worker)
{
	for (unsigned int i = 0; i < worker->lane_count; i++) {
		if (worker->lanes[i].queue_count || !load_list_empty(&worker->lanes[i].busy))
			return false;
	}
	return worker->exhausted;
}

static void abandon(struct load_worker *worker)
{
	for (unsigned int i = 0; i < worker->lane_count; i++) {
		struct load_lane *lane = &worker->lanes[i];

		while (lane->queue_count) {
			struct load_pending pending = queue_pop(lane);

			settle_unfinished(worker, &pending, false);
		}
		for (struct load_conn *c = lane->busy.next; c != &lane->busy; c = c->next)
			settle_unfinished(worker, &c->pending, true);
	}
}

/* Hands over the last seconds: the same number from every thread. */
static int finish(struct load_worker *worker, uint64_t stop_ns)
{
	struct load_shared *shared = worker->shared;
	double duration_s = drpc_schedule_duration_s(shared->config->schedule);
	uint64_t end_ns = stop_ns ? stop_ns - DRPC_MIN(stop_ns, shared->start_ns)
				  : (uint64_t)(duration_s * 1e9);
	uint64_t last = (end_ns ? end_ns - 1 : 0) / DRPC_NSEC_PER_SEC;

	abandon(worker);
	if (last >= worker->window.first && !drpc_load_window_at(&worker->window, last))
		return -ENOMEM;
	return drpc_load_window_close(&worker->window, last + 1, true, shared->series,
				      worker->index);
}

int load_worker_run(struct load_worker *worker)
{
	struct load_shared *shared = worker->shared;
	uint64_t now_ns, stop_ns;
	int err = 0;

	/* The default slack of 50 µs would make every request late by it. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	next_arrival(worker);
	for (;;) {
		now_ns = drpc_now_ns();
		stop_ns = atomic_load(&shared->stop_ns);
		if (stop_ns || settled(worker))
			break;
		load_conn_scan(worker, now_ns);
		err = take_up(worker, now_ns);
		if (err)
			break;
		for (unsigned int i = 0; i < worker->lane_count; i++) {
			load_lane_dispatch(worker, &worker->lanes[i], now_ns);
			load_lane_check_down(worker, &worker->lanes[i], now_ns);
			expire(worker, &worker->lanes[i], now_ns);
		}
		if (now_ns > shared->start_ns)
			err = drpc_load_window_close(&worker->window, second_of(worker, now_ns),
						     false, shared->series, worker->index);
		if (!err)
			err = handle_events(worker, wake_time(worker, now_ns));
		if (err)
			break;
	}
	return err ? err : finish(worker, stop_ns);
}
