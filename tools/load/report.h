/* SPDX-License-Identifier: Apache-2.0 */
/* A result as text and as JSON. */
#pragma once

#include <stdio.h>

#include "tools/load/run.h"

/* Latency and counts for a person to read. */
void drpc_load_report_text(FILE *out, const struct drpc_load_config *config,
			   const struct drpc_load_result *result);

/* One line a second. */
void drpc_load_report_row_header(FILE *out);
void drpc_load_report_row(FILE *out, const struct drpc_load_row *row);

/* One object (docs/load.md), with a line end. Returns 0 or -ENOMEM, -EIO. */
int drpc_load_report_json(FILE *out, const struct drpc_load_config *config,
			  const struct drpc_load_result *result);
