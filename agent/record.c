// SPDX-License-Identifier: Apache-2.0
#include "agent/record.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/log.h"
#include "lib/util.h"

/* A day of a hundred deployments; nobody should fill a disk by forgetting an option. */
#define BYTES_MAX (4L << 30)

struct drpc_record {
	FILE *file;
	bool failed;
};

int drpc_record_open(const char *path, struct drpc_record **ret)
{
	struct drpc_record *record = calloc(1, sizeof(*record));

	if (!record)
		return -ENOMEM;
	record->file = fopen(path, "ae");
	if (!record->file) {
		int r = -errno;

		free(record);
		return drpc_err(r, "record: cannot write states to '%s'", path);
	}
	if (ftell(record->file) == 0) {
		fputs("time,deployment", record->file);
		for (int i = 0; i < DRPC_F_COUNT; i++)
			fprintf(record->file, ",%s", drpc_feature_names[i]);
		fputc('\n', record->file);
	}
	*ret = record;
	return 0;
}

void drpc_record_close(struct drpc_record **record)
{
	if (!*record)
		return;
	if (fclose((*record)->file) != 0 && !(*record)->failed)
		drpc_warn("record: the last states could not be written, ignoring");
	free(*record);
	*record = NULL;
}

/* A name must not break the line: commas and quotes are somebody else's choice. */
static void write_name(FILE *file, const char *name)
{
	fputc('"', file);
	for (; *name; name++) {
		if (*name == '"')
			fputc('"', file);
		fputc(*name, file);
	}
	fputc('"', file);
}

void drpc_record_state(struct drpc_record *record, const char *deployment, uint64_t realtime_ns,
		       const struct drpc_observation *observation)
{
	if (!record || record->failed)
		return;
	fprintf(record->file, "%.3f,", (double)realtime_ns / 1e9);
	write_name(record->file, deployment);
	for (int i = 0; i < DRPC_F_COUNT; i++)
		fprintf(record->file, ",%.6g", (double)observation->features[i]);
	fputc('\n', record->file);
	if (ferror(record->file) || ftell(record->file) > BYTES_MAX) {
		record->failed = true;
		drpc_warn(
			"record: the states file is full or cannot be written; recording ends, everything else goes on");
	}
}
