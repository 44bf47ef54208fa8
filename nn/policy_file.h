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
 *    "provenance": {"method": "…", "data": "…", "program": "…", "source": "…", "command": "…",
 *                   "created": 1700000000, "seed": 1, "samples": 1000, "updates": 2000},
 *    "report": {"states": 500, "differ": 0.02, "differ_in": [0, 0.01, 0.01], "opposed": 0,
 *               "reward_ratio": 0.99},
 *    "reward": 0.7}
 *
 * "report", and in it "reward_ratio", are there where they were measured.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "include/drpc/features.h"
#include "nn/student.h"

#define DRPC_POLICY_TEXT_BYTES	 160
#define DRPC_POLICY_DIGEST_BYTES 65 /* SHA-256 in hexadecimal, and its end */

struct drpc_policy_input {
	enum drpc_feature feature;
	float offset;
	float scale; /* not 0 */
};

/* How well a student imitates, on states that were held out; states is 0 where nobody measured. */
struct drpc_policy_report {
	uint64_t states;
	float differ;			 /* share of them where a decision differs */
	float differ_in[DRPC_OUT_COUNT]; /* the same of each output */
	uint64_t opposed;		 /* decisions one way where the teacher's is the other */
	float reward_ratio;		 /* student's ÷ teacher's reward; NAN where not measured */
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
	char source[DRPC_POLICY_TEXT_BYTES];  /* which state of the source code */
	char command[DRPC_POLICY_TEXT_BYTES]; /* how the program was called */
	uint64_t created_s;		      /* Unix time */
	uint64_t seed;
	uint64_t samples;
	uint64_t updates;
	struct drpc_policy_report report;
	char digest[DRPC_POLICY_DIGEST_BYTES]; /* of the file it was read from; else empty */
};

struct drpc_policy_net;

/*
 * Reads and checks a policy. Returns what drpc_model_file_load() returns, -EBADMSG also where the
 * header is not a policy's, -EINVAL where inputs, outputs or shapes are not a student's. Logged.
 */
int drpc_policy_file_load(const char *path, struct drpc_policy_net **ret);

/* The same of a policy file that is in memory; `name` is for messages. */
int drpc_policy_parse(const char *name, const void *data, size_t bytes,
		      struct drpc_policy_net **ret);

/* Stores drpc_student_params(info->n_inputs) parameters, in drpc_student_pack()'s order. */
int drpc_policy_file_save(const char *path, const struct drpc_policy_info *info,
			  const float *params);

/*
 * Notes in a policy file what was measured after it was made: reward and report come from `info`,
 * everything else stays. Fails as loading and saving do; the file is then as it was.
 */
int drpc_policy_file_note(const char *path, const struct drpc_policy_info *info);

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
