// SPDX-License-Identifier: Apache-2.0
/* Ten whole TD3 updates, both critics, actor and all targets, against PyTorch. */
#include "teacher/td3.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/golden/golden.h"

#define UPDATES 10

/* One network of the file, head k of ours, in our layout: into `ret` [n_params]. */
static void load_mlp_layer(struct golden *g, const char *name, const struct drpc_mlp *mlp, size_t l,
			   size_t k, float *ret)
{
	const struct drpc_mlp_view *v = &mlp->views[l];
	const size_t col = k * v->out, bytes = v->out * sizeof(float);
	const size_t ld = l ? v->out : mlp->spec.heads * v->out;

	golden_transpose(v->out, v->in, golden_get(g, v->out * v->in, "%s.w", name),
			 ret + v->w + (l ? col * v->in : col), ld);
	memcpy(ret + v->b + col, golden_get(g, v->out, "%s.b", name), bytes);
	if (mlp->spec.layers[l].norm) {
		memcpy(ret + v->gamma + col, golden_get(g, v->out, "%s.gamma", name), bytes);
		memcpy(ret + v->beta + col, golden_get(g, v->out, "%s.beta", name), bytes);
	}
}

static void load_net(struct golden *g, const char *prefix, const struct drpc_net *net, size_t k,
		     float *ret)
{
	const size_t pool = net->spec.embed * net->spec.hidden[0];
	char name[64];

	if (net->spec.embed) {
		snprintf(name, sizeof(name), "%s.embed", prefix);
		load_mlp_layer(g, name, &net->embed, 0, k, ret);
		memcpy(ret + net->at_pool + k * pool, golden_get(g, pool, "%s.wmean", prefix),
		       pool * sizeof(float));
		memcpy(ret + net->at_pool + (net->spec.heads + k) * pool,
		       golden_get(g, pool, "%s.wmax", prefix), pool * sizeof(float));
	}
	for (size_t l = 0; l < net->main.spec.n_layers; l++) {
		snprintf(name, sizeof(name), "%s.%zu", prefix, l);
		load_mlp_layer(g, name, &net->main, l, k, ret + net->at_main);
	}
}

/* Compares tensor by tensor, so that a large one does not hide a small one. */
static void near_mlp(const char *what, const struct drpc_mlp *mlp, const float *got,
		     const float *want, double tolerance)
{
	for (size_t l = 0; l < mlp->spec.n_layers; l++) {
		const struct drpc_mlp_view *v = &mlp->views[l];
		const size_t wide = mlp->spec.heads * v->out;

		golden_near(v->in * wide, got + v->w, want + v->w, tolerance, "%s W%zu", what, l);
		golden_near(wide, got + v->b, want + v->b, tolerance, "%s b%zu", what, l);
		if (mlp->spec.layers[l].norm) {
			golden_near(wide, got + v->gamma, want + v->gamma, tolerance, "%s gamma%zu",
				    what, l);
			golden_near(wide, got + v->beta, want + v->beta, tolerance, "%s beta%zu",
				    what, l);
		}
	}
}

static void near_net(struct golden *g, const char *what, const struct drpc_net *net,
		     const float *got, double tolerance)
{
	float *want = calloc(net->n_params, sizeof(*want));
	char prefix[64];

	for (size_t k = 0; k < net->spec.heads; k++) {
		/* "end.critic%zu_target" and the like. */
		snprintf(prefix, sizeof(prefix), what, k);
		load_net(g, prefix, net, k, want);
	}
	if (net->spec.embed) {
		const size_t pool = 2 * net->spec.heads * net->spec.embed * net->spec.hidden[0];

		near_mlp(prefix, &net->embed, got, want, tolerance);
		golden_near(pool, got + net->at_pool, want + net->at_pool, tolerance, "%s pool",
			    prefix);
	}
	near_mlp(prefix, &net->main, got + net->at_main, want + net->at_main, tolerance);
	free(want);
}

static void load_half(struct golden *g, const char *what, struct drpc_td3_half *half)
{
	char prefix[64];

	for (size_t k = 0; k < half->net.spec.heads; k++) {
		snprintf(prefix, sizeof(prefix), what, k);
		load_net(g, prefix, &half->net, k, half->params);
	}
	memcpy(half->target, half->params, half->net.n_params * sizeof(float));
}

static void load_batch(struct golden *g, struct drpc_td3 *td3, int update)
{
	const struct drpc_td3_config *c = &td3->config;
	const size_t rows = c->batch * td3->units, ns = td3->row_state, na = td3->row_action;
	const float *s = golden_get(g, rows * ns, "%d.s", update);
	const float *a = golden_get(g, rows * na, "%d.a", update);
	const float *s2 = golden_get(g, rows * ns, "%d.s2", update);
	const float *done = golden_get(g, c->batch, "%d.done", update);

	for (size_t r = 0; r < rows; r++) {
		memcpy(td3->batch.x + r * td3->row, s + r * ns, ns * sizeof(float));
		memcpy(td3->batch.x + r * td3->row + ns, a + r * na, na * sizeof(float));
		memcpy(td3->batch.next + r * td3->row, s2 + r * ns, ns * sizeof(float));
	}
	memcpy(td3->batch.noise, golden_get(g, rows * na, "%d.noise", update),
	       rows * na * sizeof(float));
	memcpy(td3->batch.reward, golden_get(g, c->batch, "%d.r", update),
	       c->batch * sizeof(float));
	for (size_t i = 0; i < c->batch; i++)
		td3->batch.live[i] = 1.0f - done[i];
}

static void check(const char *file, struct drpc_td3_config c)
{
	struct golden *g = golden_open(file);
	struct drpc_td3 *td3 = NULL;

	c.batch = 32;
	cr_assert_eq(drpc_td3_new(&c, &td3), 0);
	load_half(g, "start.actor", &td3->actor);
	load_half(g, "start.critic%zu", &td3->critic);
	for (int i = 0; i < UPDATES; i++) {
		struct drpc_td3_stats stats;
		float loss;

		load_batch(g, td3, i);
		cr_assert_eq(drpc_td3_learn(td3, &stats), 0);
		loss = (float)stats.critic_loss;
		/* Losses of later updates stand on earlier steps. */
		golden_near(1, &loss, golden_get(g, 1, "%d.critic_loss", i),
			    i ? NEAR_STEPS : NEAR_LAYER, "critics' loss %d", i);
		if (i == 0)
			near_net(g, "grad.critic%zu", &td3->critic.net, td3->critic.grads,
				 NEAR_LAYER);
		if (i == 1)
			near_net(g, "grad.actor", &td3->actor.net, td3->actor.grads, NEAR_STEPS);
		if (i % 2) {
			loss = (float)stats.actor_loss;
			golden_near(1, &loss, golden_get(g, 1, "%d.actor_loss", i), NEAR_STEPS,
				    "actor's loss %d", i);
		}
	}
	near_net(g, "end.actor", &td3->actor.net, td3->actor.params, NEAR_STEPS);
	near_net(g, "end.actor_target", &td3->actor.net, td3->actor.target, NEAR_STEPS);
	near_net(g, "end.critic%zu", &td3->critic.net, td3->critic.params, NEAR_STEPS);
	near_net(g, "end.critic%zu_target", &td3->critic.net, td3->critic.target, NEAR_STEPS);
	drpc_td3_free(&td3);
	golden_close(g);
}

Test(golden, ten_td3_updates_joint)
{
	struct drpc_td3_config c = drpc_td3_defaults(DRPC_TD3_JOINT, 1, 6, 2);

	c.hidden[0] = 32;
	c.hidden[1] = 24;
	c.norm = false;
	check("td3_joint.bin", c);
}

Test(golden, ten_td3_updates_joint_with_layer_norm)
{
	struct drpc_td3_config c = drpc_td3_defaults(DRPC_TD3_JOINT, 1, 6, 2);

	c.hidden[0] = 32;
	c.hidden[1] = 24;
	check("td3_joint_norm.bin", c);
}

Test(golden, ten_td3_updates_pooled)
{
	struct drpc_td3_config c = drpc_td3_defaults(DRPC_TD3_POOLED, 3, 4, 2);

	c.hidden[0] = 24;
	c.hidden[1] = 16;
	c.embed = 10;
	check("td3_pooled.bin", c);
}
