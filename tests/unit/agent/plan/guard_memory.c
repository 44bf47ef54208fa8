// SPDX-License-Identifier: Apache-2.0
/* Limits of memory: memory.high leads, memory.max follows. */
#include "tests/unit/agent/plan/guard_fixture.h"

TestSuite(guard_memory, .init = setup);

Test(guard_memory, a_memory_cut_that_stalls_is_undone)
{
	raw[DRPC_OUT_MEMORY] = -1;
	cr_expect_eq(act(), DRPC_VERDICT_ALLOW, "%s", v.reason);
	cr_expect_lt(request.limits.mem_max_bytes, 512 << 20);
	now += 200 * MSEC;
	observation.features[DRPC_F_MEM_PRESSURE] = 0.2f;
	cr_expect_eq(act(), DRPC_VERDICT_ROLLBACK);
	cr_expect_eq(request.limits.mem_max_bytes, 512 << 20);
	cr_expect_geq(request.limits.mem_high_bytes, (uint64_t)(0.89 * (512 << 20)));
}

Test(guard_memory, memory_is_led_by_high)
{
	/* Full of page cache: use is at the limit, the working set is small. */
	request.mem_use_bytes = 510 << 20;
	raw[DRPC_OUT_MEMORY] = -1;
	judge();
	cr_expect(v.write, "%s", v.reason);
	cr_expect_eq(v.limits.mem_max_bytes, 512 << 20, "max never under use and margin");
	cr_expect_eq(v.limits.mem_high_bytes / DRPC_MIB, 368, "high at 90%% of 409 MiB");
	/* The kernel has reclaimed; now max follows. */
	request.limits = v.limits;
	request.mem_use_bytes = 368 << 20;
	judge();
	cr_expect_lt(v.limits.mem_max_bytes, 512 << 20);
	cr_expect_geq(v.limits.mem_max_bytes, (uint64_t)(368 * 1.1 * DRPC_MIB));
	cr_expect_lt(v.limits.mem_high_bytes, 368 << 20);
}

Test(guard_memory, high_stays_over_the_working_set)
{
	request.mem_working_set_bytes = 400 << 20;
	request.mem_use_bytes = 400 << 20;
	raw[DRPC_OUT_MEMORY] = -1;
	judge();
	cr_expect_geq(v.limits.mem_high_bytes, 430ULL << 20);
	expect_reason("cut no lower than use and margin");
	request.mem_use_bytes = 0;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_REFUSE);
	expect_reason("use is not known");
}

Test(guard_memory, a_raise_of_memory_lowers_nothing)
{
	request.limits.mem_high_bytes = 100 << 20; /* somebody else's: the figure is 111 MiB */
	raw[DRPC_OUT_MEMORY] = 1;
	judge();
	cr_expect_eq(v.limits.mem_max_bytes, 512 << 20);
	cr_expect_eq(v.limits.mem_high_bytes / DRPC_MIB, 120);
	request.limits.mem_high_bytes = DRPC_UNLIMITED;
	judge();
	cr_expect_eq(v.limits.mem_high_bytes, DRPC_UNLIMITED);
	cr_expect_gt(v.limits.mem_max_bytes, 512 << 20);
}

Test(guard_memory, memory_that_is_not_managed_is_left_alone)
{
	policy.memory_managed = false;
	raw[DRPC_OUT_MEMORY] = -1;
	raw[DRPC_OUT_CPU] = 1;
	judge();
	cr_expect_eq(v.kind, DRPC_VERDICT_CLIP);
	expect_reason("memory-managed is false");
	cr_expect_eq(v.limits.mem_high_bytes, DRPC_UNLIMITED);
}
