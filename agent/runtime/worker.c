// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/worker.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

#include "lib/log.h"
#include "lib/util.h"

#define IN_FLIGHT_MAX			8
#define HEADER_MAX			65536
#define ERROR_REPLY_MAX			65536
#define POLL_MAX_MS			60000
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

struct drpc_worker {
	char socket[108];
	uint32_t connect_timeout_ms;
	int event_fd;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;	    /* of what follows, up to the blank line */
	struct drpc_request *queue; /* waits for its time or for a place, in order */
	struct drpc_note *first, **last;
	bool stop;

	/* The worker thread's own, but for curl_multi_wakeup(). */
	CURLM *multi;
	struct curl_slist *headers;
	struct drpc_request *in_flight;
	unsigned int in_flight_count;
};

/* --- notes ------------------------------------------------------------------------------------ */

static void deliver_request(struct drpc_note *note)
{
	struct drpc_request *rq = container_of(note, struct drpc_request, note);

	rq->done(rq);
}

void drpc_worker_post(struct drpc_worker *w, struct drpc_note *note)
{
	uint64_t one = 1;

	note->next = NULL;
	pthread_mutex_lock(&w->lock);
	*w->last = note;
	w->last = &note->next;
	pthread_mutex_unlock(&w->lock);
	/* A full counter is readable already. */
	if (write(w->event_fd, &one, sizeof(one)) < 0)
		return;
}

static void complete(struct drpc_worker *w, struct drpc_request *rq)
{
	rq->note.deliver = deliver_request;
	drpc_worker_post(w, &rq->note);
}

unsigned int drpc_worker_drain(struct drpc_worker *w)
{
	struct drpc_note *note;
	unsigned int n = 0;
	uint64_t count;

	/* Cleared before looking: what comes later makes it readable again. */
	if (read(w->event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		drpc_debug("engine: eventfd: %s, ignoring", strerror(errno));
	pthread_mutex_lock(&w->lock);
	note = w->first;
	w->first = NULL;
	w->last = &w->first;
	pthread_mutex_unlock(&w->lock);
	for (; note; n++) {
		struct drpc_note *next = note->next;

		note->deliver(note);
		note = next;
	}
	return n;
}

int drpc_worker_fd(const struct drpc_worker *w)
{
	return w->event_fd;
}

/* --- one request, on the worker thread -------------------------------------------------------- */

static int append_reply(struct drpc_request *rq, const char *data, size_t len, size_t max)
{
	if (len > max - rq->reply_len)
		return -EFBIG;
	if (rq->reply_len + len + 1 > rq->reply_cap) {
		size_t cap = DRPC_MAX(rq->reply_len + len + 1, DRPC_MAX(rq->reply_cap * 2, 4096));
		char *bigger = realloc(rq->reply, cap);

		if (!bigger)
			return -ENOMEM;
		rq->reply = bigger;
		rq->reply_cap = cap;
	}
	memcpy(rq->reply + rq->reply_len, data, len);
	rq->reply_len += len;
	rq->reply[rq->reply_len] = '\0';
	return 0;
}

static size_t on_write(char *data, size_t size, size_t count, void *arg)
{
	struct drpc_request *rq = arg;
	size_t len = size * count;
	long status = 0;
	bool good;
	int r;

	curl_easy_getinfo(rq->easy, CURLINFO_RESPONSE_CODE, &status);
	good = status >= 200 && status < 300;
	if (rq->on_data && good)
		r = rq->on_data(rq, data, len);
	else
		r = append_reply(rq, data, len,
				 good ? rq->reply_max
				      : DRPC_MAX(rq->reply_max, (uint32_t)ERROR_REPLY_MAX));
	if (r < 0) {
		rq->err = r;
		return CURL_WRITEFUNC_ERROR;
	}
	return len;
}

static size_t on_header(const char *data, size_t size, size_t count, void *arg)
{
	struct drpc_request *rq = arg;

	(void)data;
	rq->header_bytes += size * count;
	if (rq->header_bytes <= HEADER_MAX)
		return size * count;
	rq->err = -EFBIG;
	return 0;
}

static int error_of_status(long status)
{
	if (status >= 200 && status < 300)
		return 0;
	if (status == 404)
		return -ENOENT;
	if (status == 409)
		return -EEXIST;
	if (status >= 400 && status < 500)
		return -EINVAL;
	return status >= 500 ? -EREMOTEIO : -EPROTO;
}

static int error_of_curl(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -EPROTO;
	}
}

static void say(struct drpc_request *rq, const char *text)
{
	drpc_sanitize(rq->why, sizeof(rq->why), text);
}

static void explain_curl(struct drpc_request *rq, CURLcode code)
{
	long os_errno = 0;

	curl_easy_getinfo(rq->easy, CURLINFO_OS_ERRNO, &os_errno);
	if (code == CURLE_COULDNT_CONNECT && os_errno)
		say(rq, strerror((int)os_errno));
	else
		say(rq, rq->curl_error[0] ? rq->curl_error : curl_easy_strerror(code));
}

/* The transfer has ended; `code` is curl's opinion of it. */
static void conclude(struct drpc_request *rq, CURLcode code)
{
	char text[64];
	int r;

	curl_easy_getinfo(rq->easy, CURLINFO_RESPONSE_CODE, &rq->status);
	if (rq->err < 0) {
		say(rq, rq->err == -EFBIG ? "the answer is too large" : strerror(-rq->err));
		return;
	}
	if (code != CURLE_OK) {
		rq->err = error_of_curl(code);
		explain_curl(rq, code);
		return;
	}
	rq->err = error_of_status(rq->status);
	if (rq->err) {
		snprintf(text, sizeof(text), "HTTP status %ld", rq->status);
		say(rq, text);
	}
	r = rq->on_reply ? rq->on_reply(rq) : 0;
	if (r < 0) {
		rq->err = r;
		if (rq->why[0] == '\0')
			say(rq, "the answer makes no sense");
	}
}

static int prepare(struct drpc_worker *w, struct drpc_request *rq)
{
	char url[sizeof(rq->path) + 16];
	CURL *e = curl_easy_init();

	if (!e)
		return -ENOMEM;
	rq->easy = e;
	snprintf(url, sizeof(url), "http://engine%s", rq->path);
	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, w->socket);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, w->headers);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)w->connect_timeout_ms);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)rq->timeout_ms);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, rq->curl_error);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, rq);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, rq);
	curl_easy_setopt(e, CURLOPT_PRIVATE, rq);
	if (rq->del) {
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, "DELETE");
	} else if (rq->post) {
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, rq->body ? rq->body : "");
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)(rq->body ? strlen(rq->body) : 0));
	}
	return curl_multi_add_handle(w->multi, e) == CURLM_OK ? 0 : -ENOMEM;
}

static void release_easy(struct drpc_request *rq)
{
	if (rq->easy)
		curl_easy_cleanup(rq->easy);
	rq->easy = NULL;
}

/* --- the thread ------------------------------------------------------------------------------- */

/* Takes the first request whose time has come; else tells in *wait_ms how long there is. */
static struct drpc_request *next_due(struct drpc_worker *w, int *wait_ms)
{
	struct drpc_request **link, *rq = NULL;
	uint64_t now = drpc_now_ns();

	pthread_mutex_lock(&w->lock);
	for (link = &w->queue; *link; link = &(*link)->next) {
		uint64_t begin_ns = (*link)->begin_ns;

		if (begin_ns <= now) {
			rq = *link;
			*link = rq->next;
			break;
		}
		*wait_ms = DRPC_MIN(*wait_ms, (int)DRPC_MIN((begin_ns - now) / DRPC_NSEC_PER_MSEC,
							    (uint64_t)POLL_MAX_MS) +
						      1);
	}
	pthread_mutex_unlock(&w->lock);
	return rq;
}

static void begin_due(struct drpc_worker *w, int *wait_ms)
{
	struct drpc_request *rq;

	while (w->in_flight_count < IN_FLIGHT_MAX && (rq = next_due(w, wait_ms))) {
		int r = prepare(w, rq);

		if (r < 0) {
			rq->err = r;
			release_easy(rq);
			complete(w, rq);
			continue;
		}
		rq->next = w->in_flight;
		w->in_flight = rq;
		/* A stream stays for good and must not take the place of others. */
		w->in_flight_count += rq->timeout_ms != 0;
	}
}

static void end_flight(struct drpc_worker *w, struct drpc_request *rq)
{
	struct drpc_request **link = &w->in_flight;

	while (*link != rq)
		link = &(*link)->next;
	*link = rq->next;
	w->in_flight_count -= rq->timeout_ms != 0;
	curl_multi_remove_handle(w->multi, rq->easy);
	release_easy(rq);
}

static bool reap(struct drpc_worker *w)
{
	bool any = false;
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(w->multi, &left))) {
		CURLcode code = msg->data.result;
		char *private = NULL;
		struct drpc_request *rq;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
		rq = (struct drpc_request *)(void *)private;
		conclude(rq, code);
		end_flight(w, rq);
		complete(w, rq);
		any = true;
	}
	return any;
}

static bool stopping(struct drpc_worker *w)
{
	bool stop;

	pthread_mutex_lock(&w->lock);
	stop = w->stop;
	pthread_mutex_unlock(&w->lock);
	return stop;
}

static void *worker_main(void *arg)
{
	struct drpc_worker *w = arg;

	pthread_setname_np(pthread_self(), "drpc-engine");
	while (!stopping(w)) {
		int wait_ms = POLL_MAX_MS, running;

		begin_due(w, &wait_ms);
		curl_multi_perform(w->multi, &running);
		/* A place has become free: somebody may wait for it. */
		if (reap(w))
			continue;
		curl_multi_poll(w->multi, NULL, 0, wait_ms, NULL);
	}
	while (w->in_flight) {
		struct drpc_request *rq = w->in_flight;

		end_flight(w, rq);
		rq->err = -ECANCELED;
		complete(w, rq);
	}
	return NULL;
}

/* --- the owner -------------------------------------------------------------------------------- */

void drpc_worker_submit(struct drpc_worker *w, struct drpc_request *rq)
{
	struct drpc_request **link;

	rq->err = 0;
	rq->status = 0;
	rq->why[0] = rq->curl_error[0] = '\0';
	rq->header_bytes = rq->reply_len = 0;
	if (rq->reply)
		rq->reply[0] = '\0';
	rq->worker = w;
	rq->next = NULL;
	rq->begin_ns = drpc_now_ns() + rq->delay_ms * DRPC_NSEC_PER_MSEC;
	pthread_mutex_lock(&w->lock);
	for (link = &w->queue; *link; link = &(*link)->next)
		;
	*link = rq;
	pthread_mutex_unlock(&w->lock);
	curl_multi_wakeup(w->multi);
}

void drpc_worker_reschedule(struct drpc_worker *w, struct drpc_request *rq, uint32_t delay_ms)
{
	pthread_mutex_lock(&w->lock);
	for (struct drpc_request *q = w->queue; q; q = q->next) {
		if (q == rq)
			q->begin_ns = drpc_now_ns() + delay_ms * DRPC_NSEC_PER_MSEC;
	}
	pthread_mutex_unlock(&w->lock);
	curl_multi_wakeup(w->multi);
}

static int start_thread(struct drpc_worker *w)
{
	sigset_t all, old;
	int r;

	/* Signals are the owner's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&w->thread, NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->started = r == 0;
	return -r;
}

int drpc_worker_new(const char *socket, uint32_t connect_timeout_ms, struct drpc_worker **ret)
{
	struct drpc_worker *w;
	int r = 0;

	if (strlen(socket) >= sizeof(w->socket))
		return drpc_err(-ENAMETOOLONG, "engine: socket %s", socket);
	/* Counted and thread-safe from curl 7.84 on. */
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return drpc_err(-ENOMEM, "engine: cannot start curl");
	w = calloc(1, sizeof(*w));
	if (!w) {
		curl_global_cleanup();
		return -ENOMEM;
	}
	pthread_mutex_init(&w->lock, NULL);
	w->last = &w->first;
	w->connect_timeout_ms = connect_timeout_ms;
	drpc_strcpy(w->socket, sizeof(w->socket), socket);
	w->headers = curl_slist_append(NULL, "Content-Type: application/json");
	w->multi = curl_multi_init();
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->event_fd < 0)
		r = -errno;
	else if (!w->multi || !w->headers)
		r = -ENOMEM;
	else
		r = start_thread(w);
	if (r < 0) {
		drpc_worker_free(&w);
		return drpc_err(r, "engine: cannot start the worker thread");
	}
	*ret = w;
	return 0;
}

static void stop_thread(struct drpc_worker *w)
{
	if (!w->started)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_mutex_unlock(&w->lock);
	curl_multi_wakeup(w->multi);
	pthread_join(w->thread, NULL);
}

void drpc_worker_free(struct drpc_worker **worker)
{
	struct drpc_worker *w = *worker;
	struct drpc_request *rq;

	if (!w)
		return;
	stop_thread(w);
	if (w->event_fd >= 0)
		drpc_worker_drain(w);
	while ((rq = w->queue)) {
		w->queue = rq->next;
		rq->err = -ECANCELED;
		rq->done(rq);
	}
	drpc_closep(&w->event_fd);
	if (w->multi)
		curl_multi_cleanup(w->multi);
	curl_slist_free_all(w->headers);
	pthread_mutex_destroy(&w->lock);
	free(w);
	*worker = NULL;
	curl_global_cleanup();
}

void drpc_request_clear(struct drpc_request *rq)
{
	free(rq->body);
	free(rq->reply);
	rq->body = rq->reply = NULL;
	rq->reply_len = rq->reply_cap = 0;
}
