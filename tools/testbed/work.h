/* SPDX-License-Identifier: Apache-2.0 */
/* What a request costs: CPU time from a distribution, and memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/load/rng.h"

enum tb_dist_kind {
	TB_DIST_FIXED,
	TB_DIST_EXP,
	TB_DIST_LOGNORMAL, /* parameter: sigma */
	TB_DIST_PARETO,	   /* parameter: alpha > 1 */
};

struct tb_dist {
	enum tb_dist_kind kind;
	double parameter;
	double mean_ms;
	double cap;	 /* the largest value, as a multiple of the mean */
	double scale_ms; /* such that the capped distribution has the mean; tb_dist_prepare() */
};

/* "fixed", "exp", "lognormal:SIGMA", "pareto:ALPHA". Returns false for anything else. */
bool tb_dist_parse(struct tb_dist *dist, const char *text);

/* Computes the scale; the cap is to be above 1. */
void tb_dist_prepare(struct tb_dist *dist);

uint64_t tb_dist_draw_ns(const struct tb_dist *dist, struct drpc_rng *rng);

/*
 * Burns CPU time of the calling thread: throttling and preemption stretch the wall time, never the
 * work.
 */
void tb_burn(uint64_t cpu_ns);

/* A working set, touched once when it is made. */
struct tb_memory {
	char *base;
	size_t bytes;
};

/* Returns 0 or a negative errno. */
int tb_memory_init(struct tb_memory *memory, size_t bytes);
void tb_memory_release(struct tb_memory *memory);

/* Writes to each page of a part that begins at a random page. Thread-safe. */
void tb_memory_touch(const struct tb_memory *memory, size_t bytes, struct drpc_rng *rng);
