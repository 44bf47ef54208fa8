// SPDX-License-Identifier: Apache-2.0
#include "tools/testbed/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/testbed/settings.h"

const char tb_options_help[] =
	"Usage: drpc-testbed [OPTION]...\n"
	"Plays an HTTP/1.1 service. Each option is also read from the environment: --cpu-ms 2 is\n"
	"DRPC_TESTBED_CPU_MS=2; options that may be repeated take blank-separated lists there, and\n"
	"those without a value yes or no. Times are numbers with ns, us, ms, s, m or h.\n"
	"\n"
	"Service:\n"
	"  --listen [ADDRESS:]PORT     default 0.0.0.0:8080; [IPV6]:PORT\n"
	"  --workers N                 requests served at once (default 4); more wait in the sockets\n"
	"  --backlog N                 of connections not accepted yet (default 128)\n"
	"  --max-connections N         more wait in the backlog (default 10000)\n"
	"  --reuse-port                share the port with another instance\n"
	"\n"
	"Work for each request (W):\n"
	"  --cpu-ms X                  mean CPU time (default 0)\n"
	"  --cpu-dist KIND             fixed (default), exp, lognormal:SIGMA, pareto:ALPHA\n"
	"  --cpu-cap X                 largest CPU time, in means (default 100); the mean stays\n"
	"  --sleep-ms X                wait off the CPU\n"
	"  --memory-touch-kib N        written to in the working set (default 64)\n"
	"  --memory-per-request-kib N  allocated and held while it is served\n"
	"  --error-rate P              share of 500 answers, 0 to 1\n"
	"  --response-bytes N          length of the body (default 2)\n"
	"  --call URL                  downstream call; may be repeated; a failure gives 502 or 504\n"
	"  --call-optional URL         downstream call that the answer does without\n"
	"  --parallel                  calls at once instead of one after the other\n"
	"  --route /PATH:W=V,...       other work for a path and what lies below it, by the names\n"
	"                              of the options marked W, calls=N (only the first N calls) and\n"
	"                              optional-calls=N: /buy:cpu-ms=8,calls=1; may be repeated\n"
	"\n"
	"Process:\n"
	"  --memory-mib N              working set, touched at the start (default 0)\n"
	"  --call-timeout TIME         for each call (default 1s)\n"
	"  --call-reuse TIME           age at which a call's connection is replaced (default 5s)\n"
	"  --client-timeout TIME       for a request to arrive, a response to be taken (default 10s)\n"
	"  --keepalive TIME            of an idle connection (default 60s)\n"
	"  --max-body-bytes N          of a request (default 1048576)\n"
	"  --drain TIME                idle connections are kept so long after SIGTERM (default 1s)\n"
	"  --seed N                    default 1\n"
	"  --help, --version\n"
	"\n"
	"/healthz answers 200 (503 while draining), /stats counts as JSON. SIGTERM: no new\n"
	"connections, requests under way are finished, exit status 0.\n";

enum {
	OPT_HELP = 256,
	OPT_VERSION,
	OPT_FIRST, /* + index of the setting */
};

static void set_defaults(struct tb_reader *reader)
{
	struct tb_options *o = reader->options;
	struct sockaddr_in *in = (struct sockaddr_in *)&o->listen;

	*o = (struct tb_options){
		.listen_len = sizeof(*in),
		.listen_text = "8080",
		.workers = 4,
		.backlog = 128,
		.max_connections = 10000,
		.max_body_bytes = DRPC_MIB,
		.seed = 1,
		.call_timeout_ns = DRPC_NSEC_PER_SEC,
		.call_reuse_ns = 5 * DRPC_NSEC_PER_SEC,
		.client_timeout_ns = 10 * DRPC_NSEC_PER_SEC,
		.keepalive_ns = 60 * DRPC_NSEC_PER_SEC,
		.drain_ns = DRPC_NSEC_PER_SEC,
	};
	in->sin_family = AF_INET;
	in->sin_port = htons(8080);
	reader->general = (struct tb_work){
		.cpu = {.cap = 100},
		.touch_bytes = 64UL * 1024,
		.response_bytes = 2,
	};
	reader->work = &reader->general;
}

/* cpu-ms → DRPC_TESTBED_CPU_MS */
static void variable_name(char *name, size_t size, const char *setting)
{
	snprintf(name, size, "DRPC_TESTBED_%s", setting);
	for (char *c = name; *c; c++)
		*c = (char)(*c == '-' ? '_' : toupper((unsigned char)*c));
}

static int read_environment(struct tb_reader *reader)
{
	reader->env = true;
	for (unsigned int i = 0; i < tb_setting_count; i++) {
		char name[64];
		const char *value;
		int err;

		if (tb_settings[i].scope == TB_ROUTE_ONLY)
			continue;
		variable_name(name, sizeof(name), tb_settings[i].name);
		value = getenv(name);
		if (!value)
			continue;
		reader->source = name;
		err = tb_settings[i].set(reader, value);
		if (err)
			return err;
	}
	reader->env = false;
	return 0;
}

static int read_flags(struct tb_reader *reader, int argc, char **argv)
{
	struct option options[64] = {{"help", no_argument, NULL, OPT_HELP},
				     {"version", no_argument, NULL, OPT_VERSION}};
	unsigned int count = 2;
	int option;

	for (unsigned int i = 0; i < tb_setting_count; i++) {
		if (tb_settings[i].scope != TB_ROUTE_ONLY)
			options[count++] =
				(struct option){tb_settings[i].name, tb_settings[i].argument, NULL,
						OPT_FIRST + (int)i};
	}
	optind = 1;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		const struct tb_setting *setting;
		char source[64];
		int err;

		if (option == OPT_HELP || option == 'h') {
			reader->options->help = true;
			continue;
		}
		if (option == OPT_VERSION) {
			reader->options->version = true;
			continue;
		}
		if (option < OPT_FIRST)
			return -EINVAL;
		setting = &tb_settings[option - OPT_FIRST];
		snprintf(source, sizeof(source), "--%s", setting->name);
		reader->source = source;
		err = setting->set(reader, optarg ? optarg : "yes");
		if (err)
			return err;
	}
	if (optind < argc) {
		drpc_error("%s: expected options only", argv[optind]);
		return -EINVAL;
	}
	return 0;
}

/* NAME=VALUE of a route; NAME alone for those without a value. */
static int read_pair(struct tb_reader *reader, const char *path, char *pair)
{
	char *value = strchr(pair, '=');
	char source[128];

	if (value)
		*value++ = '\0';
	for (unsigned int i = 0; i < tb_setting_count; i++) {
		const struct tb_setting *setting = &tb_settings[i];

		if (setting->scope == TB_PROCESS || strcmp(setting->name, pair) != 0)
			continue;
		if (!value && setting->argument != no_argument)
			break;
		snprintf(source, sizeof(source), "--route %.60s: %s", path, pair);
		reader->source = source;
		return setting->set(reader, value ? value : "yes");
	}
	drpc_error("--route %s: '%s': expected NAME=VALUE with an option for the work of a "
		   "request, calls=N or optional-calls=N",
		   path, pair);
	return -EINVAL;
}

/* "/PATH:NAME=VALUE,…" */
static int read_route(struct tb_reader *reader, const char *text)
{
	struct tb_options *o = reader->options;
	struct tb_route *route = &o->routes[o->route_count];
	_cleanup_free_ char *copy = strdup(text);
	char *rest, *pair;
	int err = 0;

	if (!copy)
		return -ENOMEM;
	rest = strchr(copy, ':');
	if (!rest || copy[0] != '/' || rest == copy + 1) {
		drpc_error("--route %s: expected /PATH:NAME=VALUE,...", text);
		return -EINVAL;
	}
	*rest++ = '\0';
	route->path = strdup(copy);
	if (!route->path)
		return -ENOMEM;
	o->route_count++;
	route->path_len = strlen(route->path);
	route->work = reader->general;
	reader->work = &route->work;
	reader->own_calls = false;
	while (!err && (pair = strsep(&rest, ",")))
		err = read_pair(reader, route->path, pair);
	reader->work = &reader->general;
	tb_dist_prepare(&route->work.cpu);
	return err;
}

static int read_all(struct tb_reader *reader, int argc, char **argv)
{
	struct tb_options *o = reader->options;
	struct tb_route *rest;
	int err;

	err = read_environment(reader);
	if (!err)
		err = read_flags(reader, argc, argv);
	if (err || o->help || o->version)
		return err;
	tb_dist_prepare(&reader->general.cpu);
	for (unsigned int i = 0; !err && i < reader->route_count; i++)
		err = read_route(reader, reader->routes[i]);
	if (err)
		return err;
	rest = &o->routes[o->route_count];
	rest->path = strdup("/");
	if (!rest->path)
		return -ENOMEM;
	rest->path_len = 1;
	rest->work = reader->general;
	o->route_count++;
	return 0;
}

int tb_options_parse(struct tb_options *options, int argc, char **argv)
{
	struct tb_reader reader = {.options = options};

	set_defaults(&reader);
	return read_all(&reader, argc, argv);
}

void tb_options_release(struct tb_options *options)
{
	for (unsigned int i = 0; i < options->call_count; i++)
		free(options->calls[i].head);
	for (unsigned int i = 0; i < options->route_count; i++)
		free(options->routes[i].path);
	free(options->env_routes);
	memset(options, 0, sizeof(*options));
}

const struct tb_route *tb_options_route(const struct tb_options *options, const char *path,
					size_t len)
{
	const struct tb_route *best = &options->routes[options->route_count - 1];

	for (unsigned int i = 0; i + 1 < options->route_count; i++) {
		const struct tb_route *r = &options->routes[i];

		if (len < r->path_len || memcmp(path, r->path, r->path_len) != 0)
			continue;
		/* /buy holds /buy, /buy/x and /buy?x, not /buyer. */
		if (len > r->path_len && r->path[r->path_len - 1] != '/' &&
		    path[r->path_len] != '/' && path[r->path_len] != '?')
			continue;
		if (r->path_len > best->path_len)
			best = r;
	}
	return best;
}
