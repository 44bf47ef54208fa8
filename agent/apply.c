// SPDX-License-Identifier: Apache-2.0
#include "agent/apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control.h"
#include "agent/execute/executor.h"
#include "lib/log.h"
#include "lib/util.h"

/* The targets of a tick, one a replica; the arrays grow and stay. */
struct drpc_apply_scratch {
	struct drpc_target *targets;
	struct drpc_apply_result *results;
	size_t *owner; /* index of the deployment */
	size_t size, count;
};

void drpc_apply_scratch_free(struct drpc_apply_scratch **scratch)
{
	if (!*scratch)
		return;
	free((*scratch)->targets);
	free((*scratch)->results);
	free((*scratch)->owner);
	free(*scratch);
	*scratch = NULL;
}

static int scratch_grow(struct drpc_apply_scratch *s)
{
	size_t size = DRPC_MAX(2 * s->size, (size_t)64);
	void *targets = reallocarray(s->targets, size, sizeof(*s->targets));
	void *results, *owner;

	if (!targets)
		return -ENOMEM;
	s->targets = targets;
	results = reallocarray(s->results, size, sizeof(*s->results));
	if (!results)
		return -ENOMEM;
	s->results = results;
	owner = reallocarray(s->owner, size, sizeof(*s->owner));
	if (!owner)
		return -ENOMEM;
	s->owner = owner;
	s->size = size;
	return 0;
}

/* --- reading ---------------------------------------------------------------------------------- */

static uint32_t managed(const struct drpc_policy *policy)
{
	return DRPC_LIMIT_CPU | (policy->memory_managed ? DRPC_LIMIT_MEMORY : 0);
}

int drpc_apply_read(struct drpc_agent *agent, const struct drpc_deployment *deployment,
		    struct drpc_limits *ret)
{
	struct drpc_limits limits = {
		.cpu_quota_usec = DRPC_UNLIMITED,
		.cpu_period_usec = 100000,
		.mem_high_bytes = DRPC_UNLIMITED,
		.mem_max_bytes = DRPC_UNLIMITED,
	};
	int r;

	if (!deployment->replicas)
		return -ENOENT;
	r = drpc_executor_read(agent->executor, deployment->replicas,
			       DRPC_LIMIT_CPU | DRPC_LIMIT_MEMORY, &limits);
	if (r == 0)
		*ret = limits;
	return r;
}

bool drpc_apply_pending(const struct drpc_agent *agent, const struct drpc_deployment *deployment)
{
	for (const struct drpc_container *c = deployment->replicas; c; c = c->next_replica) {
		struct drpc_executor_status status;

		if (drpc_executor_status(agent->executor, c->cgroup_id, &status) && status.pending)
			return true;
	}
	return false;
}

/* --- writing ---------------------------------------------------------------------------------- */

static int collect(struct drpc_apply_scratch *s, const struct drpc_deployment *d,
		   const struct drpc_verdict *verdict, size_t owner)
{
	for (const struct drpc_container *c = d->replicas; c; c = c->next_replica) {
		if (s->count == s->size && scratch_grow(s) < 0)
			return -ENOMEM;
		s->targets[s->count] = (struct drpc_target){
			.container = c,
			.limits = verdict->limits,
			.what = managed(&d->policy),
		};
		s->owner[s->count++] = owner;
	}
	return 0;
}

/* A failure is logged when it is new: it may come back every tick for hours. */
static void tell_failure(struct drpc_deployment *d, const struct drpc_container *c,
			 const struct drpc_apply_result *result)
{
	if (d->control->apply_err != result->err)
		drpc_warn("apply: limits of %s are left as they are: %s", c->name, result->why);
	d->control->apply_err = result->err;
	snprintf(d->control->last_action, sizeof(d->control->last_action), "cannot act: %s",
		 result->why);
}

void drpc_apply_write(struct drpc_agent *agent, struct drpc_deployment *const *deployments,
		      const struct drpc_verdict *const *verdicts, size_t count, uint64_t now_ns,
		      int *results)
{
	struct drpc_apply_scratch *s = agent->apply_scratch;

	if (!s) {
		s = agent->apply_scratch = calloc(1, sizeof(*s));
		if (!s)
			return;
	}
	s->count = 0;
	for (size_t i = 0; i < count; i++)
		results[i] = collect(s, deployments[i], verdicts[i], i);
	drpc_executor_apply(agent->executor, s->targets, s->count, now_ns, s->results);
	for (size_t t = 0; t < s->count; t++) {
		struct drpc_deployment *d = deployments[s->owner[t]];
		int *result = &results[s->owner[t]];
		int err = s->results[t].err;

		if (err < 0 && err != -EINPROGRESS)
			tell_failure(d, s->targets[t].container, &s->results[t]);
		else
			d->control->apply_err = 0;
		/* A real failure outweighs "under way", that outweighs success. */
		if (err < 0 && (*result == 0 || *result == -EINPROGRESS))
			*result = err;
	}
}
