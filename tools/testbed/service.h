/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to a request once it has arrived. Thread-safe; each worker has its own caller. */
#pragma once

#include <stdatomic.h>

#include "tools/testbed/call.h"
#include "tools/testbed/options.h"
#include "tools/testbed/request.h"

/* Counters since the start; gauges where said. */
struct tb_stats {
	_Atomic uint64_t requests; /* work requests: not /healthz, not /stats */
	_Atomic uint64_t ok;
	_Atomic uint64_t injected;  /* 500 by error rate */
	_Atomic uint64_t no_memory; /* 500: no memory for the request */
	_Atomic uint64_t bad_gateway;
	_Atomic uint64_t gateway_timeout;
	_Atomic uint64_t degraded; /* 200 without an optional call */
	_Atomic uint64_t bad_requests;
	_Atomic uint64_t slow_requests;	 /* did not arrive in time */
	_Atomic uint64_t broken_answers; /* the client did not take all of it */
	_Atomic uint64_t calls[TB_CALL_OUTCOMES];
	_Atomic uint64_t routes[TB_ROUTES_MAX + 1];
	_Atomic uint64_t cpu_ns;      /* burnt */
	_Atomic uint64_t busy;	      /* gauge: requests being served */
	_Atomic uint64_t connections; /* gauge */
	_Atomic uint64_t accepted;
};

struct tb_service {
	const struct tb_options *options;
	struct tb_memory memory;
	struct tb_resolver *resolver;
	struct tb_stats stats;
	_Atomic uint64_t sequence; /* of work requests: the n-th draws the same in every run */
	atomic_bool draining;
};

struct tb_answer {
	int status;
	const char *type;     /* of the content */
	uint64_t body_len;    /* of filler, where text is NULL */
	char *text;	      /* owned: the body itself; NULL: filler */
	const char *reason;   /* of a failed call, for the header; NULL: none */
	unsigned int missing; /* optional calls that failed */
};

int tb_service_init(struct tb_service *service, const struct tb_options *options);
void tb_service_release(struct tb_service *service);

/* Does what a request asks for. The caller frees answer->text. */
void tb_service_handle(struct tb_service *service, struct tb_caller *caller,
		       const struct tb_request *request, struct tb_answer *answer);

/* The standard phrase of a status that is used here. */
const char *tb_status_phrase(int status);
