// SPDX-License-Identifier: Apache-2.0
#include "nn/isa.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "lib/log.h"

Test(isa, base_is_always_there)
{
	cr_assert_not_null(drpc_isa_named("base"));
	cr_assert_null(drpc_isa_named("mmx"));
	cr_assert_not_null(drpc_isa());
	cr_assert_eq(drpc_isa(), drpc_isa_named(drpc_isa()->name));
}

/* Each test is a process of its own, so that the choice is made afresh. */
Test(isa, can_be_held_down)
{
	setenv("DRPC_ISA", "base", 1);
	cr_assert_str_eq(drpc_isa()->name, "base");
}

Test(isa, unknown_names_are_ignored)
{
	drpc_log_set_level(DRPC_LOG_ERROR);
	setenv("DRPC_ISA", "mmx", 1);
	cr_assert_not_null(drpc_isa());
}
