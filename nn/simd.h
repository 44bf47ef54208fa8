/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Portable vectors for the kernels in nn/kernels_*.h: as wide as the object file's target allows.
 *
 * A kernel is one header, compiled once per instruction set by the small files nn/isa_*.c, which
 * mk/build.mk gives their own -m flags; nn/isa.c picks a set when the program starts. Include this
 * from those headers only: the width differs from one object file to the next.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define VF_LANES 16
#elif defined(__AVX2__) && defined(__FMA__)
#define VF_LANES 8
#else
#define VF_LANES 4
#endif

typedef float vf __attribute__((vector_size(4 * VF_LANES)));
typedef int32_t vi __attribute__((vector_size(4 * VF_LANES)));

/* A loop whose bound is known and whose array must live in registers: unroll it whole. */
#if defined(__clang__)
#define VF_UNROLL _Pragma("unroll")
#else
#define VF_UNROLL _Pragma("GCC unroll 16")
#endif

#define VF_INLINE static inline __attribute__((always_inline, unused))

VF_INLINE vf vf_load(const float *p)
{
	vf v;

	memcpy(&v, p, sizeof(v));
	return v;
}

VF_INLINE void vf_store(float *p, vf v)
{
	memcpy(p, &v, sizeof(v));
}

VF_INLINE vf vf_set(float x)
{
	return x - (vf){0};
}

/* The first n lanes (0 < n < VF_LANES) from memory, zeros behind them; nothing over p[n-1] is read. */
VF_INLINE vf vf_load_part(const float *p, size_t n)
{
#if VF_LANES == 16
	return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
	vf v = {0};

	for (size_t i = 0; i < n; i++)
		v[i] = p[i];
	return v;
#endif
}

VF_INLINE void vf_store_part(float *p, vf v, size_t n)
{
#if VF_LANES == 16
	_mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
	for (size_t i = 0; i < n; i++)
		p[i] = v[i];
#endif
}

VF_INLINE vf vf_sqrt(vf v)
{
#if VF_LANES == 16
	return (vf)_mm512_sqrt_ps((__m512)v);
#elif VF_LANES == 8
	return (vf)_mm256_sqrt_ps((__m256)v);
#else
	for (int i = 0; i < VF_LANES; i++)
		v[i] = __builtin_sqrtf(v[i]);
	return v;
#endif
}

/* Lanes of `a` where the mask is set, else of `b`. Masks are what comparisons give: 0 or -1. */
VF_INLINE vf vf_select(vi mask, vf a, vf b)
{
	return (vf)(((vi)a & mask) | ((vi)b & ~mask));
}

VF_INLINE vf vf_max(vf a, vf b)
{
	return vf_select(a > b, a, b);
}

VF_INLINE vf vf_min(vf a, vf b)
{
	return vf_select(a < b, a, b);
}

/* Sum of the lanes, pairwise: the same order whatever the compiler. */
VF_INLINE float vf_sum(vf v)
{
#if VF_LANES == 16
	v += __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
	v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
	v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
#elif VF_LANES == 8
	v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
	v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5);
#else
	v += __builtin_shufflevector(v, v, 2, 3, 0, 1);
#endif
	return v[0] + v[1];
}

/*
 * Transposes VF_LANES vectors: lane j of vector i and lane i of vector j change places. In log2 rounds,
 * each of which exchanges blocks of half the size of the round before.
 */
#if VF_LANES == 16
#define VF_LOW_8  0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define VF_HIGH_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define VF_LOW_4  0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define VF_HIGH_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define VF_LOW_2  0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define VF_HIGH_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define VF_LOW_1  0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define VF_HIGH_1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#elif VF_LANES == 8
#define VF_LOW_4  0, 1, 2, 3, 8, 9, 10, 11
#define VF_HIGH_4 4, 5, 6, 7, 12, 13, 14, 15
#define VF_LOW_2  0, 1, 8, 9, 4, 5, 12, 13
#define VF_HIGH_2 2, 3, 10, 11, 6, 7, 14, 15
#define VF_LOW_1  0, 8, 2, 10, 4, 12, 6, 14
#define VF_HIGH_1 1, 9, 3, 11, 5, 13, 7, 15
#else
#define VF_LOW_2  0, 1, 4, 5
#define VF_HIGH_2 2, 3, 6, 7
#define VF_LOW_1  0, 4, 2, 6
#define VF_HIGH_1 1, 5, 3, 7
#endif

#define VF_EXCHANGE(v, size)                                                                  \
	for (int i = 0; i < VF_LANES; i++) {                                                  \
		if (!(i & (size))) {                                                          \
			const vf low = (v)[i], high = (v)[i + (size)];                        \
                                                                                              \
			(v)[i] = __builtin_shufflevector(low, high, VF_LOW_##size);           \
			(v)[i + (size)] = __builtin_shufflevector(low, high, VF_HIGH_##size); \
		}                                                                             \
	}

VF_INLINE void vf_transpose(vf v[VF_LANES])
{
#if VF_LANES >= 16
	VF_EXCHANGE(v, 8)
#endif
#if VF_LANES >= 8
	VF_EXCHANGE(v, 4)
#endif
	VF_EXCHANGE(v, 2)
	VF_EXCHANGE(v, 1)
}

/* Nearest whole number, for |x| < 2^22: adding 1.5 * 2^23 leaves no bits for a fraction. */
VF_INLINE vf vf_round(vf x)
{
	const float magic = 12582912.0f;
	vf shifted = x + magic;

	return shifted - magic;
}

/*
 * exp(x) - 1 without loss for small x, for x in -87..88 (callers clamp); 2 ulp.
 * x = k ln2 + r, |r| <= ln2/2: exp(x) - 1 = 2^k (exp(r) - 1) + (2^k - 1), and exp(r) - 1 is a
 * Taylor series, whose first term left out, r^8/8!, is under a quarter ulp.
 */
VF_INLINE vf vf_expm1(vf x)
{
	const vf magic = vf_set(12582912.0f);
	/* As in vf_round(); the whole number also stands in the low bits, so that none is converted:
	 * converting NaN would be undefined. */
	vf shifted = x * 1.44269504f + magic;
	vf k = shifted - magic;
	/* ln2 in two parts: the first has so few bits that k * it is exact. */
	vf r = x - k * 0.693359375f;
	vi exponent;
	vf pow2, series;

	r += k * 2.12194440e-4f;
	series = r * (1.0f / 5040) + (1.0f / 720);
	series = series * r + (1.0f / 120);
	series = series * r + (1.0f / 24);
	series = series * r + (1.0f / 6);
	series = series * r + 0.5f;
	series = series * r * r + r;
	exponent = (vi)shifted - (vi)magic + 127;
	pow2 = (vf)(exponent << 23);
	return pow2 * series + (pow2 - 1.0f);
}

/* tanh(x), 3 ulp; exactly odd; NaN stays NaN. */
VF_INLINE vf vf_tanh(vf x)
{
	const vi sign = (vi)x & (vi)vf_set(-0.0f);
	vf twice = (vf)((vi)x ^ sign) * 2.0f;
	vf e;

	/* tanh is 1 to the last bit from 9.1 on. NaN compares false and passes. */
	twice = vf_select(twice > 20.0f, vf_set(20.0f), twice);
	e = vf_expm1(twice);
	return (vf)((vi)(e / (e + 2.0f)) | sign);
}

/* 1 / (1 + exp(-x)); clamped where it is 0 or 1 to single precision. NaN stays NaN. */
VF_INLINE vf vf_sigmoid(vf x)
{
	vf y = vf_select(x < -80.0f, vf_set(-80.0f), x);

	y = vf_select(y > 80.0f, vf_set(80.0f), y);
	return 1.0f / (2.0f + vf_expm1(-y));
}

/* ln(x) for normal x > 0; 3 ulp. x = 2^k m, m in sqrt(1/2)..sqrt(2); ln m = 2 artanh((m-1)/(m+1)). */
VF_INLINE vf vf_log(vf x)
{
	const vi offset = (vi)vf_set(0.70710678f);
	vi k = ((vi)x - offset) >> 23;
	vf m = (vf)((vi)x - (k << 23));
	vf s = (m - 1.0f) / (m + 1.0f);
	vf s2 = s * s;
	vf series = s2 * (1.0f / 11) + (1.0f / 9);

	series = series * s2 + (1.0f / 7);
	series = series * s2 + (1.0f / 5);
	series = series * s2 + (1.0f / 3);
	return __builtin_convertvector(k, vf) * 0.693147181f + 2.0f * (s + s * s2 * series);
}

/* cos and sin of 2 pi turn, for turn in 0..1; absolute error under 1e-7. */
VF_INLINE void vf_cos_sin(vf turn, vf *ret_cos, vf *ret_sin)
{
	vf quarters = vf_round(turn * 4.0f);
	vf a = (turn * 4.0f - quarters) * 1.57079633f;
	vf a2 = a * a;
	vi q = __builtin_convertvector(quarters, vi);
	vf s, c, x, y;

	s = a2 * (1.0f / 362880) - (1.0f / 5040);
	s = s * a2 + (1.0f / 120);
	s = s * a2 - (1.0f / 6);
	s = s * a2 * a + a;
	c = a2 * (1.0f / 40320) - (1.0f / 720);
	c = c * a2 + (1.0f / 24);
	c = c * a2 - 0.5f;
	c = c * a2 + 1.0f;
	/* A quarter turn swaps them, a half turn negates both. */
	x = vf_select((q & 1) != 0, -s, c);
	y = vf_select((q & 1) != 0, c, s);
	*ret_cos = vf_select((q & 2) != 0, -x, x);
	*ret_sin = vf_select((q & 2) != 0, -y, y);
}
