/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies: a student and what is known about it, in a model file (model_file.h) of kind "policy".
 *
 * The header names each input (drpc_feature_names), how it is scaled (x - offset) * scale and then
 * clipped to ±clip, the layers' shapes, where the policy comes from, and the reward it reached:
 *
 *   {"kind": "policy",
 *    "inputs": [{"name": "cpu_util", "offset": 0.5, "scale": 2}, …], "clip": 5,
 *    "outputs": ["replicas", "cpu", "memory"],
 *    "layers": [{"type": "dense", "in": 5, "out": 20}, {"type": "layernorm", "size": 20},
 *               {"type": "relu"}, {"type": "dense", "in": 20, "out": 20},
 *               {"type": "dense", "in": 20, "out": 3}, {"type": "tanh"}],
 *    "provenance": {"method": "…", "data": "…", "program": "…", "created": 1700000000,
 *                   "seed": 1, "samples": 1000, "updates": 2000},
 *    "reward": 0.7}
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "include/drpc/features.h"
#include "nn/student.h"

#define DRPC_POLICY_TEXT_BYTES 160

struct drpc_policy_input {
	enum drpc_feature feature;
	float offset;
	float scale; /* not 0 */
};

struct drpc_policy_info {
	unsigned int n_inputs; /* 1..DRPC_F_COUNT */
	struct drpc_policy_input inputs[DRPC_F_COUNT];
	float clip;   /* > 0 */
	float reward; /* reached at the end of training, 0..1; NAN where unknown */
	/* Provenance; texts may be empty, numbers 0. */
	char method[DRPC_POLICY_TEXT_BYTES];  /* "imitation of reactive" */
	char data[DRPC_POLICY_TEXT_BYTES];    /* what it was trained on */
	char program[DRPC_POLICY_TEXT_BYTES]; /* which program, and its version */
	uint64_t created_s;		      /* Unix time */
	uint64_t seed;
	uint64_t samples;
	uint64_t updates;
};

struct drpc_policy_net;

/*
 * Reads and checks a policy. Returns what drpc_model_file_load() returns, -EBADMSG also where the
 * header is not a policy's, -EINVAL where inputs, outputs or shapes are not a student's. Logged.
 */
int drpc_policy_file_load(const char *path, struct drpc_policy_net **ret);

/* Stores drpc_student_params(info->n_inputs) parameters, in drpc_student_pack()'s order. */
int drpc_policy_file_save(const char *path, const struct drpc_policy_info *info,
			  const float *params);

/* A policy from memory; same checks as loading. */
int drpc_policy_net_new(const struct drpc_policy_info *info, const float *params,
			struct drpc_policy_net **ret);

/* NULL-safe; nulls its argument. */
void drpc_policy_net_free(struct drpc_policy_net **net);

/*
 * Three outputs in -1..1 for one state, given as all features in the order of enum drpc_feature:
 * the net takes those it names, and scales them. -EDOM (logged, `ret` untouched) where one of those
 * is not finite. Does not allocate; safe from any thread.
 */
int drpc_policy_net_forward(const struct drpc_policy_net *net, const float features[DRPC_F_COUNT],
			    float ret[DRPC_OUT_COUNT]);

const struct drpc_policy_info *drpc_policy_net_info(const struct drpc_policy_net *net);

/* Name of input i, NULL from the number of inputs on. */
const char *drpc_policy_net_input_name(const struct drpc_policy_net *net, unsigned int i);
