/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a container, as the engine's inspect describes it, to the request that makes one more like
 * it: what `docker compose up --scale` would make. Pure; no I/O.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agent/container.h"
#include "agent/limits.h"

struct json_object;

/* On every container that drpc made: the deployment that it was made for. */
#define DRPC_CLONE_LABEL "io.drpc.clone"

#define DRPC_CLONE_NETWORKS_MAX 16

struct drpc_clone_spec {
	char deployment[DRPC_NAME_MAX];
	uint32_t number;	   /* of compose's numbering: the first that is tried */
	struct drpc_limits limits; /* in force on the others: fields of `what` */
	uint32_t what;		   /* DRPC_LIMIT_* */
};

struct drpc_clone {
	struct json_object *body; /* of the create call */
	char base[DRPC_NAME_MAX]; /* the name without its number: "shop-front-" */
	/* Networks besides the one in `body`, to be connected before the start. */
	struct {
		char name[DRPC_NAME_MAX];
		struct json_object *endpoint;
	} networks[DRPC_CLONE_NETWORKS_MAX];
	size_t network_count;
};

/*
 * Reads an inspect answer of `len` bytes. `cpus` are those of the host. -EOPNOTSUPP: there cannot be
 * two of this container, `why` says what stands against it. -EBADMSG, -ENOMEM. On failure *ret is
 * untouched; else drpc_clone_clear() it.
 */
int drpc_clone_make(const char *inspect, size_t len, const struct drpc_clone_spec *spec,
		    unsigned int cpus, struct drpc_clone *ret, char *why, size_t why_size);

/*
 * Sets the number and gives the name and the body's text (borrowed until the next call or clear).
 * NULL without memory.
 */
const char *drpc_clone_number(struct drpc_clone *clone, uint32_t number, char *name,
			      size_t name_size);

void drpc_clone_clear(struct drpc_clone *clone);
