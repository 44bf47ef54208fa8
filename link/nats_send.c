// SPDX-License-Identifier: Apache-2.0
/*
 * The sender's thread: takes records from the queue, makes batches of them, keeps those until the broker
 * has confirmed them, and sends them again as often as it takes. It also watches the bucket and offers
 * what comes to the store. It owns all of struct nats_sender but the fields that start and stop it.
 */
#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "link/epoch.h"
#include "link/nats_internal.h"

#define IN_FLIGHT_MAX 64
#define ANSWER_NS     (3 * DRPC_NSEC_PER_SEC)
#define PAUSE_MIN_NS  (DRPC_NSEC_PER_SEC / 2)
#define PAUSE_MAX_NS  (30 * DRPC_NSEC_PER_SEC)
#define IDLE_MS	      100U /* longest sleep; news of policies waits so long */
#define LOOK_NS	      (100 * DRPC_NSEC_PER_MSEC)
/* A watch can die without the connection; what it would bring again is known to the store. */
#define WATCH_NS      (300 * DRPC_NSEC_PER_SEC)
#define NEWS_MAX      256U
#define ANSWER_MS     20

/* --- batches -------------------------------------------------------------------------------- */

static void batch_close(struct nats_link *self)
{
	struct nats_sender *s = &self->sender;

	if (s->batch_records == 0)
		return;
	if (drpc_backlog_add(&s->backlog, s->batch_first, s->batch_records, s->batch,
			     s->batch_bytes) < 0)
		drpc_warn("link: no memory for a batch of %u records, they are lost",
			  s->batch_records);
	s->batch_records = 0;
}

static void batch_add(struct nats_link *self, const struct drpc_experience *x)
{
	struct nats_sender *s = &self->sender;
	ssize_t n;

	if (s->batch_records == 0) {
		struct drpc_batch_head head = {.epoch = s->epoch, .first_sequence = s->sequence};

		drpc_strcpy(head.node, sizeof(head.node), s->node);
		s->batch_bytes = (size_t)drpc_batch_begin(&head, s->batch, DRPC_BATCH_MAX_BYTES);
		s->batch_first = s->sequence;
		s->batch_begin_ns = drpc_now_ns();
	}
	n = drpc_batch_add(x, s->batch, s->batch_bytes, DRPC_BATCH_MAX_BYTES);
	assert(n >= 0); /* the buffer holds as many of the largest as a batch may have */
	s->batch_bytes += (size_t)n;
	s->batch_records++;
	s->sequence++;
	if (s->batch_records == self->settings.batch_records)
		batch_close(self);
}

static void take_from_queue(struct nats_link *self)
{
	struct nats_sender *s = &self->sender;
	struct drpc_experience x;

	while (self->link.queue && drpc_queue_pop(self->link.queue, &x)) {
		const enum drpc_reject reject = drpc_experience_check(&x);

		/* What the teacher would refuse is not sent: the fault is here. */
		if (reject == DRPC_REJECT_NONE)
			batch_add(self, &x);
		else
			drpc_link_reject(&self->link, reject);
	}
	if (s->batch_records && drpc_now_ns() - s->batch_begin_ns >= self->settings.batch_ns)
		batch_close(self);
}

/* --- out ------------------------------------------------------------------------------------ */

static natsStatus send_one(struct nats_sender *s, const struct drpc_backlog_entry *entry)
{
	char reply[NATS_SUBJECT_BYTES + 24], id[NATS_SUBJECT_BYTES + 48];
	const unsigned long long first = entry->first_sequence;
	natsMsg *message = NULL;
	natsStatus status;

	snprintf(reply, sizeof(reply), "%s.%llu", s->inbox, first);
	snprintf(id, sizeof(id), "%s.%llu.%llu", s->subject, (unsigned long long)s->epoch, first);
	status = natsMsg_Create(&message, s->subject, reply, (const char *)entry->data,
				(int)entry->bytes);
	if (status == NATS_OK)
		status = natsMsgHeader_Set(message, "Nats-Msg-Id", id);
	if (status == NATS_OK)
		status = natsConnection_PublishMsg(s->side.nc, message);
	natsMsg_Destroy(message);
	return status;
}

static void send_all(struct nats_link *self)
{
	struct nats_sender *s = &self->sender;
	const uint64_t now = drpc_now_ns();
	struct drpc_backlog_entry *entry;

	while (s->backlog.in_flight < IN_FLIGHT_MAX &&
	       (entry = drpc_backlog_next(&s->backlog, now))) {
		if (send_one(s, entry) != NATS_OK) {
			drpc_backlog_again(&s->backlog, entry, now + PAUSE_MIN_NS);
			return;
		}
		if (entry->attempts)
			drpc_link_add(&self->link.counters.resent, 1);
		drpc_backlog_sent(&s->backlog, entry, now + ANSWER_NS);
	}
}

/* --- answers -------------------------------------------------------------------------------- */

static void confirmed(struct nats_link *self, struct drpc_backlog_entry *entry, bool twice)
{
	struct nats_sender *s = &self->sender;

	drpc_link_add(&self->link.counters.sent_batches, 1);
	drpc_link_add(&self->link.counters.sent_records, entry->records);
	drpc_link_add(&self->link.counters.sent_twice, twice);
	drpc_backlog_remove(&s->backlog, entry);
	if (s->complained)
		drpc_info("link: the broker takes experience again");
	s->complained = false;
}

static void refused(struct nats_link *self, struct drpc_backlog_entry *entry, const char *why)
{
	struct nats_sender *s = &self->sender;
	const unsigned int doublings = DRPC_MIN(entry->attempts, 6U);

	drpc_link_add(&self->link.counters.refused, 1);
	drpc_backlog_again(&s->backlog, entry,
			   drpc_now_ns() + DRPC_MIN(PAUSE_MIN_NS << doublings, PAUSE_MAX_NS));
	if (!s->complained)
		drpc_warn("link: the broker takes no experience, trying on: %s", why);
	s->complained = true;
}

/* {"stream":"…","seq":5,"duplicate":true} or {"error":{"description":"…"}} */
static void answered(struct nats_link *self, natsMsg *message)
{
	const char *subject = natsMsg_GetSubject(message);
	const char *dot = strrchr(subject, '.');
	struct drpc_backlog_entry *entry =
		drpc_backlog_find(&self->sender.backlog, dot ? strtoull(dot + 1, NULL, 10) : 0);
	struct json_object *answer, *error = NULL, *value = NULL;
	_cleanup_free_ char *text = NULL;
	char shown[128];

	/* Of an attempt before the last, whose answer was overdue. */
	if (!entry)
		return;
	text = strndup(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
	answer = text ? json_tokener_parse(text) : NULL;
	if (json_object_object_get_ex(answer, "error", &error)) {
		json_object_object_get_ex(error, "description", &value);
		drpc_sanitize(shown, sizeof(shown), value ? json_object_get_string(value) : "");
		refused(self, entry, shown);
	} else if (json_object_object_get_ex(answer, "seq", &value)) {
		json_object_object_get_ex(answer, "duplicate", &error);
		confirmed(self, entry, json_object_get_boolean(error));
	} else {
		refused(self, entry, "its answer is not JetStream's");
	}
	json_object_put(answer);
}

/* The library keeps the message that says so, so whose answer it is is not known: any one's will do. */
static void no_stream(struct nats_link *self)
{
	struct drpc_backlog_entry *entry = self->sender.backlog.oldest;

	while (entry && !entry->sent)
		entry = entry->next;
	if (entry)
		refused(self, entry, "it has no stream for it");
}

/* The answer may be lost and the batch stored: sending it again finds out. */
static void overdue(struct nats_link *self)
{
	struct nats_sender *s = &self->sender;
	const char *why = NULL;

	if (drpc_backlog_overdue(&s->backlog, drpc_now_ns()) == 0 || s->complained)
		return;
	natsConnection_GetLastError(s->side.nc, &why);
	drpc_warn("link: the broker does not answer to experience, trying on: %s",
		  why && *why ? why : "it says nothing");
	s->complained = true;
}

static void take_answers(struct nats_link *self)
{
	struct nats_sender *s = &self->sender;
	int64_t wait = s->backlog.in_flight ? ANSWER_MS : 0;
	natsMsg *message = NULL;

	for (;;) {
		const natsStatus status = natsSubscription_NextMsg(&message, s->answers, wait);

		if (status == NATS_OK) {
			answered(self, message);
			natsMsg_Destroy(message);
		} else if (status == NATS_NO_RESPONDERS) {
			no_stream(self);
		} else {
			break;
		}
		wait = 0;
	}
	overdue(self);
}

/* --- policies and modes --------------------------------------------------------------------- */

static void watch_end(struct nats_sender *s)
{
	kvWatcher_Destroy(s->watcher);
	kvStore_Destroy(s->kv);
	s->watcher = NULL;
	s->kv = NULL;
}

/* A watch begins with all that is there. */
static void watch_begin(struct nats_link *self, uint64_t now)
{
	struct nats_sender *s = &self->sender;
	int err;

	watch_end(s);
	err = drpc_nats_open_bucket(&s->side, &s->kv);
	if (!err)
		err = drpc_nats_errno(kvStore_WatchAll(&s->watcher, s->kv, NULL));
	if (!err) {
		s->watch_at_ns = now + WATCH_NS;
		s->watch_pause_ns = 0;
		return;
	}
	watch_end(s);
	if (s->watch_pause_ns == 0)
		drpc_warn("link: policies cannot be watched for, trying on: %s",
			  err == -ENOENT ? "there is no bucket yet, the teacher makes it"
					 : strerror(-err));
	s->watch_pause_ns = DRPC_CLAMP(2 * s->watch_pause_ns, PAUSE_MIN_NS, PAUSE_MAX_NS);
	s->watch_at_ns = now + s->watch_pause_ns;
}

static void watch(struct nats_link *self)
{
	struct nats_sender *s = &self->sender;
	const uint64_t now = drpc_now_ns();
	kvEntry *entry = NULL;

	if (!self->link.store)
		return;
	if (now >= s->watch_at_ns)
		watch_begin(self, now);
	if (!s->watcher || now < s->look_at_ns)
		return;
	s->look_at_ns = now + LOOK_NS;
	/* Where the agent takes none, they wait at the library's. */
	while (drpc_news_waiting(&self->link.box) < NEWS_MAX &&
	       kvWatcher_Next(&entry, s->watcher, 1) == NATS_OK) {
		if (entry && kvEntry_Operation(entry) == kvOp_Put)
			drpc_link_offer(&self->link, kvEntry_Value(entry),
					(size_t)kvEntry_ValueLen(entry));
		kvEntry_Destroy(entry);
	}
}

/* --- the thread ----------------------------------------------------------------------------- */

static void publish_counters(struct nats_link *self, bool connected)
{
	struct drpc_link_counters *c = &self->link.counters;
	const struct nats_sender *s = &self->sender;

	atomic_store(&c->connected, connected);
	drpc_link_set(&c->backlog_dropped, s->backlog.dropped);
	drpc_link_set(&c->backlog_records, s->backlog.records + s->batch_records);
	drpc_link_set(&c->backlog_bytes, s->backlog.bytes);
}

/* After a new connection: subscriptions are the library's to renew, what JetStream had is not. */
static void renew(struct nats_link *self)
{
	struct nats_sender *s = &self->sender;
	char subject[NATS_SUBJECT_BYTES + 2];
	int err = 0;

	if (s->answers && !natsSubscription_IsValid(s->answers)) {
		natsSubscription_Destroy(s->answers);
		s->answers = NULL;
	}
	snprintf(subject, sizeof(subject), "%s.*", s->inbox);
	if (!s->answers)
		err = drpc_nats_errno(
			natsConnection_SubscribeSync(&s->answers, s->side.nc, subject));
	if (!err && self->settings.create)
		err = drpc_nats_ensure_stream(&s->side);
	s->ready = !err;
	s->ready_at_ns = drpc_now_ns() + PAUSE_MIN_NS;
}

/* Whether there is a connection, with all that it needs. */
static bool connected(struct nats_link *self)
{
	struct nats_sender *s = &self->sender;
	const bool before = s->answers != NULL;
	int r;

	if (s->side.nc && natsConnection_IsClosed(s->side.nc)) {
		watch_end(s);
		natsSubscription_Destroy(s->answers);
		s->answers = NULL;
	}
	r = drpc_nats_side_check(&s->side);
	if (r < 0)
		return false;
	if (r == 1) {
		drpc_link_add(&self->link.counters.reconnects, before);
		drpc_backlog_again_all(&s->backlog);
		s->watch_at_ns = s->ready_at_ns = 0;
		s->ready = false;
	}
	if (!s->ready && drpc_now_ns() >= s->ready_at_ns)
		renew(self);
	return s->ready;
}

static bool turn(struct nats_link *self)
{
	bool is_connected;

	take_from_queue(self);
	is_connected = connected(self);
	if (is_connected) {
		send_all(self);
		take_answers(self);
		/* It may wait for the broker; the figures should not. */
		publish_counters(self, true);
		watch(self);
	}
	publish_counters(self, is_connected);
	return is_connected;
}

static void flush(struct nats_link *self)
{
	struct nats_sender *s = &self->sender;
	const uint64_t end = drpc_now_ns() + self->settings.flush_ns;

	take_from_queue(self);
	batch_close(self);
	while (s->backlog.oldest && drpc_now_ns() < end && turn(self)) {}
	if (s->backlog.records)
		drpc_warn("link: %llu records of experience could not be sent and are lost",
			  (unsigned long long)s->backlog.records);
}

static void *sender_main(void *arg)
{
	struct nats_link *self = arg;
	struct nats_sender *s = &self->sender;

	while (!atomic_load(&s->stop)) {
		/* With a broker, answers are waited for in take_answers(). */
		if (turn(self) && s->backlog.in_flight)
			continue;
		if (self->link.queue)
			drpc_queue_wait(self->link.queue, IDLE_MS);
		else
			usleep(IDLE_MS * 1000);
	}
	flush(self);
	watch_end(s);
	natsSubscription_Destroy(s->answers);
	s->answers = NULL;
	drpc_nats_side_close(&s->side);
	nats_ReleaseThreadMemory();
	return NULL;
}

int drpc_nats_sender_start(struct nats_link *self, const char *node, const char *epoch_file)
{
	struct nats_sender *s = &self->sender;
	char token[DRPC_LINK_TOKEN_BYTES];
	sigset_t all, before;
	int err;

	s->side.settings = &self->settings;
	s->backlog.bytes_max = self->settings.backlog_bytes;
	s->sequence = 1;
	err = drpc_epoch_next(node ? epoch_file : NULL, &s->epoch);
	if (err)
		return err;
	if (node) {
		drpc_strcpy(s->node, sizeof(s->node), node);
		drpc_nats_subject_of(&self->settings.names, node, s->subject);
	}
	drpc_link_token(node ? node : self->settings.names.consumer, token);
	snprintf(s->inbox, sizeof(s->inbox), "_INBOX.%s.answer.%llu", token,
		 (unsigned long long)s->epoch);
	s->batch = malloc(DRPC_BATCH_MAX_BYTES);
	if (!s->batch)
		return drpc_err(-ENOMEM, "link: %d bytes", DRPC_BATCH_MAX_BYTES);
	/* Signals are for the program's own threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&s->thread, NULL, sender_main, self);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return drpc_err(err, "link: cannot start a thread");
	pthread_setname_np(s->thread, "drpc-link");
	s->started = true;
	return 0;
}

void drpc_nats_sender_stop(struct nats_link *self)
{
	struct nats_sender *s = &self->sender;

	if (s->started) {
		atomic_store(&s->stop, true);
		if (self->link.queue)
			drpc_queue_wake(self->link.queue);
		pthread_join(s->thread, NULL);
	}
	drpc_backlog_clear(&s->backlog);
	free(s->batch);
}
