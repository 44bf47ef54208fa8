// SPDX-License-Identifier: Apache-2.0
#include "sim/policies/svm.h"

#include <stddef.h>

#include "lib/util.h"

#define PENALTY	    1e-4
#define RATE_FIRST  0.1
#define WEIGHT_MOST 50.0

double drpc_svm_value(const struct drpc_svm *svm, const double *x)
{
	double value = svm->b;

	for (size_t i = 0; i < DRPC_SVM_INPUTS; i++)
		value += svm->w[i] * x[i];
	return value;
}

void drpc_svm_learn(struct drpc_svm *svm, const double *x, bool label)
{
	const double y = label ? 1 : -1;
	const double seen = (double)(svm->seen[0] + svm->seen[1]);
	const double rate = 1 / (PENALTY * seen + 1 / RATE_FIRST);
	const double margin = y * drpc_svm_value(svm, x);
	double weight;

	svm->seen[label]++;
	weight = DRPC_MIN((seen + 1) / (2 * (double)svm->seen[label]), WEIGHT_MOST);
	for (size_t i = 0; i < DRPC_SVM_INPUTS; i++) {
		svm->w[i] *= 1 - rate * PENALTY;
		if (margin < 1)
			svm->w[i] += rate * weight * y * x[i];
	}
	if (margin < 1)
		svm->b += rate * weight * y;
}
