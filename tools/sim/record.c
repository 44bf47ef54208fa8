// SPDX-License-Identifier: Apache-2.0
#include "tools/sim/record.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/util.h"

/* What is needed to know a window from the one before it. */
struct mark {
	struct drpc_sim_result result;
	uint32_t counts[DRPC_SIM_LATENCY_BUCKETS];
};

struct output {
	const char *path; /* NULL: not wanted */
	char *part;	  /* what is written until it is whole */
	FILE *file;
};

struct sim_recording {
	const struct drpc_sim_app *app;
	double every_s;
	struct output series, histogram;
	bool begun;
	double begin_s;
	struct mark before, now;
	uint32_t window[DRPC_SIM_LATENCY_BUCKETS];
};

static int open_output(struct output *out, const char *path)
{
	if (!path)
		return 0;
	if (asprintf(&out->part, "%s.part", path) < 0)
		return -ENOMEM;
	out->path = path;
	out->file = fopen(out->part, "we");
	return out->file ? 0 : drpc_err(-errno, "cannot write to %s", out->part);
}

int sim_recording_new(const struct drpc_sim_app *app, const char *series, double every_s,
		      const char *histogram, struct sim_recording **ret)
{
	struct sim_recording *r = calloc(1, sizeof(*r));
	int err = r ? 0 : -ENOMEM;

	if (!err) {
		r->app = app;
		r->every_s = every_s;
		err = open_output(&r->series, series);
	}
	if (!err)
		err = open_output(&r->histogram, histogram);
	if (!err && r->series.file)
		fputs("t_s,seconds,requests,succeeded,failed,missed,success_rps,mean_ms,p50_ms,p99_ms,"
		      "cpu_cores,cpu_used_cores,memory_mib,replicas,actions,oom_kills\n",
		      r->series.file);
	if (err) {
		sim_recording_free(&r);
		return err;
	}
	*ret = r;
	return 0;
}

/* Means over the run so far become sums, and the difference of two a mean over the window. */
static double mean_of(double before, double before_s, double now, double now_s)
{
	return now_s > before_s ? (now * now_s - before * before_s) / (now_s - before_s) : 0;
}

static void print_window(struct sim_recording *r)
{
	const struct drpc_sim_result *a = &r->before.result, *b = &r->now.result;
	const double seconds = b->measured_s - a->measured_s;
	const double well = (double)(b->succeeded - a->succeeded);
	const double missed = b->slo_violation_rate * (double)(b->succeeded + b->failed) -
			      a->slo_violation_rate * (double)(a->succeeded + a->failed);

	for (size_t i = 0; i < DRPC_SIM_LATENCY_BUCKETS; i++)
		r->window[i] = r->now.counts[i] - r->before.counts[i];
	fprintf(r->series.file,
		"%.9g,%.9g,%llu,%.0f,%llu,%.0f,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%.6g,%llu,%llu\n",
		r->begin_s, seconds, (unsigned long long)(b->arrived - a->arrived), well,
		(unsigned long long)(b->failed - a->failed), fmax(round(missed), 0),
		seconds > 0 ? well / seconds : 0,
		mean_of(a->mean_ms, (double)a->succeeded, b->mean_ms, (double)b->succeeded),
		drpc_sim_latency_quantile_ns(r->window, 0.5) * 1e-6,
		drpc_sim_latency_quantile_ns(r->window, 0.99) * 1e-6,
		mean_of(a->cpu_cores_mean, a->measured_s, b->cpu_cores_mean, b->measured_s),
		mean_of(a->cpu_used_cores_mean, a->measured_s, b->cpu_used_cores_mean,
			b->measured_s),
		mean_of(a->memory_mib_mean, a->measured_s, b->memory_mib_mean, b->measured_s),
		mean_of(a->replicas_mean, a->measured_s, b->replicas_mean, b->measured_s),
		(unsigned long long)(b->actions - a->actions),
		(unsigned long long)(b->oom_kills - a->oom_kills));
}

static int look(void *arg, struct drpc_sim *sim)
{
	struct sim_recording *r = arg;

	r->now.result = drpc_sim_result(sim);
	memcpy(r->now.counts, drpc_sim_latencies(sim), sizeof(r->now.counts));
	if (r->begun && r->series.file)
		print_window(r);
	r->begun = true;
	r->begin_s = r->now.result.sim_seconds;
	r->before = r->now;
	return 0;
}

struct drpc_sim_watch sim_recording_watch(struct sim_recording *recording)
{
	return (struct drpc_sim_watch){
		.every_s = recording->every_s, .look = look, .arg = recording};
}

/* --- files -------------------------------------------------------------------------------------- */

/* What the last look saw: the run's end is one of them. */
static void print_histogram(const struct sim_recording *r)
{
	FILE *f = r->histogram.file;
	double all = 0, so_far = 0;

	for (size_t i = 0; i < DRPC_SIM_LATENCY_BUCKETS; i++)
		all += r->now.counts[i];
	fputs("up_to_ms,count,share\n", f);
	for (unsigned int i = 0; i < DRPC_SIM_LATENCY_BUCKETS; i++) {
		if (!r->now.counts[i])
			continue;
		so_far += r->now.counts[i];
		fprintf(f, "%.6g,%u,%.9g\n", drpc_sim_latency_bucket_ns(i + 1) * 1e-6,
			r->now.counts[i], so_far / all);
	}
}

static int keep(struct output *out)
{
	int err;

	if (!out->file)
		return 0;
	err = ferror(out->file) ? -EIO : 0;
	if (fclose(out->file) != 0 && !err)
		err = -errno;
	out->file = NULL;
	if (!err && rename(out->part, out->path) < 0)
		err = -errno;
	return err ? drpc_err(err, "cannot write to %s", out->path) : 0;
}

int sim_recording_keep(struct sim_recording *recording)
{
	int err;

	if (recording->histogram.file)
		print_histogram(recording);
	err = keep(&recording->series);
	return err ? err : keep(&recording->histogram);
}

static void drop(struct output *out)
{
	if (out->file) {
		fclose(out->file);
		unlink(out->part);
	}
	free(out->part);
}

void sim_recording_free(struct sim_recording **recording)
{
	struct sim_recording *r = *recording;

	if (!r)
		return;
	drop(&r->series);
	drop(&r->histogram);
	free(r);
	*recording = NULL;
}
