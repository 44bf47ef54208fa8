/* SPDX-License-Identifier: Apache-2.0 */
/* Small things every program needs: scope cleanup, time, whole-file reads, bounded copies. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DRPC_ARRAY_SIZE(a)    (sizeof(a) / sizeof((a)[0]))
#define DRPC_MIN(a, b)	      ((a) < (b) ? (a) : (b))
#define DRPC_MAX(a, b)	      ((a) > (b) ? (a) : (b))
#define DRPC_CLAMP(v, lo, hi) DRPC_MIN(DRPC_MAX(v, lo), hi)

#define DRPC_NSEC_PER_SEC  1000000000ULL
#define DRPC_NSEC_PER_MSEC 1000000ULL
#define DRPC_NSEC_PER_USEC 1000ULL
#define DRPC_MIB	   (1024ULL * 1024ULL)

/* Scope cleanup: `_cleanup_free_ char *p = NULL;` frees at the end of the scope. fds start at -1. */
static inline void drpc_freep(void *p)
{
	free(*(void **)p);
}

static inline void drpc_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void drpc_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_(fn)	 __attribute__((cleanup(fn)))
#define _cleanup_free_	 _cleanup_(drpc_freep)
#define _cleanup_close_	 _cleanup_(drpc_closep)
#define _cleanup_fclose_ _cleanup_(drpc_fclosep)

/* Gives ownership of `p` to the caller and nulls the variable: `return drpc_steal(&p);` */
#define drpc_steal(pp)                             \
	({                                         \
		__typeof__(*(pp)) _stolen = *(pp); \
		*(pp) = NULL;                      \
		_stolen;                           \
	})

/* CLOCK_MONOTONIC and CLOCK_REALTIME in nanoseconds; the first is the base of bpf_ktime_get_ns(). */
uint64_t drpc_now_ns(void);
uint64_t drpc_realtime_ns(void);

/*
 * Reads a file whole into a NUL-terminated string that the caller frees. `max_bytes` bounds it.
 * dirfd as in openat(2). Returns its length, or a negative errno (-EFBIG over the bound, *ret
 * untouched on failure). Works for kernfs files, whose size is not known beforehand.
 */
ssize_t drpc_read_file_at(int dirfd, const char *path, size_t max_bytes, char **ret);

/* Writes `text` to an existing file in one write(2). Returns 0 or a negative errno. */
int drpc_write_file_at(int dirfd, const char *path, const char *text);

/*
 * Bounded copy, always terminated; never splits a UTF-8 sequence. Returns false where it cut.
 */
bool drpc_strcpy(char *dst, size_t dst_size, const char *src);

/*
 * Copies untrusted text (container names, file contents) with control characters, C1 ones too, and
 * bytes that are no UTF-8 replaced by '?': what comes out may go to terminals, JSON and metrics.
 */
void drpc_sanitize(char *dst, size_t dst_size, const char *src);

/* FNV-1a over a string, for stable numeric names. */
uint64_t drpc_hash_str(const char *s);
