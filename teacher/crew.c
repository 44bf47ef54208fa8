// SPDX-License-Identifier: Apache-2.0
#include "teacher/crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lib/log.h"

struct drpc_crew {
	pthread_mutex_t lock;
	pthread_cond_t begun, done;
	pthread_t *threads;
	unsigned int n_threads;
	bool stop;
	/* The job at hand. */
	int (*work)(void *arg, size_t piece);
	void *arg;
	size_t pieces, next, finished, failed;
	int err;
};

/* Takes pieces until none is left. Called and left with the lock held. */
static void take_pieces(struct drpc_crew *crew)
{
	while (crew->next < crew->pieces) {
		const size_t piece = crew->next++;
		int err;

		pthread_mutex_unlock(&crew->lock);
		err = crew->work(crew->arg, piece);
		pthread_mutex_lock(&crew->lock);
		if (err && (!crew->err || piece < crew->failed)) {
			crew->err = err;
			crew->failed = piece;
		}
		if (++crew->finished == crew->pieces)
			pthread_cond_broadcast(&crew->done);
	}
}

static void *member(void *arg)
{
	struct drpc_crew *crew = arg;

	pthread_mutex_lock(&crew->lock);
	while (!crew->stop) {
		if (crew->next < crew->pieces)
			take_pieces(crew);
		else
			pthread_cond_wait(&crew->begun, &crew->lock);
	}
	pthread_mutex_unlock(&crew->lock);
	return NULL;
}

int drpc_crew_new(unsigned int jobs, struct drpc_crew **ret)
{
	struct drpc_crew *crew = calloc(1, sizeof(*crew));

	if (!crew)
		return drpc_err(-ENOMEM, "crew");
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->begun, NULL);
	pthread_cond_init(&crew->done, NULL);
	crew->threads = calloc(jobs, sizeof(*crew->threads));
	for (unsigned int i = 1; i < jobs; i++) {
		const int err = crew->threads ? pthread_create(&crew->threads[crew->n_threads],
							       NULL, member, crew)
					      : ENOMEM;

		if (err) {
			drpc_crew_free(&crew);
			return drpc_err(-err, "crew: thread %u of %u", i, jobs);
		}
		crew->n_threads++;
	}
	*ret = crew;
	return 0;
}

void drpc_crew_free(struct drpc_crew **crew)
{
	struct drpc_crew *c = *crew;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->begun);
	pthread_mutex_unlock(&c->lock);
	for (unsigned int i = 0; i < c->n_threads; i++)
		pthread_join(c->threads[i], NULL);
	pthread_cond_destroy(&c->begun);
	pthread_cond_destroy(&c->done);
	pthread_mutex_destroy(&c->lock);
	free(c->threads);
	free(c);
	*crew = NULL;
}

void drpc_crew_start(struct drpc_crew *crew, size_t pieces, int (*work)(void *arg, size_t piece),
		     void *arg)
{
	pthread_mutex_lock(&crew->lock);
	crew->work = work;
	crew->arg = arg;
	crew->pieces = pieces;
	crew->next = crew->finished = 0;
	crew->err = 0;
	pthread_cond_broadcast(&crew->begun);
	pthread_mutex_unlock(&crew->lock);
}

int drpc_crew_finish(struct drpc_crew *crew)
{
	int err;

	pthread_mutex_lock(&crew->lock);
	take_pieces(crew);
	while (crew->finished < crew->pieces)
		pthread_cond_wait(&crew->done, &crew->lock);
	crew->pieces = crew->next = 0;
	err = crew->err;
	pthread_mutex_unlock(&crew->lock);
	return err;
}
