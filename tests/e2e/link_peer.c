// SPDX-License-Identifier: Apache-2.0
/*
 * One end of a link, for tests/e2e/link.sh: an agent that publishes numbered records and prints the policies
 * that reach it, a teacher that writes down what it receives, a teacher that publishes once, and somebody
 * who sends what he likes. Each ends with its counters, "name value" a line.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <nats/nats.h>
#include <signal.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "link/codec.h"
#include "link/link.h"
#include "tests/unit/link/sample.h"

struct options {
	struct drpc_link_config link;
	struct drpc_link_nats_config nats;
	const char *ledger, *store, *keys, *out, *subject, *text, *name;
	uint64_t count, rate, seconds, first, epoch, serial, version;
	bool rollback, mode;
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

/* --- policies ------------------------------------------------------------------------------- */

static int load(void *arg, const char *name, const void *payload, size_t bytes, void **ret)
{
	(void)arg;
	(void)name;
	*ret = strndup(payload, bytes);
	return *ret ? 0 : -ENOMEM;
}

static void print_news(struct drpc_link *link)
{
	struct drpc_news *news;

	while ((news = drpc_link_next(link))) {
		if (news->kind == DRPC_ENVELOPE_MODE)
			printf("mode %s %llu %d %g\n", news->name, (unsigned long long)news->serial,
			       (int)news->mode.mode, (double)news->mode.exploration);
		else
			printf("policy %s %llu %llu %s\n", news->name,
			       (unsigned long long)news->serial, (unsigned long long)news->version,
			       (const char *)news->policy);
		drpc_news_free(&news);
	}
}

static void print_stats(const struct drpc_link *link)
{
	struct drpc_link_stats s;

	drpc_link_stats(link, &s);
#define FIGURE(name) printf(#name " %llu\n", (unsigned long long)s.name)
	FIGURE(queued);
	FIGURE(queue_dropped);
	FIGURE(backlog_dropped);
	FIGURE(backlog_records);
	FIGURE(sent_records);
	FIGURE(sent_twice);
	FIGURE(resent);
	FIGURE(refused);
	FIGURE(accepted);
	FIGURE(reconnects);
	FIGURE(store.accepted);
	FIGURE(store.known);
	FIGURE(store.garbled);
	FIGURE(store.unsigned_by_us);
	FIGURE(store.older);
	for (unsigned int i = 0; i < DRPC_REJECT_COUNT; i++) {
		if (s.rejected[i])
			printf("rejected.%s %llu\n", drpc_reject_name((enum drpc_reject)i),
			       (unsigned long long)s.rejected[i]);
	}
}

/* --- agent ---------------------------------------------------------------------------------- */

static bool all_sent(const struct drpc_link *link, const struct options *o)
{
	struct drpc_link_stats s;

	drpc_link_stats(link, &s);
	return s.sent_records + s.backlog_dropped >= o->count;
}

/* Publishes at its pace, whatever the link does; the longest pause of it is told. */
static int run_agent(struct drpc_link *link, const struct options *o)
{
	const uint64_t begin = drpc_now_ns(), step = o->rate ? DRPC_NSEC_PER_SEC / o->rate : 0;
	const uint64_t end = begin + o->seconds * DRPC_NSEC_PER_SEC;
	uint64_t sent = 0, longest = 0;

	while (!ended && drpc_now_ns() < end) {
		while (sent < o->count && drpc_now_ns() >= begin + sent * step) {
			const struct drpc_experience x = sample(sent++);
			const uint64_t before = drpc_now_ns();

			drpc_link_publish(link, &x);
			longest = DRPC_MAX(longest, drpc_now_ns() - before);
		}
		print_news(link);
		/* One that watches stays for what comes. */
		if (o->count && sent == o->count && all_sent(link, o) && !o->store)
			break;
		usleep(1000);
	}
	longest /= DRPC_NSEC_PER_USEC;
	printf("published %" PRIu64 "\nlongest_us %" PRIu64 "\n", sent, longest);
	return 0;
}

/* --- teacher -------------------------------------------------------------------------------- */

static int take(void *arg, const char *node, uint64_t sequence, const struct drpc_experience *x)
{
	fprintf(arg, "%s %llu %llu\n", node, (unsigned long long)x->step,
		(unsigned long long)sequence);
	return 0;
}

static int run_teacher(struct drpc_link *link, const struct options *o)
{
	const uint64_t end = drpc_now_ns() + o->seconds * DRPC_NSEC_PER_SEC;
	FILE *out = fopen(o->out, "a");
	uint64_t count = 0;

	if (!out)
		return -errno;
	while (!ended && drpc_now_ns() < end && (o->count == 0 || count < o->count)) {
		const int n = drpc_link_receive(link, 100, take, out);

		fflush(out);
		if (n < 0)
			break;
		count += (uint64_t)n;
	}
	fclose(out);
	for (size_t i = 0; i < drpc_ledger_count(o->link.ledger); i++) {
		const struct drpc_ledger_node node = drpc_ledger_node(o->link.ledger, i);

		printf("missing.%s %" PRIu64 "\n", node.name, node.missing + node.lost);
	}
	return 0;
}

/* Tries to hold the lease, and tells when it begins and ceases to. */
static int run_lease(struct drpc_link *link, const struct options *o)
{
	const uint64_t end = drpc_now_ns() + o->seconds * DRPC_NSEC_PER_SEC;
	uint64_t until = 0;
	bool held = false;

	while (!ended && drpc_now_ns() < end) {
		drpc_link_lease(link, o->name, &until);
		if (held != (drpc_now_ns() < until))
			printf("%s\n", held ? "lost" : "held");
		held = drpc_now_ns() < until;
		usleep(100000);
	}
	/* With SIGTERM it is given back. */
	return ended ? drpc_link_release(link) : 0;
}

static int run_announce(struct drpc_link *link, const struct options *o)
{
	const uint64_t end = drpc_now_ns() + o->seconds * DRPC_NSEC_PER_SEC;
	const char *text = o->text ? o->text : "";
	struct drpc_envelope e = {.kind = o->mode	? DRPC_ENVELOPE_MODE
					  : o->rollback ? DRPC_ENVELOPE_ROLLBACK
							: DRPC_ENVELOPE_POLICY,
				  .serial = o->serial,
				  .version = o->mode ? 0 : o->version,
				  .payload = text,
				  .payload_bytes = strlen(text)};
	_cleanup_free_ unsigned char *data = NULL;
	struct drpc_signer *signer = NULL;
	size_t bytes;
	int err = drpc_signer_load(o->keys, &signer);

	if (err)
		return err;
	drpc_strcpy(e.name, sizeof(e.name), o->name);
	err = drpc_envelope_seal(signer, &e, &data, &bytes);
	drpc_signer_free(&signer);
	while (!err) {
		err = drpc_link_announce(link, data, bytes);
		if ((err != -ENOTCONN && err != -ETIMEDOUT) || drpc_now_ns() > end)
			return err;
		err = 0;
		usleep(50000);
	}
	return err;
}

/* --- somebody ------------------------------------------------------------------------------- */

/* Straight to the broker: a text, or a batch of `count` records. With --name into a key of the bucket. */
static int run_raw(const struct options *o)
{
	static unsigned char data[DRPC_BATCH_MAX_BYTES];
	struct drpc_batch_head head = {.epoch = o->epoch, .first_sequence = o->first};
	natsConnection *nc = NULL;
	size_t bytes = 0;
	natsStatus status;

	if (o->text) {
		bytes = strlen(o->text);
		memcpy(data, o->text, bytes);
	} else {
		drpc_strcpy(head.node, sizeof(head.node), o->link.node);
		bytes = (size_t)drpc_batch_begin(&head, data, sizeof(data));
		for (uint64_t i = 0; i < o->count; i++) {
			struct drpc_experience x = sample(o->first - 1 + i);

			/* Every fourth is impossible. */
			if (o->rate == 4 && i % 4 == 3)
				x.reward.total = 0.1f;
			bytes += (size_t)drpc_batch_add(&x, data, bytes, sizeof(data));
		}
	}
	status = natsConnection_ConnectTo(&nc, o->nats.servers);
	if (status == NATS_OK)
		status = natsConnection_Publish(nc, o->subject, data, (int)bytes);
	if (status == NATS_OK)
		status = natsConnection_FlushTimeout(nc, 3000);
	natsConnection_Destroy(nc);
	return status == NATS_OK ? 0 : drpc_err(-EIO, "peer: %s", natsStatus_GetText(status));
}

/* --- beginning ------------------------------------------------------------------------------ */

enum {
	OPT_SERVERS = 256,
	OPT_NODE,
	OPT_PREFIX,
	OPT_CONSUMER,
	OPT_CREATE,
	OPT_BATCH,
	OPT_BACKLOG,
	OPT_STREAM,
	OPT_CA,
	OPT_CERTIFICATE,
	OPT_KEY,
	OPT_CREDENTIALS,
	OPT_EPOCH_FILE,
	OPT_EPOCH,
	OPT_LEDGER,
	OPT_STORE,
	OPT_KEYS,
	OPT_OUT,
	OPT_SUBJECT,
	OPT_TEXT,
	OPT_NAME,
	OPT_COUNT,
	OPT_RATE,
	OPT_SECONDS,
	OPT_FIRST,
	OPT_SERIAL,
	OPT_VERSION,
	OPT_ROLLBACK,
	OPT_MODE,
};

static const struct option long_options[] = {
	{"servers", 1, NULL, OPT_SERVERS},
	{"node", 1, NULL, OPT_NODE},
	{"prefix", 1, NULL, OPT_PREFIX},
	{"consumer", 1, NULL, OPT_CONSUMER},
	{"create", 0, NULL, OPT_CREATE},
	{"batch", 1, NULL, OPT_BATCH},
	{"backlog", 1, NULL, OPT_BACKLOG},
	{"stream", 1, NULL, OPT_STREAM},
	{"ca", 1, NULL, OPT_CA},
	{"certificate", 1, NULL, OPT_CERTIFICATE},
	{"key", 1, NULL, OPT_KEY},
	{"credentials", 1, NULL, OPT_CREDENTIALS},
	{"epoch-file", 1, NULL, OPT_EPOCH_FILE},
	{"epoch", 1, NULL, OPT_EPOCH},
	{"ledger", 1, NULL, OPT_LEDGER},
	{"store", 1, NULL, OPT_STORE},
	{"keys", 1, NULL, OPT_KEYS},
	{"out", 1, NULL, OPT_OUT},
	{"subject", 1, NULL, OPT_SUBJECT},
	{"text", 1, NULL, OPT_TEXT},
	{"name", 1, NULL, OPT_NAME},
	{"count", 1, NULL, OPT_COUNT},
	{"rate", 1, NULL, OPT_RATE},
	{"seconds", 1, NULL, OPT_SECONDS},
	{"first", 1, NULL, OPT_FIRST},
	{"serial", 1, NULL, OPT_SERIAL},
	{"version", 1, NULL, OPT_VERSION},
	{"rollback", 0, NULL, OPT_ROLLBACK},
	{"mode", 0, NULL, OPT_MODE},
	{0},
};

static bool set_text(struct options *o, int opt, const char *arg)
{
	const char **to = opt == OPT_SERVERS	   ? &o->nats.servers
			  : opt == OPT_NODE	   ? &o->link.node
			  : opt == OPT_PREFIX	   ? &o->nats.prefix
			  : opt == OPT_CONSUMER	   ? &o->nats.consumer
			  : opt == OPT_CA	   ? &o->nats.ca_file
			  : opt == OPT_CERTIFICATE ? &o->nats.certificate_file
			  : opt == OPT_KEY	   ? &o->nats.key_file
			  : opt == OPT_CREDENTIALS ? &o->nats.credentials_file
			  : opt == OPT_EPOCH_FILE  ? &o->nats.epoch_file
			  : opt == OPT_LEDGER	   ? &o->ledger
			  : opt == OPT_STORE	   ? &o->store
			  : opt == OPT_KEYS	   ? &o->keys
			  : opt == OPT_OUT	   ? &o->out
			  : opt == OPT_SUBJECT	   ? &o->subject
			  : opt == OPT_TEXT	   ? &o->text
			  : opt == OPT_NAME	   ? &o->name
						   : NULL;

	if (to)
		*to = arg;
	return to;
}

static bool set_number(struct options *o, int opt, uint64_t n)
{
	switch (opt) {
	case OPT_BATCH:
		o->nats.batch_records = (unsigned int)n;
		return true;
	case OPT_BACKLOG:
		o->nats.backlog_bytes = n;
		return true;
	case OPT_STREAM:
		o->nats.stream_bytes = (int64_t)n;
		return true;
	case OPT_EPOCH:
		o->epoch = n;
		return true;
	case OPT_COUNT:
		o->count = n;
		return true;
	case OPT_RATE:
		o->rate = n;
		return true;
	case OPT_SECONDS:
		o->seconds = n;
		return true;
	case OPT_FIRST:
		o->first = n;
		return true;
	case OPT_SERIAL:
		o->serial = n;
		return true;
	case OPT_VERSION:
		o->version = n;
		return true;
	case OPT_CREATE:
		return o->nats.create = true;
	case OPT_ROLLBACK:
		return o->rollback = true;
	case OPT_MODE:
		return o->mode = true;
	default:
		return false;
	}
}

static int run(const char *what, struct options *o)
{
	struct drpc_store_config config = {.folder = o->store, .load = load, .unload = free};
	struct drpc_keyring *keyring = NULL;
	struct drpc_link *link = NULL;
	int err = 0;

	if (o->store) {
		err = drpc_keyring_new(&keyring);
		if (!err)
			err = drpc_keyring_load(keyring, o->keys);
		config.keyring = keyring;
		if (!err)
			err = drpc_store_open(&config, &o->link.store);
	}
	if (!err && o->out)
		err = drpc_ledger_open(o->ledger, &o->link.ledger);
	if (!err)
		err = drpc_link_nats_new(&o->link, &o->nats, &link);
	if (!err) {
		err = strcmp(what, "agent") == 0     ? run_agent(link, o)
		      : strcmp(what, "teacher") == 0 ? run_teacher(link, o)
		      : strcmp(what, "lease") == 0   ? run_lease(link, o)
						     : run_announce(link, o);
		print_stats(link);
	}
	drpc_link_free(&link);
	drpc_ledger_close(&o->link.ledger);
	drpc_store_close(&o->link.store);
	drpc_keyring_free(&keyring);
	return err;
}

int main(int argc, char **argv)
{
	struct options o = {.nats = {.batch_ms = 50, .flush_ms = 300, .lease_ms = 1500},
			    .seconds = 20,
			    .first = 1,
			    .epoch = 1};
	const char *what = argc > 1 ? argv[1] : "";
	int opt, err;

	setvbuf(stdout, NULL, _IOLBF, 0);
	optind = 2;
	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (!set_text(&o, opt, optarg) &&
		    !set_number(&o, opt, optarg ? strtoull(optarg, NULL, 10) : 0))
			return 2;
	}
	signal(SIGTERM, on_signal);
	if (strcmp(what, "key") == 0)
		err = drpc_key_generate(o.keys);
	else if (strcmp(what, "raw") == 0)
		err = run_raw(&o);
	else
		err = run(what, &o);
	return err < 0;
}
