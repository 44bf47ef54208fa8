// SPDX-License-Identifier: Apache-2.0
#include "teacher/states.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

#define COLUMNS_MAX 64

struct reader {
	const char *path;
	size_t line;
	int columns[COLUMNS_MAX]; /* feature in this column; -1: another */
	size_t column_count;
};

int drpc_states_add(struct drpc_states *states, const float features[DRPC_F_COUNT])
{
	if (states->count == states->capacity) {
		size_t capacity = DRPC_MAX(2 * states->capacity, (size_t)1024);
		float *bigger = reallocarray(states->features, capacity * DRPC_F_COUNT,
					     sizeof(*states->features));

		if (!bigger)
			return -ENOMEM;
		states->features = bigger;
		states->capacity = capacity;
	}
	memcpy(states->features + states->count * DRPC_F_COUNT, features,
	       DRPC_F_COUNT * sizeof(*features));
	states->count++;
	return 0;
}

void drpc_states_free(struct drpc_states *states)
{
	free(states->features);
	*states = (struct drpc_states){0};
}

/* Takes the next field out of *at: up to a comma, or a quoted one with doubled quotes. */
static char *next_field(char **at)
{
	char *begin = *at, *from = *at, *to = *at;

	if (!begin)
		return NULL;
	if (*from == '"') {
		for (from++; *from && !(from[0] == '"' && from[1] != '"'); from++) {
			from += *from == '"';
			*to++ = *from;
		}
		from += *from == '"';
	} else {
		while (*from && *from != ',')
			*to++ = *from++;
	}
	*at = *from == ',' ? from + 1 : NULL;
	*to = '\0';
	return begin;
}

static int feature_of(const char *name)
{
	for (int f = 0; f < DRPC_F_COUNT; f++) {
		if (strcmp(name, drpc_feature_names[f]) == 0)
			return f;
	}
	return -1;
}

static int read_header(struct reader *r, char *line)
{
	bool seen[DRPC_F_COUNT] = {false};
	char *field;

	while ((field = next_field(&line))) {
		int f = feature_of(field);

		if (r->column_count == COLUMNS_MAX)
			return drpc_err(-EINVAL, "%s:1: more than %d columns", r->path,
					COLUMNS_MAX);
		if (f >= 0)
			seen[f] = true;
		r->columns[r->column_count++] = f;
	}
	for (int f = 0; f < DRPC_F_COUNT; f++) {
		if (!seen[f])
			return drpc_err(
				-EINVAL,
				"%s:1: there is no column '%s'; expected what drpc-agent --record-states writes",
				r->path, drpc_feature_names[f]);
	}
	return 0;
}

static int read_state(const struct reader *r, char *line, float ret[DRPC_F_COUNT])
{
	for (size_t c = 0; c < r->column_count; c++) {
		char *field = next_field(&line), *end;
		float value;

		if (!field)
			return drpc_err(-EINVAL, "%s:%zu: %zu columns, expected %zu", r->path,
					r->line, c, r->column_count);
		if (r->columns[c] < 0)
			continue;
		value = strtof(field, &end);
		if (end == field || *end || !isfinite(value))
			return drpc_err(-EINVAL, "%s:%zu: %s is '%.40s', expected a finite number",
					r->path, r->line, drpc_feature_names[r->columns[c]], field);
		ret[r->columns[c]] = value;
	}
	return line ? drpc_err(-EINVAL, "%s:%zu: more than %zu columns", r->path, r->line,
			       r->column_count)
		    : 0;
}

int drpc_states_load(const char *path, struct drpc_states *states)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	struct reader reader = {.path = path};
	const size_t count = states->count;
	size_t size = 0;
	int r = 0;

	if (!file)
		return drpc_err(-errno, "states: cannot read '%s'", path);
	while (r == 0 && getline(&line, &size, file) >= 0) {
		float features[DRPC_F_COUNT];

		line[strcspn(line, "\r\n")] = '\0';
		if (reader.line++ == 0) {
			r = read_header(&reader, line);
			continue;
		}
		r = read_state(&reader, line, features);
		if (r == 0)
			r = drpc_states_add(states, features);
	}
	if (r == 0 && reader.line == 0)
		r = drpc_err(-EINVAL, "%s: is empty", path);
	if (r < 0)
		states->count = count;
	return r;
}
