// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/engine.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/runtime/engine_internal.h"
#include "lib/log.h"
#include "lib/util.h"

#define EVENT_MAX_BYTES	   (1U << 20)
#define EVENTS_WAITING_MAX 1024
#define JSON_DEPTH	   32
/* {"type":["container"],"event":["start","die","died","update","destroy","remove"]} */
#define EVENT_FILTERS                                                                         \
	"%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22start%22%2C%22die%22%2C" \
	"%22died%22%2C%22update%22%2C%22destroy%22%2C%22remove%22%5D%7D"

static void probe_begin(struct drpc_engine *e, bool version, uint32_t delay_ms);

static void emit(struct drpc_engine *e, const struct drpc_runtime_event *event)
{
	if (e->rt.on_event && !e->closing)
		e->rt.on_event(e->rt.on_event_arg, event);
}

static void emit_kind(struct drpc_engine *e, enum drpc_runtime_event_kind kind)
{
	struct drpc_runtime_event event = {.kind = kind};

	emit(e, &event);
}

/* --- is it there ------------------------------------------------------------------------------ */

bool drpc_engine_error_is_away(int err)
{
	return err == -ECONNREFUSED || err == -ETIMEDOUT || err == -EPROTO;
}

/* Notes the state, tells the owner of a change (who logs it), returns when to try again. */
static uint32_t went_away(struct drpc_engine *e, const char *why)
{
	uint32_t delay_ms = e->backoff_ms;

	e->backoff_ms = DRPC_MIN(e->backoff_ms * 2, (uint32_t)DRPC_ENGINE_BACKOFF_MAX_MS);
	drpc_strcpy(e->rt.why, sizeof(e->rt.why), why);
	if (e->rt.state != DRPC_RUNTIME_AWAY) {
		drpc_debug("engine: %s does not answer: %s", e->socket, why);
		e->rt.state = DRPC_RUNTIME_AWAY;
		emit_kind(e, DRPC_RUNTIME_STATE);
	}
	return delay_ms;
}

void drpc_engine_away(struct drpc_engine *e, const char *why)
{
	if (e->closing || e->rt.state == DRPC_RUNTIME_AWAY)
		return;
	drpc_worker_reschedule(e->worker, &e->probe, went_away(e, why));
}

static int stream_data(struct drpc_request *rq, const char *data, size_t len);
static void stream_done(struct drpc_request *rq);

static void stream_begin(struct drpc_engine *e)
{
	if (!e->rt.on_event || e->streaming)
		return;
	/* From a moment ago, so that nothing falls between a list and this. */
	snprintf(e->stream.path, sizeof(e->stream.path), "/v%s/events?since=%llu&filters=%s",
		 e->api, (unsigned long long)(drpc_realtime_ns() / DRPC_NSEC_PER_SEC - 1),
		 EVENT_FILTERS);
	e->stream.on_data = stream_data;
	e->stream.done = stream_done;
	e->stream.arg = e;
	json_tokener_reset(e->tokener);
	e->unfinished = 0;
	e->streaming = true;
	drpc_worker_submit(e->worker, &e->stream);
}

static void became_ready(struct drpc_engine *e)
{
	drpc_strcpy(e->api, sizeof(e->api), e->version.api);
	drpc_strcpy(e->rt.kind, sizeof(e->rt.kind), e->version.kind);
	drpc_strcpy(e->rt.version, sizeof(e->rt.version), e->version.version);
	/* Podman passes an update on to the cgroup and keeps no note of it. */
	e->rt.remembers = strcmp(e->rt.kind, "podman") != 0;
	e->rt.state = DRPC_RUNTIME_READY;
	e->rt.why[0] = '\0';
	drpc_debug("engine: %s answers, API %s", e->socket, e->api);
	emit_kind(e, DRPC_RUNTIME_STATE);
	stream_begin(e);
	emit_kind(e, DRPC_RUNTIME_RESYNC);
}

/* Worker thread. */
static int probe_reply(struct drpc_request *rq)
{
	struct drpc_engine *e = rq->arg;

	if (rq->err || !e->probe_asks_version)
		return 0;
	return drpc_engine_parse_version(rq->reply, rq->reply_len, &e->version);
}

static void probe_done(struct drpc_request *rq)
{
	struct drpc_engine *e = rq->arg;
	char why[sizeof(rq->why)];

	if (e->closing)
		return;
	drpc_strcpy(why, sizeof(why), rq->why);
	if (rq->err) {
		probe_begin(e, true, went_away(e, why));
		return;
	}
	if (rq->status && !e->probe_asks_version && e->rt.state != DRPC_RUNTIME_READY) {
		/* It answers again, and may be another one now. */
		probe_begin(e, true, 0);
		return;
	}
	if (e->probe_asks_version)
		became_ready(e);
	else
		e->backoff_ms = DRPC_ENGINE_BACKOFF_MIN_MS;
	probe_begin(e, false, DRPC_ENGINE_HEARTBEAT_MS);
}

static void probe_begin(struct drpc_engine *e, bool version, uint32_t delay_ms)
{
	struct drpc_request *rq = &e->probe;

	drpc_strcpy(rq->path, sizeof(rq->path), version ? "/version" : "/_ping");
	e->probe_asks_version = version;
	rq->delay_ms = delay_ms;
	rq->timeout_ms = DRPC_ENGINE_TOTAL_MS;
	rq->reply_max = DRPC_ENGINE_REPLY_MAX;
	rq->on_reply = probe_reply;
	rq->done = probe_done;
	rq->arg = e;
	drpc_worker_submit(e->worker, rq);
}

/* --- events ----------------------------------------------------------------------------------- */

struct event_note {
	struct drpc_note note; /* first */
	struct drpc_engine *engine;
	struct drpc_runtime_event event;
};

static void deliver_event(struct drpc_note *note)
{
	struct event_note *n = (struct event_note *)(void *)note;

	atomic_fetch_sub(&n->engine->events_waiting, 1);
	if (n->event.kind == DRPC_RUNTIME_RESYNC)
		atomic_store(&n->engine->events_overflowed, false);
	emit(n->engine, &n->event);
	free(n);
}

/* Worker thread: passes an event on, unless the owner is far behind. */
static void post_event(struct drpc_engine *e, struct drpc_runtime_event event)
{
	struct event_note *n;

	if (atomic_load(&e->events_waiting) >= EVENTS_WAITING_MAX) {
		if (atomic_exchange(&e->events_overflowed, true))
			return;
		event = (struct drpc_runtime_event){.kind = DRPC_RUNTIME_RESYNC};
	}
	n = malloc(sizeof(*n));
	if (!n)
		return;
	*n = (struct event_note){.note.deliver = deliver_event, .engine = e, .event = event};
	atomic_fetch_add(&e->events_waiting, 1);
	drpc_worker_post(e->worker, &n->note);
}

/* Worker thread: a piece of the stream, which is JSON objects one after the other. */
static int stream_data(struct drpc_request *rq, const char *data, size_t len)
{
	struct drpc_engine *e = rq->arg;

	while (len > 0) {
		struct drpc_runtime_event event = {0};
		struct json_object *o;
		size_t used;

		if (e->unfinished == 0 && drpc_engine_is_space(*data)) {
			data++;
			len--;
			continue;
		}
		o = json_tokener_parse_ex(e->tokener, data, (int)len);
		if (!o && json_tokener_get_error(e->tokener) != json_tokener_continue)
			return -EPROTO;
		if (!o) {
			e->unfinished += len;
			return e->unfinished > EVENT_MAX_BYTES ? -EFBIG : 0;
		}
		used = json_tokener_get_parse_end(e->tokener);
		if (drpc_engine_parse_event(o, &event))
			post_event(e, event);
		json_object_put(o);
		e->unfinished = 0;
		data += used;
		len -= used;
	}
	return 0;
}

static void stream_done(struct drpc_request *rq)
{
	struct drpc_engine *e = rq->arg;
	char why[sizeof(rq->why) + 32];

	e->streaming = false;
	if (e->closing)
		return;
	snprintf(why, sizeof(why), "the event stream ended%s%s", rq->why[0] ? ": " : "", rq->why);
	drpc_engine_away(e, why);
}

/* --- life ------------------------------------------------------------------------------------- */

static int engine_fd(const struct drpc_runtime *rt)
{
	return drpc_worker_fd(((const struct drpc_engine *)(const void *)rt)->worker);
}

static void engine_dispatch(struct drpc_runtime *rt)
{
	drpc_worker_drain(drpc_engine_of(rt)->worker);
}

static void engine_free(struct drpc_runtime *rt)
{
	struct drpc_engine *e = drpc_engine_of(rt);

	e->closing = true;
	drpc_worker_free(&e->worker);
	drpc_request_clear(&e->probe);
	drpc_request_clear(&e->stream);
	if (e->tokener)
		json_tokener_free(e->tokener);
	free(e);
}

static const struct drpc_runtime_ops engine_ops = {
	.fd = engine_fd,
	.dispatch = engine_dispatch,
	.list = drpc_engine_list,
	.inspect = drpc_engine_inspect,
	.update = drpc_engine_update,
	.restore = drpc_engine_restore,
	.list_all = drpc_engine_list_all,
	.clone = drpc_engine_clone,
	.start = drpc_engine_start,
	.stop = drpc_engine_stop,
	.remove = drpc_engine_remove,
	.free = engine_free,
};

int drpc_engine_new(const char *socket, drpc_runtime_event_fn on_event, void *arg,
		    struct drpc_runtime **ret)
{
	struct drpc_engine *e = calloc(1, sizeof(*e));
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct drpc_runtime *rt;
	int r = -ENOMEM;

	if (!e)
		return -ENOMEM;
	e->rt.ops = &engine_ops;
	e->rt.on_event = on_event;
	e->rt.on_event_arg = arg;
	e->cpus = cpus > 0 ? (unsigned int)cpus : 1;
	e->backoff_ms = DRPC_ENGINE_BACKOFF_MIN_MS;
	drpc_strcpy(e->socket, sizeof(e->socket), socket);
	e->tokener = json_tokener_new_ex(JSON_DEPTH);
	if (e->tokener)
		r = drpc_worker_new(socket, DRPC_ENGINE_CONNECT_MS, &e->worker);
	rt = &e->rt;
	if (r < 0) {
		drpc_runtime_free(&rt);
		return r;
	}
	probe_begin(e, true, 0);
	*ret = rt;
	return 0;
}

static bool is_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static const char *without_scheme(const char *text)
{
	return strncmp(text, "unix://", 7) == 0 ? text + 7 : text;
}

int drpc_engine_find(const char *configured, char *ret, size_t ret_size)
{
	static const char *const usual[] = {"/run/docker.sock", "/var/run/docker.sock",
					    "/run/podman/podman.sock"};
	const char *env = getenv("DOCKER_HOST");

	if (configured && *configured) {
		configured = without_scheme(configured);
		if (*configured != '/' || !drpc_strcpy(ret, ret_size, configured))
			return drpc_err(-EINVAL,
					"engine: socket \"%s\": expected unix:///path or /path",
					configured);
		return 0;
	}
	if (env && *without_scheme(env) == '/' && is_socket(without_scheme(env)) &&
	    drpc_strcpy(ret, ret_size, without_scheme(env)))
		return 0;
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(usual); i++) {
		if (is_socket(usual[i]) && drpc_strcpy(ret, ret_size, usual[i]))
			return 0;
	}
	return -ENOENT;
}
