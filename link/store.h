/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent has accepted of its teacher: the newest envelope of each name, in files that appear
 * whole or not at all. An envelope is verified, its policy loaded, and only then does it take the place
 * of its predecessor; what is refused changes nothing.
 *
 *   a policy    serial and version are both higher than those that are here
 *   a rollback  its serial is higher; its version may be lower
 *   a mode      its serial is higher
 *
 * One thread at a time.
 */
#pragma once

#include "link/news.h"

#define DRPC_STORE_NAMES 8192

struct drpc_store_config {
	const char *folder;		    /* made where it is missing; NULL: nothing is kept */
	const struct drpc_keyring *keyring; /* borrowed for the store's life */
	/* Makes of a payload what the agent uses; a negative errno refuses it. Logs. */
	int (*load)(void *arg, const char *name, const void *payload, size_t bytes, void **ret);
	void (*unload)(void *policy);
	void *arg;
};

struct drpc_store_stats {
	uint64_t accepted;
	uint64_t known;		 /* came again */
	uint64_t garbled;	 /* not an envelope, cut, changed on the way */
	uint64_t unsigned_by_us; /* unknown key, wrong signature */
	uint64_t older;
	uint64_t unusable; /* signed, but its payload cannot be loaded, or there is no room */
};

struct drpc_store;

/* 0 or a negative errno (logged). What is in the folder is looked at by drpc_store_restore(). */
int drpc_store_open(const struct drpc_store_config *config, struct drpc_store **ret);
void drpc_store_close(struct drpc_store **store); /* NULL-safe; nulls */

/*
 * Puts all that the folder holds into `box`, verified anew. A file that is not good is logged and left
 * out; it stays until something newer replaces it. Returns how many there were.
 */
int drpc_store_restore(struct drpc_store *store, struct drpc_news_box *box);

/*
 * Judges an envelope. Returns 1 and *ret, which the caller frees, where it is accepted; 0 where it is
 * what is here already; else what drpc_envelope_open() says, -ESTALE (older), -ENOSPC (too many names),
 * what `load` said, or why it could not be written; logged.
 */
int drpc_store_offer(struct drpc_store *store, const void *data, size_t bytes,
		     struct drpc_news **ret);

/* What is here under a name: 0 and *ret without its payload, or -ENOENT. */
int drpc_store_find(const struct drpc_store *store, const char *name, bool mode,
		    struct drpc_envelope *ret);

void drpc_store_stats(const struct drpc_store *store, struct drpc_store_stats *ret);
