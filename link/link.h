/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between agents and their teacher: experience one way, policies and modes the other. One interface, two
 * implementations: within a process, and NATS JetStream. docs/link.md has formats, bounds, guarantees.
 *
 *   agent    drpc_link_publish() in every tick; drpc_link_next() until NULL where drpc_link_fd() is
 *            readable. Neither waits, allocates or writes to a disk: what has to be sealed off,
 *            verified, written or sent is another thread's work.
 *   teacher  drpc_link_receive() in a loop, drpc_link_announce() for what it publishes. Both take as long
 *            as they are told, or as the network needs.
 *
 * One link serves either side or, within a process, both.
 */
#pragma once

#include "link/experience.h"
#include "link/ledger.h"
#include "link/store.h"

struct drpc_link;

struct drpc_link_stats {
	bool connected;
	/* Records on their way out; `queued` is without those that were dropped there. */
	uint64_t queued;
	uint64_t queue_dropped;	  /* the queue was full */
	uint64_t backlog_dropped; /* the backlog was full: the oldest; an upper bound */
	uint64_t backlog_records, backlog_bytes;
	uint64_t sent_records; /* confirmed by the broker; in a process: handed over */
	/* Batches. */
	uint64_t sent_batches; /* confirmed */
	uint64_t sent_twice;   /* the broker had them already */
	uint64_t resent;       /* attempts after the first */
	uint64_t refused;      /* the broker said no: a full stream, no permission, no stream */
	/* Records that came in. */
	uint64_t accepted;
	uint64_t failed;		      /* accepted, but the taker returned an error */
	uint64_t rejected[DRPC_REJECT_COUNT]; /* batches, or records from DRPC_REJECT_NAME on */
	/* Envelopes. */
	uint64_t announced;
	struct drpc_store_stats store;
	uint64_t reconnects;
};

/* What both implementations take. Texts are borrowed for the call. */
struct drpc_link_config {
	const char *node;     /* name of this node; NULL: it publishes no experience */
	size_t queue_records; /* between a tick and the sender; 0: 4096 */
	/*
	 * Takes in policies and modes; what is in its folder comes first. Borrowed, and not to be touched
	 * by others for the link's life. NULL: none are looked for.
	 */
	struct drpc_store *store;
	struct drpc_ledger *ledger; /* over NATS; borrowed; NULL: it receives no experience */
};

struct drpc_link_nats_config {
	const char *servers;	    /* "nats://a:4222,nats://b:4222", or tls:// */
	const char *prefix;	    /* of subjects, stream and bucket: a word; NULL: "drpc" */
	const char *consumer;	    /* durable; receivers of one share the work; NULL: "teacher" */
	const char *epoch_file;	    /* link/epoch.h; NULL: by the clock */
	size_t backlog_bytes;	    /* 0: 16 MiB */
	unsigned int batch_records; /* 1..256; 0: 128 */
	unsigned int batch_ms;	    /* a record waits no longer for others; 0: 1000 */
	unsigned int flush_ms;	    /* at the end, for what is left; 0: 1000 */
	/* Mutual TLS: all three or none. */
	const char *ca_file, *certificate_file, *key_file;
	const char *server_name;      /* in its certificate; NULL: the host in `servers` */
	const char *credentials_file; /* a NATS credentials file, or an NKey seed */
	unsigned int lease_ms; /* a teacher that is silent for so long has lost it; 0: 15000 */
	/* The teacher makes stream, bucket and consumer where they are missing. */
	bool create;
	int64_t stream_bytes; /* the oldest are discarded beyond; 0: 1 GiB */
	int64_t stream_age_s; /* 0: a day */
	int replicas;	      /* of stream and bucket in a cluster; 0: 1 */
};

/* Within this process. `node` names the producer. Returns 0 or a negative errno, logged. */
int drpc_link_inprocess_new(const struct drpc_link_config *config, struct drpc_link **ret);

/*
 * Over NATS. Succeeds without a server: it is tried for ever, with a growing pause. -EINVAL for a
 * setting that cannot work, files that cannot be read included; logged.
 */
int drpc_link_nats_new(const struct drpc_link_config *config,
		       const struct drpc_link_nats_config *nats, struct drpc_link **ret);

/* Sends what is left within the time that was set, then ends. NULL-safe; nulls. */
void drpc_link_free(struct drpc_link **link);

/* --- agent ---------------------------------------------------------------------------------- */

/*
 * Copies one record on its way. Any thread. 0, or -ENOBUFS where the queue is full (counted). NULL-safe:
 * without a link nothing happens.
 */
int drpc_link_publish(struct drpc_link *link, const struct drpc_experience *x);

/* Readable when there is something for drpc_link_next(). */
int drpc_link_fd(const struct drpc_link *link);

/* The next verified policy or mode, the caller's from now on (drpc_news_free()); NULL for none. */
struct drpc_news *drpc_link_next(struct drpc_link *link);

/* --- teacher -------------------------------------------------------------------------------- */

/*
 * Takes one record in. Each is possible (drpc_experience_check()) and comes once, ever. A negative errno
 * is counted; the record is gone all the same.
 */
typedef int (*drpc_link_taker)(void *arg, const char *node, uint64_t sequence,
			       const struct drpc_experience *x);

/*
 * Waits for experience and hands it to `taker`, on this thread. Returns how many records it took, 0 after
 * `timeout_ms` without any (without a server too), or a negative errno: -EINVAL without a ledger; the
 * ledger's, where it cannot be synced: what was fetched is then lost, rather than taken twice. One thread
 * at a time.
 */
int drpc_link_receive(struct drpc_link *link, unsigned int timeout_ms, drpc_link_taker taker,
		      void *arg);

/*
 * Publishes an envelope (link/envelope.h) to everybody, if its serial is higher than what is published
 * under its name. 0 once it is safe with the broker, or where this very one is there already; -ESTALE
 * where something else as new is there (whoever published it, at the same time included), -ENOTCONN,
 * -ETIMEDOUT: it may be published or not, so try the same again; what drpc_envelope_peek() says, or,
 * within a process, the store. Logged. Same thread as receive.
 */
int drpc_link_announce(struct drpc_link *link, const void *data, size_t bytes);

/*
 * What is published under a name (`mode`: as a mode): 0 and *ret, without its payload and not verified;
 * -ENOENT for nothing, -ENOTCONN, -ETIMEDOUT. Same thread as receive.
 */
int drpc_link_published(struct drpc_link *link, const char *name, bool mode,
			struct drpc_envelope *ret);

/*
 * Takes the lease of the teacher that works, or renews it: 0 and until when (CLOCK_MONOTONIC) it is held;
 * -EBUSY where another one has it, -ENOTCONN, -ETIMEDOUT: an earlier answer still stands until its time.
 * Ask every third of the time. `holder` names this teacher, and is its own again after a restart.
 * Within a process it is always held. A teacher that goes on without it still cannot publish something
 * older, see drpc_link_announce(). Silent. Same thread as receive.
 */
int drpc_link_lease(struct drpc_link *link, const char *holder, uint64_t *ret_until_ns);

/* Gives it back, so that another one need not wait. */
int drpc_link_release(struct drpc_link *link);

/* Any thread. */
void drpc_link_stats(const struct drpc_link *link, struct drpc_link_stats *ret);
