// SPDX-License-Identifier: Apache-2.0
#include "nn/isa.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/isa_sets.h"

#if defined(__x86_64__)
static bool isa_has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool isa_has_avx512(void)
{
	return isa_has_avx2() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vl");
}
#endif

static bool isa_has_base(void)
{
	return true;
}

/* Best first. */
static const struct {
	const struct drpc_isa *isa;
	bool (*has)(void);
} isa_sets[] = {
#if defined(__x86_64__)
	{&drpc_isa_avx512, isa_has_avx512},
	{&drpc_isa_avx2, isa_has_avx2},
#endif
	{&drpc_isa_base, isa_has_base},
};

const struct drpc_isa *drpc_isa_named(const char *name)
{
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(isa_sets); i++) {
		if (!strcmp(isa_sets[i].isa->name, name))
			return isa_sets[i].has() ? isa_sets[i].isa : NULL;
	}
	return NULL;
}

static const struct drpc_isa *isa_choose(void)
{
	const char *wanted = getenv("DRPC_ISA");
	const struct drpc_isa *isa;

	if (wanted && *wanted) {
		isa = drpc_isa_named(wanted);
		if (isa)
			return isa;
		drpc_warn(
			"nn: this processor has no instruction set DRPC_ISA=%s (known: base, avx2, avx512), ignoring",
			wanted);
	}
	for (size_t i = 0;; i++) {
		if (isa_sets[i].has())
			return isa_sets[i].isa;
	}
}

const struct drpc_isa *drpc_isa(void)
{
	/* Two threads may both choose: they choose the same. */
	static _Atomic(const struct drpc_isa *) chosen;
	const struct drpc_isa *isa = atomic_load_explicit(&chosen, memory_order_relaxed);

	if (__builtin_expect(!isa, 0)) {
		isa = isa_choose();
		atomic_store_explicit(&chosen, isa, memory_order_relaxed);
	}
	return isa;
}
