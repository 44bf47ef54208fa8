// SPDX-License-Identifier: Apache-2.0
/*
 * The link within a process: the agent's thread pushes into a queue, the teacher's thread pops. What the
 * teacher announces is verified, loaded and written on the teacher's thread; the agent's gets it ready.
 */
#include <errno.h>

#include "lib/log.h"
#include "lib/util.h"
#include "link/link_internal.h"

/* Per call of receive, so that the teacher comes back to its other work. */
#define RECORDS_AT_ONCE 4096
/* Policies and modes that the agent has not looked at; it looks at them in every tick. */
#define NEWS_MAX	4096

struct inprocess {
	struct drpc_link link;
	char node[DRPC_LINK_NAME_BYTES];
	uint64_t sequence; /* the receiver's */
};

static struct inprocess *of(struct drpc_link *link)
{
	return (struct inprocess *)link;
}

static void inprocess_free(struct drpc_link *link)
{
	drpc_link_done(link);
	free(of(link));
}

static int inprocess_receive(struct drpc_link *link, unsigned int timeout_ms, drpc_link_taker taker,
			     void *arg)
{
	struct inprocess *self = of(link);
	struct drpc_experience x;
	int count = 0;

	if (!link->queue)
		return drpc_err(-EINVAL, "link: it was opened without a node to receive from");
	if (!drpc_queue_pop(link->queue, &x)) {
		drpc_queue_wait(link->queue, timeout_ms);
		if (!drpc_queue_pop(link->queue, &x))
			return 0;
	}
	do {
		const enum drpc_reject reject = drpc_experience_check(&x);

		self->sequence++;
		drpc_link_add(&link->counters.sent_records, 1);
		if (reject != DRPC_REJECT_NONE) {
			drpc_link_reject(link, reject);
			continue;
		}
		drpc_link_take(link, taker, arg, self->node, self->sequence, &x);
		count++;
	} while (count < RECORDS_AT_ONCE && drpc_queue_pop(link->queue, &x));
	return count;
}

static int inprocess_announce(struct drpc_link *link, const void *data, size_t bytes,
			      const struct drpc_envelope *e)
{
	int r;

	if (!link->store)
		return drpc_err(-EINVAL, "link: it was opened without a store to publish to");
	if (drpc_news_waiting(&link->box) >= NEWS_MAX)
		return drpc_err(-EAGAIN,
				"link: '%s': the agent has not taken %d policies and modes yet",
				e->name, NEWS_MAX);
	r = drpc_link_offer(link, data, bytes);
	return DRPC_MIN(r, 0);
}

static int inprocess_published(struct drpc_link *link, const char *name, bool mode,
			       struct drpc_envelope *ret)
{
	return link->store ? drpc_store_find(link->store, name, mode, ret) : -ENOENT;
}

static const struct drpc_link_ops inprocess_ops = {
	.free = inprocess_free,
	.receive = inprocess_receive,
	.announce = inprocess_announce,
	.published = inprocess_published,
};

int drpc_link_inprocess_new(const struct drpc_link_config *config, struct drpc_link **ret)
{
	struct inprocess *self = calloc(1, sizeof(*self));
	int err;

	if (!self)
		return drpc_err(-ENOMEM, "link");
	err = drpc_link_init(&self->link, &inprocess_ops, config);
	if (err) {
		free(self);
		return err;
	}
	if (config->node)
		drpc_strcpy(self->node, sizeof(self->node), config->node);
	self->link.counters.connected = true;
	*ret = &self->link;
	return 0;
}
