// SPDX-License-Identifier: Apache-2.0
#include "link/backlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t cost(size_t bytes)
{
	return sizeof(struct drpc_backlog_entry) + bytes;
}

void drpc_backlog_remove(struct drpc_backlog *backlog, struct drpc_backlog_entry *entry)
{
	if (entry->prev)
		entry->prev->next = entry->next;
	else
		backlog->oldest = entry->next;
	if (entry->next)
		entry->next->prev = entry->prev;
	else
		backlog->newest = entry->prev;
	backlog->bytes -= cost(entry->bytes);
	backlog->records -= entry->records;
	backlog->in_flight -= entry->sent;
	free(entry);
}

void drpc_backlog_clear(struct drpc_backlog *backlog)
{
	while (backlog->oldest)
		drpc_backlog_remove(backlog, backlog->oldest);
}

int drpc_backlog_add(struct drpc_backlog *backlog, uint64_t first_sequence, uint32_t records,
		     const void *data, size_t bytes)
{
	struct drpc_backlog_entry *entry = NULL;

	if (cost(bytes) <= backlog->bytes_max)
		entry = malloc(cost(bytes));
	if (!entry) {
		backlog->dropped += records;
		return cost(bytes) > backlog->bytes_max ? -EFBIG : -ENOMEM;
	}
	while (backlog->bytes + cost(bytes) > backlog->bytes_max) {
		backlog->dropped += backlog->oldest->records;
		drpc_backlog_remove(backlog, backlog->oldest);
	}
	*entry = (struct drpc_backlog_entry){.first_sequence = first_sequence,
					     .records = records,
					     .bytes = bytes,
					     .prev = backlog->newest};
	memcpy(entry->data, data, bytes);
	if (backlog->newest)
		backlog->newest->next = entry;
	else
		backlog->oldest = entry;
	backlog->newest = entry;
	backlog->bytes += cost(bytes);
	backlog->records += records;
	return 0;
}

struct drpc_backlog_entry *drpc_backlog_next(const struct drpc_backlog *backlog, uint64_t now_ns)
{
	struct drpc_backlog_entry *entry = backlog->oldest;

	while (entry && (entry->sent || entry->deadline_ns > now_ns))
		entry = entry->next;
	return entry;
}

void drpc_backlog_sent(struct drpc_backlog *backlog, struct drpc_backlog_entry *entry,
		       uint64_t deadline_ns)
{
	backlog->in_flight += !entry->sent;
	entry->sent = true;
	entry->attempts++;
	entry->deadline_ns = deadline_ns;
}

void drpc_backlog_again(struct drpc_backlog *backlog, struct drpc_backlog_entry *entry,
			uint64_t not_before_ns)
{
	backlog->in_flight -= entry->sent;
	entry->sent = false;
	entry->deadline_ns = not_before_ns;
}

uint32_t drpc_backlog_overdue(struct drpc_backlog *backlog, uint64_t now_ns)
{
	uint32_t count = 0;

	if (backlog->in_flight == 0)
		return 0;
	for (struct drpc_backlog_entry *e = backlog->oldest; e; e = e->next) {
		if (!e->sent || e->deadline_ns > now_ns)
			continue;
		drpc_backlog_again(backlog, e, now_ns);
		count++;
	}
	return count;
}

void drpc_backlog_again_all(struct drpc_backlog *backlog)
{
	for (struct drpc_backlog_entry *e = backlog->oldest; e; e = e->next)
		drpc_backlog_again(backlog, e, 0);
}

struct drpc_backlog_entry *drpc_backlog_find(const struct drpc_backlog *backlog,
					     uint64_t first_sequence)
{
	struct drpc_backlog_entry *entry = backlog->oldest;

	while (entry && entry->first_sequence != first_sequence)
		entry = entry->next;
	return entry;
}
