// SPDX-License-Identifier: Apache-2.0
#include "workload/import.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

#define MAX_FIELDS (DRPC_SERIES_MAX_COLUMNS + 2)
#define NO_COLUMN  (-1)
/* 3,000 years: beyond are milliseconds or worse. */
#define MAX_TIME_S 1e11
#define MAX_VALUE  1e15

static const char *const format_names[] = {"auto", "machine", "container", "table", "rate"};
static const char *const time_names[] = {"t_s", "time", "time_s", "timestamp", "time_stamp"};
static const char *const machine_names[] = {"machine", "machine_id", "container", "container_id"};

/* Columns of the Alibaba files, the first ones apart. */
static const char *const usage_names[] = {
	"cpu_util_percent", "mem_util_percent", "cpi", "mem_gps", "mpki", "net_in",
	"net_out",	    "disk_io_percent"};
static const char *const machine_usage_names[] = {
	"cpu_util_percent", "mem_util_percent", "mem_gps",	  "mkpi",
	"net_in",	    "net_out",		"disk_io_percent"};
static const char *const rate_names[] = {"requests_per_s"};

struct reader {
	const char *path;
	enum drpc_trace_format format;
	double step_s;
	const struct drpc_trace_sink *sink;
	struct drpc_trace_report report;
	/* Where what stands; -1: not at all. */
	int machine, time;
	bool counted; /* the time column counts steps */
	size_t fields;
	size_t columns;
	int column_of[MAX_FIELDS]; /* a field's column of values */
	const char *names[DRPC_SERIES_MAX_COLUMNS];
	char header[DRPC_TRACE_LINE_BYTES]; /* what names[] points into, of a table */
};

int drpc_trace_format_parse(const char *name, enum drpc_trace_format *ret)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(format_names); i++) {
		if (!strcmp(name, format_names[i])) {
			*ret = (enum drpc_trace_format)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *drpc_trace_format_name(enum drpc_trace_format format)
{
	return format_names[format];
}

/* --- errors and fields ---------------------------------------------------------------------- */

static int complain(const struct reader *reader, const char *what, const char *text,
		    const char *rule)
{
	char shown[48];

	drpc_sanitize(shown, sizeof(shown), text);
	drpc_error("%s:%lu: %s '%s': expected %s", reader->path,
		   (unsigned long)reader->report.lines, what, shown, rule);
	return -EINVAL;
}

/* Cuts a line at its commas. Returns how many fields, or more than MAX_FIELDS where there are more. */
static size_t split(char *line, char **fields)
{
	size_t n = 0;

	for (char *at = line; at; n++) {
		char *comma = strchr(at, ',');

		if (n < MAX_FIELDS)
			fields[n] = at;
		if (comma)
			*comma++ = '\0';
		at = comma;
	}
	for (size_t i = 0; i < DRPC_MIN(n, MAX_FIELDS); i++) {
		size_t len;

		fields[i] += strspn(fields[i], " \t");
		len = strlen(fields[i]);
		while (len && (fields[i][len - 1] == ' ' || fields[i][len - 1] == '\t'))
			fields[i][--len] = '\0';
	}
	return n;
}

/* A decimal number, nothing before it and nothing after; no hex, inf or nan. */
static bool parse_number(const char *text, double *ret)
{
	char *end;

	if (!*text || text[strspn(text, "+-.0123456789eE")])
		return false;
	*ret = strtod(text, &end);
	return !*end && isfinite(*ret);
}

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcasecmp(name, names[i]))
			return true;
	}
	return false;
}

/* --- layouts -------------------------------------------------------------------------------- */

static void lay_out(struct reader *reader, int machine, int time, const char *const *names,
		    size_t columns)
{
	const size_t first = (size_t)(DRPC_MAX(machine, time) + 1);

	reader->machine = machine;
	reader->time = time;
	reader->columns = columns;
	reader->fields = first + columns;
	for (size_t i = 0; i < MAX_FIELDS; i++)
		reader->column_of[i] = NO_COLUMN;
	for (size_t i = 0; i < columns; i++) {
		reader->column_of[first + i] = (int)i;
		reader->names[i] = names[i];
	}
}

static int lay_out_table(struct reader *reader, const char *line)
{
	char *fields[MAX_FIELDS];
	size_t n;

	drpc_strcpy(reader->header, sizeof(reader->header), line);
	n = split(reader->header, fields);
	if (n > MAX_FIELDS)
		return complain(reader, "header", line,
				"at most 16 columns beside time and machine");
	lay_out(reader, NO_COLUMN, NO_COLUMN, NULL, 0);
	reader->fields = n;
	for (size_t i = 0; i < n; i++) {
		if (is_one_of(fields[i], machine_names, DRPC_ARRAY_SIZE(machine_names)) &&
		    reader->machine == NO_COLUMN) {
			reader->machine = (int)i;
		} else if (is_one_of(fields[i], time_names, DRPC_ARRAY_SIZE(time_names)) &&
			   reader->time == NO_COLUMN) {
			reader->time = (int)i;
		} else if (!*fields[i] && i == 0) {
			reader->time = 0;
			reader->counted = true;
		} else if (!*fields[i] || strlen(fields[i]) >= DRPC_SERIES_NAME_BYTES ||
			   is_one_of(fields[i], reader->names, reader->columns)) {
			return complain(reader, "column", fields[i],
					"a name of 1 to 63 characters for each column, none twice");
		} else if (reader->columns == DRPC_SERIES_MAX_COLUMNS) {
			return complain(reader, "column", fields[i],
					"at most 16 columns beside time and machine");
		} else {
			reader->column_of[i] = (int)reader->columns;
			reader->names[reader->columns++] = fields[i];
		}
	}
	if (reader->time == NO_COLUMN || !reader->columns)
		return complain(
			reader, "header", line,
			"a time column (t_s, time, time_s, timestamp, time_stamp) and at least one of values");
	if (reader->counted && !(reader->step_s > 0))
		return complain(
			reader, "header", line,
			"a step in seconds, as its first column has no name and counts rows");
	return 0;
}

/* The format by the first line that says anything. */
static int recognise(struct reader *reader, const char *line)
{
	char copy[DRPC_TRACE_LINE_BYTES], *fields[MAX_FIELDS];
	double number;
	size_t n;

	drpc_strcpy(copy, sizeof(copy), line);
	n = split(copy, fields);
	if (n == 1 && parse_number(fields[0], &number))
		reader->format = DRPC_TRACE_RATE;
	else if (n >= 2 && n <= MAX_FIELDS && isalpha((unsigned char)fields[n - 1][0]))
		reader->format = DRPC_TRACE_TABLE;
	else if (n == 9)
		reader->format = DRPC_TRACE_MACHINE;
	else if (n == 11)
		reader->format = DRPC_TRACE_CONTAINER;
	else
		return complain(
			reader, "line", line,
			"a header, 9 columns (machine_usage), 11 columns (container_usage) or one rate");
	return 0;
}

static int begin(struct reader *reader, const char *line, bool *ret_header)
{
	int err = 0;

	if (reader->format == DRPC_TRACE_AUTO)
		err = recognise(reader, line);
	if (err)
		return err;
	*ret_header = reader->format == DRPC_TRACE_TABLE;
	switch (reader->format) {
	case DRPC_TRACE_MACHINE:
		lay_out(reader, 0, 1, machine_usage_names, DRPC_ARRAY_SIZE(machine_usage_names));
		return 0;
	case DRPC_TRACE_CONTAINER:
		/* container, machine, time: the machine's name is not used. */
		lay_out(reader, 0, 2, usage_names, DRPC_ARRAY_SIZE(usage_names));
		return 0;
	case DRPC_TRACE_RATE:
		lay_out(reader, NO_COLUMN, NO_COLUMN, rate_names, 1);
		return 0;
	default:
		return lay_out_table(reader, line);
	}
}

/* --- rows ----------------------------------------------------------------------------------- */

static int take_time(const struct reader *reader, const char *text, int64_t *ret_ms)
{
	double value;

	if (!parse_number(text, &value) || value < 0 || value > MAX_TIME_S)
		return complain(reader, reader->counted ? "row number" : "time", text,
				"a number of seconds from 0 to 1e11");
	*ret_ms = (int64_t)llround(value * (reader->counted ? reader->step_s : 1) * 1000);
	return 0;
}

static int take_name(const struct reader *reader, const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			len = 0;
	}
	if (len < 1 || len >= DRPC_SERIES_NAME_BYTES)
		return complain(reader, "name", text, "1 to 63 characters without blanks");
	return 0;
}

static bool is_abnormal_mark(const struct reader *reader, const char *column, double value)
{
	const bool alibaba =
		reader->format == DRPC_TRACE_MACHINE || reader->format == DRPC_TRACE_CONTAINER;

	return alibaba && !strcmp(column, "disk_io_percent") && (value == -1 || value == 101);
}

static int take_value(struct reader *reader, const char *column, const char *text, float *ret)
{
	double value = NAN;

	*ret = NAN;
	if (*text && !parse_number(text, &value))
		return complain(reader, column, text,
				"a number, or nothing where none was measured");
	if (!*text || is_abnormal_mark(reader, column, value)) {
		reader->report.missing_values++;
		return 0;
	}
	if (value < 0)
		return complain(reader, column, text, "no negative value");
	if (value > MAX_VALUE)
		return complain(reader, column, text, "at most 1e15");
	*ret = (float)value;
	return 0;
}

static int take_row(struct reader *reader, char *line)
{
	struct drpc_trace_row row = {.name = "", .columns = reader->columns};
	float values[DRPC_SERIES_MAX_COLUMNS];
	char *fields[MAX_FIELDS], rule[64];
	const size_t n = split(line, fields);
	int err = 0;

	if (n != reader->fields) {
		char found[32];

		snprintf(found, sizeof(found), "%zu", n);
		snprintf(rule, sizeof(rule), "%zu of them (%s)", reader->fields,
			 drpc_trace_format_name(reader->format));
		return complain(reader, "number of columns", found, rule);
	}
	row.names = reader->names;
	row.values = values;
	row.line = reader->report.lines;
	if (reader->machine != NO_COLUMN) {
		row.name = fields[reader->machine];
		err = take_name(reader, row.name);
	}
	if (!err && reader->time != NO_COLUMN)
		err = take_time(reader, fields[reader->time], &row.time_ms);
	else
		row.time_ms = (int64_t)reader->report.rows * 1000;
	for (size_t i = 0; !err && i < n; i++) {
		const int column = reader->column_of[i];

		if (column != NO_COLUMN)
			err = take_value(reader, reader->names[column], fields[i], &values[column]);
	}
	if (!err)
		err = reader->sink->on_row(reader->sink->arg, &row);
	reader->report.rows += !err;
	return err;
}

static int take_line(struct reader *reader, char *line)
{
	bool header = false;

	if (!reader->fields) {
		/* A byte order mark is no part of the first name. */
		if (!strncmp(line, "\xef\xbb\xbf", 3))
			line += 3;
		if (line[strspn(line, " \t")] == '\0' || line[0] == '#')
			return 0;
		const int err = begin(reader, line, &header);

		if (err || header)
			return err;
	}
	if (reader->format == DRPC_TRACE_RATE)
		line[strcspn(line, "#")] = '\0';
	if (line[strspn(line, " \t")] == '\0')
		return 0;
	return take_row(reader, line);
}

static int read_lines(struct reader *reader, FILE *file)
{
	char line[DRPC_TRACE_LINE_BYTES] = {0};
	int err = 0;

	/* fgets() does not tell NUL bytes, getline() knows no bound. */
	while (!err) {
		size_t len = 0;
		int c;

		while ((c = getc_unlocked(file)) != EOF && c != '\n' && len < sizeof(line) - 1)
			line[len++] = (char)c;
		if (c == EOF && !len)
			break;
		reader->report.lines++;
		reader->report.bytes += len + (c == '\n');
		if (c != EOF && c != '\n')
			return complain(reader, "line", "…", "lines of at most 4095 bytes");
		if (memchr(line, '\0', len))
			return complain(reader, "line", "…", "text, not a NUL byte");
		if (len && line[len - 1] == '\r')
			len--;
		line[len] = '\0';
		err = take_line(reader, line);
	}
	if (!err && ferror(file))
		err = drpc_err(-EIO, "%s:%lu: cannot read", reader->path,
			       (unsigned long)reader->report.lines + 1);
	return err;
}

static int read_stream(FILE *file, const char *path, enum drpc_trace_format format, double step_s,
		       const struct drpc_trace_sink *sink, struct drpc_trace_report *ret)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	int err;

	if (!reader)
		return drpc_err(-ENOMEM, "%s", path);
	reader->path = path;
	reader->format = format;
	reader->step_s = step_s;
	reader->sink = sink;
	err = read_lines(reader, file);
	if (!err && !reader->report.rows)
		err = drpc_err(-ENODATA, "%s: no rows in it", path);
	reader->report.format = reader->format;
	if (!err)
		*ret = reader->report;
	free(reader);
	return err;
}

int drpc_trace_read(const char *path, enum drpc_trace_format format, double step_s,
		    const struct drpc_trace_sink *sink, struct drpc_trace_report *ret)
{
	_cleanup_fclose_ FILE *file = NULL;

	if (!strcmp(path, "-"))
		return read_stream(stdin, "standard input", format, step_s, sink, ret);
	file = fopen(path, "re");
	if (!file)
		return drpc_err(-errno, "%s: cannot open the trace", path);
	return read_stream(file, path, format, step_s, sink, ret);
}

int drpc_trace_parse(const char *text, size_t bytes, const char *where,
		     enum drpc_trace_format format, double step_s,
		     const struct drpc_trace_sink *sink, struct drpc_trace_report *ret)
{
	/* fmemopen() takes no empty buffer, and does not write to this one. */
	_cleanup_fclose_ FILE *file = fmemopen(bytes ? (void *)(uintptr_t)text : NULL,
					       bytes ? bytes : 1, bytes ? "r" : "w+");

	if (!file)
		return drpc_err(-errno, "%s", where);
	return read_stream(file, where, format, step_s, sink, ret);
}

/* --- one series ----------------------------------------------------------------------------- */

struct loader {
	struct drpc_series *series;
	const char *path, *name;
	bool started;
};

static int load_row(void *arg, const struct drpc_trace_row *row)
{
	struct loader *loader = arg;
	int err;

	if (loader->name && strcmp(loader->name, row->name) != 0)
		return 0;
	if (!loader->started)
		drpc_series_init(loader->series, row->name, row->names, row->columns);
	loader->started = true;
	if (strcmp(loader->series->name, row->name) != 0) {
		drpc_error("%s:%lu: a second machine '%s' beside '%s': expected the name of one",
			   loader->path, (unsigned long)row->line, row->name, loader->series->name);
		return -EINVAL;
	}
	err = drpc_series_add(loader->series, row->time_ms, row->values);
	if (err == -ENOMEM)
		return drpc_err(err, "%s:%lu", loader->path, (unsigned long)row->line);
	return 0;
}

int drpc_trace_load(const char *path, enum drpc_trace_format format, double step_s,
		    const char *name, struct drpc_series *ret, struct drpc_trace_report *ret_report)
{
	struct drpc_series series = {0};
	struct loader loader = {.series = &series, .path = path, .name = name};
	const struct drpc_trace_sink sink = {.on_row = load_row, .arg = &loader};
	struct drpc_trace_report report;
	int err = drpc_trace_read(path, format, step_s, &sink, &report);

	if (!err && !series.count)
		err = drpc_err(-ENOENT, "%s: no row of '%s'", path, name);
	if (err) {
		drpc_series_done(&series);
		return err;
	}
	*ret = series;
	if (ret_report)
		*ret_report = report;
	return 0;
}
