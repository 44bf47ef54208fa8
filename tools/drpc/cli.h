/* SPDX-License-Identifier: Apache-2.0 */
/* What the subcommands of drpc share: their table, the options, exit statuses. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "tools/drpc/term.h"

/* Exit statuses. */
#define DRPC_EXIT_DONE	 0
#define DRPC_EXIT_FAILED 1
#define DRPC_EXIT_USAGE	 2

#define DRPC_CLI_SOCKET	 "/run/drpc/agent.sock"
#define DRPC_CLI_JOURNAL "/var/lib/drpc/journal"

struct drpc_cli {
	const char *socket;
	const char *journal;
	const char *cgroup_root;      /* NULL: the whole mount */
	const char *format;	      /* of recommend; NULL: text */
	const char *out;	      /* record: NULL where not given */
	double since_sec;	      /* 0: since the start */
	double interval_sec, for_sec; /* record; 0: not given */
	unsigned int count;	      /* explain -n; 0: all */
	bool json, csv, watch, once, quiet, applied;
	struct drpc_term term;
	char **args; /* what is not an option */
	int n_args;
};

struct drpc_command {
	const char *name;
	const char *args;    /* as in the usage line, "CONTAINER" */
	const char *summary; /* one line */
	const char *options; /* the letters it takes besides the common ones, see cli.c */
	int min_args, max_args;
	int (*run)(struct drpc_cli *cli); /* an exit status */
};

int drpc_cmd_doctor(struct drpc_cli *cli);
int drpc_cmd_ls(struct drpc_cli *cli);
int drpc_cmd_top(struct drpc_cli *cli);
int drpc_cmd_hist(struct drpc_cli *cli);
int drpc_cmd_explain(struct drpc_cli *cli);
int drpc_cmd_edges(struct drpc_cli *cli);
int drpc_cmd_record(struct drpc_cli *cli);
int drpc_cmd_recommend(struct drpc_cli *cli);
int drpc_cmd_pause(struct drpc_cli *cli);
int drpc_cmd_resume(struct drpc_cli *cli);
int drpc_cmd_restore(struct drpc_cli *cli);

/*
 * Parses the options behind a subcommand's name into *cli (to be zeroed before). Returns -1 to go
 * on, or an exit status: --help and --version were answered, or the usage is wrong and was told.
 */
int drpc_cli_parse(const struct drpc_command *command, int argc, char **argv, struct drpc_cli *cli);

/* "30s", "1.5m", "2h", "500ms" or "30" (seconds); false where it is none of them or not over 0. */
bool drpc_cli_duration(const char *text, double *ret_sec);

/* "drpc NAME: text" on standard error; returns DRPC_EXIT_FAILED. */
int drpc_cli_fail(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Prints JSON, indented, with a newline. */
void drpc_cli_print_json(struct json_object *o);

/* Fields of an object: 0, "" and false where they are missing or of another type. */
double drpc_field_number(struct json_object *o, const char *key);
const char *drpc_field_string(struct json_object *o, const char *key);
bool drpc_field_bool(struct json_object *o, const char *key);
