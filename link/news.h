/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verified policies and modes on their way to the thread that acts on them. Any thread puts, one takes;
 * neither ever waits for the other, and taking does not allocate. Tested under ThreadSanitizer.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "link/envelope.h"

struct drpc_news {
	struct drpc_news *next;
	enum drpc_envelope_kind kind;
	char name[DRPC_LINK_NAME_BYTES];
	uint64_t serial, version, created_ns;
	struct drpc_mode_order mode; /* of a mode */
	void *policy; /* of a policy: what the store's `load` made of it; taken by setting it to NULL */
	void (*unload)(void *policy);
};

/* Frees it, and the policy that nobody took. NULL-safe; nulls. */
void drpc_news_free(struct drpc_news **news);

struct drpc_news_box {
	_Atomic(struct drpc_news *) newest;
	atomic_uint waiting;
	struct drpc_news *oldest; /* the taker's own */
	int fd;			  /* readable when there is something to take */
};

/* 0 or a negative errno (logged). */
int drpc_news_box_init(struct drpc_news_box *box);
void drpc_news_box_done(struct drpc_news_box *box);

/* Takes `news`. */
void drpc_news_put(struct drpc_news_box *box, struct drpc_news *news);

/* How many have not been taken; for bounding them. */
unsigned int drpc_news_waiting(const struct drpc_news_box *box);

/* The oldest, the caller's from now on; NULL where there is none. */
struct drpc_news *drpc_news_take(struct drpc_news_box *box);
