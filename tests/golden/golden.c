// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/golden.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "lib/util.h"

struct golden {
	char *data;
	size_t bytes;
	/* What golden_get() gave out: names leave the data unaligned, so that it copies. */
	float *given[1024];
	size_t n_given;
};

struct golden *golden_open(const char *name)
{
	struct golden *golden = calloc(1, sizeof(*golden));
	char path[128];
	ssize_t n;

	snprintf(path, sizeof(path), "tests/golden/data/%s", name);
	n = drpc_read_file_at(AT_FDCWD, path, 1 << 24, &golden->data);
	cr_assert_gt(n, 8, "cannot read %s: run from the root of the tree", path);
	cr_assert_eq(memcmp(golden->data, "DRPCGOLD", 8), 0, "%s is no golden file", path);
	golden->bytes = (size_t)n;
	return golden;
}

void golden_close(struct golden *golden)
{
	for (size_t i = 0; i < golden->n_given; i++)
		free(golden->given[i]);
	free(golden->data);
	free(golden);
}

static uint32_t word(const struct golden *golden, size_t *at)
{
	uint32_t value;

	cr_assert_leq(*at + 4, golden->bytes);
	memcpy(&value, golden->data + *at, 4);
	*at += 4;
	return value;
}

const float *golden_get(struct golden *golden, size_t n, const char *fmt, ...)
{
	char name[128];
	va_list args;
	size_t at = 8;

	va_start(args, fmt);
	vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	while (at < golden->bytes) {
		const uint32_t length = word(golden, &at);
		const char *found = golden->data + at;
		size_t size = 1;
		float *copy;

		at += length;
		for (uint32_t dims = word(golden, &at); dims > 0; dims--)
			size *= word(golden, &at);
		cr_assert_leq(at + 4 * size, golden->bytes);
		if (length == strlen(name) && memcmp(found, name, length) == 0) {
			cr_assert_eq(size, n, "%s has %zu numbers, expected %zu", name, size, n);
			cr_assert_lt(golden->n_given, DRPC_ARRAY_SIZE(golden->given));
			copy = malloc(4 * size);
			golden->given[golden->n_given++] = copy;
			memcpy(copy, golden->data + at, 4 * size);
			return copy;
		}
		at += 4 * size;
	}
	cr_assert_fail("there is no tensor '%s'", name);
	return NULL;
}

void golden_near(size_t n, const float *got, const float *want, double tolerance, const char *fmt,
		 ...)
{
	double error = 0, size = 1e-300;
	char name[128];
	va_list args;

	va_start(args, fmt);
	vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	for (size_t i = 0; i < n; i++) {
		error += pow((double)got[i] - (double)want[i], 2);
		size += pow((double)want[i], 2);
	}
	cr_assert(sqrt(error / size) <= tolerance, "%s is off by %g of its norm, allowed %g", name,
		  sqrt(error / size), tolerance);
}

void golden_transpose(size_t out, size_t in, const float *w, float *ret, size_t ld)
{
	for (size_t o = 0; o < out; o++) {
		for (size_t i = 0; i < in; i++)
			ret[i * ld + o] = w[o * in + i];
	}
}
