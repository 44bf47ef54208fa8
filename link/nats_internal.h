/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link over NATS JetStream, in parts: nats.c (beginning and end), nats_connect.c (connections and
 * what has to exist on the server), nats_send.c (the sender's thread: experience out, policies in),
 * drpc_nats_receive.c (the teacher's side).
 *
 * The library's callbacks are not used: whatever it has to say is asked for, by the thread that needs
 * it, so that nothing of ours can be called after it was freed. The two sides have a connection each
 * and share nothing but counters.
 */
#pragma once

#include <nats/nats.h>
#include <pthread.h>

#include "link/backlog.h"
#include "link/codec.h"
#include "link/link_internal.h"

#define NATS_SUBJECT_BYTES (2 * DRPC_LINK_TOKEN_BYTES)
#define NATS_NAME_BYTES	   96
#define NATS_WAIT_MS	   2000 /* for an answer of the server's */

struct nats_names {
	char subjects[NATS_SUBJECT_BYTES]; /* "drpc.experience.*" */
	char experience[NATS_NAME_BYTES];  /* "drpc.experience" */
	char stream[NATS_NAME_BYTES];	   /* "drpc_experience" */
	char bucket[NATS_NAME_BYTES];	   /* "drpc_policies" */
	char consumer[NATS_NAME_BYTES];	   /* "teacher" */
	char lease[NATS_NAME_BYTES];	   /* "drpc_lease" */
};

struct nats_settings {
	struct nats_names names;
	natsOptions *options;
	bool create;
	int64_t stream_bytes, stream_age_s;
	int replicas;
	size_t backlog_bytes;
	uint32_t batch_records;
	uint64_t batch_ns, flush_ns, lease_ns;
};

/* One side's connection. */
struct nats_side {
	const struct nats_settings *settings;
	natsConnection *nc;
	jsCtx *js;
	natsStatistics *statistics;
	uint64_t reconnects;	/* as last looked at */
	uint64_t not_before_ns; /* the next attempt to open it anew */
	bool complained;	/* that there is no connection */
};

struct nats_sender {
	pthread_t thread;
	bool started;
	atomic_bool stop;
	struct nats_side side;
	char node[DRPC_LINK_NAME_BYTES];
	char subject[NATS_SUBJECT_BYTES]; /* "drpc.experience.NODE" */
	char inbox[NATS_SUBJECT_BYTES];	  /* answers come to INBOX.SEQUENCE */
	natsSubscription *answers;
	uint64_t epoch, sequence; /* of the next record */
	struct drpc_backlog backlog;
	bool complained;      /* that the server refuses */
	bool ready;	      /* what the connection needs is there */
	uint64_t ready_at_ns; /* the next attempt at that */
	/* The batch that is being filled. */
	unsigned char *batch;
	size_t batch_bytes;
	uint32_t batch_records;
	uint64_t batch_first, batch_begin_ns;
	/* Policies and modes. */
	kvStore *kv;
	kvWatcher *watcher;
	uint64_t watch_at_ns;	 /* begin (again) to watch */
	uint64_t watch_pause_ns; /* grows while it fails */
	uint64_t look_at_ns;	 /* look whether something came */
};

struct nats_receiver {
	struct nats_side side;
	natsSubscription *messages;
	kvStore *kv;
	kvStore *lease;
	uint64_t lease_revision; /* that is ours; 0: none */
	uint64_t retry_at_ns;
	struct drpc_batch_reader *reader;
	struct nats_group *group;
};

struct nats_link {
	struct drpc_link link;
	struct nats_settings settings;
	struct nats_sender sender;
	struct nats_receiver receiver;
};

/* --- nats_connect.c ------------------------------------------------------------------------- */

/* Names and options; the token stands in inboxes and the connection's name. Logged. */
int drpc_nats_settings_init(struct nats_settings *settings,
			    const struct drpc_link_nats_config *config, const char *token);
void drpc_nats_settings_done(struct nats_settings *settings);

/* The subject of a node's experience. */
void drpc_nats_subject_of(const struct nats_names *names, const char *node,
			  char ret[NATS_SUBJECT_BYTES]);

/* The key of a name in the bucket: "policy.NAME", "mode.NAME". */
void drpc_nats_key_of(const char *name, bool mode, char ret[NATS_SUBJECT_BYTES]);

/*
 * Opens the connection where there is none, without waiting for a server that is not there. Returns 1
 * where it is usable and new since the last call (subscriptions of JetStream's must be made again), 0
 * where it is usable, -ENOTCONN where it is not now.
 */
int drpc_nats_side_check(struct nats_side *side);
void drpc_nats_side_close(struct nats_side *side);

/* Stream, consumer and bucket, made where they are missing if this side may. 0 or a negative errno,
 * logged once by the caller's choice. */
int drpc_nats_ensure_stream(const struct nats_side *side);
int drpc_nats_ensure_consumer(const struct nats_side *side);
int drpc_nats_open_bucket(const struct nats_side *side, kvStore **ret);

int drpc_nats_errno(natsStatus status);

/* --- nats_nkey.c ---------------------------------------------------------------------------- */

#define NATS_NKEY_BYTES 60

/* The public key of a user's seed ("SU…", base32). -EINVAL; silent. */
int drpc_nats_nkey_public(const char *seed, char ret[NATS_NKEY_BYTES]);

/* --- nats_send.c ---------------------------------------------------------------------------- */

int drpc_nats_sender_start(struct nats_link *self, const char *node, const char *epoch_file);
void drpc_nats_sender_stop(struct nats_link *self);

/* --- drpc_nats_receive.c ------------------------------------------------------------------------- */

int drpc_nats_receive(struct drpc_link *link, unsigned int timeout_ms, drpc_link_taker taker,
		      void *arg);
int drpc_nats_announce(struct drpc_link *link, const void *data, size_t bytes,
		       const struct drpc_envelope *e);
int drpc_nats_published(struct drpc_link *link, const char *name, bool mode,
			struct drpc_envelope *ret);
/* The connection, and what belongs to it. 0, 1 where it is a new one, or -ENOTCONN. */
int drpc_nats_receiver_check(struct nats_link *self);
void drpc_nats_receiver_done(struct nats_receiver *receiver);

/* --- nats_lease.c --------------------------------------------------------------------------- */

int drpc_nats_lease(struct drpc_link *link, const char *holder, uint64_t *ret_until_ns);
int drpc_nats_release(struct drpc_link *link);
