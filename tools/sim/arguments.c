// SPDX-License-Identifier: Apache-2.0
#include <argp.h>
#include <stdlib.h>

#include "tools/sim/sim.h"

double sim_number(struct argp_state *state, const char *what, const char *arg, double least)
{
	char *end;
	const double value = strtod(arg, &end);

	if (end == arg || *end || !(value >= least && value <= 1e9))
		argp_error(state, "%s: '%s', expected a number from %g on", what, arg, least);
	return value;
}
