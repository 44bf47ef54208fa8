/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client as cheap as can be, for servers whose answers have a known size (a static file, a GET of
 * a known key): it counts bytes and does not parse. What it costs is what the machine has left for
 * the server, so it must be little. Open loop by schedule, or closed loop (rate 0).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct exchange {
	uint16_t port; /* on 127.0.0.1 */
	unsigned int connections;
	const char *request;
	size_t request_len;
	size_t response_len;
	double rate; /* requests a second in all; 0: as fast as answers come */
	double seconds;
	uint64_t seed; /* of the Poisson arrivals */
};

struct exchange_result {
	uint64_t sent, answered;
	double seconds;	    /* from the first request to the last answer */
	double *latency_ns; /* from the request's write to its last byte, `answered` of them */
	uint64_t late;	    /* due requests that found no free connection; sent when one was */
};

/* Runs to the end. Returns 0, or a negative errno with the reason logged; free with the below. */
int exchange_run(const struct exchange *exchange, struct exchange_result *ret);
void exchange_result_free(struct exchange_result *result);

/* Asks once and reads until the server is silent: how long the answer is. */
int exchange_response_len(uint16_t port, const char *request, size_t request_len, size_t *ret);
