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

/* Deployments of one file. */
#define GROUPS_MAX 4096

enum {
	COLUMN_OTHER = -1,
	COLUMN_DEPLOYMENT = -2,
};

struct reader {
	const char *path;
	size_t line;
	int columns[COLUMNS_MAX]; /* feature in this column, or one of the above */
	size_t column_count;
	uint32_t first_group, group_count;
	uint64_t groups[GROUPS_MAX]; /* hashes of their names */
};

static int states_grow(struct drpc_states *states)
{
	const size_t capacity = DRPC_MAX(2 * states->capacity, (size_t)1024);
	void *bigger;

	bigger = reallocarray(states->features, capacity * DRPC_F_COUNT, sizeof(*states->features));
	if (!bigger)
		return -ENOMEM;
	states->features = bigger;
	bigger = reallocarray(states->groups, capacity, sizeof(*states->groups));
	if (!bigger)
		return -ENOMEM;
	states->groups = bigger;
	states->capacity = capacity;
	return 0;
}

int drpc_states_add(struct drpc_states *states, uint32_t group, const float features[DRPC_F_COUNT])
{
	if (states->count == states->capacity && states_grow(states) < 0)
		return -ENOMEM;
	memcpy(states->features + states->count * DRPC_F_COUNT, features,
	       DRPC_F_COUNT * sizeof(*features));
	states->groups[states->count++] = group;
	states->group_count = DRPC_MAX(states->group_count, group + 1);
	return 0;
}

void drpc_states_free(struct drpc_states *states)
{
	free(states->features);
	free(states->groups);
	*states = (struct drpc_states){0};
}

int drpc_states_split(struct drpc_states *states, unsigned int every, struct drpc_states *held_out)
{
	struct drpc_states parts[2] = {0}; /* kept, held out */
	int r = 0;

	if (states->group_count < 2)
		return drpc_err(
			-ENODATA,
			"states: all are of one deployment in one file; to hold some out, record another");
	for (size_t i = 0; i < states->count && r == 0; i++) {
		const uint32_t group = states->groups[i];
		const bool out = states->group_count < every ? group == states->group_count - 1
							     : group % every == every - 1;

		r = drpc_states_add(&parts[out], group, states->features + i * DRPC_F_COUNT);
	}
	for (size_t i = 0; i < held_out->count && r == 0; i++)
		r = drpc_states_add(&parts[1], states->group_count + held_out->groups[i],
				    held_out->features + i * DRPC_F_COUNT);
	if (r < 0) {
		drpc_states_free(&parts[0]);
		drpc_states_free(&parts[1]);
		return r;
	}
	drpc_states_free(states);
	drpc_states_free(held_out);
	*states = parts[0];
	*held_out = parts[1];
	return 0;
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

static int column_of(const char *name)
{
	if (strcmp(name, "deployment") == 0)
		return COLUMN_DEPLOYMENT;
	for (int f = 0; f < DRPC_F_COUNT; f++) {
		if (strcmp(name, drpc_feature_names[f]) == 0)
			return f;
	}
	return COLUMN_OTHER;
}

/* The group of this name in this file; a new one where it has not been seen. */
static int group_of(struct reader *r, const char *name, uint32_t *ret)
{
	const uint64_t hash = drpc_hash_str(name);
	uint32_t i = 0;

	while (i < r->group_count && r->groups[i] != hash)
		i++;
	if (i == GROUPS_MAX)
		return drpc_err(-EINVAL, "%s:%zu: more than %d deployments", r->path, r->line,
				GROUPS_MAX);
	if (i == r->group_count)
		r->groups[r->group_count++] = hash;
	*ret = r->first_group + i;
	return 0;
}

static int read_header(struct reader *r, char *line)
{
	bool seen[DRPC_F_COUNT] = {false};
	char *field;

	while ((field = next_field(&line))) {
		int f = column_of(field);

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

static int read_state(struct reader *r, char *line, uint32_t *ret_group, float ret[DRPC_F_COUNT])
{
	const char *deployment = "";

	for (size_t c = 0; c < r->column_count; c++) {
		char *field = next_field(&line), *end;
		float value;

		if (!field)
			return drpc_err(-EINVAL, "%s:%zu: %zu columns, expected %zu", r->path,
					r->line, c, r->column_count);
		if (r->columns[c] == COLUMN_DEPLOYMENT)
			deployment = field;
		if (r->columns[c] < 0)
			continue;
		value = strtof(field, &end);
		if (end == field || *end || !isfinite(value))
			return drpc_err(-EINVAL, "%s:%zu: %s is '%.40s', expected a finite number",
					r->path, r->line, drpc_feature_names[r->columns[c]], field);
		ret[r->columns[c]] = value;
	}
	if (line)
		return drpc_err(-EINVAL, "%s:%zu: more than %zu columns", r->path, r->line,
				r->column_count);
	return group_of(r, deployment, ret_group);
}

static int read_all(struct reader *reader, FILE *file, struct drpc_states *states)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int r = 0;

	while (r == 0 && getline(&line, &size, file) >= 0) {
		float features[DRPC_F_COUNT];
		uint32_t group = 0;

		line[strcspn(line, "\r\n")] = '\0';
		if (reader->line++ == 0) {
			r = read_header(reader, line);
			continue;
		}
		r = read_state(reader, line, &group, features);
		if (r == 0)
			r = drpc_states_add(states, group, features);
	}
	if (r == 0 && reader->line == 0)
		r = drpc_err(-EINVAL, "%s: is empty", reader->path);
	return r;
}

int drpc_states_load(const char *path, struct drpc_states *states)
{
	_cleanup_free_ struct reader *reader = calloc(1, sizeof(*reader));
	_cleanup_fclose_ FILE *file = reader ? fopen(path, "re") : NULL;
	const size_t count = states->count;
	const uint32_t group_count = states->group_count;
	int r;

	if (!reader)
		return -ENOMEM;
	if (!file)
		return drpc_err(-errno, "states: cannot read '%s'", path);
	reader->path = path;
	reader->first_group = group_count;
	r = read_all(reader, file, states);
	if (r < 0) {
		states->count = count;
		states->group_count = group_count;
	}
	return r;
}
