// SPDX-License-Identifier: Apache-2.0
#include "tools/sim/pool.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/util.h"

#define WORKERS_MAX	256
#define POLL_USEC	200000
#define SHARE_UNIT	1000
#define BAR		30
#define SECONDS_TO_TELL 5

/* Seen by all. */
struct board {
	atomic_size_t next, done;
	atomic_int error;
	atomic_uint share[WORKERS_MAX]; /* of the job at hand, in thousandths */
};

static struct {
	struct board *board;
	size_t worker;
} here;

void sim_pool_progress(double share)
{
	if (here.board)
		atomic_store(&here.board->share[here.worker],
			     (unsigned int)(DRPC_CLAMP(share, 0.0, 1.0) * SHARE_UNIT));
}

static void work(struct board *board, size_t worker, size_t n, int (*run)(void *arg, size_t job),
		 void *arg)
{
	here.board = board;
	here.worker = worker;
	for (;;) {
		const size_t job = atomic_fetch_add(&board->next, 1);
		int expected = 0, err;

		if (job >= n)
			return;
		err = run(arg, job);
		if (err < 0)
			atomic_compare_exchange_strong(&board->error, &expected, err);
		atomic_store(&board->share[worker], 0);
		atomic_fetch_add(&board->done, 1);
	}
}

static void show(struct board *board, size_t n, size_t workers, uint64_t begin_ns)
{
	double done = (double)atomic_load(&board->done);
	const double seconds = (double)(drpc_now_ns() - begin_ns) * 1e-9;
	char bar[BAR + 1];

	for (size_t w = 0; w < workers; w++)
		done += (double)atomic_load(&board->share[w]) / SHARE_UNIT;
	done = done / (double)n;
	for (int i = 0; i < BAR; i++)
		bar[i] = i < (int)(done * BAR) ? '#' : '.';
	bar[BAR] = '\0';
	fprintf(stderr, "\r[%s] %3.0f %%, %zu of %zu", bar, done * 100, atomic_load(&board->done),
		n);
	if (done > 0 && seconds > SECONDS_TO_TELL)
		fprintf(stderr, ", %.0f s to go ", seconds / done - seconds);
	fputs("\033[K", stderr);
	fflush(stderr);
}

static int wait_all(const pid_t *pids, struct board *board, size_t n, size_t workers)
{
	const uint64_t begin_ns = drpc_now_ns();
	const bool tell = isatty(STDERR_FILENO);
	size_t left = workers;
	bool died = false;

	while (left > 0) {
		int status;
		pid_t pid = waitpid(-1, &status, tell ? WNOHANG : 0);

		if (pid < 0 && errno != EINTR)
			break;
		if (pid == 0) {
			show(board, n, workers, begin_ns);
			usleep(POLL_USEC);
		}
		for (size_t w = 0; pid > 0 && w < workers; w++) {
			if (pids[w] != pid)
				continue;
			left--;
			died = died || !WIFEXITED(status) || WEXITSTATUS(status) != 0;
		}
	}
	if (tell)
		fputs("\r\033[K", stderr);
	return died ? drpc_err(-ECHILD, "a worker died; what was finished is kept") : 0;
}

int sim_pool_run(size_t n, size_t workers, int (*run)(void *arg, size_t job), void *arg)
{
	const long online = sysconf(_SC_NPROCESSORS_ONLN);
	struct board *board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[WORKERS_MAX];
	size_t started = 0;
	int err = 0, failed;

	if (board == MAP_FAILED)
		return -errno;
	if (workers == 0)
		workers = online > 0 ? (size_t)online : 1;
	workers = DRPC_MIN(DRPC_MIN(workers, n), (size_t)WORKERS_MAX);
	fflush(NULL);
	for (; started < workers; started++) {
		pids[started] = fork();
		if (pids[started] == 0) {
			work(board, started, n, run, arg);
			fflush(NULL);
			_exit(0);
		}
		if (pids[started] < 0) {
			err = drpc_err(-errno, "cannot start a worker");
			break;
		}
	}
	failed = wait_all(pids, board, n, started);
	if (!err)
		err = failed ? failed : atomic_load(&board->error);
	munmap(board, sizeof(*board));
	return err;
}
