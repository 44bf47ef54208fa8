// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "link/nats_internal.h"

#define SERVERS_MAX	  16
#define RECONNECT_MS	  500
#define JITTER_MS	  500
#define PING_MS		  5000
#define PINGS_OUT	  2 /* a cut that nobody told of is noticed after so many */
#define REOPEN_NS	  (2 * DRPC_NSEC_PER_SEC)
#define CREDENTIALS_BYTES 65536
#define STREAM_BYTES	  (1LL << 30)
#define STREAM_AGE_S	  86400
#define DUPLICATES_S	  120
#define BUCKET_BYTES	  (1LL << 30)
#define BUCKET_HISTORY	  8
#define ACK_WAIT_S	  30
#define ACKS_PENDING	  1024
#define BACKLOG_BYTES	  (16UL << 20)
#define BATCH_RECORDS	  128

int drpc_nats_errno(natsStatus status)
{
	switch (status) {
	case NATS_OK:
		return 0;
	case NATS_TIMEOUT:
		return -ETIMEDOUT;
	case NATS_NOT_FOUND:
		return -ENOENT;
	case NATS_NO_MEMORY:
		return -ENOMEM;
	case NATS_NOT_PERMITTED:
	case NATS_CONNECTION_AUTH_FAILED:
		return -EACCES;
	case NATS_CONNECTION_CLOSED:
	case NATS_CONNECTION_DISCONNECTED:
	case NATS_NO_SERVER:
	case NATS_NOT_YET_CONNECTED:
	case NATS_STALE_CONNECTION:
	case NATS_NO_RESPONDERS:
	case NATS_IO_ERROR:
		return -ENOTCONN;
	default:
		return -EIO;
	}
}

void drpc_nats_subject_of(const struct nats_names *names, const char *node,
			  char ret[NATS_SUBJECT_BYTES])
{
	char token[DRPC_LINK_TOKEN_BYTES];

	drpc_link_token(node, token);
	snprintf(ret, NATS_SUBJECT_BYTES, "%s.%s", names->experience, token);
}

void drpc_nats_key_of(const char *name, bool mode, char ret[NATS_SUBJECT_BYTES])
{
	char token[DRPC_LINK_TOKEN_BYTES];

	drpc_link_token(name, token);
	snprintf(ret, NATS_SUBJECT_BYTES, "%s.%s", mode ? "mode" : "policy", token);
}

/* --- settings ------------------------------------------------------------------------------- */

static bool word_ok(const char *word)
{
	const size_t len = strlen(word);

	return len > 0 && len <= 32 &&
	       strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
		       len;
}

static int init_names(struct nats_names *names, const struct drpc_link_nats_config *config)
{
	const char *prefix = config->prefix ? config->prefix : "drpc";
	const char *consumer = config->consumer ? config->consumer : "teacher";

	if (!word_ok(prefix) || !word_ok(consumer))
		return drpc_err(
			-EINVAL,
			"link: prefix '%.64s' and consumer '%.64s' must be 1 to 32 letters, digits, '-' or '_'",
			prefix, consumer);
	snprintf(names->experience, sizeof(names->experience), "%s.experience", prefix);
	snprintf(names->subjects, sizeof(names->subjects), "%s.experience.*", prefix);
	snprintf(names->stream, sizeof(names->stream), "%s_experience", prefix);
	snprintf(names->bucket, sizeof(names->bucket), "%s_policies", prefix);
	snprintf(names->lease, sizeof(names->lease), "%s_lease", prefix);
	snprintf(names->consumer, sizeof(names->consumer), "%s", consumer);
	return 0;
}

/* The library takes them one by one. */
static int set_servers(natsOptions *options, const char *servers)
{
	_cleanup_free_ char *copy = servers ? strdup(servers) : NULL;
	const char *list[SERVERS_MAX];
	char *rest = copy, *one;
	int n = 0;

	while (rest && (one = strsep(&rest, ","))) {
		if (n < SERVERS_MAX)
			list[n] = one;
		n++;
	}
	if (n == 0 || n > SERVERS_MAX || natsOptions_SetServers(options, list, n) != NATS_OK)
		return drpc_err(
			-EINVAL,
			"link: servers '%.128s', expected 1 to %d of the form nats://HOST:PORT or tls://HOST:PORT, separated by commas",
			servers ? servers : "", SERVERS_MAX);
	return 0;
}

static int set_tls(natsOptions *options, const struct drpc_link_nats_config *config)
{
	const int files = (config->ca_file != NULL) + (config->certificate_file != NULL) +
			  (config->key_file != NULL);

	if (files == 0 && !config->server_name)
		return 0;
	if (files != 3)
		return drpc_err(
			-EINVAL,
			"link: TLS needs three files: a certificate, its key, and the authority that signs the server's");
	if (natsOptions_SetSecure(options, true) != NATS_OK ||
	    natsOptions_LoadCATrustedCertificates(options, config->ca_file) != NATS_OK)
		return drpc_err(-EINVAL, "link: %s holds no certificates", config->ca_file);
	if (natsOptions_LoadCertificatesChain(options, config->certificate_file,
					      config->key_file) != NATS_OK)
		return drpc_err(-EINVAL, "link: %s and %s are not a certificate and its key",
				config->certificate_file, config->key_file);
	if (config->server_name &&
	    natsOptions_SetExpectedHostname(options, config->server_name) != NATS_OK)
		return drpc_err(-EINVAL, "link: server's name '%.128s'", config->server_name);
	return 0;
}

static int set_credentials(natsOptions *options, const char *path)
{
	_cleanup_free_ char *text = NULL;
	char public[NATS_NKEY_BYTES];
	natsStatus status;
	ssize_t n;

	if (!path)
		return 0;
	n = drpc_read_file_at(AT_FDCWD, path, CREDENTIALS_BYTES, &text);
	if (n < 0)
		return drpc_err((int)n, "link: cannot read %s", path);
	if (strstr(text, "NATS USER JWT"))
		status = natsOptions_SetUserCredentialsFromFiles(options, path, NULL);
	else if (drpc_nats_nkey_public(text, public) == 0)
		status = natsOptions_SetNKeyFromSeed(options, public, path);
	else
		status = NATS_INVALID_ARG;
	/* It may hold a private key. */
	explicit_bzero(text, (size_t)n);
	if (status != NATS_OK)
		return drpc_err(
			-EINVAL,
			"link: %s is neither a NATS credentials file nor the seed of a user's NKey",
			path);
	return 0;
}

/* What the library finds on its own threads is found by ours as well, when it asks. */
static void on_error(natsConnection *nc, natsSubscription *subscription, natsStatus status,
		     void *closure)
{
	(void)nc;
	(void)subscription;
	(void)closure;
	drpc_debug("link: %s", natsStatus_GetText(status));
}

/* The library waits for the first connection unless somebody wants to be told of it. */
static void on_connected(natsConnection *nc, void *closure)
{
	(void)nc;
	(void)closure;
}

static bool set_behaviour(natsOptions *options, const char *token)
{
	char name[NATS_SUBJECT_BYTES], inbox[NATS_SUBJECT_BYTES];

	snprintf(name, sizeof(name), "drpc %s", token);
	snprintf(inbox, sizeof(inbox), "_INBOX.%s", token);
	return natsOptions_SetName(options, name) == NATS_OK &&
	       natsOptions_SetCustomInboxPrefix(options, inbox) == NATS_OK &&
	       natsOptions_SetTimeout(options, NATS_WAIT_MS) == NATS_OK &&
	       natsOptions_SetWriteDeadline(options, NATS_WAIT_MS) == NATS_OK &&
	       natsOptions_SetMaxReconnect(options, INT_MAX) == NATS_OK &&
	       natsOptions_SetReconnectWait(options, RECONNECT_MS) == NATS_OK &&
	       natsOptions_SetReconnectJitter(options, JITTER_MS, JITTER_MS) == NATS_OK &&
	       natsOptions_SetPingInterval(options, PING_MS) == NATS_OK &&
	       natsOptions_SetMaxPingsOut(options, PINGS_OUT) == NATS_OK &&
	       natsOptions_SetFailRequestsOnDisconnect(options, true) == NATS_OK &&
	       natsOptions_SetErrorHandler(options, on_error, NULL) == NATS_OK &&
	       natsOptions_SetRetryOnFailedConnect(options, true, on_connected, NULL) == NATS_OK;
}

int drpc_nats_settings_init(struct nats_settings *settings,
			    const struct drpc_link_nats_config *config, const char *token)
{
	const uint64_t batch_ms = config->batch_ms ? config->batch_ms : 1000;
	const uint64_t flush_ms = config->flush_ms ? config->flush_ms : 1000;
	const uint64_t lease_ms = config->lease_ms ? config->lease_ms : 15000;
	int err;

	if (config->batch_records > DRPC_BATCH_MAX_RECORDS)
		return drpc_err(-EINVAL, "link: batches of %u records, at most %d",
				config->batch_records, DRPC_BATCH_MAX_RECORDS);
	*settings = (struct nats_settings){
		.create = config->create,
		.stream_bytes = config->stream_bytes ? config->stream_bytes : STREAM_BYTES,
		.stream_age_s = config->stream_age_s ? config->stream_age_s : STREAM_AGE_S,
		.replicas = config->replicas ? config->replicas : 1,
		.backlog_bytes = config->backlog_bytes ? config->backlog_bytes : BACKLOG_BYTES,
		.batch_records = config->batch_records ? config->batch_records : BATCH_RECORDS,
		.batch_ns = batch_ms * DRPC_NSEC_PER_MSEC,
		.flush_ns = flush_ms * DRPC_NSEC_PER_MSEC,
		.lease_ns = lease_ms * DRPC_NSEC_PER_MSEC,
	};
	err = init_names(&settings->names, config);
	if (err)
		return err;
	if (natsOptions_Create(&settings->options) != NATS_OK ||
	    !set_behaviour(settings->options, token))
		err = drpc_err(-ENOMEM, "link: options of the connection");
	if (!err)
		err = set_servers(settings->options, config->servers);
	if (!err)
		err = set_tls(settings->options, config);
	if (!err)
		err = set_credentials(settings->options, config->credentials_file);
	if (err)
		drpc_nats_settings_done(settings);
	return err;
}

void drpc_nats_settings_done(struct nats_settings *settings)
{
	natsOptions_Destroy(settings->options);
	settings->options = NULL;
}

/* --- connection ----------------------------------------------------------------------------- */

void drpc_nats_side_close(struct nats_side *side)
{
	jsCtx_Destroy(side->js);
	natsConnection_Destroy(side->nc);
	natsStatistics_Destroy(side->statistics);
	side->js = NULL;
	side->nc = NULL;
	side->statistics = NULL;
	side->reconnects = 0;
}

static int side_open(struct nats_side *side)
{
	jsOptions options;
	natsStatus status;

	side->reconnects = UINT64_MAX;
	status = natsConnection_Connect(&side->nc, side->settings->options);
	if (status == NATS_NOT_YET_CONNECTED)
		status = NATS_OK;
	if (status == NATS_OK)
		status = natsStatistics_Create(&side->statistics);
	if (status == NATS_OK)
		status = jsOptions_Init(&options);
	options.Wait = NATS_WAIT_MS;
	if (status == NATS_OK)
		status = natsConnection_JetStream(&side->js, side->nc, &options);
	if (status != NATS_OK)
		drpc_nats_side_close(side);
	return drpc_nats_errno(status);
}

static int complain(struct nats_side *side)
{
	const char *why = NULL;

	if (!side->complained) {
		if (side->nc)
			natsConnection_GetLastError(side->nc, &why);
		drpc_warn("link: no connection to the broker, trying on: %s",
			  why && *why ? why : "nobody answers");
	}
	side->complained = true;
	return -ENOTCONN;
}

int drpc_nats_side_check(struct nats_side *side)
{
	const uint64_t now = drpc_now_ns();
	uint64_t in, in_bytes, out, out_bytes, reconnects;
	natsConnStatus status;

	/* The library gives up where it is refused twice: a new certificate may be on its way. */
	if (side->nc && natsConnection_IsClosed(side->nc)) {
		complain(side);
		drpc_nats_side_close(side);
	}
	if (!side->nc) {
		if (now < side->not_before_ns)
			return -ENOTCONN;
		side->not_before_ns = now + REOPEN_NS;
		if (side_open(side) < 0)
			return complain(side);
	}
	status = natsConnection_Status(side->nc);
	if (status != NATS_CONN_STATUS_CONNECTED)
		return complain(side);
	if (side->complained)
		drpc_info("link: connected to the broker");
	side->complained = false;
	if (natsConnection_GetStats(side->nc, side->statistics) != NATS_OK ||
	    natsStatistics_GetCounts(side->statistics, &in, &in_bytes, &out, &out_bytes,
				     &reconnects) != NATS_OK)
		return -ENOTCONN;
	if (reconnects == side->reconnects)
		return 0;
	side->reconnects = reconnects;
	return 1;
}

/* --- what has to exist ---------------------------------------------------------------------- */

int drpc_nats_ensure_stream(const struct nats_side *side)
{
	const struct nats_settings *settings = side->settings;
	const char *subjects[] = {settings->names.subjects};
	jsStreamInfo *info = NULL;
	jsStreamConfig config;
	natsStatus status;

	status = js_GetStreamInfo(&info, side->js, settings->names.stream, NULL, NULL);
	jsStreamInfo_Destroy(info);
	if (status != NATS_NOT_FOUND || !settings->create)
		return drpc_nats_errno(status);
	jsStreamConfig_Init(&config);
	config.Name = settings->names.stream;
	config.Description = "experience of drpc's agents";
	config.Subjects = subjects;
	config.SubjectsLen = 1;
	config.MaxBytes = settings->stream_bytes;
	config.MaxAge = settings->stream_age_s * (int64_t)DRPC_NSEC_PER_SEC;
	config.MaxMsgSize = DRPC_BATCH_MAX_BYTES + 4096;
	config.Discard = js_DiscardOld;
	config.Duplicates = DRPC_MIN((int64_t)DUPLICATES_S, settings->stream_age_s) *
			    (int64_t)DRPC_NSEC_PER_SEC;
	config.Replicas = settings->replicas;
	status = js_AddStream(NULL, side->js, &config, NULL, NULL);
	if (status == NATS_OK)
		drpc_info("link: made stream %s", settings->names.stream);
	return drpc_nats_errno(status);
}

int drpc_nats_ensure_consumer(const struct nats_side *side)
{
	const struct nats_names *names = &side->settings->names;
	jsConsumerInfo *info = NULL;
	jsConsumerConfig config;
	natsStatus status;

	status = js_GetConsumerInfo(&info, side->js, names->stream, names->consumer, NULL, NULL);
	jsConsumerInfo_Destroy(info);
	if (status != NATS_NOT_FOUND || !side->settings->create)
		return drpc_nats_errno(status);
	jsConsumerConfig_Init(&config);
	config.Durable = names->consumer;
	config.DeliverPolicy = js_DeliverAll;
	config.AckPolicy = js_AckExplicit;
	config.AckWait = ACK_WAIT_S * (int64_t)DRPC_NSEC_PER_SEC;
	config.MaxAckPending = ACKS_PENDING;
	return drpc_nats_errno(js_AddConsumer(NULL, side->js, names->stream, &config, NULL, NULL));
}

int drpc_nats_open_bucket(const struct nats_side *side, kvStore **ret)
{
	const struct nats_settings *settings = side->settings;
	natsStatus status = js_KeyValue(ret, side->js, settings->names.bucket);
	kvConfig config;

	if (status != NATS_NOT_FOUND || !settings->create)
		return drpc_nats_errno(status);
	kvConfig_Init(&config);
	config.Bucket = settings->names.bucket;
	config.Description = "policies and modes of drpc's teacher";
	config.History = BUCKET_HISTORY;
	config.MaxValueSize = DRPC_ENVELOPE_BYTES;
	config.MaxBytes = BUCKET_BYTES;
	config.Replicas = settings->replicas;
	return drpc_nats_errno(js_CreateKeyValue(ret, side->js, &config));
}
