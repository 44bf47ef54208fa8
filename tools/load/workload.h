/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is sent: targets, request templates, and the user types that choose among them in shares
 * that may change over time. Read-only while a run goes on, so threads share it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/load/rng.h"
#include "tools/load/target.h"

#define DRPC_USER_HEADER "X-Drpc-User"

struct drpc_load_request {
	unsigned int target;
	unsigned int class;
	double weight;
	bool is_head;
	char *text; /* owned: the whole request */
	size_t len;
	size_t user_at; /* where the user's header is inserted: before the empty line */
};

/* A user type. */
struct drpc_load_class {
	char name[32];
	uint32_t users;	   /* simulated users, each with an id of its own; 0: no id is sent */
	double weight_sum; /* of its requests */
};

/* The shares of the classes from a time on; `ramp`: reached linearly from the line before. */
struct drpc_load_ratio {
	double at_s;
	bool ramp;
	double *shares; /* owned, one a class */
};

struct drpc_workload {
	struct drpc_target *targets;
	unsigned int target_count;
	struct drpc_load_request *requests;
	unsigned int request_count;
	struct drpc_load_class *classes;
	unsigned int class_count;
	struct drpc_load_ratio *ratios;
	unsigned int ratio_count;
};

/* What all requests of a run have in common. */
struct drpc_load_defaults {
	const char *method;
	const char *path;	    /* instead of the URL's; NULL: the URL's */
	const char *const *headers; /* "Name: value", NULL-terminated */
	const char *body;
	size_t body_len;
	bool close; /* ask the server to close after each response */
};

/* Adds one class without users, or finds it; *ret_class is its index. 0, -EINVAL, -ENOMEM. */
int drpc_workload_class(struct drpc_workload *workload, const char *name, uint32_t users,
			unsigned int *ret_class);

/* Makes the target of a URL the first one, on which paths alone lie. 0, -EINVAL, -ENOMEM. */
int drpc_workload_base(struct drpc_workload *workload, const char *flag, const char *url);

/*
 * Adds a request. `url` is a whole URL, or a path on the first target. Returns 0, -EINVAL (logged
 * with `flag`) or -ENOMEM.
 */
int drpc_workload_request(struct drpc_workload *workload, const char *flag, unsigned int class,
			  const char *url, double weight,
			  const struct drpc_load_defaults *defaults);

/* Reads user types from a mix file (docs/load.md). Logs "FILE:LINE: …". 0 or a negative errno. */
int drpc_workload_mix(struct drpc_workload *workload, const char *path,
		      const struct drpc_load_defaults *defaults);

/* User types and shares from text (workload/users.h), requests to follow. -EINVAL (logged), -ENOMEM. */
int drpc_workload_users(struct drpc_workload *workload, const char *flag, const char *spec);

/* Looks up all targets. Returns 0 or a negative errno, logged. */
int drpc_workload_resolve(struct drpc_workload *workload);

void drpc_workload_release(struct drpc_workload *workload);

/* The choice for each arrival; every thread makes all of them, so that they agree. */
struct drpc_workload_picker {
	const struct drpc_workload *workload; /* borrowed */
	struct drpc_rng rng;
	unsigned int ratio; /* the last line that has begun */
};

struct drpc_workload_pick {
	const struct drpc_load_request *request;
	uint32_t user; /* 1 .. users of the class; 0: none */
};

void drpc_workload_picker_init(struct drpc_workload_picker *picker,
			       const struct drpc_workload *workload, uint64_t seed);

/* `at_s` must not go back from call to call. */
struct drpc_workload_pick drpc_workload_pick(struct drpc_workload_picker *picker, double at_s);
