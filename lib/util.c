// SPDX-License-Identifier: Apache-2.0
#include "lib/util.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * DRPC_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t drpc_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t drpc_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

ssize_t drpc_read_file_at(int dirfd, const char *path, size_t max_bytes, char **ret)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *buf = NULL;
	size_t cap = 4096, len = 0;

	if (fd < 0)
		return -errno;
	buf = malloc(cap);
	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, buf + len, cap - len - 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max_bytes)
			return -EFBIG;
		if (cap - len < 2) {
			char *bigger = realloc(buf, cap * 2);

			if (!bigger)
				return -ENOMEM;
			buf = bigger;
			cap *= 2;
		}
	}
	buf[len] = '\0';
	*ret = drpc_steal(&buf);
	return (ssize_t)len;
}

int drpc_write_file_at(int dirfd, const char *path, const char *text)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);
	size_t len = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = write(fd, text, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

bool drpc_strcpy(char *dst, size_t dst_size, const char *src)
{
	size_t len = strlen(src);

	if (dst_size == 0)
		return false;
	if (len < dst_size) {
		memcpy(dst, src, len + 1);
		return true;
	}
	len = dst_size - 1;
	/* 10xxxxxx bytes continue a sequence, at most three of them: step back to its first byte. */
	for (size_t back = 0; back <= DRPC_MIN(len, (size_t)3); back++) {
		if (((unsigned char)src[len - back] & 0xc0) != 0x80) {
			len -= back;
			break;
		}
	}
	memcpy(dst, src, len);
	dst[len] = '\0';
	return false;
}

/* Bytes of the UTF-8 sequence at `s` that stands for a printable character; 0 for none. */
static size_t printable(const unsigned char *s)
{
	uint32_t c = s[0];
	size_t len;

	if (c < 0x80)
		return c >= 0x20 && c != 0x7f;
	len = c >= 0xf0 && c <= 0xf4  ? 4
	      : c >= 0xe0 && c < 0xf0 ? 3
	      : c >= 0xc2 && c < 0xe0 ? 2
				      : 0;
	c &= 0x7fU >> len;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	/* Not the C1 controls, which terminals obey; no longer form than needed, no surrogates. */
	if ((len == 2 && c < 0xa0) || (len == 3 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) ||
	    (len == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 0;
	return len;
}

void drpc_sanitize(char *dst, size_t dst_size, const char *src)
{
	char *p = dst;

	if (dst_size == 0)
		return;
	drpc_strcpy(dst, dst_size, src);
	while (*p) {
		size_t len = printable((const unsigned char *)p);

		if (len == 0)
			*p = '?';
		p += len ? len : 1;
	}
}

uint64_t drpc_hash_str(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3ULL;
	return h;
}
