// SPDX-License-Identifier: Apache-2.0
/*
 * Traces: the first byte chooses the format, the rest is the file. Whatever it holds, it is refused or
 * gives rows that keep the rules.
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/log.h"
#include "workload/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_row(void *arg, const struct drpc_trace_row *row)
{
	uint64_t *rows = arg;

	assert(row->columns >= 1 && row->columns <= DRPC_SERIES_MAX_COLUMNS);
	assert(row->time_ms >= 0 && strlen(row->name) < DRPC_SERIES_NAME_BYTES);
	for (size_t i = 0; i < row->columns; i++) {
		assert(*row->names[i] && strlen(row->names[i]) < DRPC_SERIES_NAME_BYTES);
		assert(isnan(row->values[i]) || row->values[i] >= 0);
	}
	++*rows;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t rows = 0;
	const struct drpc_trace_sink sink = {.on_row = on_row, .arg = &rows};
	struct drpc_trace_report report = {0};
	int err;

	if (!size)
		return 0;
	drpc_log_set_level((enum drpc_log_level) - 1);
	err = drpc_trace_parse((const char *)data + 1, size - 1, "fuzz",
			       (enum drpc_trace_format)(data[0] % 5), data[0] & 0x40 ? 300 : 0,
			       &sink, &report);
	assert(err == 0 || err == -EINVAL || err == -ENODATA);
	assert(err || report.rows == rows);
	return 0;
}
