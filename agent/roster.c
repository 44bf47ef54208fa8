// SPDX-License-Identifier: Apache-2.0
#include "agent/roster.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

struct drpc_roster {
	struct drpc_roster_ops ops;
	struct drpc_container *first, *last;
	struct drpc_deployment *first_deployment, *last_deployment;
	void *by_cgroup; /* tsearch(3) tree of containers by cgroup_id */
	struct drpc_container **by_slot;
	uint32_t by_slot_size;
	size_t count;
	uint32_t mark;
};

static int compare_cgroup(const void *a, const void *b)
{
	uint64_t x = ((const struct drpc_container *)a)->cgroup_id;
	uint64_t y = ((const struct drpc_container *)b)->cgroup_id;

	return x < y ? -1 : x > y;
}

int drpc_roster_new(const struct drpc_roster_ops *ops, struct drpc_roster **ret)
{
	struct drpc_roster *roster = calloc(1, sizeof(*roster));

	if (!roster)
		return -ENOMEM;
	roster->ops = *ops;
	*ret = roster;
	return 0;
}

static void deployment_free(struct drpc_roster *roster, struct drpc_deployment *d)
{
	if (d->prev)
		d->prev->next = d->next;
	else
		roster->first_deployment = d->next;
	if (d->next)
		d->next->prev = d->prev;
	else
		roster->last_deployment = d->prev;
	if (roster->ops.deployment_gone)
		roster->ops.deployment_gone(d, roster->ops.arg);
	free(d);
}

void drpc_roster_free(struct drpc_roster **roster)
{
	if (!*roster)
		return;
	while ((*roster)->first)
		drpc_roster_remove(*roster, (*roster)->first);
	while ((*roster)->first_deployment)
		deployment_free(*roster, (*roster)->first_deployment);
	free((*roster)->by_slot);
	free(*roster);
	*roster = NULL;
}

/* --- deployments ------------------------------------------------------------------------------ */

struct drpc_deployment *drpc_roster_deployment(const struct drpc_roster *roster, const char *name)
{
	struct drpc_deployment *d = roster->first_deployment;

	while (d && strcmp(d->name, name) != 0)
		d = d->next;
	return d;
}

static struct drpc_deployment *deployment_get(struct drpc_roster *roster, const char *name)
{
	char key[DRPC_NAME_MAX];
	struct drpc_deployment *d;

	drpc_sanitize(key, sizeof(key), name);
	d = drpc_roster_deployment(roster, key);
	if (d)
		return d;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	drpc_strcpy(d->name, sizeof(d->name), key);
	roster->ops.policy(d->name, &d->policy, roster->ops.arg);
	d->prev = roster->last_deployment;
	if (d->prev)
		d->prev->next = d;
	else
		roster->first_deployment = d;
	roster->last_deployment = d;
	return d;
}

static void deployment_join(struct drpc_deployment *d, struct drpc_container *container)
{
	struct drpc_container **at = &d->replicas;

	while (*at)
		at = &(*at)->next_replica;
	*at = container;
	container->next_replica = NULL;
	container->deployment = d;
	d->replica_count++;
}

/* The last replica takes the deployment along, unless it is held. */
static void deployment_leave(struct drpc_roster *roster, struct drpc_container *container)
{
	struct drpc_deployment *d = container->deployment;
	struct drpc_container **at = &d->replicas;

	while (*at != container)
		at = &(*at)->next_replica;
	*at = container->next_replica;
	container->deployment = NULL;
	if (--d->replica_count == 0 && !d->held)
		deployment_free(roster, d);
}

void drpc_roster_hold(struct drpc_roster *roster, struct drpc_deployment *d, bool held)
{
	d->held = held;
	if (!held && d->replica_count == 0)
		deployment_free(roster, d);
}

/* --- containers ------------------------------------------------------------------------------- */

/*
 * A name out of a cgroup's path. Where it is cut, or bytes of it are replaced, two paths may come
 * out alike, and containers of one name are replicas of one deployment, which get the same limits:
 * a digest of the path keeps them apart.
 */
static void name_from_path(char name[DRPC_NAME_MAX], const char *path)
{
	char digest[12];
	size_t at;

	drpc_sanitize(name, DRPC_NAME_MAX, path);
	if (strcmp(name, path) == 0)
		return;
	at = (size_t)snprintf(digest, sizeof(digest), "~%08x", (uint32_t)drpc_hash_str(path));
	at = DRPC_MIN(strlen(name), DRPC_NAME_MAX - 1 - at);
	/* Not into the middle of a character. */
	while (at > 0 && (name[at] & 0xc0) == 0x80)
		at--;
	drpc_strcpy(name + at, DRPC_NAME_MAX - at, digest);
}

static int slot_remember(struct drpc_roster *roster, struct drpc_container *container)
{
	if (container->slot == DRPC_SLOT_OTHER)
		return 0;
	if (container->slot >= roster->by_slot_size) {
		uint32_t size = DRPC_MAX(64U, roster->by_slot_size);
		struct drpc_container **bigger;

		while (size <= container->slot)
			size *= 2;
		bigger = reallocarray(roster->by_slot, size, sizeof(struct drpc_container *));
		if (!bigger)
			return -ENOMEM;
		memset(bigger + roster->by_slot_size, 0,
		       (size - roster->by_slot_size) * sizeof(struct drpc_container *));
		roster->by_slot = bigger;
		roster->by_slot_size = size;
	}
	roster->by_slot[container->slot] = container;
	return 0;
}

int drpc_roster_add(struct drpc_roster *roster, const struct drpc_cgroup_found *found,
		    struct drpc_container **ret)
{
	struct drpc_container *c = drpc_roster_by_cgroup(roster, found->cgroup_id);
	struct drpc_deployment *d;

	if (c) {
		c->mark = roster->mark;
		if (ret)
			*ret = c;
		return 0;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	drpc_sanitize(c->id, sizeof(c->id), found->id);
	if (!drpc_strcpy(c->cgroup, sizeof(c->cgroup), found->path)) {
		free(c);
		return drpc_err(-ENAMETOOLONG, "roster: cgroup path '%.64s…'", found->path);
	}
	/* A runtime's id says nothing to a reader, but it is shorter than the path. */
	if (found->runtime)
		snprintf(c->name, sizeof(c->name), "%.12s", found->id);
	else
		name_from_path(c->name, found->path + 1);
	c->cgroup_id = found->cgroup_id;
	c->mark = roster->mark;
	d = deployment_get(roster, c->name);
	if (!d || !tsearch(c, &roster->by_cgroup, compare_cgroup)) {
		free(c);
		return -ENOMEM;
	}
	deployment_join(d, c);
	c->prev = roster->last;
	if (c->prev)
		c->prev->next = c;
	else
		roster->first = c;
	roster->last = c;
	roster->count++;
	c->slot = roster->ops.track(c->cgroup_id, roster->ops.arg);
	if (slot_remember(roster, c) < 0) {
		drpc_roster_remove(roster, c);
		return -ENOMEM;
	}
	if (ret)
		*ret = c;
	return 1;
}

/* The part of a label's key behind our prefix, NULL where the label is not for us. */
static const char *own_key(const char *label)
{
	if (strncmp(label, "drpc.io/", 8) == 0)
		return label + 8;
	if (strncmp(label, "drpc.", 5) == 0)
		return label + 5;
	return NULL;
}

static const char *label_value(const struct drpc_container_info *info, const char *wanted)
{
	for (size_t i = 0; i < info->label_count; i++) {
		const char *key = own_key(info->labels[i].key);

		if (key && strcmp(key, wanted) == 0)
			return info->labels[i].value;
	}
	return NULL;
}

/*
 * Labels over the configured policy, all or nothing: a deployment with a label that is refused is
 * measured but not acted on, because nobody can know what its owner meant to allow.
 */
static void apply_labels(struct drpc_roster *roster, struct drpc_deployment *d,
			 const struct drpc_container_info *info)
{
	struct drpc_policy configured, policy;
	char why[sizeof(d->config_error)] = "";
	int r = 0;

	roster->ops.policy(d->name, &configured, roster->ops.arg);
	policy = configured;
	for (size_t i = 0; i < info->label_count && r == 0; i++) {
		const char *key = own_key(info->labels[i].key);

		if (key && strcmp(key, "deployment") != 0)
			r = drpc_policy_set(&policy, key, info->labels[i].value, why, sizeof(why));
	}
	if (r == 0)
		r = drpc_policy_check(&policy, why, sizeof(why));
	if (r == 0) {
		d->policy = policy;
		d->config_error[0] = '\0';
		return;
	}

	d->policy = configured;
	d->policy.mode = DRPC_MIN(configured.mode, DRPC_MODE_RECOMMEND);
	if (strcmp(d->config_error, why) != 0)
		drpc_warn("roster: labels of %s: %s; it is measured but not acted on", info->name,
			  why);
	drpc_strcpy(d->config_error, sizeof(d->config_error), why);
}

int drpc_roster_describe(struct drpc_roster *roster, struct drpc_container *container,
			 const struct drpc_container_info *info)
{
	const char *wanted = label_value(info, "deployment");
	struct drpc_deployment *d;

	if (!wanted)
		wanted = info->deployment ? info->deployment : info->name;
	d = deployment_get(roster, wanted);
	if (!d)
		return -ENOMEM;
	if (d != container->deployment) {
		deployment_leave(roster, container);
		deployment_join(d, container);
	}
	drpc_sanitize(container->name, sizeof(container->name), info->name);
	container->init_pid = info->init_pid;
	container->engine_known = true;
	apply_labels(roster, d, info);
	return 0;
}

void drpc_roster_remove(struct drpc_roster *roster, struct drpc_container *container)
{
	if (roster->ops.gone)
		roster->ops.gone(container, roster->ops.arg);
	roster->ops.untrack(container->cgroup_id, container->slot, roster->ops.arg);
	if (container->slot != DRPC_SLOT_OTHER && container->slot < roster->by_slot_size)
		roster->by_slot[container->slot] = NULL;
	tdelete(container, &roster->by_cgroup, compare_cgroup);
	deployment_leave(roster, container);
	if (container->prev)
		container->prev->next = container->next;
	else
		roster->first = container->next;
	if (container->next)
		container->next->prev = container->prev;
	else
		roster->last = container->prev;
	roster->count--;
	free(container);
}

void drpc_roster_mark(struct drpc_roster *roster)
{
	roster->mark++;
}

size_t drpc_roster_sweep(struct drpc_roster *roster)
{
	struct drpc_container *c = roster->first;
	size_t removed = 0;

	while (c) {
		struct drpc_container *next = c->next;

		if (c->mark != roster->mark) {
			drpc_roster_remove(roster, c);
			removed++;
		}
		c = next;
	}
	return removed;
}

/* --- looking up ------------------------------------------------------------------------------- */

struct drpc_container *drpc_roster_by_cgroup(const struct drpc_roster *roster, uint64_t cgroup_id)
{
	const struct drpc_container key = {.cgroup_id = cgroup_id};
	void *node = tfind(&key, &roster->by_cgroup, compare_cgroup);

	return node ? *(struct drpc_container **)node : NULL;
}

struct drpc_container *drpc_roster_by_slot(const struct drpc_roster *roster, uint32_t slot)
{
	return slot < roster->by_slot_size ? roster->by_slot[slot] : NULL;
}

struct drpc_container *drpc_roster_find(const struct drpc_roster *roster, const char *name)
{
	struct drpc_container *by_prefix = NULL;
	size_t len = strlen(name);
	int matches = 0;

	for (struct drpc_container *c = roster->first; c; c = c->next) {
		if (strcmp(c->name, name) == 0 || strcmp(c->id, name) == 0)
			return c;
		if (len >= 4 && strncmp(c->id, name, len) == 0) {
			by_prefix = c;
			matches++;
		}
	}
	return matches == 1 ? by_prefix : NULL;
}

size_t drpc_roster_count(const struct drpc_roster *roster)
{
	return roster->count;
}

struct drpc_container *drpc_roster_next(const struct drpc_roster *roster,
					const struct drpc_container *after)
{
	return after ? after->next : roster->first;
}

struct drpc_deployment *drpc_roster_next_deployment(const struct drpc_roster *roster,
						    const struct drpc_deployment *after)
{
	return after ? after->next : roster->first_deployment;
}
