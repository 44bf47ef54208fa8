/* SPDX-License-Identifier: Apache-2.0 */
/* A container's histogram as a picture of at most 80 columns. */
#pragma once

#include <json-c/json.h>

#include "tools/drpc/table.h"

struct drpc_picture {
	struct json_object *hist;      /* of /v1/containers/NAME/hist */
	struct json_object *container; /* of /v1/containers/NAME; NULL: no objective is drawn */
	double since_sec;	       /* 0: since the start */
	int width, max_rows;	       /* columns, and rows of the histogram */
};

void drpc_picture_emit(const struct drpc_picture *picture, const struct drpc_term *term,
		       drpc_emit_fn emit, void *arg);
