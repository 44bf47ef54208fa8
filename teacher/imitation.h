/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Imitation: a student (nn/student.h) learns to answer as the teacher does, from a buffer of its own
 * deployment's (state, teacher's outputs) pairs, by squared error on the outputs and AdamW.
 *
 * States are raw features; the first round fixes how they are scaled (to mean 0, deviation 1), and
 * the policy file carries that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/drpc/features.h"
#include "nn/mlp.h"
#include "nn/optim.h"
#include "nn/policy_file.h"

struct drpc_imitation_config {
	unsigned int n_inputs;
	enum drpc_feature inputs[DRPC_F_COUNT];
	size_t capacity; /* of the buffer; the oldest pair gives way */
	size_t batch;
	size_t epochs; /* a round */
	double lr;
	double decay;
	/*
	 * What counts as the same answer: an output is taught the nearest one that decides as the
	 * teacher's and moves by about as much (see DRPC_SAME_*), 0 loss inside. Off: the teacher's
	 * very number.
	 */
	bool same_decision;
	uint64_t seed;
};

/* Under the dead band nothing moves, whatever the number: outputs of either sign are as good as 0, up
 * to this distance from the band; beyond it they may be off by this much and no nearer to the band. */
#define DRPC_SAME_MARGIN 0.08f
#define DRPC_SAME_OFF	 0.15f

/* Batch 64, 101 epochs a round, AdamW 1e-4; the first `n_inputs` features (5 paper, 10 node). */
struct drpc_imitation_config drpc_imitation_defaults(unsigned int n_inputs);

struct drpc_imitation;

/* -EINVAL, -ENOMEM; logged. */
int drpc_imitation_new(const struct drpc_imitation_config *config, struct drpc_imitation **ret);
void drpc_imitation_free(struct drpc_imitation **imitation);

/*
 * Adds a pair: all features in the order of enum drpc_feature, and the teacher's outputs in -1..1.
 * -EDOM (logged, nothing stored) where one that counts is not finite or an output is outside.
 */
int drpc_imitation_push(struct drpc_imitation *imitation, const float features[DRPC_F_COUNT],
			const float outputs[DRPC_OUT_COUNT]);

size_t drpc_imitation_count(const struct drpc_imitation *imitation);

/*
 * Fixes how the inputs are scaled, (x - offset) * scale each, instead of leaving that to the first
 * round's pairs. -EINVAL (logged) where one cannot be, or after the first round.
 */
int drpc_imitation_scale(struct drpc_imitation *imitation, const float offset[DRPC_F_COUNT],
			 const float scale[DRPC_F_COUNT]);

/* Sets the learning rate from the next step on; -EINVAL as drpc_adam_check(). */
int drpc_imitation_rate(struct drpc_imitation *imitation, double lr);

/*
 * One round over the buffer. -ENODATA where it holds less than a batch; -EDOM where a loss or
 * gradient is not finite: the student is then as it was before the round. Logged. ret_loss: mean
 * squared error of the last epoch.
 */
int drpc_imitation_train(struct drpc_imitation *imitation, double *ret_loss);

/* One step on `batch` scaled states [batch][n_inputs] and outputs [batch][3]; returns the loss. */
double drpc_imitation_step(struct drpc_imitation *imitation, const float *states,
			   const float *outputs);

/* What an output decides once the dead band is off. */
enum drpc_move {
	DRPC_MOVE_DOWN,
	DRPC_MOVE_NONE,
	DRPC_MOVE_UP,
	DRPC_MOVES,
};

/* How good the student is, over pairs that it need not have seen. */
struct drpc_imitation_report {
	size_t pairs;
	double mse;			  /* over all outputs */
	double differ;			  /* share of states where any decision differs */
	double differ_in[DRPC_OUT_COUNT]; /* the same of each output */
	/* Pairs by what teacher and student decide: [output][teacher][student]. */
	uint64_t moves[DRPC_OUT_COUNT][DRPC_MOVES][DRPC_MOVES];
	double reward_ratio; /* student's ÷ teacher's reward; NAN where not measured */
};

/*
 * Compares on `n` pairs: features [n][DRPC_F_COUNT], teacher's outputs [n][3]. Decisions differ
 * where one output is beyond the dead band and the other is not, or they point in opposite ways.
 * Rewards are mean rewards of both in the same surroundings, 0 or NAN where not measured.
 */
int drpc_imitation_compare(const struct drpc_imitation *imitation, size_t n, const float *features,
			   const float *outputs, double teacher_reward, double student_reward,
			   struct drpc_imitation_report *ret);

/* The same of a policy, wherever it comes from. */
int drpc_imitation_compare_net(const struct drpc_policy_net *net, size_t n, const float *features,
			       const float *outputs, struct drpc_imitation_report *ret);

/* How often the student moves one way where the teacher moves the other. */
uint64_t drpc_imitation_opposed(const struct drpc_imitation_report *report);

/*
 * The student as a policy: inputs, scaling, samples, updates and seed are filled in; method, data,
 * program, created_s and reward come from `info`. -ENODATA before the first round.
 */
int drpc_imitation_policy(const struct drpc_imitation *imitation,
			  const struct drpc_policy_info *info, struct drpc_policy_net **ret);
int drpc_imitation_save(const struct drpc_imitation *imitation, const struct drpc_policy_info *info,
			const char *path);
