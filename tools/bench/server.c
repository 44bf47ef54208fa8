// SPDX-License-Identifier: Apache-2.0
#include "tools/bench/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/monitor/discover.h"
#include "lib/log.h"
#include "lib/util.h"
#include "tools/bench/exchange.h"

/* What each kind is asked, and what it is told first. */
static const struct {
	const char *name, *request, *prepare;
	bool nginx;
} kinds[] = {
	[SERVER_NGINX] = {.name = "nginx",
			  .nginx = true,
			  .request = "GET /x HTTP/1.1\r\nHost: bench\r\n\r\n"},
	[SERVER_NGINX_GZIP] = {.name = "nginx_gzip",
			       .nginx = true,
			       .request = "GET /large HTTP/1.1\r\nHost: bench\r\n"
					  "Accept-Encoding: gzip\r\n\r\n"},
	[SERVER_REDIS] = {.name = "redis",
			  .request = "*2\r\n$3\r\nGET\r\n$1\r\nx\r\n",
			  .prepare = "SET x 01234567890123456789012345678901234567890123456789"
				     "01234567890123\r\n"},
	[SERVER_REDIS_BITCOUNT] = {.name = "redis_bitcount",
				   .request = "BITCOUNT x\r\n",
				   .prepare = "SETRANGE x 131071 1\r\n"},
};

const char *server_name(enum server_kind kind)
{
	return kinds[kind].name;
}

static int free_port(uint16_t *ret)
{
	struct sockaddr_in where = {.sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(where);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&where, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&where, &len) < 0)
		return -errno;
	*ret = ntohs(where.sin_port);
	return 0;
}

static int write_file(const char *folder, const char *name, const char *text)
{
	_cleanup_free_ char *path = NULL;
	FILE *f;

	if (asprintf(&path, "%s/%s", folder, name) < 0)
		return -ENOMEM;
	f = fopen(path, "we");
	if (!f)
		return -errno;
	fputs(text, f);
	return fclose(f) == 0 ? 0 : -errno;
}

static int write_nginx_config(const struct server *server)
{
	_cleanup_free_ char *text = NULL;
	char large[4097] = "";
	int r;

	/* One worker, no access log, keep-alive without end: as a benchmark would. */
	if (asprintf(
		    &text,
		    "daemon off; user root; worker_processes 1; pid %s/pid; error_log %s/error.log;\n"
		    "events { worker_connections 4096; }\n"
		    "http { access_log off; keepalive_requests 1000000000; sendfile on;\n"
		    " open_file_cache max=16 inactive=1h;\n"
		    " gzip on; gzip_min_length 1000; gzip_types *;\n"
		    " server { listen 127.0.0.1:%u reuseport backlog=4096; root %s; } }\n",
		    server->folder, server->folder, server->port, server->folder) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(large) - 1; i++)
		large[i] = (char)(' ' + (i * i / 7 + i) % 64);
	r = write_file(server->folder, "nginx.conf", text);
	if (r == 0)
		r = write_file(server->folder, "x", "0123456789012345678901234567890123456789\n");
	return r < 0 ? r : write_file(server->folder, "large", large);
}

void server_parent_cgroup(const char *mount, char *ret, size_t size)
{
	snprintf(ret, size, "%.256s/drpc-bench-%d", mount, (int)getpid());
}

static int make_cgroup(struct server *server)
{
	struct drpc_discover discover;
	struct stat st;
	int r;

	r = drpc_discover_init(&discover, NULL);
	if (r < 0)
		return r;
	server_parent_cgroup(discover.mount, server->parent, sizeof(server->parent));
	snprintf(server->cgroup, sizeof(server->cgroup), "%s/%s", server->parent,
		 server_name(server->kind));
	if ((mkdir(server->parent, 0755) < 0 && errno != EEXIST) ||
	    (mkdir(server->cgroup, 0755) < 0 && errno != EEXIST) || stat(server->cgroup, &st) < 0)
		return drpc_err(-errno, "bench: cgroup %s", server->cgroup);
	server->cgroup_id = st.st_ino;
	return 0;
}

/* In the child: into the cgroup, onto the CPU, quiet, and away with the parent. */
static void become_server(const struct server *server, int cpu)
{
	_cleanup_free_ char *procs = NULL, *config = NULL;
	char port[8];
	cpu_set_t set;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (asprintf(&procs, "%s/cgroup.procs", server->cgroup) < 0 ||
	    drpc_write_file_at(AT_FDCWD, procs, "0") < 0)
		_exit(126);
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	snprintf(port, sizeof(port), "%u", server->port);
	if (kinds[server->kind].nginx) {
		if (asprintf(&config, "%s/nginx.conf", server->folder) > 0)
			execlp("nginx", "nginx", "-c", config, "-p", server->folder, NULL);
	} else {
		execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1",
		       "--save", "", "--appendonly", "no", "--maxclients", "1000", "--dir",
		       server->folder, NULL);
	}
	_exit(127);
}

/* nginx answers from its worker, the only child of what was started. */
static pid_t answering_pid(const struct server *server)
{
	_cleanup_free_ char *path = NULL, *children = NULL;

	if (!kinds[server->kind].nginx)
		return server->root_pid;
	if (asprintf(&path, "/proc/%d/task/%d/children", server->root_pid, server->root_pid) < 0 ||
	    drpc_read_file_at(AT_FDCWD, path, 4096, &children) <= 0)
		return 0;
	return (pid_t)strtol(children, NULL, 10);
}

static int wait_until_it_answers(struct server *server)
{
	int r = -ETIMEDOUT;

	for (int i = 0; i < 100 && r < 0; i++) {
		size_t ignored;

		usleep(50000);
		if (waitpid(server->root_pid, NULL, WNOHANG) == server->root_pid) {
			server->root_pid = 0;
			return drpc_err(-ECHILD, "bench: %s ended at once (is it installed?)",
					server_name(server->kind));
		}
		if (kinds[server->kind].prepare &&
		    exchange_response_len(server->port, kinds[server->kind].prepare,
					  strlen(kinds[server->kind].prepare), &ignored) < 0)
			continue;
		r = exchange_response_len(server->port, server->request, server->request_len,
					  &server->response_len);
		server->pid = answering_pid(server);
	}
	return r < 0 || server->pid == 0 ? drpc_err(-ETIMEDOUT, "bench: %s does not answer",
						    server_name(server->kind))
					 : 0;
}

int server_start(enum server_kind kind, int cpu, struct server *ret)
{
	struct server server = {.kind = kind, .folder = "/tmp/drpc-bench-XXXXXX"};
	int r;

	server.request = kinds[kind].request;
	server.request_len = strlen(server.request);
	r = free_port(&server.port);
	if (r < 0)
		return r;
	if (!mkdtemp(server.folder))
		return -errno;
	r = make_cgroup(&server);
	if (r == 0 && kinds[kind].nginx)
		r = write_nginx_config(&server);
	if (r == 0) {
		server.root_pid = fork();
		if (server.root_pid == 0)
			become_server(&server, cpu);
		r = server.root_pid > 0 ? wait_until_it_answers(&server) : -errno;
	}
	if (r < 0) {
		server_stop(&server);
		return r;
	}
	*ret = server;
	return 0;
}

void server_stop(struct server *server)
{
	_cleanup_free_ char *command = NULL;

	if (server->root_pid > 0) {
		kill(server->root_pid, SIGTERM);
		for (int i = 0; i < 40 && waitpid(server->root_pid, NULL, WNOHANG) == 0; i++)
			usleep(50000);
		kill(server->root_pid, SIGKILL);
	}
	/* The folder is ours, from mkdtemp(). NOLINTNEXTLINE(cert-env33-c) */
	if (asprintf(&command, "rm -rf '%s'", server->folder) > 0 && system(command) != 0)
		drpc_warn("bench: cannot remove %s, ignoring", server->folder);
	for (int i = 0; i < 20 && rmdir(server->cgroup) < 0 && errno == EBUSY; i++)
		usleep(50000);
	rmdir(server->parent); /* unless others are still in there */
	*server = (struct server){0};
}

uint64_t server_cpu_ns(const struct server *server)
{
	_cleanup_free_ char *path = NULL, *text = NULL;

	/* First field of schedstat: time on a CPU, in nanoseconds. */
	if (asprintf(&path, "/proc/%d/schedstat", server->pid) < 0 ||
	    drpc_read_file_at(AT_FDCWD, path, 256, &text) <= 0)
		return 0;
	return strtoull(text, NULL, 10);
}
