/* SPDX-License-Identifier: Apache-2.0 */
/* drpc-sim: one sub-command a file, a table of them in main.c; what they share. */
#pragma once

#include "sim/sim.h"

struct argp_state;
struct drpc_schedule;
struct json_object;

/* Each gets its own arguments, argv[0] being its name; returns an exit status: 0 done, 1 failed,
 * 2 wrong usage. */
struct sim_command {
	const char *name;
	const char *help; /* one line */
	int (*run)(int argc, char **argv);
};

int sim_check(int argc, char **argv);
int sim_evaluate(int argc, char **argv);
int sim_compare(int argc, char **argv);
int sim_tune(int argc, char **argv);
int sim_fit(int argc, char **argv);
int sim_forecast(int argc, char **argv);
int sim_import(int argc, char **argv);
int sim_generate(int argc, char **argv);
int sim_train(int argc, char **argv);

/* --- arguments.c -------------------------------------------------------------------------------- */

/* A number from `least` to 1e9; ends the program with the usage otherwise, naming the option `what`. */
double sim_number(struct argp_state *state, const char *what, const char *arg, double least);

/* --- policies.c --------------------------------------------------------------------------------- */

/* All policies by name, the last one NULL. */
extern const struct drpc_sim_policy *const sim_policies[];

/* NULL, logged with the names there are, for one that is not there. */
const struct drpc_sim_policy *sim_policy_find(const char *name);

/* --- report.c ----------------------------------------------------------------------------------- */

/* What was run, as `evaluate` objects name it. */
struct sim_case {
	const char *policy, *app, *trace;
	uint64_t seed;
	double wall_seconds;
	const struct drpc_sim_watch *watch; /* of the run */
};

/* One object with the keys that docs/simulator.md lists; the caller puts it. */
struct json_object *sim_result_json(const struct sim_case *c, const struct drpc_sim_result *r);
double sim_process_mib(void); /* the most memory that this process ever had */
void sim_result_print(const struct sim_case *c, const struct drpc_sim_result *r);

/* --- load.c ------------------------------------------------------------------------------------- */

/* A schedule's pieces as the simulator takes them; the caller frees. NULL without memory. */
struct drpc_sim_piece *sim_pieces(const struct drpc_schedule *schedule);

/* The rates of a file, one line a second; the caller frees. Returns what drpc_schedule_load() does. */
int sim_trace_pieces(const char *path, struct drpc_sim_piece **ret, size_t *ret_n);

/*
 * Weights of the request classes from `query=60,buyer=25`; those not named get none. The caller
 * frees *ret (pieces × classes). Returns 0, -EINVAL (logged) or -ENOMEM.
 */
int sim_mix(const struct drpc_sim_app *app, const char *spec, size_t pieces, double **ret);
