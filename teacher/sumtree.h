/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums over a binary tree, for drawing with probability proportional to a weight in logarithmic
 * time. Inner nodes are always the sums of their children, so that the tree is a function of its
 * leaves alone, whatever the order in which they were set.
 */
#pragma once

#include <stddef.h>

struct drpc_sumtree {
	size_t n;     /* leaves */
	size_t first; /* index of leaf 0 in nodes; a power of two */
	double *nodes;
};

/* -ENOMEM (logged). All leaves are 0. */
int drpc_sumtree_new(struct drpc_sumtree *ret, size_t n);
void drpc_sumtree_done(struct drpc_sumtree *tree);

void drpc_sumtree_set(struct drpc_sumtree *tree, size_t leaf, double weight);

static inline double drpc_sumtree_get(const struct drpc_sumtree *tree, size_t leaf)
{
	return tree->nodes[tree->first + leaf];
}

static inline double drpc_sumtree_total(const struct drpc_sumtree *tree)
{
	return tree->nodes[1];
}

/* The leaf under which `at` (0 <= at < total) falls. Never one of weight 0 while total > 0. */
size_t drpc_sumtree_find(const struct drpc_sumtree *tree, double at);
