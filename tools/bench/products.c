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

int bench_products_start(struct bench_product *products, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct bench_product *p = &products[i];

		p->a = operand(p->m * p->k);
		p->b = operand(p->k * p->n);
		p->c = operand(p->m * p->n);
		if (!p->a || !p->b || !p->c)
			return -ENOMEM;
		for (int way = 0; way < BENCH_WAYS; way++) {
			p->samples[way] = calloc(MAX_SAMPLES, sizeof(double));
			if (!p->samples[way])
				return -ENOMEM;
		}
	}
	return 0;
}

static void whole(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, const struct bench_product *p)
{
	const blasint m = (blasint)p->m, n = (blasint)p->n, k = (blasint)p->k;

	cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, 1.0f, p->a, ta == CblasTrans ? m : k, p->b,
		    tb == CblasTrans ? k : n, 0.0f, p->c, n);
}

static void run(enum way way, const struct bench_product *p)
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

		for (int way = 0; way < BENCH_WAYS && p->n_samples < MAX_SAMPLES; way++) {
			const int n_repeats = repeats(p);
			uint64_t begin;

			/* Once to have the operands where an update would find them. */
			run((enum way)way, p);
			begin = bench_thread_cpu_ns();
			for (int repeat = 0; repeat < n_repeats; repeat++)
				run((enum way)way, p);
			p->samples[way][p->n_samples] =
				(double)(bench_thread_cpu_ns() - begin) / 1e3 / n_repeats;
		}
		if (p->n_samples < MAX_SAMPLES)
			p->n_samples++;
	}
}

double bench_products_us(struct bench_product *products, size_t n, enum bench_ways ways)
{
	static const int ends[] = {
		[BENCH_WHOLE] = PIECES_NN, [BENCH_LIBRARY] = OWN_NN, [BENCH_ANY] = BENCH_WAYS};
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		double best = 1e300;

		for (int way = 0; way < ends[ways]; way++)
			best = DRPC_MIN(best, bench_median(products[i].samples[way],
							   products[i].n_samples));
		sum += best * (double)products[i].times;
	}
	return sum;
}

void bench_products_stop(struct bench_product *products, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(products[i].a);
		free(products[i].b);
		free(products[i].c);
		for (int way = 0; way < BENCH_WAYS; way++)
			free(products[i].samples[way]);
	}
}
