/* SPDX-License-Identifier: Apache-2.0 */
/* The head of an HTTP/1.x request. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/load/http.h"

#define TB_REQUEST_LINE_MAX (8UL * 1024)
#define TB_REQUEST_HEAD_MAX (16UL * 1024)
#define TB_USER_MAX	    64

struct tb_request {
	const char *path; /* into the data it was read from; with its query */
	size_t path_len;
	char user[TB_USER_MAX]; /* "" where the client sent none */
	bool head;		/* no body in the answer */
	bool keep_alive;
	bool expect_continue;
	struct drpc_http_framing framing;
};

/*
 * Reads a head from the beginning of `data`. *scanned is where the search for its end goes on; 0 at
 * the start of a request. Returns the length of the head, 0 where it is not complete, or minus the
 * status to answer with (-400, -414, -431, -501, -505); *request is valid in the first case only.
 */
int tb_request_parse(struct tb_request *request, const char *data, size_t len, size_t *scanned);
