// SPDX-License-Identifier: Apache-2.0
#include "link/link.h"

#include <errno.h>

#include "lib/log.h"
#include "lib/util.h"
#include "link/link_internal.h"

#define QUEUE_RECORDS 4096

int drpc_link_init(struct drpc_link *link, const struct drpc_link_ops *ops,
		   const struct drpc_link_config *config)
{
	int err;

	link->ops = ops;
	link->store = config->store;
	link->ledger = config->ledger;
	if (config->node && !drpc_link_name_ok(config->node))
		return drpc_err(-EINVAL, "link: '%.64s' cannot be a node's name", config->node);
	err = drpc_news_box_init(&link->box);
	if (err)
		return err;
	if (config->node)
		err = drpc_queue_new(config->queue_records ? config->queue_records : QUEUE_RECORDS,
				     &link->queue);
	if (err) {
		drpc_news_box_done(&link->box);
		return err;
	}
	/* What was accepted before is there at once, with or without a network. */
	if (link->store)
		drpc_store_restore(link->store, &link->box);
	return 0;
}

void drpc_link_done(struct drpc_link *link)
{
	drpc_queue_free(&link->queue);
	drpc_news_box_done(&link->box);
}

void drpc_link_free(struct drpc_link **link)
{
	if (!*link)
		return;
	(*link)->ops->free(*link);
	*link = NULL;
}

int drpc_link_publish(struct drpc_link *link, const struct drpc_experience *x)
{
	return link && link->queue ? drpc_queue_push(link->queue, x) : 0;
}

int drpc_link_fd(const struct drpc_link *link)
{
	return link->box.fd;
}

struct drpc_news *drpc_link_next(struct drpc_link *link)
{
	return drpc_news_take(&link->box);
}

int drpc_link_receive(struct drpc_link *link, unsigned int timeout_ms, drpc_link_taker taker,
		      void *arg)
{
	return link->ops->receive(link, timeout_ms, taker, arg);
}

int drpc_link_announce(struct drpc_link *link, const void *data, size_t bytes)
{
	struct drpc_envelope e;
	int err = drpc_envelope_peek(data, bytes, &e);

	if (err)
		return drpc_err(err, "link: what was to be published is refused: %s",
				drpc_envelope_why(err));
	err = link->ops->announce(link, data, bytes, &e);
	if (!err)
		drpc_link_add(&link->counters.announced, 1);
	return err;
}

int drpc_link_published(struct drpc_link *link, const char *name, bool mode,
			struct drpc_envelope *ret)
{
	return link->ops->published(link, name, mode, ret);
}

int drpc_link_lease(struct drpc_link *link, const char *holder, uint64_t *ret_until_ns)
{
	if (!drpc_link_name_ok(holder))
		return drpc_err(-EINVAL, "link: '%.64s' cannot be a teacher's name", holder);
	if (link->ops->lease)
		return link->ops->lease(link, holder, ret_until_ns);
	*ret_until_ns = UINT64_MAX;
	return 0;
}

int drpc_link_release(struct drpc_link *link)
{
	return link->ops->release ? link->ops->release(link) : 0;
}

int drpc_link_offer(struct drpc_link *link, const void *data, size_t bytes)
{
	struct drpc_store_stats stats;
	struct drpc_news *news = NULL;
	const uint64_t *figures = (const uint64_t *)&stats;
	/* What is refused has been logged and counted by the store. */
	const int r = drpc_store_offer(link->store, data, bytes, &news);

	if (r == 1)
		drpc_news_put(&link->box, news);
	drpc_store_stats(link->store, &stats);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(link->counters.store); i++)
		drpc_link_set(&link->counters.store[i], figures[i]);
	return r;
}

void drpc_link_take(struct drpc_link *link, drpc_link_taker taker, void *arg, const char *node,
		    uint64_t sequence, const struct drpc_experience *x)
{
	drpc_link_add(&link->counters.accepted, 1);
	if (taker(arg, node, sequence, x) < 0)
		drpc_link_add(&link->counters.failed, 1);
}

void drpc_link_stats(const struct drpc_link *link, struct drpc_link_stats *ret)
{
	const struct drpc_link_counters *c = &link->counters;
	uint64_t *store = (uint64_t *)&ret->store;

	*ret = (struct drpc_link_stats){
		.connected = c->connected,
		.queued = link->queue ? drpc_queue_pushed(link->queue) : 0,
		.queue_dropped = link->queue ? drpc_queue_dropped(link->queue) : 0,
		.backlog_dropped = c->backlog_dropped,
		.backlog_records = c->backlog_records,
		.backlog_bytes = c->backlog_bytes,
		.sent_records = c->sent_records,
		.sent_batches = c->sent_batches,
		.sent_twice = c->sent_twice,
		.resent = c->resent,
		.refused = c->refused,
		.accepted = c->accepted,
		.failed = c->failed,
		.announced = c->announced,
		.reconnects = c->reconnects,
	};
	for (size_t i = 0; i < DRPC_REJECT_COUNT; i++)
		ret->rejected[i] = c->rejected[i];
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(c->store); i++)
		store[i] = c->store[i];
}
