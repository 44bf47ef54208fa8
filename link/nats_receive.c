// SPDX-License-Identifier: Apache-2.0
/*
 * The teacher's side: experience in, in groups; policies and modes out. A group's records are in the
 * ledger and the ledger is on the disk before any of them is handed on, and they are handed on before the
 * broker is told to forget them. So a teacher that dies loses at most the group that it had in its hands,
 * and accepts none of it again.
 */
#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "link/nats_internal.h"

#define FETCH_MESSAGES 64
#define GROUP_RECORDS  2048
#define RETRY_NS       (2 * DRPC_NSEC_PER_SEC)
#define ANNOUNCE_TRIES 3

struct group_batch {
	struct drpc_batch_head head;
	natsMsg *message;
	size_t first; /* in records */
	size_t count;
};

struct nats_group {
	size_t batches_count, records_count;
	struct group_batch batches[FETCH_MESSAGES];
	struct drpc_experience records[GROUP_RECORDS];
	uint64_t sequences[GROUP_RECORDS];
};

static struct nats_link *of(struct drpc_link *link)
{
	return (struct nats_link *)link;
}

/* --- in ------------------------------------------------------------------------------------- */

static void end_messages(struct nats_receiver *r)
{
	natsSubscription_Destroy(r->messages);
	r->messages = NULL;
}

static void end_all(struct nats_receiver *r)
{
	end_messages(r);
	kvStore_Destroy(r->kv);
	kvStore_Destroy(r->lease);
	r->kv = r->lease = NULL;
}

int drpc_nats_receiver_check(struct nats_link *self)
{
	struct nats_receiver *r = &self->receiver;
	int status;

	r->side.settings = &self->settings;
	if (r->side.nc && natsConnection_IsClosed(r->side.nc))
		end_all(r);
	status = drpc_nats_side_check(&r->side);
	if (status == 1) {
		/* Whether the server still knows the consumer is not known. */
		end_messages(r);
		r->retry_at_ns = 0;
	}
	if (self->sender.started)
		return status;
	atomic_store(&self->link.counters.connected, status >= 0);
	return status;
}

static int subscribe(struct nats_link *self)
{
	const struct nats_names *names = &self->settings.names;
	struct nats_receiver *r = &self->receiver;
	const uint64_t now = drpc_now_ns();
	jsSubOptions options;
	int err;

	if (r->messages)
		return 0;
	if (now < r->retry_at_ns)
		return -ENOTCONN;
	err = drpc_nats_ensure_stream(&r->side);
	if (!err)
		err = drpc_nats_ensure_consumer(&r->side);
	if (!err) {
		jsSubOptions_Init(&options);
		options.Stream = names->stream;
		options.Consumer = names->consumer;
		err = drpc_nats_errno(js_PullSubscribe(&r->messages, r->side.js, names->subjects,
						       names->consumer, NULL, &options, NULL));
	}
	if (err) {
		if (r->retry_at_ns == 0)
			drpc_warn(
				"link: no experience can be received, trying on: %s",
				err == -ENOENT
					? "there is no such stream or consumer, and this side may not make it"
					: strerror(-err));
		r->retry_at_ns = now + RETRY_NS;
		return -ENOTCONN;
	}
	r->retry_at_ns = 0;
	return 0;
}

/* Whether a message may be handed on; what may not is told to the broker once and for all. */
static enum drpc_reject judge(struct nats_link *self, natsMsg *message, struct drpc_batch *ret)
{
	char subject[NATS_SUBJECT_BYTES];
	enum drpc_reject reject;

	reject = drpc_batch_read(self->receiver.reader, natsMsg_GetData(message),
				 (size_t)natsMsg_GetDataLength(message), ret);
	if (reject != DRPC_REJECT_NONE)
		return reject;
	drpc_nats_subject_of(&self->settings.names, ret->head.node, subject);
	if (strcmp(subject, natsMsg_GetSubject(message)) != 0)
		return DRPC_REJECT_SUBJECT;
	return drpc_ledger_take(self->link.ledger, ret->head.node, ret->head.epoch,
				ret->head.first_sequence, ret->count);
}

static void group_add(struct nats_link *self, struct nats_group *group, natsMsg *message,
		      const struct drpc_batch *batch)
{
	struct group_batch *b = &group->batches[group->batches_count++];

	*b = (struct group_batch){
		.head = batch->head, .message = message, .first = group->records_count};
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->verdicts[i] != DRPC_REJECT_NONE) {
			drpc_link_reject(&self->link, batch->verdicts[i]);
			continue;
		}
		group->records[group->records_count] = batch->records[i];
		group->sequences[group->records_count] = batch->head.first_sequence + i;
		group->records_count++;
		b->count++;
	}
}

/* Hands on what is in the group. Returns how many records, or the ledger's error. */
static int group_end(struct nats_link *self, struct nats_group *group, drpc_link_taker taker,
		     void *arg)
{
	const size_t count = group->records_count;
	const int err = drpc_ledger_sync(self->link.ledger);

	for (size_t i = 0; i < group->batches_count && !err; i++) {
		const struct group_batch *b = &group->batches[i];

		for (size_t k = b->first; k < b->first + b->count; k++)
			drpc_link_take(&self->link, taker, arg, b->head.node, group->sequences[k],
				       &group->records[k]);
		/* Where it is lost the message comes again, and is a duplicate. */
		natsMsg_Ack(b->message, NULL);
	}
	group->batches_count = group->records_count = 0;
	return err ? err : (int)count;
}

static void discard(struct nats_link *self, natsMsg *message, enum drpc_reject reject)
{
	drpc_link_reject(&self->link, reject);
	if (reject == DRPC_REJECT_DUPLICATE) {
		natsMsg_Ack(message, NULL);
		return;
	}
	drpc_debug("link: a message on %s is refused: %s", natsMsg_GetSubject(message),
		   drpc_reject_name(reject));
	natsMsg_Term(message, NULL);
}

static int take_list(struct nats_link *self, natsMsgList *list, drpc_link_taker taker, void *arg)
{
	struct nats_group *group = self->receiver.group;
	struct drpc_batch batch;
	int total = 0, n = 0;

	for (int i = 0; i < list->Count && n >= 0; i++) {
		natsMsg *message = list->Msgs[i];
		enum drpc_reject reject;

		if (group->records_count + DRPC_BATCH_MAX_RECORDS > GROUP_RECORDS) {
			n = group_end(self, group, taker, arg);
			total += DRPC_MAX(n, 0);
			if (n < 0)
				break;
		}
		reject = judge(self, message, &batch);
		if (reject == DRPC_REJECT_NONE)
			group_add(self, group, message, &batch);
		else
			discard(self, message, reject);
	}
	if (n >= 0)
		n = group_end(self, group, taker, arg);
	return n < 0 ? n : total + n;
}

static int prepare(struct nats_receiver *r)
{
	if (!r->reader) {
		const int err = drpc_batch_reader_new(&r->reader);

		if (err)
			return err;
	}
	if (!r->group)
		r->group = calloc(1, sizeof(*r->group));
	return r->group ? 0 : drpc_err(-ENOMEM, "link: %zu bytes", sizeof(*r->group));
}

static void pause_ms(unsigned int ms)
{
	usleep(DRPC_MIN(ms, 100U) * 1000);
}

int drpc_nats_receive(struct drpc_link *link, unsigned int timeout_ms, drpc_link_taker taker,
		      void *arg)
{
	struct nats_link *self = of(link);
	struct nats_receiver *r = &self->receiver;
	const uint64_t end = drpc_now_ns() + timeout_ms * DRPC_NSEC_PER_MSEC;
	natsMsgList list = {0};
	natsStatus status;
	int n;

	if (!link->ledger)
		return drpc_err(-EINVAL, "link: it was opened without a ledger to receive by");
	n = prepare(r);
	if (n)
		return n;
	while (drpc_nats_receiver_check(self) < 0 || subscribe(self) < 0) {
		if (drpc_now_ns() >= end)
			return 0;
		pause_ms(timeout_ms);
	}
	status = natsSubscription_Fetch(&list, r->messages, FETCH_MESSAGES,
					DRPC_MAX(timeout_ms, 1U), NULL);
	if (status != NATS_OK) {
		/* A deleted consumer or stream is made anew, or asked for again. */
		if (status != NATS_TIMEOUT) {
			end_messages(r);
			pause_ms(timeout_ms);
		}
		return 0;
	}
	n = take_list(self, &list, taker, arg);
	natsMsgList_Destroy(&list);
	return n;
}

/* --- out ------------------------------------------------------------------------------------ */

static int bucket(struct nats_link *self)
{
	struct nats_receiver *r = &self->receiver;

	if (drpc_nats_receiver_check(self) < 0)
		return -ENOTCONN;
	return r->kv ? 0 : drpc_nats_open_bucket(&r->side, &r->kv);
}

/* What is under a key. `ret` is without its payload. */
static int look(struct nats_receiver *r, const char *key, uint64_t *ret_revision,
		struct drpc_envelope *ret)
{
	kvEntry *entry = NULL;
	int err = drpc_nats_errno(kvStore_Get(&entry, r->kv, key));

	if (err)
		return err;
	*ret_revision = kvEntry_Revision(entry);
	err = drpc_envelope_peek(kvEntry_Value(entry), (size_t)kvEntry_ValueLen(entry), ret);
	if (err)
		drpc_warn("link: what is published under %s is no envelope: %s", key,
			  drpc_envelope_why(err));
	ret->payload = NULL;
	kvEntry_Destroy(entry);
	return err ? -EBADMSG : 0;
}

/* One attempt; -EAGAIN where somebody else was faster. */
static int put(struct nats_receiver *r, const char *key, const void *data, size_t bytes,
	       const struct drpc_envelope *e)
{
	struct drpc_envelope there;
	uint64_t revision = 0;
	natsStatus status;
	int err = look(r, key, &revision, &there);

	if (err == 0 && memcmp(there.digest, e->digest, sizeof(e->digest)) == 0)
		return 0;
	if (err == 0 && there.serial >= e->serial)
		return -ESTALE;
	if (err && err != -ENOENT && err != -EBADMSG)
		return err;
	/* Both refuse where the key was written since. */
	if (err == -ENOENT)
		status = kvStore_Create(NULL, r->kv, key, data, (int)bytes);
	else
		status = kvStore_Update(NULL, r->kv, key, data, (int)bytes, revision);
	err = drpc_nats_errno(status);
	return err == -EIO ? -EAGAIN : err;
}

int drpc_nats_announce(struct drpc_link *link, const void *data, size_t bytes,
		       const struct drpc_envelope *e)
{
	struct nats_link *self = of(link);
	char key[NATS_SUBJECT_BYTES];
	int err = bucket(self);

	drpc_nats_key_of(e->name, e->kind == DRPC_ENVELOPE_MODE, key);
	if (!err)
		err = -EAGAIN;
	for (int i = 0; i < ANNOUNCE_TRIES && err == -EAGAIN; i++)
		err = put(&self->receiver, key, data, bytes, e);
	if (err == -ESTALE)
		return drpc_err(err, "link: '%s' with serial %llu is not published: %s", e->name,
				(unsigned long long)e->serial,
				"something as new is published under that name");
	if (err)
		return drpc_err(err, "link: '%s' with serial %llu is not published", e->name,
				(unsigned long long)e->serial);
	return 0;
}

int drpc_nats_published(struct drpc_link *link, const char *name, bool mode,
			struct drpc_envelope *ret)
{
	struct nats_link *self = of(link);
	char key[NATS_SUBJECT_BYTES];
	uint64_t revision;
	int err = bucket(self);

	if (err)
		return err;
	drpc_nats_key_of(name, mode, key);
	return look(&self->receiver, key, &revision, ret);
}

void drpc_nats_receiver_done(struct nats_receiver *r)
{
	end_all(r);
	drpc_nats_side_close(&r->side);
	drpc_batch_reader_free(&r->reader);
	free(r->group);
	r->group = NULL;
}
