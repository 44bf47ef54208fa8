// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/agent/api/fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "agent/control.h"
#include "agent/monitor/series.h"
#include "lib/hist.h"
#include "lib/util.h"
#include "tests/lib/roster_ops.h"

/* --- the agent -------------------------------------------------------------------------------- */

static void gone(struct drpc_container *container, void *arg)
{
	struct drpc_agent *agent = arg;

	drpc_api_gone(agent->api, container);
	drpc_series_free(&container->series);
}

static void deployment_gone(struct drpc_deployment *deployment, void *arg)
{
	(void)arg;
	drpc_control_free(&deployment->control);
}

struct drpc_container *fixture_container(struct drpc_agent *agent, const char *name)
{
	static uint64_t next_id;
	struct drpc_container *c = NULL;
	char id[80], path[128];

	next_id++;
	snprintf(id, sizeof(id), "%064llx", 0x123456789ULL * next_id);
	snprintf(path, sizeof(path), "/docker/%s", id);
	cr_assert_eq(drpc_roster_add(
			     agent->roster,
			     &(struct drpc_cgroup_found){
				     .path = path, .id = id, .cgroup_id = next_id, .runtime = true},
			     &c),
		     1);
	cr_assert_eq(
		drpc_roster_describe(agent->roster, c, &(struct drpc_container_info){.name = name}),
		0);
	cr_assert_eq(drpc_series_new(&c->series), 0);
	return c;
}

void fixture_traffic(struct drpc_container *container, uint64_t count, uint64_t total_ns)
{
	static const uint64_t window_ns = 200 * DRPC_NSEC_PER_MSEC;
	struct drpc_cgroup_counters cg = *drpc_series_counters(container->series);
	const struct drpc_total *total = drpc_series_total(container->series);
	static const struct drpc_slot_shard nothing;
	static const struct drpc_total none;
	uint64_t now = drpc_now_ns();
	struct drpc_slot_shard slot = {0};

	cg.valid = DRPC_CG_CPU | DRPC_CG_THROTTLE | DRPC_CG_PSI_CPU | DRPC_CG_PSI_MEM |
		   DRPC_CG_MEM | DRPC_CG_OOM;
	if (!total) {
		drpc_series_push(container->series, now - 2 * window_ns, &nothing, &cg);
		total = &none;
	}
	/* Counters go on from where they stand. */
	slot.seen = total->seen + count;
	slot.turns = total->turns + count;
	memcpy(slot.dropped, total->dropped, sizeof(total->dropped));
	for (size_t k = 0; k < DRPC_HIST_COUNT; k++) {
		slot.sum_ns[k] = total->sum_ns[k];
		for (size_t b = 0; b < DRPC_HIST_BUCKETS; b++)
			slot.hist[k][b] = (uint32_t)total->hist[k][b];
	}
	slot.hist[DRPC_HIST_TOTAL][drpc_hist_index(total_ns)] += count;
	slot.hist[DRPC_HIST_QUEUE][drpc_hist_index(total_ns / 4 * 3)] += count;
	slot.hist[DRPC_HIST_SERVICE][drpc_hist_index(total_ns / 4)] += count;
	slot.hist[DRPC_HIST_SEND][0] += count;
	slot.sum_ns[DRPC_HIST_TOTAL] += count * total_ns;
	slot.sum_ns[DRPC_HIST_QUEUE] += count * (total_ns / 4 * 3);
	slot.sum_ns[DRPC_HIST_SERVICE] += count * (total_ns / 4);
	cg.cpu_usage_usec += 50000;
	cg.nr_periods += 2;
	cg.nr_throttled += 1;
	cg.cpu_some_usec += 20000;
	cg.mem_current_bytes = 64 * DRPC_MIB;
	cg.mem_working_set_bytes = 48 * DRPC_MIB;
	cr_assert_eq(drpc_series_push(container->series, now, &slot, &cg), 0);
}

struct drpc_agent *fixture_agent(void)
{
	static const struct drpc_label labels[] = {{"drpc.mode", "act"}};
	struct drpc_agent *agent = calloc(1, sizeof(*agent));
	const struct drpc_roster_ops ops = {.track = roster_track,
					    .untrack = roster_untrack,
					    .policy = roster_policy,
					    .gone = gone,
					    .deployment_gone = deployment_gone,
					    .arg = agent};
	char folder[] = "/tmp/drpc-test-XXXXXX";
	struct drpc_container *web, *idle;
	struct drpc_control *control;

	cr_assert(agent && mkdtemp(folder));
	snprintf(agent->config.socket, sizeof(agent->config.socket), "%s/agent.sock", folder);
	cr_assert_eq(drpc_loop_new(DRPC_LOOP_EPOLL, &agent->loop), 0);
	cr_assert_eq(drpc_roster_new(&ops, &agent->roster), 0);
	agent->started_realtime_ns = drpc_realtime_ns();
	agent->config.node_mcpu = 4000;
	web = fixture_container(agent, "web-1");
	idle = fixture_container(agent, "web-2");
	for (size_t i = 0; i < 2; i++)
		drpc_roster_describe(agent->roster, i ? idle : web,
				     &(struct drpc_container_info){.name = i ? "web-2" : "web-1",
								   .deployment = "shop/web",
								   .labels = labels,
								   .label_count = 1});
	fixture_container(agent, "we\"ird\\\n");
	fixture_traffic(web, 1000, 4 * DRPC_NSEC_PER_MSEC);

	control = calloc(1, sizeof(*control));
	control->limits = (struct drpc_limits){.cpu_quota_usec = 50000,
					       .cpu_period_usec = 100000,
					       .mem_high_bytes = DRPC_UNLIMITED,
					       .mem_max_bytes = 128 * DRPC_MIB};
	control->limits_known = true;
	drpc_strcpy(control->last_action, sizeof(control->last_action),
		    "CPU 0.40 -> 0.50: throttled");
	web->deployment->control = control;
	return agent;
}

void fixture_free(struct drpc_agent **agent)
{
	char *slash;

	drpc_api_free(&(*agent)->api);
	drpc_roster_free(&(*agent)->roster);
	drpc_loop_free(&(*agent)->loop);
	slash = strrchr((*agent)->config.socket, '/');
	*slash = '\0';
	cr_expect_eq(rmdir((*agent)->config.socket), 0, "something was left in the folder");
	free(*agent);
	*agent = NULL;
}

/* --- a client, on a thread of its own --------------------------------------------------------- */

struct call {
	const char *socket;
	const char *bytes;
	size_t size;
	char *reply;
	size_t reply_size;
	int wake; /* ends the loop */
};

static void *client_thread(void *arg)
{
	struct call *call = arg;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const struct timeval timeout = {.tv_sec = 20};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ssize_t n;

	drpc_strcpy(addr.sun_path, sizeof(addr.sun_path), call->socket);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	call->reply = calloc(1, 1);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0) {
		size_t sent = 0;

		while (sent < call->size &&
		       (n = send(fd, call->bytes + sent, call->size - sent, MSG_NOSIGNAL)) > 0)
			sent += (size_t)n;
		do {
			call->reply = realloc(call->reply, call->reply_size + 65537);
			n = recv(fd, call->reply + call->reply_size, 65536, 0);
			if (n > 0)
				call->reply_size += (size_t)n;
		} while (n > 0);
		call->reply[call->reply_size] = '\0';
	}
	close(fd);
	(void)!write(call->wake, "x", 1);
	return NULL;
}

static void on_wake(struct drpc_source *source, uint32_t events, void *arg)
{
	(void)source;
	(void)events;
	drpc_loop_stop(arg, 0);
}

char *fixture_raw(struct drpc_agent *agent, const char *bytes, size_t size, int *ret_status)
{
	struct call call = {.socket = agent->config.socket, .bytes = bytes, .size = size};
	struct drpc_source *source = NULL;
	pthread_t thread;
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	call.wake = fds[1];
	cr_assert_eq(drpc_loop_add_fd(agent->loop, fds[0], 1 /* POLLIN */, on_wake, agent->loop,
				      &source),
		     0);
	cr_assert_eq(pthread_create(&thread, NULL, client_thread, &call), 0);
	cr_assert_eq(drpc_loop_run(agent->loop), 0);
	pthread_join(thread, NULL);
	drpc_loop_remove(agent->loop, &source);
	close(fds[0]);
	close(fds[1]);
	*ret_status = strncmp(call.reply, "HTTP/1.1 ", 9) == 0 ? atoi(call.reply + 9) : 0;
	return call.reply;
}

int fixture_get(struct drpc_agent *agent, const char *path, char **ret_body)
{
	char request[1024];
	char *reply, *body;
	int status, n;

	n = snprintf(request, sizeof(request),
		     "GET %s HTTP/1.1\r\nHost: drpc\r\nConnection: close\r\n\r\n", path);
	reply = fixture_raw(agent, request, (size_t)n, &status);
	body = strstr(reply, "\r\n\r\n");
	*ret_body = strdup(body ? body + 4 : "");
	free(reply);
	return status;
}
