/* SPDX-License-Identifier: Apache-2.0 */
/* A linear support vector machine, learnt one example after the other: hinge loss, L2, SGD. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DRPC_SVM_INPUTS 2

struct drpc_svm {
	double w[DRPC_SVM_INPUTS], b;
	uint64_t seen[2]; /* examples without and with the label */
};

/* Above 0: has the label. */
double drpc_svm_value(const struct drpc_svm *svm, const double *x);

/* Classes weigh the same, however rare one is. */
void drpc_svm_learn(struct drpc_svm *svm, const double *x, bool label);
