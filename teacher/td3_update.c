// SPDX-License-Identifier: Apache-2.0
/*
 * The update. What makes it fast: both critics' target is computed once; their first layers are one
 * product; in the actor's step the critics' weights get no gradient and the input one for the action
 * columns only; targets move in the same pass as Adam.
 */
#include <errno.h>
#include <math.h>

#include "lib/log.h"
#include "nn/isa.h"
#include "teacher/td3.h"

/* Values beyond this many times the largest possible return are no estimate any more. */
#define SANE_VALUES 10.0

static int td3_diverge(struct drpc_td3 *td3, const char *what, double value)
{
	td3->diverged = true;
	return drpc_err(
		-EDOM,
		"td3: training diverged at update %llu: %s is %g; go back to the last checkpoint",
		(unsigned long long)td3->updates, what, value);
}

/* --- the batch ---------------------------------------------------------------------------- */

/* Rows of state and action side by side, next states with room for an action. */
static void gather(struct drpc_td3 *td3, const struct drpc_replay *replay)
{
	const size_t units = td3->units, ns = td3->row_state, na = td3->row_action;
	const size_t batch = td3->config.batch, rows = batch * units;
	const float **state = td3->from, **action = state + rows, **next = action + rows;

	/* All records are asked for before the first is read: they lie anywhere. */
	for (size_t i = 0; i < batch; i++)
		drpc_replay_prefetch(replay, td3->indices[i]);
	for (size_t i = 0; i < batch; i++) {
		const struct drpc_transition t = drpc_replay_get(replay, td3->indices[i]);

		for (size_t u = 0; u < units; u++) {
			state[i * units + u] = t.state + u * ns;
			action[i * units + u] = t.action + u * na;
			next[i * units + u] = t.next + u * ns;
		}
		td3->batch.reward[i] = t.reward;
		td3->batch.live[i] = t.done ? 0.0f : 1.0f;
	}
	drpc_isa()->gather(rows, ns, state, td3->batch.x, td3->row);
	drpc_isa()->gather(rows, na, action, td3->batch.x + ns, td3->row);
	drpc_isa()->gather(rows, ns, next, td3->batch.next, td3->row);
}

static int check_replay(const struct drpc_td3 *td3, const struct drpc_replay *replay)
{
	const struct drpc_replay_shape *shape = drpc_replay_shape(replay);

	if (shape->units != td3->config.units || shape->state != td3->config.state ||
	    shape->action != td3->config.action)
		return drpc_err(
			-EINVAL,
			"td3: the replay holds %zu deployments × (%zu state, %zu action), this teacher was made for %zu × (%zu, %zu)",
			shape->units, shape->state, shape->action, td3->config.units,
			td3->config.state, td3->config.action);
	if (td3->config.priority_alpha > 0 && !drpc_replay_is_prioritized(replay))
		return drpc_err(-EINVAL,
				"td3: priority alpha is %g, but the replay keeps no priorities",
				td3->config.priority_alpha);
	if (drpc_replay_count(replay) < td3->config.batch)
		return drpc_err(
			-ENODATA,
			"td3: the replay holds %zu transitions, a batch needs %zu: collect more first",
			drpc_replay_count(replay), td3->config.batch);
	return 0;
}

/* --- critics ------------------------------------------------------------------------------ */

/* Sums a network's outputs over a sample's rows: ret [batch][2] = means. In place for one row. */
static void mean_values(const struct drpc_td3 *td3, float *ret)
{
	const float *out = drpc_net_output(&td3->critic.net, &td3->critic.work);
	const size_t units = td3->units;
	const float share = 1.0f / (float)units;

	for (size_t i = 0; i < td3->config.batch; i++) {
		float sum[2] = {0, 0};

		for (size_t u = 0; u < units; u++) {
			sum[0] += out[2 * (i * units + u)];
			sum[1] += out[2 * (i * units + u) + 1];
		}
		ret[2 * i] = sum[0] * share;
		ret[2 * i + 1] = sum[1] * share;
	}
}

/* y = r + gamma live min(Q1', Q2') at the smoothed target action. */
static void targets(struct drpc_td3 *td3)
{
	const struct drpc_td3_config *c = &td3->config;
	const size_t rows = c->batch * td3->units, na = td3->row_action;
	struct drpc_td3_half *actor = &td3->actor, *critic = &td3->critic;

	actor->work.main.forward_only = actor->work.embed.forward_only = true;
	critic->work.main.forward_only = critic->work.embed.forward_only = true;
	drpc_net_forward(&actor->net, actor->target, 1, c->batch, td3->units, td3->batch.next,
			 td3->row, &actor->work);
	drpc_isa()->smooth(rows, na, drpc_net_output(&actor->net, &actor->work), na,
			   c->policy_noise > 0 ? td3->batch.noise : NULL, (float)c->noise_clip,
			   td3->batch.next + td3->row_state, td3->row);
	drpc_net_forward(&critic->net, critic->target, 2, c->batch, td3->units, td3->batch.next,
			 td3->row, &critic->work);
	actor->work.main.forward_only = actor->work.embed.forward_only = false;
	critic->work.main.forward_only = critic->work.embed.forward_only = false;
	mean_values(td3, td3->q);
	for (size_t i = 0; i < c->batch; i++) {
		const float least = fminf(td3->q[2 * i], td3->q[2 * i + 1]);

		td3->y[i] = td3->batch.reward[i] + (float)c->gamma * td3->batch.live[i] * least;
	}
}

/* Losses, and their gradient by each row's outputs into dq [rows][2]. */
static void critic_loss(struct drpc_td3 *td3, struct drpc_td3_stats *stats, double *ret_largest)
{
	const size_t batch = td3->config.batch, units = td3->units;
	const float share = 2.0f / (float)(batch * units);
	double loss = 0, q = 0, largest = 0;

	for (size_t i = 0; i < batch; i++) {
		const float weight = td3->batch.weight[i];
		float error = 0;

		for (size_t k = 0; k < 2; k++) {
			const float off = td3->q[2 * i + k] - td3->y[i];

			loss += (double)weight * (double)off * (double)off;
			error += fabsf(off);
			for (size_t u = 0; u < units; u++)
				td3->dq[2 * (i * units + u) + k] = share * weight * off;
		}
		q += (double)td3->q[2 * i];
		largest = fmax(largest, (double)fabsf(td3->q[2 * i]));
		td3->batch.error[i] = 0.5f * error;
	}
	stats->critic_loss = loss / (double)batch;
	stats->q = q / (double)batch;
	*ret_largest = largest;
}

static int critic_step(struct drpc_td3 *td3, bool move_target, struct drpc_td3_stats *stats)
{
	const struct drpc_td3_config *c = &td3->config;
	struct drpc_td3_half *critic = &td3->critic;
	const size_t n = critic->net.n_params;
	double largest = 0;

	targets(td3);
	drpc_net_forward(&critic->net, critic->params, 2, c->batch, td3->units, td3->batch.x,
			 td3->row, &critic->work);
	mean_values(td3, td3->q);
	critic_loss(td3, stats, &largest);
	if (!isfinite(stats->critic_loss))
		return td3_diverge(td3, "the critics' loss", stats->critic_loss);
	if (largest > SANE_VALUES * (1.0 + td3->top_reward / (1.0 - c->gamma)))
		return td3_diverge(td3, "the largest value in a batch", largest);
	drpc_net_backward(&critic->net, critic->params, 2, c->batch, td3->units, td3->batch.x,
			  td3->row, &critic->work, td3->dq, critic->grads, NULL, 0, 0);
	stats->critic_norm = drpc_grad_norm(n, critic->grads);
	if (!isfinite(stats->critic_norm))
		return td3_diverge(td3, "the norm of the critics' gradient", stats->critic_norm);
	drpc_adam_step(&critic->adam, n, critic->params, critic->grads, critic->m, critic->v,
		       drpc_grad_scale(stats->critic_norm, c->max_grad_norm),
		       move_target ? critic->target : NULL, c->tau);
	return 0;
}

/* --- actor -------------------------------------------------------------------------------- */

/* Up the first critic's value of the actor's own actions. */
static int actor_step(struct drpc_td3 *td3, struct drpc_td3_stats *stats)
{
	const struct drpc_td3_config *c = &td3->config;
	struct drpc_td3_half *actor = &td3->actor, *critic = &td3->critic;
	const size_t rows = c->batch * td3->units, na = td3->row_action;
	const size_t n = actor->net.n_params;
	const float *q;
	double sum = 0;

	drpc_net_forward(&actor->net, actor->params, 1, c->batch, td3->units, td3->batch.x,
			 td3->row, &actor->work);
	drpc_isa()->smooth(rows, na, drpc_net_output(&actor->net, &actor->work), na, NULL, 0.0f,
			   td3->batch.x + td3->row_state, td3->row);
	drpc_net_forward(&critic->net, critic->params, 1, c->batch, td3->units, td3->batch.x,
			 td3->row, &critic->work);
	q = drpc_net_output(&critic->net, &critic->work);
	for (size_t r = 0; r < rows; r++) {
		sum += (double)q[2 * r];
		td3->dq[2 * r] = -1.0f / (float)rows;
	}
	stats->actor_loss = -sum / (double)rows;
	drpc_net_backward(&critic->net, critic->params, 1, c->batch, td3->units, td3->batch.x,
			  td3->row, &critic->work, td3->dq, NULL, td3->daction, td3->row_state, na);
	drpc_net_backward(&actor->net, actor->params, 1, c->batch, td3->units, td3->batch.x,
			  td3->row, &actor->work, td3->daction, actor->grads, NULL, 0, 0);
	stats->actor_norm = drpc_grad_norm(n, actor->grads);
	if (!isfinite(stats->actor_norm) || !isfinite(stats->actor_loss))
		return td3_diverge(td3, "the norm of the actor's gradient", stats->actor_norm);
	drpc_adam_step(&actor->adam, n, actor->params, actor->grads, actor->m, actor->v,
		       drpc_grad_scale(stats->actor_norm, c->max_grad_norm), actor->target, c->tau);
	return 0;
}

/* --- update ------------------------------------------------------------------------------- */

int drpc_td3_learn(struct drpc_td3 *td3, struct drpc_td3_stats *ret)
{
	const bool move = (td3->updates + 1) % td3->config.policy_delay == 0;
	struct drpc_td3_stats stats = {.actor_loss = NAN, .actor_norm = NAN};
	int err;

	if (td3->diverged)
		return drpc_err(-EDOM,
				"td3: training has diverged; go back to the last checkpoint");
	for (size_t i = 0; i < td3->config.batch; i++)
		td3->top_reward = fmax(td3->top_reward, fabs((double)td3->batch.reward[i]));
	err = critic_step(td3, move, &stats);
	if (err)
		return err;
	if (move)
		err = actor_step(td3, &stats);
	if (err)
		return err;
	td3->updates++;
	if (ret)
		*ret = stats;
	return 0;
}

int drpc_td3_update(struct drpc_td3 *td3, struct drpc_replay *replay, struct drpc_td3_stats *ret)
{
	const struct drpc_rng draw = td3->draw_rng, noise = td3->noise_rng;
	const struct drpc_td3_config *c = &td3->config;
	const bool prioritized = c->priority_alpha > 0;
	int err;

	err = check_replay(td3, replay);
	if (err)
		return err;
	if (prioritized)
		drpc_replay_draw_prioritized(replay, &td3->draw_rng, c->priority_beta, c->batch,
					     td3->indices, td3->batch.weight);
	else
		drpc_replay_draw(replay, &td3->draw_rng, c->batch, td3->indices);
	gather(td3, replay);
	if (c->policy_noise > 0)
		drpc_rng_normal(&td3->noise_rng, (float)c->policy_noise,
				c->batch * td3->units * td3->row_action, td3->batch.noise);
	err = drpc_td3_learn(td3, ret);
	if (err) {
		td3->draw_rng = draw;
		td3->noise_rng = noise;
		return err;
	}
	for (size_t i = 0; prioritized && i < c->batch; i++)
		drpc_replay_set_priority(replay, td3->indices[i], td3->batch.error[i]);
	return 0;
}
