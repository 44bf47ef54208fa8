// SPDX-License-Identifier: Apache-2.0
/*
 * What experience costs: its bytes on the wire, and how many transitions a core takes in: read, every
 * field checked, entered in the ledger, put into the replay buffer.
 */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "link/codec.h"
#include "link/ledger.h"
#include "nn/rng.h"
#include "teacher/replay.h"
#include "tools/bench/bench.h"

#define DEPLOYMENTS 40
#define RECORDS	    128 /* of a batch, as agents send them */
#define BATCHES	    256
#define ROUNDS	    15
#define CAPACITY    (1 << 17)

struct ingest {
	unsigned char *data; /* [BATCHES][DRPC_BATCH_MAX_BYTES] */
	size_t bytes[BATCHES];
	struct drpc_batch_reader *reader;
	struct drpc_ledger *ledger;
	struct drpc_replay *replay;
};

/* A deployment of a usual application: a compose name, a histogram of some octaves. */
static void make_record(struct drpc_rng *rng, uint64_t n, struct drpc_experience *x)
{
	float state[DRPC_F_COUNT], next[DRPC_F_COUNT], planned[DRPC_OUT_COUNT];
	struct drpc_experience_reward reward = {.qos = 1};
	uint32_t hist[DRPC_HIST_BUCKETS] = {0};
	float draws[2 * DRPC_F_COUNT + DRPC_OUT_COUNT];
	char name[64];

	drpc_rng_symmetric(rng, 1.0f, DRPC_ARRAY_SIZE(draws), draws);
	for (int i = 0; i < DRPC_F_COUNT; i++) {
		state[i] = fabsf(draws[i]);
		next[i] = fabsf(draws[DRPC_F_COUNT + i]);
	}
	memcpy(planned, draws + 2 * DRPC_F_COUNT, sizeof(planned));
	for (int i = 0; i < 40; i++)
		hist[90 + i] = (uint32_t)(20 * fabsf(draws[i % DRPC_F_COUNT]));
	reward.cpu = powf(fabsf(0.75f - next[DRPC_F_CPU_UTIL]), 3);
	reward.memory = powf(fabsf(0.75f - next[DRPC_F_MEM_UTIL]), 3);
	reward.total = reward.qos / (1 + reward.cpu + reward.memory);
	snprintf(name, sizeof(name), "train-ticket/ts-service-%d", (int)(n % DEPLOYMENTS));
	drpc_experience_start(x, name, n / DEPLOYMENTS + 1, 1700000000000000000ULL + n * 5000000ULL,
			      state);
	drpc_experience_act(x, DRPC_BY_STUDENT, 12, planned, NULL);
	drpc_experience_finish(x, 200123000, next, &reward, 0.98f, hist);
}

static int make_batches(struct ingest *in, struct bench_report *report)
{
	struct drpc_rng rng = drpc_rng_make(1, 1);
	size_t total = 0;
	uint64_t n = 0;

	for (size_t b = 0; b < BATCHES; b++) {
		unsigned char *buffer = in->data + b * DRPC_BATCH_MAX_BYTES;
		struct drpc_batch_head head = {.node = "node-17.example", .epoch = 1};
		struct drpc_experience x;
		ssize_t used, more;

		head.first_sequence = n + 1;
		used = drpc_batch_begin(&head, buffer, DRPC_BATCH_MAX_BYTES);
		for (size_t i = 0; i < RECORDS; i++, n++) {
			make_record(&rng, n, &x);
			more = drpc_batch_add(&x, buffer, (size_t)used, DRPC_BATCH_MAX_BYTES);
			if (more < 0)
				return (int)more;
			used += more;
		}
		in->bytes[b] = (size_t)used;
		total += (size_t)used;
	}
	bench_add(report, "bytes", (double)total / (BATCHES * RECORDS), "experience_bytes");
	return 0;
}

/* Every round is another epoch: the ledger has not seen its records. */
static int ingest_all(struct ingest *in, uint64_t epoch)
{
	for (size_t b = 0; b < BATCHES; b++) {
		struct drpc_batch batch;

		if (drpc_batch_read(in->reader, in->data + b * DRPC_BATCH_MAX_BYTES, in->bytes[b],
				    &batch) != DRPC_REJECT_NONE ||
		    drpc_ledger_take(in->ledger, batch.head.node, epoch, batch.head.first_sequence,
				     batch.count) != DRPC_REJECT_NONE)
			return -EBADMSG;
		for (size_t i = 0; i < batch.count; i++) {
			const struct drpc_experience *x = &batch.records[i];
			const struct drpc_transition t = {.state = x->state,
							  .action = x->action,
							  .next = x->next,
							  .reward = x->reward.total,
							  .done = x->flags & DRPC_X_DONE};
			int err = batch.verdicts[i] == DRPC_REJECT_NONE ? 0 : -EBADMSG;

			if (!err)
				err = drpc_replay_push(in->replay, &t);
			if (err)
				return err;
		}
	}
	return 0;
}

static int measure(struct ingest *in, struct bench_report *report)
{
	double rates[ROUNDS];
	int err = make_batches(in, report);

	for (uint64_t round = 0; round <= ROUNDS && !err; round++) {
		const uint64_t begin = bench_thread_cpu_ns();

		err = ingest_all(in, round + 1);
		/* The first touches memory that nobody has touched before. */
		if (round > 0)
			rates[round - 1] = (double)BATCHES * RECORDS * 1e9 /
					   (double)(bench_thread_cpu_ns() - begin);
	}
	if (!err)
		bench_add(report, "1/s", bench_median(rates, ROUNDS), "ingest_transitions_per_s");
	return err;
}

int bench_link(int argc, char **argv, struct bench_report *report)
{
	static const struct argp argp = {
		.doc = "Bytes of experience on the wire, and how much of it one core takes in."};
	const struct drpc_replay_shape shape = {
		.units = 1, .state = DRPC_F_COUNT, .action = DRPC_OUT_COUNT};
	struct ingest in = {0};
	int err;

	if (argp_parse(&argp, argc, argv, 0, NULL, NULL) != 0)
		return -EINVAL;
	bench_pin(0);
	in.data = malloc((size_t)BATCHES * DRPC_BATCH_MAX_BYTES);
	err = in.data ? drpc_batch_reader_new(&in.reader) : -ENOMEM;
	if (!err)
		err = drpc_ledger_open(NULL, &in.ledger);
	if (!err)
		err = drpc_replay_open(NULL, &shape, CAPACITY, &in.replay);
	if (!err)
		err = measure(&in, report);
	drpc_replay_close(&in.replay);
	drpc_ledger_close(&in.ledger);
	drpc_batch_reader_free(&in.reader);
	free(in.data);
	return err;
}
