// SPDX-License-Identifier: Apache-2.0
/* The journal's records of replicas. */
#include <errno.h>
#include <string.h>

#include "agent/execute/journal_internal.h"
#include "lib/log.h"
#include "lib/util.h"

static size_t index_of(const struct drpc_journal *j, const char *deployment)
{
	for (size_t i = 0; i < j->scale_count; i++) {
		if (strcmp(j->scales[i].deployment, deployment) == 0)
			return i;
	}
	return SIZE_MAX;
}

/* Room for one more, so that what is on disk can always be noted in memory. */
static int reserve(struct drpc_journal *j)
{
	void *p = reallocarray(j->scales, j->scale_count + 1, sizeof(*j->scales));

	if (!p)
		return -ENOMEM;
	j->scales = p;
	return 0;
}

static void put(struct drpc_journal *j, const struct drpc_journal_scale *scale)
{
	size_t i = index_of(j, scale->deployment);

	if (i == SIZE_MAX)
		i = j->scale_count++;
	else
		j->dead++;
	j->scales[i] = *scale;
}

static void drop(struct drpc_journal *j, size_t i)
{
	j->scales[i] = j->scales[--j->scale_count];
	j->dead += 2;
}

int drpc_journal_scale_take(struct drpc_journal *j, const struct drpc_journal_line *line)
{
	size_t i;

	if (line->open) {
		if (reserve(j) < 0)
			return -ENOMEM;
		put(j, &line->replicas);
		return 0;
	}
	i = index_of(j, line->replicas.deployment);
	if (i == SIZE_MAX)
		j->dead++;
	else
		drop(j, i);
	return 0;
}

size_t drpc_journal_scale_count(const struct drpc_journal *journal)
{
	return journal->scale_count;
}

const struct drpc_journal_scale *drpc_journal_scale_at(const struct drpc_journal *journal, size_t i)
{
	return i < journal->scale_count ? &journal->scales[i] : NULL;
}

const struct drpc_journal_scale *drpc_journal_scale_find(const struct drpc_journal *journal,
							 const char *deployment)
{
	size_t i = index_of(journal, deployment);

	return i == SIZE_MAX ? NULL : &journal->scales[i];
}

int drpc_journal_scale_put(struct drpc_journal *j, const struct drpc_journal_scale *scale)
{
	char line[DRPC_JOURNAL_LINE_MAX];
	/* It may be one of those that move. */
	const struct drpc_journal_scale copy = *scale;
	int r = reserve(j);

	if (r < 0)
		return r;
	r = drpc_journal_format_scale(&copy, line);
	if (r < 0)
		return drpc_err(r, "journal: cannot record the replicas of %s", copy.deployment);
	r = drpc_journal_append(j, line, (size_t)r);
	if (r < 0)
		return r;
	put(j, &copy);
	return drpc_journal_tidy(j);
}

int drpc_journal_scale_close(struct drpc_journal *j, const char *deployment, const char *reason)
{
	char line[DRPC_JOURNAL_LINE_MAX];
	size_t i = index_of(j, deployment);
	int r;

	if (i == SIZE_MAX)
		return -ENOENT;
	if (j->scale_count == 1 && j->count == 0 && !j->damaged) {
		r = drpc_journal_empty_file(j);
		if (r == 0)
			j->scale_count = 0;
		return r;
	}
	r = drpc_journal_format_unscale(deployment, reason, line);
	if (r < 0)
		return drpc_err(r, "journal: cannot close the record of %s", deployment);
	r = drpc_journal_append(j, line, (size_t)r);
	if (r < 0)
		return r;
	drop(j, i);
	return drpc_journal_tidy(j);
}
