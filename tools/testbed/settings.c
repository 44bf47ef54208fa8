// SPDX-License-Identifier: Apache-2.0
#include "tools/testbed/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/load/units.h"

static int complain(const struct tb_reader *reader, const char *value, const char *form)
{
	drpc_error("%s %s: expected %s", reader->source, value, form);
	return -EINVAL;
}

static int take_u64(const struct tb_reader *reader, const char *value, uint64_t min, uint64_t max,
		    uint64_t *ret)
{
	char form[64];

	if (drpc_parse_u64(value, min, max, ret))
		return 0;
	snprintf(form, sizeof(form), "a number from %lu to %lu", (unsigned long)min,
		 (unsigned long)max);
	return complain(reader, value, form);
}

static int take_uint(const struct tb_reader *reader, const char *value, uint64_t min, uint64_t max,
		     unsigned int *ret)
{
	uint64_t n = 0;
	int err = take_u64(reader, value, min, max, &n);

	if (!err)
		*ret = (unsigned int)n;
	return err;
}

static int take_time(const struct tb_reader *reader, const char *value, uint64_t *ret)
{
	return drpc_parse_duration_ns(value, ret) ? 0 : complain(reader, value, DRPC_DURATION_FORM);
}

static int take_flag(const struct tb_reader *reader, const char *value, bool *ret)
{
	static const char *const yes[] = {"yes", "true", "on", "1"};
	static const char *const no[] = {"no", "false", "off", "0"};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(yes); i++) {
		if (!strcmp(value, yes[i]) || !strcmp(value, no[i])) {
			*ret = !strcmp(value, yes[i]);
			return 0;
		}
	}
	return complain(reader, value, "yes or no");
}

static bool listen_address(struct tb_options *o, const char *host, const char *port)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&o->listen;
	struct sockaddr_in *in = (struct sockaddr_in *)&o->listen;
	uint64_t n;

	if (!drpc_parse_u64(port, 0, 65535, &n))
		return false;
	memset(&o->listen, 0, sizeof(o->listen));
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)n);
		o->listen_len = sizeof(*in);
		return true;
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)n);
		o->listen_len = sizeof(*in6);
		return true;
	}
	return false;
}

static int set_listen(struct tb_reader *reader, const char *value)
{
	static const char form[] = "[ADDRESS:]PORT with a numeric address (8080, 127.0.0.1:8080, "
				   "[::]:8080)";
	struct tb_options *o = reader->options;
	char host[64] = "0.0.0.0";
	const char *colon = strrchr(value, ':'), *port = colon ? colon + 1 : value;

	if (colon && colon > value) {
		bool bracket = value[0] == '[' && colon[-1] == ']';

		snprintf(host, sizeof(host), "%.*s", (int)(colon - value) - 2 * bracket,
			 value + bracket);
	}
	if (!listen_address(o, host, port))
		return complain(reader, value, form);
	drpc_strcpy(o->listen_text, sizeof(o->listen_text), value);
	return 0;
}

static int set_workers(struct tb_reader *reader, const char *value)
{
	return take_uint(reader, value, 1, 4096, &reader->options->workers);
}

static int set_backlog(struct tb_reader *reader, const char *value)
{
	return take_uint(reader, value, 1, 65535, &reader->options->backlog);
}

static int set_max_connections(struct tb_reader *reader, const char *value)
{
	return take_uint(reader, value, 1, 1000000, &reader->options->max_connections);
}

static int set_reuse_port(struct tb_reader *reader, const char *value)
{
	return take_flag(reader, value, &reader->options->reuse_port);
}

static int set_cpu_ms(struct tb_reader *reader, const char *value)
{
	if (!drpc_parse_number(value, 0, 1e6, &reader->work->cpu.mean_ms))
		return complain(reader, value, "milliseconds from 0");
	return 0;
}

static int set_cpu_dist(struct tb_reader *reader, const char *value)
{
	if (!tb_dist_parse(&reader->work->cpu, value))
		return complain(reader, value,
				"fixed, exp, lognormal:SIGMA (0.001 to 5) or pareto:ALPHA (1.001 "
				"to 100)");
	return 0;
}

static int set_cpu_cap(struct tb_reader *reader, const char *value)
{
	if (!drpc_parse_number(value, 1.1, 1e6, &reader->work->cpu.cap))
		return complain(reader, value, "a multiple of the mean from 1.1");
	return 0;
}

static int set_sleep_ms(struct tb_reader *reader, const char *value)
{
	double ms;

	if (!drpc_parse_number(value, 0, 1e6, &ms))
		return complain(reader, value, "milliseconds from 0");
	reader->work->sleep_ns = (uint64_t)(ms * 1e6);
	return 0;
}

static int take_kib(const struct tb_reader *reader, const char *value, uint64_t *ret)
{
	uint64_t kib = 0;
	int err = take_u64(reader, value, 0, 1ULL << 30, &kib);

	if (!err)
		*ret = kib * 1024;
	return err;
}

static int set_touch(struct tb_reader *reader, const char *value)
{
	return take_kib(reader, value, &reader->work->touch_bytes);
}

static int set_per_request(struct tb_reader *reader, const char *value)
{
	return take_kib(reader, value, &reader->work->request_bytes);
}

static int set_error_rate(struct tb_reader *reader, const char *value)
{
	if (!drpc_parse_number(value, 0, 1, &reader->work->error_rate))
		return complain(reader, value, "a share from 0 to 1");
	return 0;
}

static int set_response_bytes(struct tb_reader *reader, const char *value)
{
	return take_u64(reader, value, 0, 1ULL << 32, &reader->work->response_bytes);
}

static int set_parallel(struct tb_reader *reader, const char *value)
{
	return take_flag(reader, value, &reader->work->parallel);
}

static int make_head(struct tb_call_spec *spec, const char *path)
{
	int n = asprintf(&spec->head,
			 "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: drpc-testbed/%s\r\n", path,
			 spec->target.host_header, DRPC_VERSION);

	if (n < 0) {
		spec->head = NULL;
		return -ENOMEM;
	}
	spec->head_len = (size_t)n;
	return 0;
}

static int add_call(struct tb_reader *reader, const char *url, bool optional)
{
	struct tb_options *o = reader->options;
	struct tb_call_spec *spec = &o->calls[o->call_count];
	_cleanup_free_ char *path = NULL;
	int err;

	if (o->call_count == TB_CALLS_MAX)
		return complain(reader, url, "at most 64 calls in all");
	err = drpc_target_parse(&spec->target, reader->source, url, &path);
	if (!err)
		err = make_head(spec, path);
	if (err)
		return err;
	spec->optional = optional;
	reader->work->calls[reader->work->call_count++] = o->call_count++;
	return 0;
}

/* A list in the environment, one URL in a flag or route; a route's own calls replace the rest. */
static int set_calls(struct tb_reader *reader, const char *value, bool optional)
{
	_cleanup_free_ char *copy = strdup(value);
	char *rest = copy, *word;
	int err = copy ? 0 : -ENOMEM;
	bool route = reader->work != &reader->general;

	if (route ? !reader->own_calls : reader->from_env_calls && !reader->env) {
		reader->work->call_count = 0;
		reader->from_env_calls = false;
	}
	reader->own_calls |= route;
	reader->from_env_calls |= reader->env;
	while (!err && (word = strsep(&rest, " "))) {
		if (*word || !reader->env)
			err = add_call(reader, word, optional);
	}
	return err;
}

static int set_call(struct tb_reader *reader, const char *value)
{
	return set_calls(reader, value, false);
}

static int set_call_optional(struct tb_reader *reader, const char *value)
{
	return set_calls(reader, value, true);
}

/* Keeps the first N calls of a kind. */
static int limit_calls(struct tb_reader *reader, const char *value, bool optional)
{
	struct tb_work *work = reader->work;
	unsigned int limit, kept = 0, seen = 0;
	int err = take_uint(reader, value, 0, TB_CALLS_MAX, &limit);

	if (err)
		return err;
	for (unsigned int i = 0; i < work->call_count; i++) {
		unsigned int call = work->calls[i];

		if (reader->options->calls[call].optional != optional || seen++ < limit)
			work->calls[kept++] = call;
	}
	if (seen < limit)
		return complain(reader, value, "no more calls than there are");
	work->call_count = kept;
	return 0;
}

static int limit_required(struct tb_reader *reader, const char *value)
{
	return limit_calls(reader, value, false);
}

static int limit_optional(struct tb_reader *reader, const char *value)
{
	return limit_calls(reader, value, true);
}

static int set_route(struct tb_reader *reader, const char *value)
{
	char *rest, *word;
	int err = 0;

	if (reader->from_env_routes && !reader->env) {
		reader->route_count = 0;
		reader->from_env_routes = false;
	}
	if (!reader->env) {
		if (reader->route_count == TB_ROUTES_MAX)
			return complain(reader, value, "at most 64 routes");
		reader->routes[reader->route_count++] = value;
		return 0;
	}
	rest = strdup(value);
	if (!rest)
		return -ENOMEM;
	reader->options->env_routes = rest;
	reader->from_env_routes = true;
	while (!err && (word = strsep(&rest, " "))) {
		if (*word && reader->route_count == TB_ROUTES_MAX)
			err = complain(reader, value, "at most 64 routes");
		else if (*word)
			reader->routes[reader->route_count++] = word;
	}
	return err;
}

static int set_memory_mib(struct tb_reader *reader, const char *value)
{
	uint64_t mib = 0;
	int err = take_u64(reader, value, 0, 1 << 20, &mib);

	if (!err)
		reader->options->memory_bytes = mib * DRPC_MIB;
	return err;
}

static int set_call_timeout(struct tb_reader *reader, const char *value)
{
	return take_time(reader, value, &reader->options->call_timeout_ns);
}

static int set_call_reuse(struct tb_reader *reader, const char *value)
{
	return take_time(reader, value, &reader->options->call_reuse_ns);
}

static int set_client_timeout(struct tb_reader *reader, const char *value)
{
	return take_time(reader, value, &reader->options->client_timeout_ns);
}

static int set_keepalive(struct tb_reader *reader, const char *value)
{
	return take_time(reader, value, &reader->options->keepalive_ns);
}

static int set_max_body(struct tb_reader *reader, const char *value)
{
	return take_u64(reader, value, 0, 1ULL << 40, &reader->options->max_body_bytes);
}

static int set_drain(struct tb_reader *reader, const char *value)
{
	return take_time(reader, value, &reader->options->drain_ns);
}

static int set_seed(struct tb_reader *reader, const char *value)
{
	return take_u64(reader, value, 0, UINT64_MAX, &reader->options->seed);
}

const struct tb_setting tb_settings[] = {
	{"listen", set_listen, TB_PROCESS, required_argument},
	{"workers", set_workers, TB_PROCESS, required_argument},
	{"backlog", set_backlog, TB_PROCESS, required_argument},
	{"max-connections", set_max_connections, TB_PROCESS, required_argument},
	{"reuse-port", set_reuse_port, TB_PROCESS, no_argument},
	{"cpu-ms", set_cpu_ms, TB_WORK, required_argument},
	{"cpu-dist", set_cpu_dist, TB_WORK, required_argument},
	{"cpu-cap", set_cpu_cap, TB_WORK, required_argument},
	{"sleep-ms", set_sleep_ms, TB_WORK, required_argument},
	{"memory-touch-kib", set_touch, TB_WORK, required_argument},
	{"memory-per-request-kib", set_per_request, TB_WORK, required_argument},
	{"error-rate", set_error_rate, TB_WORK, required_argument},
	{"response-bytes", set_response_bytes, TB_WORK, required_argument},
	{"parallel", set_parallel, TB_WORK, no_argument},
	{"call", set_call, TB_WORK, required_argument},
	{"call-optional", set_call_optional, TB_WORK, required_argument},
	{"calls", limit_required, TB_ROUTE_ONLY, required_argument},
	{"optional-calls", limit_optional, TB_ROUTE_ONLY, required_argument},
	{"route", set_route, TB_PROCESS, required_argument},
	{"memory-mib", set_memory_mib, TB_PROCESS, required_argument},
	{"call-timeout", set_call_timeout, TB_PROCESS, required_argument},
	{"call-reuse", set_call_reuse, TB_PROCESS, required_argument},
	{"client-timeout", set_client_timeout, TB_PROCESS, required_argument},
	{"keepalive", set_keepalive, TB_PROCESS, required_argument},
	{"max-body-bytes", set_max_body, TB_PROCESS, required_argument},
	{"drain", set_drain, TB_PROCESS, required_argument},
	{"seed", set_seed, TB_PROCESS, required_argument},
};
const unsigned int tb_setting_count = DRPC_ARRAY_SIZE(tb_settings);
