// SPDX-License-Identifier: Apache-2.0
/* drpc-load: an open-loop HTTP/1.1 load generator. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/load/options.h"
#include "tools/load/report.h"

/* Set by a signal handler, which can have no context. */
static atomic_bool stop;

static void on_signal(int signal)
{
	(void)signal;
	atomic_store(&stop, true);
}

/* The first signal ends the run, the second one the program. */
static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

struct display {
	const struct load_options *options;
	struct drpc_load_row last;
	bool any; /* a second is complete */
	uint64_t failed;
	bool progress; /* standard error is a terminal */
	bool header;
	double duration_s;
};

static void clear_line(const struct display *display)
{
	if (display->progress)
		fputs("\r\033[K", stderr);
}

static void on_row(void *arg, const struct drpc_load_row *row)
{
	struct display *display = arg;

	display->last = *row;
	display->any = true;
	display->failed += drpc_load_failed(&row->counts);
	if (!display->options->per_second || display->options->json)
		return;
	clear_line(display);
	if (!display->header)
		drpc_load_report_row_header(stdout);
	display->header = true;
	drpc_load_report_row(stdout, row);
	fflush(stdout);
}

static void on_tick(void *arg, double elapsed_s)
{
	const struct display *display = arg;
	const struct drpc_load_row *row = &display->last;

	if (!display->progress)
		return;
	fprintf(stderr, "\r\033[K%5.1f of %.0f s", DRPC_MIN(elapsed_s, display->duration_s),
		display->duration_s);
	if (!display->any)
		return;
	fprintf(stderr, "   %lu requests/s   p50 %.2f ms   p99 %.2f ms   failed %lu",
		(unsigned long)row->counts.sent, row->due.quantile_ms[0], row->due.quantile_ms[6],
		(unsigned long)display->failed);
}

static int run(const struct load_options *options)
{
	struct display display = {
		.options = options,
		.progress = isatty(STDERR_FILENO),
		.duration_s = drpc_schedule_duration_s(&options->schedule),
	};
	struct drpc_load_watch watch = {.on_row = on_row, .on_tick = on_tick, .arg = &display};
	struct drpc_load_result *result;
	int err;

	catch_signals();
	err = drpc_load_run(&options->config, &stop, &watch, &result);
	clear_line(&display);
	if (err)
		return err == -EINVAL ? 2 : 1;
	if (options->json) {
		err = drpc_load_report_json(stdout, &options->config, result);
	} else {
		if (display.header)
			putchar('\n');
		drpc_load_report_text(stdout, &options->config, result);
		err = fflush(stdout) ? -EIO : 0;
	}
	drpc_load_result_free(&result);
	if (err)
		drpc_err(err, "cannot write the result");
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct load_options options;
	int status;
	int err = load_options_parse(&options, argc, argv);

	if (err) {
		if (err == -EINVAL)
			fputs("drpc-load --help shows all options.\n", stderr);
		status = err == -EINVAL ? 2 : 1;
	} else if (options.help) {
		fputs(load_options_help, stdout);
		status = 0;
	} else if (options.version) {
		puts("drpc-load " DRPC_VERSION);
		status = 0;
	} else {
		status = run(&options);
	}
	load_options_release(&options);
	return status;
}
