// SPDX-License-Identifier: Apache-2.0
#include "tools/load/target.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/load/units.h"

static int unix_parse(struct drpc_target *target, const char *rest, char **ret_path)
{
	const char *colon = strstr(rest, ":/");
	size_t len = colon ? (size_t)(colon - rest) : strlen(rest);
	char *path;

	if (rest[0] != '/' || len < 2 || len >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return -EINVAL;
	path = strdup(colon ? colon + 1 : "/");
	if (!path)
		return -ENOMEM;
	snprintf(target->host, sizeof(target->host), "%.*s", (int)len, rest);
	snprintf(target->name, sizeof(target->name), "unix:%s", target->host);
	drpc_strcpy(target->host_header, sizeof(target->host_header), "localhost");
	*ret_path = path;
	return 0;
}

/* HOST, HOST:PORT, [IPV6] or [IPV6]:PORT. */
static int authority_parse(struct drpc_target *target, const char *text, size_t len)
{
	bool bracket = len && text[0] == '[';
	const char *end, *host = text + bracket;
	size_t host_len, rest;
	uint64_t port = 80;
	char digits[8];

	end = bracket ? memchr(text, ']', len) : memchr(text, ':', len);
	if (bracket && !end)
		return -EINVAL;
	host_len = end ? (size_t)(end - host) : len;
	end = host + host_len + bracket;
	rest = len - (size_t)(end - text);
	if (!host_len || host_len >= sizeof(target->host) || memchr(text, '@', len))
		return -EINVAL;
	if (rest) {
		if (end[0] != ':' || rest < 2 || rest > 6)
			return -EINVAL;
		snprintf(digits, sizeof(digits), "%.*s", (int)(rest - 1), end + 1);
		if (!drpc_parse_u64(digits, 1, 65535, &port))
			return -EINVAL;
	}
	snprintf(target->host, sizeof(target->host), "%.*s", (int)host_len, host);
	snprintf(target->port, sizeof(target->port), "%u", (unsigned int)port);
	snprintf(target->host_header, sizeof(target->host_header), "%s%s%s%s%s", bracket ? "[" : "",
		 target->host, bracket ? "]" : "", rest ? ":" : "", rest ? target->port : "");
	snprintf(target->name, sizeof(target->name), "%s%s%s:%s", bracket ? "[" : "", target->host,
		 bracket ? "]" : "", target->port);
	return 0;
}

static int http_parse(struct drpc_target *target, const char *rest, char **ret_path)
{
	size_t len = strcspn(rest, "/?#");
	char *path;
	int err;

	/* What follows '#' stays with the client; a query without a path belongs to "/". */
	if (asprintf(&path, "%s%.*s", rest[len] == '/' ? "" : "/", (int)strcspn(rest + len, "#"),
		     rest + len) < 0)
		return -ENOMEM;
	err = authority_parse(target, rest, len);
	if (err) {
		free(path);
		return err;
	}
	*ret_path = path;
	return 0;
}

int drpc_target_parse(struct drpc_target *target, const char *flag, const char *url,
		      char **ret_path)
{
	struct drpc_target parsed = {0};
	int err = -EINVAL;

	/* A blank or control character would end the request line. */
	for (const char *c = url; *c; c++) {
		if ((unsigned char)*c <= ' ' || *c == 0x7f) {
			drpc_error(
				"%s: blank or control character in the URL: expected " DRPC_TARGET_FORM,
				flag);
			return -EINVAL;
		}
	}
	if (!strncasecmp(url, "http://", 7))
		err = http_parse(&parsed, url + 7, ret_path);
	else if (!strncmp(url, "unix:", 5))
		err = unix_parse(&parsed, url + 5, ret_path);
	else if (!strncasecmp(url, "https://", 8))
		drpc_error("%s %s: TLS is not supported: give the plain HTTP port", flag, url);
	if (err == -EINVAL)
		drpc_error("%s %s: expected " DRPC_TARGET_FORM, flag, url);
	if (!err)
		*target = parsed;
	return err;
}

static int lookup_error(int code)
{
	switch (code) {
	case EAI_AGAIN:
		return -EAGAIN;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return errno ? -errno : -EIO;
	default:
		return -ENOENT;
	}
}

int drpc_target_resolve(struct drpc_target *target, const char **ret_why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list;
	int code;

	if (!target->port[0]) {
		struct sockaddr_un *un = (struct sockaddr_un *)&target->addresses[0].addr;

		un->sun_family = AF_UNIX;
		snprintf(un->sun_path, sizeof(un->sun_path), "%.*s", (int)sizeof(un->sun_path) - 1,
			 target->host);
		target->addresses[0].len = sizeof(*un);
		target->count = 1;
		return 0;
	}
	code = getaddrinfo(target->host, target->port, &hints, &list);
	if (code) {
		*ret_why = gai_strerror(code);
		return lookup_error(code);
	}
	target->count = 0;
	for (struct addrinfo *ai = list; ai && target->count < DRPC_TARGET_ADDRESSES;
	     ai = ai->ai_next) {
		struct drpc_target_address *a = &target->addresses[target->count++];

		memcpy(&a->addr, ai->ai_addr, ai->ai_addrlen);
		a->len = ai->ai_addrlen;
	}
	freeaddrinfo(list);
	return 0;
}
