// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "lib/log.h"
#include "lib/util.h"
#include "link/nats_internal.h"

static void nats_free(struct drpc_link *link)
{
	struct nats_link *self = (struct nats_link *)link;

	drpc_nats_sender_stop(self);
	drpc_nats_receiver_done(&self->receiver);
	drpc_nats_settings_done(&self->settings);
	drpc_link_done(link);
	free(self);
}

static const struct drpc_link_ops nats_ops = {
	.free = nats_free,
	.receive = drpc_nats_receive,
	.announce = drpc_nats_announce,
	.published = drpc_nats_published,
	.lease = drpc_nats_lease,
	.release = drpc_nats_release,
};

int drpc_link_nats_new(const struct drpc_link_config *config,
		       const struct drpc_link_nats_config *nats, struct drpc_link **ret)
{
	struct nats_link *self = calloc(1, sizeof(*self));
	char token[DRPC_LINK_TOKEN_BYTES];
	int err;

	if (!self)
		return drpc_err(-ENOMEM, "link");
	err = drpc_link_init(&self->link, &nats_ops, config);
	if (err) {
		free(self);
		return err;
	}
	drpc_link_token(config->node	 ? config->node
			: nats->consumer ? nats->consumer
					 : "teacher",
			token);
	err = drpc_nats_settings_init(&self->settings, nats, token);
	/* A teacher that publishes and receives alone needs no thread. */
	if (!err && (config->node || config->store))
		err = drpc_nats_sender_start(self, config->node, nats->epoch_file);
	if (err) {
		nats_free(&self->link);
		return err;
	}
	*ret = &self->link;
	return 0;
}
