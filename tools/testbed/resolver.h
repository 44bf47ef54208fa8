/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of the downstream services. Names are looked up again once a second by a thread of its
 * own, so that replicas come and go and no request ever waits for the name service. Thread-safe.
 */
#pragma once

#include "tools/testbed/options.h"

struct tb_resolver;

/* Starts looking up; waits a second at most for the first round. Returns 0 or a negative errno. */
int tb_resolver_new(const struct tb_options *options, struct tb_resolver **ret);
void tb_resolver_free(struct tb_resolver **resolver);

/* Address `number` (modulo their count) of a call. Returns false where it has none now. */
bool tb_resolver_address(struct tb_resolver *resolver, unsigned int call, unsigned int number,
			 struct drpc_target_address *ret);

/* How many addresses a call has now. */
unsigned int tb_resolver_count(struct tb_resolver *resolver, unsigned int call);
