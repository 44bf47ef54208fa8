// SPDX-License-Identifier: Apache-2.0
/*
 * Which of several teachers works: a key in a bucket whose entries expire. Whoever makes it has the lease,
 * and renews it by compare-and-set; one that does not loses it by and by.
 */
#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "link/nats_internal.h"

#define LEASE_KEY "teacher"

static int open_lease(struct nats_receiver *r)
{
	const struct nats_settings *settings = r->side.settings;
	kvConfig config;
	natsStatus status;

	if (r->lease)
		return 0;
	status = js_KeyValue(&r->lease, r->side.js, settings->names.lease);
	if (status != NATS_NOT_FOUND || !settings->create)
		return drpc_nats_errno(status);
	kvConfig_Init(&config);
	config.Bucket = settings->names.lease;
	config.Description = "which of drpc's teachers works";
	config.History = 1;
	config.TTL = (int64_t)settings->lease_ns;
	config.MaxValueSize = DRPC_LINK_NAME_BYTES;
	config.Replicas = settings->replicas;
	return drpc_nats_errno(js_CreateKeyValue(&r->lease, r->side.js, &config));
}

/* A holder that was started again knows itself by name. */
static int look(struct nats_receiver *r, const char *holder)
{
	kvEntry *entry = NULL;
	int err = drpc_nats_errno(kvStore_Get(&entry, r->lease, LEASE_KEY));

	if (err)
		return err;
	if (kvEntry_ValueLen(entry) == (int)strlen(holder) &&
	    memcmp(kvEntry_Value(entry), holder, strlen(holder)) == 0)
		r->lease_revision = kvEntry_Revision(entry);
	else
		err = -EBUSY;
	kvEntry_Destroy(entry);
	return err;
}

static int hold(struct nats_receiver *r, const char *holder)
{
	const int bytes = (int)strlen(holder);
	natsStatus status;
	int err = 0;

	if (r->lease_revision == 0)
		err = look(r, holder);
	if (err && err != -ENOENT)
		return err;
	/* Both refuse where somebody else was faster, or where it has expired since. */
	if (err == -ENOENT)
		status = kvStore_Create(&r->lease_revision, r->lease, LEASE_KEY, holder, bytes);
	else
		status = kvStore_Update(&r->lease_revision, r->lease, LEASE_KEY, holder, bytes,
					r->lease_revision);
	if (status == NATS_OK)
		return 0;
	r->lease_revision = 0;
	err = drpc_nats_errno(status);
	return err == -EIO ? -EBUSY : err;
}

int drpc_nats_lease(struct drpc_link *link, const char *holder, uint64_t *ret_until_ns)
{
	struct nats_link *self = (struct nats_link *)link;
	struct nats_receiver *r = &self->receiver;
	/* Counted from before the question: the broker counts from later. */
	const uint64_t begin = drpc_now_ns();
	int err = drpc_nats_receiver_check(self);

	if (err < 0)
		return err;
	err = open_lease(r);
	if (!err)
		err = hold(r, holder);
	if (!err)
		*ret_until_ns = begin + self->settings.lease_ns;
	return err;
}

int drpc_nats_release(struct drpc_link *link)
{
	struct nats_link *self = (struct nats_link *)link;
	struct nats_receiver *r = &self->receiver;
	int err;

	if (!r->lease || r->lease_revision == 0)
		return 0;
	r->lease_revision = 0;
	err = drpc_nats_receiver_check(self);
	return err < 0 ? err : drpc_nats_errno(kvStore_Delete(r->lease, LEASE_KEY));
}
