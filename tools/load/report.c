// SPDX-License-Identifier: Apache-2.0
#include "tools/load/report.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#include "lib/util.h"

static const char *arrivals_name(const struct drpc_load_config *config)
{
	return config->arrivals == DRPC_ARRIVALS_POISSON ? "poisson" : "uniform";
}

/* --- text ----------------------------------------------------------------------------------- */

void drpc_load_report_row_header(FILE *out)
{
	fprintf(out, "%6s %9s %8s %8s %8s %9s %9s %9s %9s\n", "second", "target/s", "sent", "ok",
		"failed", "p50 ms", "p99 ms", "max ms", "p99 sent");
}

void drpc_load_report_row(FILE *out, const struct drpc_load_row *row)
{
	fprintf(out,
		"%6" PRIu64 " %9.1f %8" PRIu64 " %8" PRIu64 " %8" PRIu64
		" %9.2f %9.2f %9.2f %9.2f\n",
		row->second, row->target_rps, row->counts.sent, row->counts.ok,
		drpc_load_failed(&row->counts), row->due.quantile_ms[0], row->due.quantile_ms[6],
		row->due.max_ms, row->sent.quantile_ms[6]);
}

static void print_failures(FILE *out, const struct drpc_load_counts *counts)
{
	const char *separator = " (";

	if (!drpc_load_failed(counts))
		return;
	for (unsigned int i = 0; i < DRPC_LOAD_FAILURES; i++) {
		if (!counts->failed[i])
			continue;
		fprintf(out, "%s%s %" PRIu64, separator, drpc_load_failure_names[i],
			counts->failed[i]);
		separator = ", ";
	}
	fputc(')', out);
}

static void print_latency(FILE *out, const struct drpc_load_result *result)
{
	struct drpc_load_summary due, sent;

	drpc_load_summarize(&result->total.due, &due);
	drpc_load_summarize(&result->total.sent, &sent);
	fprintf(out, "\nlatency, ms  from intended  from actual send time\n");
	fprintf(out, "  %-8s %14.3f %14.3f\n", "mean", due.mean_ms, sent.mean_ms);
	for (unsigned int i = 0; i < DRPC_LOAD_QUANTILES; i++) {
		char name[24];

		snprintf(name, sizeof(name), "p%.10g", drpc_load_quantiles[i] * 100);
		fprintf(out, "  %-8s %14.3f %14.3f\n", name, due.quantile_ms[i],
			sent.quantile_ms[i]);
	}
	fprintf(out, "  %-8s %14.3f %14.3f\n", "max", due.max_ms, sent.max_ms);
}

static void print_classes(FILE *out, const struct drpc_load_config *config,
			  const struct drpc_load_result *result)
{
	if (result->class_count < 2)
		return;
	fprintf(out, "\n%-16s %10s %10s %10s %10s %10s\n", "user type", "due", "ok", "failed",
		"p50 ms", "p99 ms");
	for (unsigned int i = 0; i < result->class_count; i++) {
		const struct drpc_load_bin *bin = &result->classes[i];

		fprintf(out, "%-16s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %10.3f %10.3f\n",
			config->workload->classes[i].name, bin->counts.due, bin->counts.ok,
			drpc_load_failed(&bin->counts), drpc_hdr_quantile_ns(&bin->due, 0.5) / 1e6,
			drpc_hdr_quantile_ns(&bin->due, 0.99) / 1e6);
	}
}

/* The generator must not be what it measures: tells where it was late by itself. */
static void print_lag(FILE *out, const struct drpc_load_result *result)
{
	double p99_ms = drpc_hdr_quantile_ns(&result->lag, 0.99) / 1e6;

	fprintf(out, "\ngenerator late by %.3f ms p50, %.3f ms p99, %.3f ms max%s\n",
		drpc_hdr_quantile_ns(&result->lag, 0.5) / 1e6, p99_ms,
		(double)result->lag.max_ns / 1e6,
		p99_ms > 1 && p99_ms * 4 > drpc_hdr_quantile_ns(&result->total.due, 0.99) / 1e6
			? ": a good part of the p99 is the generator's own (more --threads, or a "
			  "core of its own)"
			: "");
}

void drpc_load_report_text(FILE *out, const struct drpc_load_config *config,
			   const struct drpc_load_result *result)
{
	const struct drpc_load_counts *c = &result->total.counts;

	fprintf(out, "due %" PRIu64 ", sent %" PRIu64 ", ok %" PRIu64 ", failed %" PRIu64, c->due,
		c->sent, c->ok, drpc_load_failed(c));
	print_failures(out, c);
	if (c->unfinished)
		fprintf(out, ", unfinished %" PRIu64, c->unfinished);
	fprintf(out, "\n%.1f requests/s due over %.2f s%s, %.1f ok/s over %.2f s (%s arrivals)\n",
		(double)c->due / result->duration_s, result->duration_s,
		result->stopped ? " until stopped" : "", (double)c->ok / result->elapsed_s,
		result->elapsed_s, arrivals_name(config));
	if (config->slo_ns)
		fprintf(out, "slo %.3f ms missed by %" PRIu64 " of %" PRIu64 " (%.3f %%)\n",
			(double)config->slo_ns / 1e6, c->slo_misses, c->due - c->unfinished,
			100 * (double)c->slo_misses / (double)DRPC_MAX(c->due - c->unfinished, 1));
	print_latency(out, result);
	print_classes(out, config, result);
	print_lag(out, result);
}

/* --- JSON ----------------------------------------------------------------------------------- */

static void add_number(struct json_object *object, const char *key, double value)
{
	struct json_object *number = json_object_new_double(value);

	json_object_set_serializer(number, json_object_double_to_json_string, (void *)"%.4f", NULL);
	json_object_object_add(object, key, number);
}

static void add_count(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}

static void add_text(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

static void add_latency(struct json_object *object, const struct drpc_load_summary *summary)
{
	char key[16];

	add_number(object, "mean_ms", summary->mean_ms);
	for (unsigned int i = 0; i < DRPC_LOAD_QUANTILES; i++) {
		snprintf(key, sizeof(key), "%s_ms", drpc_load_quantile_names[i]);
		add_number(object, key, summary->quantile_ms[i]);
	}
	add_number(object, "max_ms", summary->max_ms);
}

static struct json_object *measured(const struct drpc_load_config *config,
				    const struct drpc_load_counts *counts,
				    const struct drpc_load_summary *due,
				    const struct drpc_load_summary *sent)
{
	struct json_object *object = json_object_new_object();
	struct json_object *failed = json_object_new_object();
	struct json_object *from_sent = json_object_new_object();

	add_count(object, "due", counts->due);
	add_count(object, "sent", counts->sent);
	add_count(object, "ok", counts->ok);
	add_count(failed, "total", drpc_load_failed(counts));
	for (unsigned int i = 0; i < DRPC_LOAD_FAILURES; i++)
		add_count(failed, drpc_load_failure_names[i], counts->failed[i]);
	json_object_object_add(object, "failed", failed);
	add_count(object, "unfinished", counts->unfinished);
	add_count(object, "body_bytes", counts->body_bytes);
	if (config->slo_ns)
		add_count(object, "slo_misses", counts->slo_misses);
	add_latency(object, due);
	add_latency(from_sent, sent);
	json_object_object_add(object, "from_sent", from_sent);
	return object;
}

static struct json_object *measured_bin(const struct drpc_load_config *config,
					const struct drpc_load_bin *bin)
{
	struct drpc_load_summary due, sent;

	drpc_load_summarize(&bin->due, &due);
	drpc_load_summarize(&bin->sent, &sent);
	return measured(config, &bin->counts, &due, &sent);
}

static struct json_object *total(const struct drpc_load_config *config,
				 const struct drpc_load_result *result)
{
	struct json_object *object = measured_bin(config, &result->total);
	struct json_object *lag = json_object_new_object();
	const struct drpc_load_counts *counts = &result->total.counts;

	add_number(object, "duration_s", result->duration_s);
	add_number(object, "elapsed_s", result->elapsed_s);
	add_number(object, "due_rps", (double)counts->due / result->duration_s);
	add_number(object, "rate_rps", (double)counts->sent / result->duration_s);
	add_number(object, "ok_rps", (double)counts->ok / result->elapsed_s);
	add_count(object, "connects", result->connects);
	add_number(lag, "p50_ms", drpc_hdr_quantile_ns(&result->lag, 0.5) / 1e6);
	add_number(lag, "p99_ms", drpc_hdr_quantile_ns(&result->lag, 0.99) / 1e6);
	add_number(lag, "max_ms", (double)result->lag.max_ns / 1e6);
	json_object_object_add(object, "generator_lag", lag);
	return object;
}

static struct json_object *settings(const struct drpc_load_config *config)
{
	struct json_object *object = json_object_new_object();
	struct json_object *targets = json_object_new_array();

	for (unsigned int i = 0; i < config->workload->target_count; i++)
		json_object_array_add(targets,
				      json_object_new_string(config->workload->targets[i].name));
	json_object_object_add(object, "targets", targets);
	add_text(object, "arrivals", arrivals_name(config));
	add_count(object, "seed", config->seed);
	add_count(object, "connections", config->connections);
	add_count(object, "threads", config->threads);
	add_number(object, "timeout_ms", (double)config->timeout_ns / 1e6);
	if (config->slo_ns)
		add_number(object, "slo_ms", (double)config->slo_ns / 1e6);
	return object;
}

int drpc_load_report_json(FILE *out, const struct drpc_load_config *config,
			  const struct drpc_load_result *result)
{
	struct json_object *root = json_object_new_object();
	struct json_object *rows = json_object_new_array(), *classes = json_object_new_array();
	const char *text;
	int err = 0;

	add_text(root, "version", DRPC_VERSION);
	json_object_object_add(root, "settings", settings(config));
	json_object_object_add(root, "stopped", json_object_new_boolean(result->stopped));
	json_object_object_add(root, "total", total(config, result));
	for (unsigned int i = 0; i < result->class_count && result->class_count > 1; i++) {
		struct json_object *class = measured_bin(config, &result->classes[i]);

		add_text(class, "name", config->workload->classes[i].name);
		json_object_array_add(classes, class);
	}
	json_object_object_add(root, "classes", classes);
	for (size_t i = 0; i < result->row_count; i++) {
		const struct drpc_load_row *row = &result->rows[i];
		struct json_object *second = measured(config, &row->counts, &row->due, &row->sent);

		add_count(second, "second", row->second);
		add_number(second, "target_rps", row->target_rps);
		json_object_array_add(rows, second);
	}
	json_object_object_add(root, "seconds", rows);
	text = json_object_to_json_string_ext(root, JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		err = -ENOMEM;
	else if (fprintf(out, "%s\n", text) < 0 || fflush(out))
		err = -EIO;
	json_object_put(root);
	return err;
}
