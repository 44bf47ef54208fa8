// SPDX-License-Identifier: Apache-2.0
#include "link/codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "link/experience.pb-c.h"

/*
 * Everything that reading a batch needs, twice over: protobuf notes each field as it goes. A small
 * message that would unfold into more than this is refused.
 */
#define ARENA_BYTES (2UL << 20)
#define ARENA_ALIGN 16

struct drpc_batch_reader {
	ProtobufCAllocator allocator;
	size_t used;
	_Alignas(ARENA_ALIGN) unsigned char arena[ARENA_BYTES];
	struct drpc_experience records[DRPC_BATCH_MAX_RECORDS];
	enum drpc_reject verdicts[DRPC_BATCH_MAX_RECORDS];
};

/* --- writing -------------------------------------------------------------------------------- */

static ssize_t pack(const Drpc__Link__Batch *message, void *buffer, size_t used, size_t capacity)
{
	const size_t bytes = drpc__link__batch__get_packed_size(message);

	if (used > capacity || bytes > capacity - used)
		return -ENOSPC;
	return (ssize_t)drpc__link__batch__pack(message, (uint8_t *)buffer + used);
}

ssize_t drpc_batch_begin(const struct drpc_batch_head *head, void *buffer, size_t capacity)
{
	Drpc__Link__Batch message = DRPC__LINK__BATCH__INIT;

	message.format = DRPC_BATCH_FORMAT;
	message.node = (char *)head->node;
	message.epoch = head->epoch;
	message.first_sequence = head->first_sequence;
	return pack(&message, buffer, 0, capacity);
}

static void fill_latency(Drpc__Link__Latency *message,
			 const struct drpc_experience_latency *latency)
{
	size_t first = 0, end = DRPC_LINK_OCTAVES;

	while (first < end && latency->octaves[first] == 0)
		first++;
	while (end > first && latency->octaves[end - 1] == 0)
		end--;
	message->requests = latency->requests;
	message->p50_ns = latency->p50_ns;
	message->p99_ns = latency->p99_ns;
	message->max_ns = latency->max_ns;
	message->first_octave = first < end ? (uint32_t)first : 0;
	message->n_octaves = end - first;
	message->octaves = (uint64_t *)latency->octaves + first;
}

ssize_t drpc_batch_add(const struct drpc_experience *x, void *buffer, size_t used, size_t capacity)
{
	Drpc__Link__Batch batch = DRPC__LINK__BATCH__INIT;
	Drpc__Link__Experience message = DRPC__LINK__EXPERIENCE__INIT;
	Drpc__Link__Reward reward = DRPC__LINK__REWARD__INIT;
	Drpc__Link__Latency latency = DRPC__LINK__LATENCY__INIT;
	Drpc__Link__Experience *only = &message;

	message.deployment = (char *)x->deployment;
	message.realtime_ns = x->realtime_ns;
	message.step = x->step;
	message.duration_usec = x->duration_ns / DRPC_NSEC_PER_USEC;
	message.policy_version = x->policy_version;
	message.planner = x->planner;
	message.flags = x->flags;
	message.n_state = message.n_next = DRPC_F_COUNT;
	message.state = (float *)x->state;
	message.next = (float *)x->next;
	message.n_action = DRPC_OUT_COUNT;
	message.action = (float *)x->action;
	if (x->flags & DRPC_X_GUARD) {
		message.n_planned = DRPC_OUT_COUNT;
		message.planned = (float *)x->planned;
	}
	reward.total = x->reward.total;
	reward.qos = x->reward.qos;
	reward.cpu = x->reward.cpu;
	reward.memory = x->reward.memory;
	message.reward = &reward;
	message.coverage = x->coverage;
	if (x->latency.requests) {
		fill_latency(&latency, &x->latency);
		message.latency = &latency;
	}
	batch.n_experiences = 1;
	batch.experiences = &only;
	return pack(&batch, buffer, used, capacity);
}

/* --- reading -------------------------------------------------------------------------------- */

static void *arena_alloc(void *data, size_t bytes)
{
	struct drpc_batch_reader *reader = data;
	void *p = reader->arena + reader->used;

	if (bytes > ARENA_BYTES - reader->used)
		return NULL;
	bytes = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
	reader->used = DRPC_MIN(reader->used + bytes, ARENA_BYTES);
	return p;
}

/* All of it goes at once, at the next reading. */
static void arena_free(void *data, void *p)
{
	(void)data;
	(void)p;
}

int drpc_batch_reader_new(struct drpc_batch_reader **ret)
{
	struct drpc_batch_reader *reader =
		aligned_alloc(_Alignof(struct drpc_batch_reader), sizeof(*reader));

	if (!reader)
		return drpc_err(-ENOMEM, "link: a reader of %zu bytes", sizeof(*reader));
	reader->allocator = (ProtobufCAllocator){
		.alloc = arena_alloc, .free = arena_free, .allocator_data = reader};
	reader->used = 0;
	*ret = reader;
	return 0;
}

void drpc_batch_reader_free(struct drpc_batch_reader **reader)
{
	free(*reader);
	*reader = NULL;
}

static bool copy_floats(float *to, size_t want, const float *from, size_t n)
{
	if (n != want)
		return false;
	memcpy(to, from, want * sizeof(*to));
	return true;
}

static enum drpc_reject read_latency(const Drpc__Link__Latency *message,
				     struct drpc_experience_latency *ret)
{
	*ret = (struct drpc_experience_latency){0};
	if (!message)
		return DRPC_REJECT_NONE;
	if (message->first_octave > DRPC_LINK_OCTAVES ||
	    message->n_octaves > DRPC_LINK_OCTAVES - message->first_octave)
		return DRPC_REJECT_LATENCY;
	ret->requests = message->requests;
	ret->p50_ns = message->p50_ns;
	ret->p99_ns = message->p99_ns;
	ret->max_ns = message->max_ns;
	if (message->n_octaves)
		memcpy(ret->octaves + message->first_octave, message->octaves,
		       message->n_octaves * sizeof(*ret->octaves));
	return DRPC_REJECT_NONE;
}

static enum drpc_reject read_record(const Drpc__Link__Experience *message,
				    struct drpc_experience *x)
{
	/* A name that does not fit is none; it is not cut to one that does. */
	if (!drpc_strcpy(x->deployment, sizeof(x->deployment), message->deployment))
		return DRPC_REJECT_NAME;
	if (message->duration_usec > UINT64_MAX / DRPC_NSEC_PER_USEC)
		return DRPC_REJECT_TIME;
	x->realtime_ns = message->realtime_ns;
	x->step = message->step;
	x->duration_ns = message->duration_usec * DRPC_NSEC_PER_USEC;
	x->policy_version = message->policy_version;
	if (message->planner >= DRPC_BY_COUNT)
		return DRPC_REJECT_PLANNER;
	x->planner = (enum drpc_experience_planner)message->planner;
	x->flags = message->flags;
	if (!copy_floats(x->state, DRPC_F_COUNT, message->state, message->n_state) ||
	    !copy_floats(x->next, DRPC_F_COUNT, message->next, message->n_next))
		return DRPC_REJECT_STATE;
	if (!copy_floats(x->action, DRPC_OUT_COUNT, message->action, message->n_action))
		return DRPC_REJECT_ACTION;
	memcpy(x->planned, x->action, sizeof(x->planned));
	if ((x->flags & DRPC_X_GUARD) &&
	    !copy_floats(x->planned, DRPC_OUT_COUNT, message->planned, message->n_planned))
		return DRPC_REJECT_ACTION;
	if (!message->reward)
		return DRPC_REJECT_REWARD;
	x->reward = (struct drpc_experience_reward){message->reward->total, message->reward->qos,
						    message->reward->cpu, message->reward->memory};
	x->coverage = message->coverage;
	if (read_latency(message->latency, &x->latency) != DRPC_REJECT_NONE)
		return DRPC_REJECT_LATENCY;
	return drpc_experience_check(x);
}

enum drpc_reject drpc_batch_read(struct drpc_batch_reader *reader, const void *data, size_t bytes,
				 struct drpc_batch *ret)
{
	const Drpc__Link__Batch *message;

	if (bytes > DRPC_BATCH_MAX_BYTES)
		return DRPC_REJECT_SIZE;
	reader->used = 0;
	message = drpc__link__batch__unpack(&reader->allocator, bytes, data);
	if (!message)
		return DRPC_REJECT_FORMAT;
	if (message->format != DRPC_BATCH_FORMAT)
		return message->format == 0 ? DRPC_REJECT_FORMAT : DRPC_REJECT_VERSION;
	if (message->n_experiences == 0 || message->n_experiences > DRPC_BATCH_MAX_RECORDS)
		return DRPC_REJECT_SIZE;
	if (!drpc_link_name_ok(message->node))
		return DRPC_REJECT_NODE;
	if (message->epoch == 0 || message->epoch > DRPC_SEQUENCE_MAX ||
	    message->first_sequence == 0 || message->first_sequence > DRPC_SEQUENCE_MAX)
		return DRPC_REJECT_SEQUENCE;
	*ret = (struct drpc_batch){
		.head = {.epoch = message->epoch, .first_sequence = message->first_sequence},
		.count = message->n_experiences,
		.records = reader->records,
		.verdicts = reader->verdicts,
	};
	drpc_strcpy(ret->head.node, sizeof(ret->head.node), message->node);
	for (size_t i = 0; i < ret->count; i++)
		reader->verdicts[i] = read_record(message->experiences[i], &reader->records[i]);
	return DRPC_REJECT_NONE;
}
