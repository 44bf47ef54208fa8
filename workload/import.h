/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers of traces, line by line in bounded memory, whatever the file's size:
 *
 *   machine    Alibaba cluster-trace-v2018 machine_usage: no header, 9 columns
 *   container  Alibaba cluster-trace-v2018 container_usage: no header, 11 columns
 *   table      a header that names the columns: a time (t_s, time, time_s, timestamp or time_stamp, in
 *              seconds; or a first column without a name, counted in steps), optionally machine,
 *              machine_id, container or container_id, then what was measured
 *   rate       one rate in requests/s a line, a line a second; '#' begins a comment
 *
 * A line that breaks a rule ends the reading with "FILE:LINE: …: expected …". Empty fields are values
 * that were not measured; so are the -1 and 101 by which Alibaba marks abnormal disk_io_percent.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "workload/series.h"

#define DRPC_TRACE_LINE_BYTES 4096

enum drpc_trace_format {
	DRPC_TRACE_AUTO, /* by the first line */
	DRPC_TRACE_MACHINE,
	DRPC_TRACE_CONTAINER,
	DRPC_TRACE_TABLE,
	DRPC_TRACE_RATE,
};

#define DRPC_TRACE_FORMATS "auto, machine, container, table or rate"

/* By name; -EINVAL where there is none of it. */
int drpc_trace_format_parse(const char *name, enum drpc_trace_format *ret);
const char *drpc_trace_format_name(enum drpc_trace_format format);

struct drpc_trace_row {
	const char *name; /* of the machine or container; "" in a trace of one */
	int64_t time_ms;
	size_t columns;
	const char *const *names; /* the same in all rows of a file */
	const float *values;	  /* NAN: not measured */
	uint64_t line;
};

/* What takes the rows; a negative result ends the reading and is its result. */
struct drpc_trace_sink {
	int (*on_row)(void *arg, const struct drpc_trace_row *row);
	void *arg;
};

struct drpc_trace_report {
	enum drpc_trace_format format; /* which it was */
	uint64_t lines;
	uint64_t bytes;
	uint64_t rows;
	uint64_t missing_values;
};

/*
 * Reads a file, "-" for standard input. step_s: seconds a step of a table without a time column; 0
 * where there is none. Returns 0, -EINVAL for a line that breaks a rule, -ENODATA for a file without
 * rows, another negative errno; logged, but for the sink's own.
 */
int drpc_trace_read(const char *path, enum drpc_trace_format format, double step_s,
		    const struct drpc_trace_sink *sink, struct drpc_trace_report *ret);

/* The same from memory, for text that stands there already; `where` names it in messages. */
int drpc_trace_parse(const char *text, size_t bytes, const char *where,
		     enum drpc_trace_format format, double step_s,
		     const struct drpc_trace_sink *sink, struct drpc_trace_report *ret);

/*
 * One machine's rows as a series; `name` NULL where the trace holds one only. A time that comes twice
 * counts once (the first). -EINVAL (logged) where the trace holds several and none is named, -ENOENT
 * (logged) where the named one is not there.
 */
int drpc_trace_load(const char *path, enum drpc_trace_format format, double step_s,
		    const char *name, struct drpc_series *ret,
		    struct drpc_trace_report *ret_report);
