// SPDX-License-Identifier: Apache-2.0
#include "link/news.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "lib/log.h"
#include "lib/util.h"

void drpc_news_free(struct drpc_news **news)
{
	if (!*news)
		return;
	if ((*news)->policy && (*news)->unload)
		(*news)->unload((*news)->policy);
	free(*news);
	*news = NULL;
}

int drpc_news_box_init(struct drpc_news_box *box)
{
	atomic_init(&box->newest, NULL);
	atomic_init(&box->waiting, 0);
	box->oldest = NULL;
	box->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return box->fd < 0 ? drpc_err(-errno, "link: cannot make an eventfd") : 0;
}

void drpc_news_box_done(struct drpc_news_box *box)
{
	struct drpc_news *news;

	while ((news = drpc_news_take(box)))
		drpc_news_free(&news);
	drpc_closep(&box->fd);
	box->fd = -1;
}

void drpc_news_put(struct drpc_news_box *box, struct drpc_news *news)
{
	const uint64_t one = 1;

	atomic_fetch_add(&box->waiting, 1);
	news->next = atomic_load(&box->newest);
	while (!atomic_compare_exchange_weak(&box->newest, &news->next, news)) {}
	/* It only fails where the counter is full: then it is readable. */
	if (write(box->fd, &one, sizeof(one)) < 0)
		return;
}

unsigned int drpc_news_waiting(const struct drpc_news_box *box)
{
	return atomic_load(&box->waiting);
}

struct drpc_news *drpc_news_take(struct drpc_news_box *box)
{
	struct drpc_news *news;

	if (!box->oldest) {
		uint64_t n;

		/* Before the list is taken: what comes later makes it readable again. */
		if (read(box->fd, &n, sizeof(n)) < 0 && !atomic_load(&box->newest))
			return NULL;
		news = atomic_exchange(&box->newest, NULL);
		while (news) {
			struct drpc_news *older = news->next;

			news->next = box->oldest;
			box->oldest = news;
			news = older;
		}
	}
	news = box->oldest;
	if (!news)
		return NULL;
	box->oldest = news->next;
	news->next = NULL;
	atomic_fetch_sub(&box->waiting, 1);
	return news;
}
