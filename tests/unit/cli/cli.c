// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/cli.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdlib.h>

#include "lib/util.h"

static const struct drpc_command hist = {.name = "hist",
					 .args = "CONTAINER",
					 .summary = "",
					 .options = "cSw",
					 .min_args = 1,
					 .max_args = 1};

static void quiet(void)
{
	cr_redirect_stderr();
	cr_redirect_stdout();
}

TestSuite(cli, .init = quiet);

/* Arguments behind "drpc", up to a NULL. */
static int parse(struct drpc_cli *cli, ...)
{
	static char *argv[16];
	va_list args;
	int argc = 0;

	va_start(args, cli);
	while ((argv[argc] = va_arg(args, char *)))
		argc++;
	va_end(args);
	memset(cli, 0, sizeof(*cli));
	return drpc_cli_parse(&hist, argc, argv, cli);
}

Test(cli, options_before_and_behind_arguments)
{
	struct drpc_cli cli;

	unsetenv("DRPC_SOCKET");
	cr_expect_eq(parse(&cli, "hist", "web", NULL), -1);
	cr_expect_str_eq(cli.socket, DRPC_CLI_SOCKET);
	cr_expect_eq(cli.n_args, 1);
	cr_expect_str_eq(cli.args[0], "web");
	cr_expect_eq(cli.since_sec, 0);

	cr_expect_eq(parse(&cli, "hist", "--since", "30s", "web", "--json", "-s", "/x", NULL), -1);
	cr_expect_str_eq(cli.args[0], "web");
	cr_expect_eq(cli.since_sec, 30);
	cr_expect(cli.json);
	cr_expect_str_eq(cli.socket, "/x");
	cr_expect_eq(parse(&cli, "hist", "--since=500ms", "--", "--web", NULL), -1);
	cr_expect_eq(cli.since_sec, 0.5);
	cr_expect_str_eq(cli.args[0], "--web");
	setenv("DRPC_SOCKET", "/env", 1);
	cr_expect_eq(parse(&cli, "hist", "web", NULL), -1);
	cr_expect_str_eq(cli.socket, "/env");
}

Test(cli, wrong_usage_is_2)
{
	struct drpc_cli cli;

	cr_expect_eq(parse(&cli, "hist", NULL), 2);
	cr_expect_eq(parse(&cli, "hist", "a", "b", NULL), 2);
	cr_expect_eq(parse(&cli, "hist", "a", "--nonsense", NULL), 2);
	cr_expect_eq(parse(&cli, "hist", "a", "--once", NULL), 2, "an option of another command");
	cr_expect_eq(parse(&cli, "hist", "a", "--since", NULL), 2);
	cr_expect_eq(parse(&cli, "hist", "a", "--since", "65s", NULL), 2);
	cr_expect_eq(parse(&cli, "hist", "a", "--since", "soon", NULL), 2);
	cr_expect_eq(parse(&cli, "hist", "a", "--color", "red", NULL), 2);
	cr_expect_eq(parse(&cli, "hist", "--help", NULL), 0);
	cr_expect_eq(parse(&cli, "hist", "--version", NULL), 0);
}

Test(cli, durations)
{
	static const char *const bad[] = {"",	 "s",	"-1s", "1d", "1 s",   "1e3", "inf",
					  "nan", "0x1", "0",   "0s", "1.5.5", "1ss"};
	double sec;

	cr_expect(drpc_cli_duration("30s", &sec) && sec == 30);
	cr_expect(drpc_cli_duration("30", &sec) && sec == 30);
	cr_expect(drpc_cli_duration("1.5m", &sec) && sec == 90);
	cr_expect(drpc_cli_duration("2h", &sec) && sec == 7200);
	cr_expect(drpc_cli_duration("250ms", &sec) && sec == 0.25);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++)
		cr_expect_not(drpc_cli_duration(bad[i], &sec), "%s", bad[i]);
}

Test(cli, fields_of_any_shape)
{
	struct json_object *o = json_tokener_parse(
		"{\"n\": 1.5, \"i\": 2, \"s\": \"x\", \"b\": true, \"z\": null}");

	cr_expect_eq(drpc_field_number(o, "n"), 1.5);
	cr_expect_eq(drpc_field_number(o, "i"), 2);
	cr_expect_eq(drpc_field_number(o, "s"), 0);
	cr_expect_eq(drpc_field_number(o, "none"), 0);
	cr_expect_eq(drpc_field_number(NULL, "n"), 0);
	cr_expect_str_eq(drpc_field_string(o, "s"), "x");
	cr_expect_str_eq(drpc_field_string(o, "n"), "");
	cr_expect_str_eq(drpc_field_string(o, "z"), "");
	cr_expect(drpc_field_bool(o, "b"));
	cr_expect_not(drpc_field_bool(o, "z"));
	json_object_put(o);
}
