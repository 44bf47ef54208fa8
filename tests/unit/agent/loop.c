// SPDX-License-Identifier: Apache-2.0
#include "agent/loop.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "lib/util.h"

/* Every test runs on both backends; where io_uring is refused, that is the fallback's own test. */
static enum drpc_loop_backend backends[] = {DRPC_LOOP_URING, DRPC_LOOP_EPOLL};

struct seen {
	struct drpc_loop *loop;
	struct drpc_source *source;
	int fd, calls, stop_after;
	uint32_t events;
};

static struct drpc_loop *loop_or_skip(enum drpc_loop_backend backend)
{
	struct drpc_loop *loop = NULL;
	int r = drpc_loop_new(backend, &loop);

	if (r == -ENOSYS || r == -EPERM)
		cr_skip_test("this kernel refuses io_uring");
	cr_assert_eq(r, 0);
	return loop;
}

static void on_call(struct drpc_source *source, uint32_t events, void *arg)
{
	struct seen *seen = arg;

	cr_expect_eq(source, seen->source);
	seen->events = events;
	if (++seen->calls == seen->stop_after)
		drpc_loop_stop(seen->loop, 7);
}

ParameterizedTestParameters(loop, timer)
{
	return cr_make_param_array(enum drpc_loop_backend, backends, DRPC_ARRAY_SIZE(backends));
}

ParameterizedTest(enum drpc_loop_backend *backend, loop, timer)
{
	struct seen seen = {.loop = loop_or_skip(*backend), .stop_after = 5};
	uint64_t start = drpc_now_ns();

	cr_assert_eq(drpc_loop_add_timer(seen.loop, 2 * DRPC_NSEC_PER_MSEC, on_call, &seen,
					 &seen.source),
		     0);
	cr_expect_eq(drpc_loop_run(seen.loop), 7);
	cr_expect_eq(seen.calls, 5);
	cr_expect_geq(drpc_now_ns() - start, 10 * DRPC_NSEC_PER_MSEC);
	drpc_loop_free(&seen.loop);
	cr_expect_null(seen.loop);
}

static void on_late(struct drpc_source *source, uint32_t events, void *arg)
{
	on_call(source, events, arg);
	if (((struct seen *)arg)->calls == 1)
		usleep(25000);
}

ParameterizedTestParameters(loop, missed_intervals_are_skipped)
{
	return cr_make_param_array(enum drpc_loop_backend, backends, DRPC_ARRAY_SIZE(backends));
}

ParameterizedTest(enum drpc_loop_backend *backend, loop, missed_intervals_are_skipped)
{
	struct seen seen = {.loop = loop_or_skip(*backend), .stop_after = 3};
	uint64_t start = drpc_now_ns();

	/* Calls at 10 and 35 (the sleep hides 20 and 30) and 40 or later: made-up calls would end
	 * at 35 at once. */
	drpc_loop_add_timer(seen.loop, 10 * DRPC_NSEC_PER_MSEC, on_late, &seen, &seen.source);
	drpc_loop_run(seen.loop);
	cr_expect_geq(drpc_now_ns() - start, 40 * DRPC_NSEC_PER_MSEC);
	drpc_loop_free(&seen.loop);
}

ParameterizedTestParameters(loop, descriptor_is_level_triggered)
{
	return cr_make_param_array(enum drpc_loop_backend, backends, DRPC_ARRAY_SIZE(backends));
}

ParameterizedTest(enum drpc_loop_backend *backend, loop, descriptor_is_level_triggered)
{
	struct seen seen = {.loop = loop_or_skip(*backend), .stop_after = 3};
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	/* Nobody reads the byte: it must be reported again and again. */
	drpc_loop_add_fd(seen.loop, fds[0], POLLIN, on_call, &seen, &seen.source);
	cr_expect_eq(drpc_loop_run(seen.loop), 7);
	cr_expect_eq(seen.calls, 3);
	cr_expect(seen.events & POLLIN);
	drpc_loop_free(&seen.loop);
	close(fds[0]);
	close(fds[1]);
}

struct pair {
	struct seen first, second;
};

/* Whichever comes first removes the other, whose event lies in the same batch. */
static void on_rival(struct drpc_source *source, uint32_t events, void *arg)
{
	struct pair *pair = arg;
	struct seen *mine = source == pair->first.source ? &pair->first : &pair->second;
	struct seen *other = mine == &pair->first ? &pair->second : &pair->first;

	(void)events;
	mine->calls++;
	drpc_loop_remove(mine->loop, &other->source);
	if (mine->calls == 3) {
		/* And a source may remove itself. */
		drpc_loop_remove(mine->loop, &mine->source);
		drpc_loop_stop(mine->loop, 0);
	}
}

ParameterizedTestParameters(loop, removed_sources_stay_silent)
{
	return cr_make_param_array(enum drpc_loop_backend, backends, DRPC_ARRAY_SIZE(backends));
}

ParameterizedTest(enum drpc_loop_backend *backend, loop, removed_sources_stay_silent)
{
	struct drpc_loop *loop = loop_or_skip(*backend);
	struct pair pair = {.first.loop = loop, .second.loop = loop};
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(write(fds[1], "x", 1), 1);
	drpc_loop_add_fd(loop, fds[0], POLLIN, on_rival, &pair, &pair.first.source);
	int dup_fd = dup(fds[0]);

	drpc_loop_add_fd(loop, dup_fd, POLLIN, on_rival, &pair, &pair.second.source);
	cr_expect_eq(drpc_loop_run(loop), 0);
	cr_expect_eq(DRPC_MAX(pair.first.calls, pair.second.calls), 3);
	cr_expect_eq(DRPC_MIN(pair.first.calls, pair.second.calls), 0);
	drpc_loop_free(&loop);
	close(fds[0]);
	close(fds[1]);
	close(dup_fd);
}
