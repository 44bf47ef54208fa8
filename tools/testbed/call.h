/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Downstream calls of one worker, one after the other or at once, over a kept connection for each
 * call of the configuration.
 */
#pragma once

#include "tools/testbed/options.h"
#include "tools/testbed/resolver.h"

enum tb_outcome {
	TB_CALL_OK,
	TB_CALL_RESOLVE, /* the name has no address */
	TB_CALL_REFUSED, /* no connection */
	TB_CALL_RESET,	 /* connection lost before the response was complete */
	TB_CALL_TIMEOUT,
	TB_CALL_PROTOCOL, /* no HTTP response */
	TB_CALL_STATUS,	  /* 400 or more */
	TB_CALL_OUTCOMES,
};

extern const char *const tb_outcome_names[TB_CALL_OUTCOMES];

struct tb_caller;

int tb_caller_new(const struct tb_options *options, struct tb_resolver *resolver,
		  struct tb_caller **ret);
void tb_caller_free(struct tb_caller **caller);

/*
 * Makes the calls of a request and puts an outcome for each into `outcomes`. One after the other,
 * a required call that fails ends them: those behind it are not made and stay as they are. `user`
 * ("" for none) is passed on in the user's header. Returns how many were made.
 */
unsigned int tb_caller_run(struct tb_caller *caller, const struct tb_work *work, const char *user,
			   enum tb_outcome *outcomes);
