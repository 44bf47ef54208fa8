/* SPDX-License-Identifier: Apache-2.0 */
/* drpc-sim: one sub-command a file. */
#pragma once

/* Each gets its own arguments, argv[0] being its name; returns an exit status: 0 done, 1 failed,
 * 2 wrong usage. */
struct sim_command {
	const char *name;
	const char *help; /* one line */
	int (*run)(int argc, char **argv);
};
