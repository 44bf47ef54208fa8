// SPDX-License-Identifier: Apache-2.0
#include "tools/testbed/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/load/rng.h"

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

int tb_service_init(struct tb_service *service, const struct tb_options *options)
{
	int err;

	memset(service, 0, sizeof(*service));
	service->options = options;
	err = tb_memory_init(&service->memory, options->memory_bytes);
	if (err)
		return drpc_err(err, "--memory-mib %lu: cannot map the working set",
				(unsigned long)(options->memory_bytes / DRPC_MIB));
	err = tb_resolver_new(options, &service->resolver);
	if (err) {
		tb_memory_release(&service->memory);
		return drpc_err(err, "cannot set up the downstream calls");
	}
	return 0;
}

void tb_service_release(struct tb_service *service)
{
	tb_resolver_free(&service->resolver);
	tb_memory_release(&service->memory);
}

const char *tb_status_phrase(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 408:
		return "Request Timeout";
	case 413:
		return "Content Too Large";
	case 414:
		return "URI Too Long";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 501:
		return "Not Implemented";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Unknown";
	}
}

/* --- the answers that cost nothing ---------------------------------------------------------- */

static void text_answer(struct tb_answer *answer, int status, const char *text)
{
	answer->status = status;
	answer->type = "text/plain";
	answer->text = strdup(text);
}

static void print_calls(FILE *out, struct tb_stats *stats)
{
	fputs("\"calls\":{", out);
	for (unsigned int i = 0; i < TB_CALL_OUTCOMES; i++)
		fprintf(out, "%s\"%s\":%" PRIu64, i ? "," : "", tb_outcome_names[i],
			atomic_load(&stats->calls[i]));
	fputs("},", out);
}

/* Paths come from the command line: what JSON would want escaped is left out. */
static void print_routes(FILE *out, const struct tb_service *service)
{
	fputs("\"routes\":{", out);
	for (unsigned int i = 0; i < service->options->route_count; i++) {
		fprintf(out, "%s\"", i ? "," : "");
		for (const char *c = service->options->routes[i].path; *c; c++) {
			if ((unsigned char)*c >= ' ' && *c != '"' && *c != '\\')
				fputc(*c, out);
		}
		fprintf(out, "\":%" PRIu64, atomic_load(&service->stats.routes[i]));
	}
	fputs("}}\n", out);
}

static void stats_answer(struct tb_service *service, struct tb_answer *answer)
{
	struct tb_stats *s = &service->stats;
	const struct {
		const char *name;
		_Atomic uint64_t *value;
	} counters[] = {
		{"requests", &s->requests},
		{"ok", &s->ok},
		{"injected_errors", &s->injected},
		{"no_memory", &s->no_memory},
		{"bad_gateway", &s->bad_gateway},
		{"gateway_timeout", &s->gateway_timeout},
		{"degraded", &s->degraded},
		{"bad_requests", &s->bad_requests},
		{"slow_requests", &s->slow_requests},
		{"broken_answers", &s->broken_answers},
		{"busy", &s->busy},
		{"connections", &s->connections},
		{"accepted", &s->accepted},
	};
	size_t len;
	FILE *out = open_memstream(&answer->text, &len);

	if (!out) {
		text_answer(answer, 503, "no memory\n");
		return;
	}
	fputc('{', out);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(counters); i++)
		fprintf(out, "\"%s\":%" PRIu64 ",", counters[i].name,
			atomic_load(counters[i].value));
	fprintf(out, "\"cpu_ms\":%.3f,", (double)atomic_load(&s->cpu_ns) / 1e6);
	print_calls(out, s);
	print_routes(out, service);
	fclose(out);
	answer->status = answer->text ? 200 : 503;
	answer->type = "application/json";
}

/* --- work ----------------------------------------------------------------------------------- */

static void sleep_ns(uint64_t ns)
{
	struct timespec ts = {(time_t)(ns / DRPC_NSEC_PER_SEC), (long)(ns % DRPC_NSEC_PER_SEC)};

	while (ns && nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* A required call that failed decides the answer; the first of several gives the reason. */
static void judge_calls(struct tb_service *service, const struct tb_work *work,
			const enum tb_outcome *outcomes, unsigned int made,
			struct tb_answer *answer)
{
	for (unsigned int i = 0; i < made; i++) {
		count(&service->stats.calls[outcomes[i]], 1);
		if (outcomes[i] == TB_CALL_OK)
			continue;
		if (service->options->calls[work->calls[i]].optional) {
			answer->missing++;
		} else if (!answer->reason) {
			answer->reason = tb_outcome_names[outcomes[i]];
			answer->status = outcomes[i] == TB_CALL_TIMEOUT ? 504 : 502;
		}
	}
}

static void count_answer(struct tb_stats *stats, const struct tb_answer *answer)
{
	if (answer->status == 502)
		count(&stats->bad_gateway, 1);
	else if (answer->status == 504)
		count(&stats->gateway_timeout, 1);
	else if (answer->status == 200)
		count(&stats->ok, 1);
	if (answer->status == 200 && answer->missing)
		count(&stats->degraded, 1);
}

static void do_work(struct tb_service *service, struct tb_caller *caller,
		    const struct tb_work *work, const char *user, struct tb_answer *answer)
{
	uint64_t number = atomic_fetch_add(&service->sequence, 1);
	struct drpc_rng rng = drpc_rng_stream(service->options->seed, number);
	uint64_t cpu_ns = tb_dist_draw_ns(&work->cpu, &rng);
	bool fail = work->error_rate > 0 && drpc_rng_uniform(&rng) <= work->error_rate;
	enum tb_outcome outcomes[TB_CALLS_MAX];
	struct tb_memory own;
	unsigned int made;

	answer->status = 200;
	answer->type = "text/plain";
	answer->body_len = work->response_bytes;
	if (tb_memory_init(&own, work->request_bytes)) {
		count(&service->stats.no_memory, 1);
		text_answer(answer, 500, "no memory for the request\n");
		return;
	}
	tb_memory_touch(&service->memory, work->touch_bytes, &rng);
	tb_burn(cpu_ns);
	count(&service->stats.cpu_ns, cpu_ns);
	sleep_ns(work->sleep_ns);
	made = tb_caller_run(caller, work, user, outcomes);
	judge_calls(service, work, outcomes, made, answer);
	tb_memory_release(&own);
	if (answer->status == 200 && fail) {
		count(&service->stats.injected, 1);
		answer->status = 500;
	}
	count_answer(&service->stats, answer);
	if (answer->status != 200)
		text_answer(answer, answer->status,
			    answer->reason ? "downstream call failed\n" : "injected error\n");
}

static bool path_is(const struct tb_request *request, const char *path)
{
	size_t n = strlen(path);

	return request->path_len >= n && !memcmp(request->path, path, n) &&
	       (request->path_len == n || request->path[n] == '?');
}

void tb_service_handle(struct tb_service *service, struct tb_caller *caller,
		       const struct tb_request *request, struct tb_answer *answer)
{
	const struct tb_options *options = service->options;
	const struct tb_route *route;

	*answer = (struct tb_answer){0};
	if (path_is(request, "/healthz")) {
		bool draining = atomic_load(&service->draining);

		text_answer(answer, draining ? 503 : 200, draining ? "draining\n" : "ok\n");
		return;
	}
	if (path_is(request, "/stats")) {
		stats_answer(service, answer);
		return;
	}
	route = tb_options_route(options, request->path, request->path_len);
	count(&service->stats.requests, 1);
	count(&service->stats.routes[route - options->routes], 1);
	count(&service->stats.busy, 1);
	do_work(service, caller, &route->work, request->user, answer);
	atomic_fetch_sub_explicit(&service->stats.busy, 1, memory_order_relaxed);
}
