// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/cli.h"

#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

/* Every option of every subcommand, once. The letter says which subcommands take it. */
struct spec {
	char letter;
	bool short_too; /* -n as well as --number */
	const char *name, *arg, *help;
};

static const struct spec specs[] = {
	{'s', true, "socket", "PATH", "the agent's socket (default " DRPC_CLI_SOCKET ")"},
	{'j', false, "json", NULL, "print JSON"},
	{'c', false, "csv", NULL, "print comma-separated values"},
	{'S', false, "since", "TIME", "look back this far, at most 64s (default: since the start)"},
	{'w', true, "watch", NULL, "draw again every second, until interrupted"},
	{'1', false, "once", NULL, "print one frame and end"},
	{'a', false, "applied", NULL, "only what was written"},
	{'n', true, "number", "N", "at most so many, the newest"},
	{'J', false, "journal", "PATH",
	 "journal to restore from without an agent (default " DRPC_CLI_JOURNAL ")"},
	{'o', true, "out", "FILE", "the recording; what is there is added to"},
	{'i', false, "interval", "TIME", "between two looks (default 1s)"},
	{'f', false, "for", "TIME", "how long (default: until interrupted)"},
	{'F', false, "format", "FORMAT", "text (default), json, docker, compose, kubectl or helm"},
	{'r', false, "cgroup-root", "PATH", "look at this part of the cgroup tree alone"},
	{'q', true, "quiet", NULL, "say nothing where there is nothing to do"},
	{'C', false, "color", "WHEN", "always, never or auto (default; NO_COLOR is respected)"},
	{'h', true, "help", NULL, "print this help"},
	{'V', true, "version", NULL, "print the version"},
};

#define COMMON "sjChV"

static bool takes(const struct drpc_command *command, char letter)
{
	return strchr(COMMON, letter) || strchr(command->options, letter);
}

static void print_help(const struct drpc_command *command)
{
	printf("usage: drpc %s [OPTION]...%s%s\n\n%s\n\n", command->name,
	       command->args[0] ? " " : "", command->args, command->summary);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(specs); i++) {
		char left[40], short_form[8] = "    ";

		if (!takes(command, specs[i].letter))
			continue;
		if (specs[i].short_too)
			snprintf(short_form, sizeof(short_form), "-%c, ", specs[i].letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", short_form, specs[i].name,
			 specs[i].arg ? " " : "", specs[i].arg ? specs[i].arg : "");
		printf("  %-24s %s\n", left, specs[i].help);
	}
	printf("\nExit status: 0 done, 1 failed, 2 wrong usage.\n");
}

static int usage(const struct drpc_command *command, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int usage(const struct drpc_command *command, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "drpc %s: ", command->name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "; see drpc %s --help\n", command->name);
	return DRPC_EXIT_USAGE;
}

bool drpc_cli_duration(const char *text, double *ret_sec)
{
	static const struct {
		const char *name;
		double sec;
	} units[] = {{"", 1}, {"s", 1}, {"ms", 1e-3}, {"m", 60}, {"min", 60}, {"h", 3600}};
	size_t digits = strspn(text, "0123456789.");
	char *end;
	double value = strtod(text, &end);

	if (digits == 0 || end != text + digits || !isfinite(value))
		return false;
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(units); i++) {
		if (strcmp(end, units[i].name) == 0 && value > 0) {
			*ret_sec = value * units[i].sec;
			return true;
		}
	}
	return false;
}

static bool is_format(const char *text)
{
	static const char *const formats[] = {"text",	 "json",    "docker",
					      "compose", "kubectl", "helm"};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(formats); i++) {
		if (strcmp(text, formats[i]) == 0)
			return true;
	}
	return false;
}

/* -1, or an exit status. */
static int take(const struct drpc_command *command, struct drpc_cli *cli, char letter,
		const char *arg, enum drpc_color_when *when)
{
	char *end;

	switch (letter) {
	case 's':
		cli->socket = arg;
		break;
	case 'j':
		cli->json = true;
		break;
	case 'c':
		cli->csv = true;
		break;
	case 'S':
		if (!drpc_cli_duration(arg, &cli->since_sec) || cli->since_sec > 64)
			return usage(command,
				     "--since %s: expected a time such as 30s, at most 64s", arg);
		break;
	case 'w':
		cli->watch = true;
		break;
	case '1':
		cli->once = true;
		break;
	case 'a':
		cli->applied = true;
		break;
	case 'n':
		cli->count = (unsigned int)strtoul(arg, &end, 10);
		if (*end != '\0' || arg[strspn(arg, "0123456789")] != '\0' || cli->count == 0)
			return usage(command, "--number %s: expected a whole number over 0", arg);
		break;
	case 'J':
		cli->journal = arg;
		break;
	case 'o':
		cli->out = arg;
		break;
	case 'i':
		if (!drpc_cli_duration(arg, &cli->interval_sec))
			return usage(command, "--interval %s: expected a time such as 1s", arg);
		break;
	case 'f':
		if (!drpc_cli_duration(arg, &cli->for_sec))
			return usage(command, "--for %s: expected a time such as 10m", arg);
		break;
	case 'F':
		if (!is_format(arg))
			return usage(
				command,
				"--format %s: expected text, json, docker, compose, kubectl or helm",
				arg);
		cli->format = arg;
		break;
	case 'r':
		cli->cgroup_root = arg;
		break;
	case 'q':
		cli->quiet = true;
		break;
	case 'C':
		if (!drpc_color_when_parse(arg, when))
			return usage(command, "--color %s: expected always, never or auto", arg);
		break;
	case 'h':
		print_help(command);
		return DRPC_EXIT_DONE;
	case 'V':
		printf("drpc %s\n", DRPC_VERSION);
		return DRPC_EXIT_DONE;
	}
	return -1;
}

int drpc_cli_parse(const struct drpc_command *command, int argc, char **argv, struct drpc_cli *cli)
{
	struct option options[DRPC_ARRAY_SIZE(specs) + 1] = {0};
	char shorts[2 * DRPC_ARRAY_SIZE(specs) + 2] = ":";
	enum drpc_color_when when = DRPC_COLOR_AUTO;
	size_t n = 0, s = 1;
	int letter, r;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(specs); i++) {
		if (!takes(command, specs[i].letter))
			continue;
		options[n++] = (struct option){specs[i].name,
					       specs[i].arg ? required_argument : no_argument, NULL,
					       specs[i].letter};
		if (specs[i].short_too) {
			shorts[s++] = specs[i].letter;
			if (specs[i].arg)
				shorts[s++] = ':';
		}
	}
	cli->socket = getenv("DRPC_SOCKET");
	if (!cli->socket)
		cli->socket = DRPC_CLI_SOCKET;
	cli->journal = DRPC_CLI_JOURNAL;
	optind = 0; /* getopt_long() from the start, also when called once more */
	while ((letter = getopt_long(argc, argv, shorts, options, NULL)) != -1) {
		if (letter == '?')
			return usage(command, "there is no option %s here", argv[optind - 1]);
		if (letter == ':')
			return usage(command, "%s needs a value", argv[optind - 1]);
		r = take(command, cli, (char)letter, optarg, &when);
		if (r >= 0)
			return r;
	}
	cli->args = argv + optind;
	cli->n_args = argc - optind;
	if (cli->n_args < command->min_args)
		return usage(command, "%s is missing", command->args);
	if (cli->n_args > command->max_args)
		return usage(command, "'%s' is one argument too many",
			     cli->args[command->max_args]);
	drpc_term_init(&cli->term, when);
	return -1;
}

int drpc_cli_fail(const char *command, const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "drpc %s: ", command);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return DRPC_EXIT_FAILED;
}

/* --- JSON ------------------------------------------------------------------------------------- */

void drpc_cli_print_json(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
	fflush(stdout);
}

double drpc_field_number(struct json_object *o, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(o, key, &value) ||
	    !(json_object_is_type(value, json_type_double) ||
	      json_object_is_type(value, json_type_int)))
		return 0;
	return json_object_get_double(value);
}

const char *drpc_field_string(struct json_object *o, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(o, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

bool drpc_field_bool(struct json_object *o, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(o, key, &value) && json_object_get_boolean(value);
}
