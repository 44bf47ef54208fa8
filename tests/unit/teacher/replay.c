// SPDX-License-Identifier: Apache-2.0
#include "teacher/replay.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/drpc-replay-XXXXXX";
static char path[64];
static const char *const names[] = {"web", "cart"};
static const struct drpc_replay_shape shape = {
	.units = 2, .state = 3, .action = 1, .roster = names};

static void setup(void)
{
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/r", folder);
}

static void teardown(void)
{
	unlink(path);
	cr_assert_eq(rmdir(folder), 0);
}

TestSuite(replay, .init = setup, .fini = teardown);

static int push(struct drpc_replay *replay, float value)
{
	float state[6], action[2], next[6];

	for (int i = 0; i < 6; i++) {
		state[i] = value + (float)i;
		next[i] = value - (float)i;
		action[i % 2] = value;
	}
	return drpc_replay_push(replay,
				&(struct drpc_transition){state, action, next, value, value == 5});
}

static struct drpc_replay *open_as(const char *name, size_t capacity)
{
	struct drpc_replay *replay = NULL;

	cr_assert_eq(drpc_replay_open(name, &shape, capacity, &replay), 0);
	return replay;
}

static void check(const struct drpc_replay *replay, size_t i, float value)
{
	const struct drpc_transition t = drpc_replay_get(replay, i);

	cr_assert_eq(t.reward, value);
	cr_assert_eq(t.state[5], value + 5);
	cr_assert_eq(t.action[1], value);
	cr_assert_eq(t.next[4], value - 4);
	cr_assert_eq(t.done, value == 5);
}

static void poke(size_t offset, const void *bytes, size_t n)
{
	int fd = open(path, O_RDWR);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, bytes, n, (off_t)offset), (ssize_t)n);
	close(fd);
}

/* The header of two short names is one page; a record is 24 + 14 floats. */
#define HEADER 4096
#define RECORD 80

Test(replay, keeps_what_it_was_given_over_closing)
{
	struct drpc_replay *replay = open_as(path, 10);

	for (int i = 1; i <= 7; i++)
		cr_assert_eq(push(replay, (float)i), 0);
	cr_assert_eq(drpc_replay_sync(replay), 0);
	drpc_replay_close(&replay);
	cr_assert_null(replay);
	replay = open_as(path, 10);
	cr_assert_eq(drpc_replay_count(replay), 7);
	cr_assert_eq(drpc_replay_dropped(replay), 0);
	for (int i = 1; i <= 7; i++)
		check(replay, (size_t)i - 1, (float)i);
	/* Goes on where it was: three more fill it, the next overwrites the oldest. */
	for (int i = 8; i <= 11; i++)
		cr_assert_eq(push(replay, (float)i), 0);
	cr_assert_eq(drpc_replay_count(replay), 10);
	check(replay, 0, 11);
	check(replay, 1, 2);
	drpc_replay_close(&replay);
	replay = open_as(path, 10);
	cr_assert_eq(push(replay, 12), 0);
	check(replay, 1, 12);
	drpc_replay_close(&replay);
}

/* Killed without warning in the middle of pushing: every record that is there is whole. */
Test(replay, survives_sigkill)
{
	struct drpc_replay *replay;
	pid_t child = fork();
	int status;

	if (child == 0) {
		replay = NULL;
		if (drpc_replay_open(path, &shape, 64, &replay) < 0)
			_exit(1);
		for (float i = 1;; i++)
			push(replay, i);
	}
	usleep(50000);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	cr_assert(WIFSIGNALED(status), "the child could not open the buffer");
	replay = open_as(path, 64);
	cr_assert_leq(drpc_replay_dropped(replay), 1);
	cr_assert_eq(drpc_replay_count(replay) + drpc_replay_dropped(replay), 64);
	for (size_t i = 0; i < drpc_replay_count(replay); i++) {
		const struct drpc_transition t = drpc_replay_get(replay, i);

		cr_assert_eq(t.state[5], t.reward + 5);
		cr_assert_eq(t.next[4], t.reward - 4);
	}
	drpc_replay_close(&replay);
}

Test(replay, drops_damaged_records_wherever_they_are)
{
	const float damage = 123;

	for (size_t bad = 0; bad < 8; bad++) {
		struct drpc_replay *replay;
		float sum = 0;

		unlink(path);
		replay = open_as(path, 8);
		for (int i = 1; i <= 8; i++)
			push(replay, (float)i);
		drpc_replay_close(&replay);
		poke(HEADER + bad * RECORD + 30, &damage, sizeof(damage));
		replay = open_as(path, 8);
		cr_assert_eq(drpc_replay_dropped(replay), 1);
		cr_assert_eq(drpc_replay_count(replay), 7);
		for (size_t i = 0; i < 7; i++)
			sum += drpc_replay_get(replay, i).reward;
		cr_assert_eq(sum, 36 - (float)(bad + 1));
		/* The hole is filled next. */
		push(replay, 9);
		check(replay, 7, 9);
		drpc_replay_close(&replay);
	}
}

Test(replay, of_a_file_cut_in_its_records_the_rest_is_used)
{
	struct drpc_replay *replay = open_as(path, 8);

	for (int i = 1; i <= 8; i++)
		push(replay, (float)i);
	drpc_replay_close(&replay);
	cr_assert_eq(truncate(path, HEADER + 3 * RECORD + 17), 0);
	replay = open_as(path, 8);
	cr_assert_eq(drpc_replay_count(replay), 3);
	cr_assert_eq(drpc_replay_dropped(replay), 1);
	check(replay, 2, 3);
	drpc_replay_close(&replay);
}

Test(replay, a_file_cut_in_its_header_is_refused)
{
	struct drpc_replay *replay = open_as(path, 8);

	drpc_replay_close(&replay);
	for (off_t bytes = HEADER - 1; bytes > 0; bytes -= 97) {
		cr_assert_eq(truncate(path, bytes), 0);
		cr_assert_eq(drpc_replay_open(path, &shape, 8, &replay), -ENODATA, "%ld", bytes);
		cr_assert_null(replay);
	}
}

static void refused(const struct drpc_replay_shape *other, size_t capacity, int want)
{
	struct drpc_replay *replay = NULL;

	cr_assert_eq(drpc_replay_open(path, other, capacity, &replay), want);
	cr_assert_null(replay);
}

Test(replay, another_roster_or_shape_is_refused_and_left_alone)
{
	static const char *const others[] = {"web", "card"}, *const longer[] = {"web", "carts"};
	struct drpc_replay_shape other = shape;
	struct drpc_replay *replay = open_as(path, 8);
	const char byte = 'x';

	push(replay, 1);
	drpc_replay_close(&replay);
	other.roster = others;
	refused(&other, 8, -ESTALE);
	other.roster = longer;
	refused(&other, 8, -ESTALE);
	other = shape;
	other.state = 4;
	refused(&other, 8, -ESTALE);
	refused(&shape, 9, -ESTALE);
	replay = open_as(path, 8);
	check(replay, 0, 1);
	drpc_replay_close(&replay);
	poke(HEADER - 10, &byte, 1);
	refused(&shape, 8, -EBADMSG);
	poke(0, "not a replay", 12);
	refused(&shape, 8, -EILSEQ);
	other.state = 0;
	refused(&other, 8, -EINVAL);
	refused(&shape, SIZE_MAX / 2, -EINVAL);
}

Test(replay, belongs_to_one_process_at_a_time)
{
	struct drpc_replay *replay = open_as(path, 8), *second = NULL;

	cr_assert_eq(drpc_replay_open(path, &shape, 8, &second), -EBUSY);
	drpc_replay_close(&replay);
	replay = open_as(path, 8);
	drpc_replay_close(&replay);
}

Test(replay, numbers_that_are_none_are_refused)
{
	struct drpc_replay *replay = open_as(NULL, 8);
	float state[6] = {0}, action[2] = {0}, next[6] = {0};
	struct drpc_transition t = {state, action, next, 0.5f, false};

	state[4] = NAN;
	cr_assert_eq(drpc_replay_push(replay, &t), -EDOM);
	state[4] = 0;
	next[0] = INFINITY;
	cr_assert_eq(drpc_replay_push(replay, &t), -EDOM);
	next[0] = 0;
	action[1] = -INFINITY;
	cr_assert_eq(drpc_replay_push(replay, &t), -EDOM);
	action[1] = 0;
	t.reward = NAN;
	cr_assert_eq(drpc_replay_push(replay, &t), -EDOM);
	cr_assert_eq(drpc_replay_count(replay), 0);
	t.reward = 1;
	cr_assert_eq(drpc_replay_push(replay, &t), 0);
	cr_assert_eq(drpc_replay_count(replay), 1);
	drpc_replay_close(&replay);
}

Test(replay, goes_back_to_a_sequence)
{
	struct drpc_replay *replay = open_as(path, 8);

	for (int i = 1; i <= 6; i++)
		push(replay, (float)i);
	cr_assert_eq(drpc_replay_rewind(replay, 4), 0);
	cr_assert_eq(drpc_replay_count(replay), 4);
	cr_assert_eq(drpc_replay_sequence(replay), 4);
	drpc_replay_close(&replay);
	replay = open_as(path, 8);
	cr_assert_eq(drpc_replay_count(replay), 4);
	cr_assert_eq(drpc_replay_dropped(replay), 0);
	for (int i = 5; i <= 12; i++)
		push(replay, (float)i);
	cr_assert_eq(drpc_replay_rewind(replay, 10), 2, "overwritten records cannot come back");
	cr_assert_eq(drpc_replay_count(replay), 8);
	drpc_replay_close(&replay);
}

Test(replay, priorities_draw_in_proportion)
{
	struct drpc_replay *replay = open_as(NULL, 8);
	struct drpc_rng rng = drpc_rng_make(1, 0);
	unsigned int drawn[8] = {0};
	uint64_t at[7];
	float weight[7];

	for (int i = 0; i < 8; i++)
		push(replay, (float)i);
	cr_assert_eq(drpc_replay_prioritize(replay, 0.5), 0);
	for (size_t i = 0; i < 8; i++)
		drpc_replay_set_priority(replay, i, i == 3 ? 9 : i == 5 ? 4 : 1);
	for (int round = 0; round < 2000; round++) {
		drpc_replay_draw_prioritized(replay, &rng, 1.0, 7, at, weight);
		for (int i = 0; i < 7; i++) {
			drawn[at[i]]++;
			/* P is 3, 2 or 1 of 11; the rarest has weight 1. */
			cr_assert_float_eq((double)weight[i],
					   at[i] == 3	? 1.0 / 3
					   : at[i] == 5 ? 0.5
							: 1.0,
					   1e-6);
		}
	}
	cr_assert_float_eq(drawn[3] / 14000.0, 3.0 / 11, 0.015);
	cr_assert_float_eq(drawn[5] / 14000.0, 2.0 / 11, 0.015);
	cr_assert_float_eq(drawn[0] / 14000.0, 1.0 / 11, 0.015);
	drpc_replay_set_priority(replay, 0, NAN);
	cr_assert_eq(drpc_replay_priority(replay, 0), 9, "what is no number counts as the highest");
	drpc_replay_close(&replay);
}
