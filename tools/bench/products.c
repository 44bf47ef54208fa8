// SPDX-License-Identifier: Apache-2.0
#include "tools/bench/products.h"

#include <cblas.h>
#include <errno.h>
#include <string.h>

#include "lib/util.h"
#include "nn/blas.h"
#include "tools/bench/bench.h"

#define MAX_SAMPLES 4096

/* In the order of enum bench_ways. */
enum way { WHOLE_NN, WHOLE_NT, WHOLE_TN, PIECES_NN, PIECES_TN, OWN_NN, OWN_NT, OWN_TN };

static float *operand(size_t n)
{
	float *x = aligned_alloc(64, (n * sizeof(*x) + 63) / 64 * 64);

	for (size_t i = 0; x && i < n; i++)
		x[i] = (float)(i % 17) * 0.1f - 0.8f;
	return x;
}

static size_t align16(size_t floats)
{
	return (floats + 15) / 16 * 16;
}

/* Floats of the two operands that are activations. */
static size_t shared_floats(const struct bench_product *p)
{
	const size_t other = p->weights == BENCH_B ? p->m * p->n : p->k * p->n;

	return align16(p->m * p->k) + align16(other);
}

int bench_products_start(struct bench_product *products, size_t n)
{
	size_t most = 0;
	float *shared;

	for (size_t i = 0; i < n; i++)
		most = DRPC_MAX(most, shared_floats(&products[i]));
	shared = operand(most);
	for (size_t i = 0; i < n; i++) {
		struct bench_product *p = &products[i];

		p->shared = shared;
		p->own_floats = align16(p->weights == BENCH_B ? p->k * p->n : p->m * p->n);
		p->own = operand(p->nets * p->own_floats);
		if (!shared || !p->own)
			return -ENOMEM;
		for (int way = 0; way < BENCH_WAYS; way++) {
			p->samples[way] = calloc(MAX_SAMPLES, sizeof(double));
			if (!p->samples[way])
				return -ENOMEM;
		}
	}
	return 0;
}

struct operands {
	size_t m, n, k;
	float *a, *b, *c;
};

/* The operands of a product's occurrence i. */
static struct operands operands_of(const struct bench_product *p, size_t i)
{
	float *own = p->own + i % p->nets * p->own_floats;
	float *second = p->shared + align16(p->m * p->k);

	return (struct operands){
		.m = p->m,
		.n = p->n,
		.k = p->k,
		.a = p->shared,
		.b = p->weights == BENCH_B ? own : second,
		.c = p->weights == BENCH_B ? second : own,
	};
}

static void whole(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, const struct operands *p)
{
	const blasint m = (blasint)p->m, n = (blasint)p->n, k = (blasint)p->k;

	cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, 1.0f, p->a, ta == CblasTrans ? m : k, p->b,
		    tb == CblasTrans ? k : n, 0.0f, p->c, n);
}

static void run(enum way way, const struct operands *p)
{
	switch (way) {
	case WHOLE_NN:
		whole(CblasNoTrans, CblasNoTrans, p);
		break;
	case WHOLE_NT:
		whole(CblasNoTrans, CblasTrans, p);
		break;
	case WHOLE_TN:
		whole(CblasTrans, CblasNoTrans, p);
		break;
	case PIECES_NN:
		drpc_blas_gemm(DRPC_GEMM_NN, p->m, p->n, p->k, p->a, p->k, p->b, p->n, 0.0f, p->c,
			       p->n);
		break;
	case PIECES_TN:
		drpc_blas_gemm(DRPC_GEMM_TN, p->m, p->n, p->k, p->a, p->m, p->b, p->n, 0.0f, p->c,
			       p->n);
		break;
	case OWN_NN:
		drpc_gemm_nn(p->m, p->n, p->k, p->a, p->k, p->b, p->n, 0.0f, p->c, p->n);
		break;
	case OWN_NT:
		drpc_gemm_nt(p->m, p->n, p->k, p->a, p->k, p->b, p->k, 0.0f, p->c, p->n);
		break;
	case OWN_TN:
		drpc_gemm_tn(p->m, p->n, p->k, p->a, p->m, p->b, p->n, 0.0f, p->c, p->n);
		break;
	}
}

/* So often that reading the thread's clock, a system call, is under a percent. */
static int repeats(const struct bench_product *p)
{
	const double us = 2e-5 * (double)(p->m * p->n * p->k); /* at 100 GFLOP/s */

	return (int)DRPC_CLAMP(50.0 / us, 1.0, 100.0);
}

void bench_products_round(struct bench_product *products, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct bench_product *p = &products[i];
		const struct operands first = operands_of(p, 0);

		for (int way = 0; way < BENCH_WAYS && p->n_samples < MAX_SAMPLES; way++) {
			const int n_repeats = repeats(p);
			uint64_t begin;

			/* Once to have the operands in cache. */
			run((enum way)way, &first);
			begin = bench_thread_cpu_ns();
			for (int repeat = 0; repeat < n_repeats; repeat++)
				run((enum way)way, &first);
			p->samples[way][p->n_samples] =
				(double)(bench_thread_cpu_ns() - begin) / 1e3 / n_repeats;
		}
		if (p->n_samples < MAX_SAMPLES)
			p->n_samples++;
	}
}

/* Ways before this one, by enum bench_ways. */
static const int way_ends[] = {
	[BENCH_WHOLE] = PIECES_NN, [BENCH_LIBRARY] = OWN_NN, [BENCH_ANY] = BENCH_WAYS};

static enum way fastest(struct bench_product *p, enum bench_ways ways, double *ret_us)
{
	enum way best = WHOLE_NN;

	*ret_us = 1e300;
	for (int way = 0; way < way_ends[ways]; way++) {
		const double us = bench_median(p->samples[way], p->n_samples);

		if (us < *ret_us) {
			*ret_us = us;
			best = (enum way)way;
		}
	}
	return best;
}

double bench_products_us(struct bench_product *products, size_t n, enum bench_ways ways)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		double us;

		fastest(&products[i], ways, &us);
		sum += us * (double)products[i].times;
	}
	return sum;
}

void bench_products_choose(struct bench_product *products, size_t n)
{
	double us;

	for (size_t i = 0; i < n; i++)
		products[i].best = fastest(&products[i], BENCH_LIBRARY, &us);
}

double bench_products_pass_us(struct bench_product *products, size_t n)
{
	const uint64_t begin = bench_thread_cpu_ns();

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < products[i].times; k++) {
			const struct operands at = operands_of(&products[i], k);

			run((enum way)products[i].best, &at);
		}
	}
	return (double)(bench_thread_cpu_ns() - begin) / 1e3;
}

void bench_products_stop(struct bench_product *products, size_t n)
{
	if (n > 0)
		free(products[0].shared);
	for (size_t i = 0; i < n; i++) {
		free(products[i].own);
		for (int way = 0; way < BENCH_WAYS; way++)
			free(products[i].samples[way]);
	}
}
