// SPDX-License-Identifier: Apache-2.0
/*
 * What the end-to-end scripts need and a shell does badly: JSON, datagrams, and looking at or
 * changing the cgroup tree faster than a program can be started on an emulated machine.
 *
 *	probe get PATH...           values of the JSON on stdin, one a line, "-" where there is none
 *	probe limits CGROUP...      the four limit files of each cgroup, a line each
 *	probe watch MS CGROUP...    a line whenever limits or throttling of a cgroup changed, until SIGTERM
 *	probe datagrams SOCKET      what arrives at a unix datagram socket, until SIGTERM
 *	probe churn SEC N CGROUP    N cgroups below come and go at random moments; prints how many did
 *
 * PATH is of keys and indices joined by dots; "*" stands for every element, "@keys" at the end for
 * an object's keys, "@count" for an array's length: "total.p99_ms", "*.guard.verdict", "0.@keys".
 * Times are milliseconds of CLOCK_REALTIME, which is what the agent's answers have as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX   4096
#define CGROUP_MAX 64

static int fail(const char *what)
{
	fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
	return 1;
}

static unsigned long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (unsigned long long)ts.tv_sec * 1000 + (unsigned long long)ts.tv_nsec / 1000000;
}

static void sleep_ms(unsigned int ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void print_keys(struct json_object *o)
{
	const char *blank = "";

	json_object_object_foreach (o, key, value) {
		(void)value;
		printf("%s%s", blank, key);
		blank = " ";
	}
	putchar('\n');
}

/* Strings without their quotes, everything else as JSON writes it. */
static void print_value(struct json_object *o)
{
	if (json_object_is_type(o, json_type_string))
		printf("%s\n", json_object_get_string(o));
	else
		printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
}

static void print_path(struct json_object *o, const char *path)
{
	size_t len = strcspn(path, ".");
	const char *rest = path[len] == '.' ? path + len + 1 : path + len;
	struct json_object *next = NULL;
	char key[128], *end;

	snprintf(key, sizeof(key), "%.*s", (int)len, path);
	if (len == 0) {
		print_value(o);
	} else if (!strcmp(key, "@keys") && json_object_is_type(o, json_type_object)) {
		print_keys(o);
	} else if (!strcmp(key, "@count") && json_object_is_type(o, json_type_array)) {
		printf("%zu\n", json_object_array_length(o));
	} else if (!strcmp(key, "*") && json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(o); i++)
			print_path(json_object_array_get_idx(o, i), rest);
	} else if (json_object_is_type(o, json_type_array)) {
		unsigned long i = strtoul(key, &end, 10);

		if (*end == '\0' && i < json_object_array_length(o))
			print_path(json_object_array_get_idx(o, i), rest);
		else
			puts("-");
	} else if (json_object_object_get_ex(o, key, &next)) {
		print_path(next, rest);
	} else {
		puts("-");
	}
}

static int cmd_get(int n, char **paths)
{
	struct json_object *o = json_object_from_fd(STDIN_FILENO);

	for (int i = 0; i < n; i++) {
		if (o)
			print_path(o, paths[i]);
		else
			puts("-");
	}
	json_object_put(o);
	return 0;
}

/* --- limits ----------------------------------------------------------------------------------- */

struct limits {
	char cpu_max[64], burst[32], high[32], max[32];
	long throttled; /* periods, by cpu.stat; -1 where it does not tell */
};

/* The first line of a file, "-" where it cannot be read. */
static void read_line(const char *cgroup, const char *file, char *ret, size_t size)
{
	char path[PATH_MAX];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", cgroup, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, ret, size - 1);
		close(fd);
	}
	ret[n > 0 ? n : 0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	if (n <= 0)
		snprintf(ret, size, "-");
}

static long read_throttled(const char *cgroup)
{
	char path[PATH_MAX], text[TEXT_MAX];
	const char *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/cpu.stat", cgroup);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, "nr_throttled ");
	return at ? strtol(at + strlen("nr_throttled "), NULL, 10) : -1;
}

static void read_limits(const char *cgroup, struct limits *ret)
{
	memset(ret, 0, sizeof(*ret));
	read_line(cgroup, "cpu.max", ret->cpu_max, sizeof(ret->cpu_max));
	read_line(cgroup, "cpu.max.burst", ret->burst, sizeof(ret->burst));
	read_line(cgroup, "memory.high", ret->high, sizeof(ret->high));
	read_line(cgroup, "memory.max", ret->max, sizeof(ret->max));
}

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int cmd_limits(int n, char **cgroups)
{
	for (int i = 0; i < n; i++) {
		struct limits l;

		read_limits(cgroups[i], &l);
		printf("%s %s %s %s %s\n", last_name(cgroups[i]), l.cpu_max, l.burst, l.high,
		       l.max);
	}
	return 0;
}

/* Columns: time, cgroup, quota, period, burst, memory.high, memory.max, throttled periods. */
static int cmd_watch(int n, char **args)
{
	static struct limits last[CGROUP_MAX];
	unsigned int ms = (unsigned int)strtoul(args[0], NULL, 10);

	if (n - 1 > CGROUP_MAX) {
		errno = E2BIG;
		return fail("watch");
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (;;) {
		for (int i = 1; i < n; i++) {
			struct limits l;

			read_limits(args[i], &l);
			l.throttled = read_throttled(args[i]);
			if (memcmp(&l, &last[i - 1], sizeof(l)) != 0)
				printf("%llu %s %s %s %s %s %ld\n", now_ms(), last_name(args[i]),
				       l.cpu_max, l.burst, l.high, l.max, l.throttled);
			last[i - 1] = l;
		}
		sleep_ms(ms);
	}
}

/* --- the rest --------------------------------------------------------------------------------- */

static int cmd_datagrams(int n, char **args)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char text[TEXT_MAX];
	ssize_t len;

	(void)n;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", args[0]);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return fail(args[0]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((len = recv(fd, text, sizeof(text) - 1, 0)) >= 0) {
		text[len] = '\0';
		for (char *c = text; *c; c++)
			*c = *c == '\n' ? ' ' : *c;
		printf("%llu %s\n", now_ms(), text);
	}
	return fail("recv");
}

/* Each place holds a cgroup for up to 600 ms, so that ends fall between every two steps. */
static int cmd_churn(int n, char **args)
{
	unsigned long long end = now_ms() + strtoull(args[0], NULL, 10) * 1000;
	unsigned int places = (unsigned int)strtoul(args[1], NULL, 10), seed = 1;
	unsigned long long until[CGROUP_MAX] = {0};
	char path[PATH_MAX];
	unsigned long gone = 0;
	bool more = true;

	(void)n;
	places = places < CGROUP_MAX ? places : CGROUP_MAX;
	while (more) {
		more = now_ms() < end;
		for (unsigned int i = 0; i < places; i++) {
			snprintf(path, sizeof(path), "%s/churn-%u", args[2], i);
			if (until[i] && (!more || now_ms() >= until[i])) {
				if (rmdir(path) < 0)
					return fail(path);
				until[i] = 0;
				gone++;
			} else if (!until[i] && more) {
				if (mkdir(path, 0755) < 0)
					return fail(path);
				until[i] = now_ms() + 1 + (unsigned int)rand_r(&seed) % 600;
			}
		}
		sleep_ms(1);
	}
	printf("%lu\n", gone);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		int (*run)(int n, char **args);
	} commands[] = {
		{"get", 1, cmd_get},	 {"limits", 1, cmd_limits},
		{"watch", 2, cmd_watch}, {"datagrams", 1, cmd_datagrams},
		{"churn", 3, cmd_churn},
	};

	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(argv[1], commands[i].name) && argc - 2 >= commands[i].args)
			return commands[i].run(argc - 2, argv + 2);
	}
	fprintf(stderr, "usage: probe get|limits|watch|datagrams|churn ARGUMENT...\n");
	return 2;
}
