// SPDX-License-Identifier: Apache-2.0
#include "teacher/sumtree.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/log.h"

int drpc_sumtree_new(struct drpc_sumtree *ret, size_t n)
{
	size_t first = 1;
	double *nodes;

	while (first < n)
		first *= 2;
	nodes = calloc(2 * first, sizeof(*nodes));
	if (!nodes)
		return drpc_err(-ENOMEM, "sumtree: %zu leaves", n);
	*ret = (struct drpc_sumtree){.n = n, .first = first, .nodes = nodes};
	return 0;
}

void drpc_sumtree_done(struct drpc_sumtree *tree)
{
	free(tree->nodes);
	*tree = (struct drpc_sumtree){0};
}

void drpc_sumtree_set(struct drpc_sumtree *tree, size_t leaf, double weight)
{
	size_t i = tree->first + leaf;

	tree->nodes[i] = weight;
	for (i /= 2; i >= 1; i /= 2)
		tree->nodes[i] = tree->nodes[2 * i] + tree->nodes[2 * i + 1];
}

size_t drpc_sumtree_find(const struct drpc_sumtree *tree, double at)
{
	size_t i = 1;

	while (i < tree->first) {
		const double left = tree->nodes[2 * i];

		/* Rounding may leave `at` beyond the last weight: an empty side is never entered. */
		if (at < left || !(tree->nodes[2 * i + 1] > 0)) {
			i = 2 * i;
		} else {
			at -= left;
			i = 2 * i + 1;
		}
	}
	return i - tree->first;
}
