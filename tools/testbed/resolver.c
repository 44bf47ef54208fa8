// SPDX-License-Identifier: Apache-2.0
#include "tools/testbed/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/log.h"
#include "lib/util.h"

#define REFRESH_NS DRPC_NSEC_PER_SEC

struct tb_resolver {
	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int count;
	struct drpc_target targets[TB_CALLS_MAX]; /* addresses: under the lock */
	bool named[TB_CALLS_MAX];		  /* to be looked up again */
	bool told[TB_CALLS_MAX];		  /* the failure has been logged */
	bool first_round;
	bool stop;
};

static bool is_numeric(const char *host)
{
	struct in6_addr any;

	return inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
}

static void publish(struct tb_resolver *resolver, unsigned int call,
		    const struct drpc_target *found, int err, const char *why)
{
	struct drpc_target *target = &resolver->targets[call];

	pthread_mutex_lock(&resolver->lock);
	if (!err) {
		memcpy(target->addresses, found->addresses, sizeof(target->addresses));
		target->count = found->count;
	} else if (err == -ENOENT) {
		/* The name is gone; a name service that is away does not take the addresses. */
		target->count = 0;
	}
	pthread_mutex_unlock(&resolver->lock);
	if (err && !resolver->told[call])
		drpc_warn("%s: cannot look up the host: %s, trying again every second",
			  target->name, why);
	resolver->told[call] = err != 0;
}

static void look_up_all(struct tb_resolver *resolver)
{
	for (unsigned int i = 0; i < resolver->count; i++) {
		struct drpc_target found = resolver->targets[i];
		const char *why = "";
		int err;

		if (!resolver->named[i])
			continue;
		err = drpc_target_resolve(&found, &why);
		publish(resolver, i, &found, err, why);
	}
}

static struct timespec in_future(uint64_t ns)
{
	uint64_t at_ns = drpc_now_ns() + ns;

	return (struct timespec){(time_t)(at_ns / DRPC_NSEC_PER_SEC),
				 (long)(at_ns % DRPC_NSEC_PER_SEC)};
}

static void *resolver_main(void *arg)
{
	struct tb_resolver *resolver = arg;
	bool stop = false;

	while (!stop) {
		struct timespec until;

		look_up_all(resolver);
		pthread_mutex_lock(&resolver->lock);
		resolver->first_round = true;
		pthread_cond_broadcast(&resolver->changed);
		until = in_future(REFRESH_NS);
		while (!resolver->stop &&
		       pthread_cond_timedwait(&resolver->changed, &resolver->lock, &until) == 0)
			;
		stop = resolver->stop;
		pthread_mutex_unlock(&resolver->lock);
	}
	return NULL;
}

static int start(struct tb_resolver *resolver)
{
	struct timespec until = in_future(DRPC_NSEC_PER_SEC);
	int err = pthread_create(&resolver->thread, NULL, resolver_main, resolver);

	if (err)
		return -err;
	resolver->running = true;
	pthread_mutex_lock(&resolver->lock);
	while (!resolver->first_round &&
	       pthread_cond_timedwait(&resolver->changed, &resolver->lock, &until) == 0)
		;
	pthread_mutex_unlock(&resolver->lock);
	return 0;
}

int tb_resolver_new(const struct tb_options *options, struct tb_resolver **ret)
{
	struct tb_resolver *resolver = calloc(1, sizeof(*resolver));
	pthread_condattr_t attr;
	bool any = false;
	int err = 0;

	if (!resolver)
		return -ENOMEM;
	pthread_mutex_init(&resolver->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&resolver->changed, &attr);
	pthread_condattr_destroy(&attr);
	resolver->count = options->call_count;
	for (unsigned int i = 0; i < resolver->count; i++) {
		struct drpc_target *target = &resolver->targets[i];
		const char *why;

		*target = options->calls[i].target;
		resolver->named[i] = target->port[0] && !is_numeric(target->host);
		any |= resolver->named[i];
		if (!resolver->named[i] && !err)
			err = drpc_target_resolve(target, &why);
	}
	if (any && !err)
		err = start(resolver);
	if (err) {
		tb_resolver_free(&resolver);
		return err;
	}
	*ret = resolver;
	return 0;
}

void tb_resolver_free(struct tb_resolver **resolver)
{
	struct tb_resolver *r = *resolver;

	if (!r)
		return;
	if (r->running) {
		pthread_mutex_lock(&r->lock);
		r->stop = true;
		pthread_cond_broadcast(&r->changed);
		pthread_mutex_unlock(&r->lock);
		pthread_join(r->thread, NULL);
	}
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	free(r);
	*resolver = NULL;
}

bool tb_resolver_address(struct tb_resolver *resolver, unsigned int call, unsigned int number,
			 struct drpc_target_address *ret)
{
	const struct drpc_target *target = &resolver->targets[call];
	bool found;

	pthread_mutex_lock(&resolver->lock);
	found = target->count > 0;
	if (found)
		*ret = target->addresses[number % target->count];
	pthread_mutex_unlock(&resolver->lock);
	return found;
}

unsigned int tb_resolver_count(struct tb_resolver *resolver, unsigned int call)
{
	unsigned int count;

	pthread_mutex_lock(&resolver->lock);
	count = resolver->targets[call].count;
	pthread_mutex_unlock(&resolver->lock);
	return count;
}
