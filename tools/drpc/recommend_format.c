// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "tools/drpc/cli.h"
#include "tools/drpc/recommend.h"

/* --- text ------------------------------------------------------------------------------------- */

static const struct drpc_column columns[] = {
	{"DEPLOYMENT", false, 10, 0}, {"REPL", true, 0, 6},  {"CPU", true, 0, 0},
	{"P99", true, 0, 3},	      {"NEEDS", true, 0, 0}, {"MEM", true, 0, 0},
	{"MOST", true, 0, 4},	      {"NEEDS", true, 0, 0}, {"SAVES CPU", true, 0, 1},
	{"SAVES MEM", true, 0, 2},    {"RISK", false, 0, 0}, {"BECAUSE", false, 24, 5},
};

static void cell(struct drpc_table *table, void (*format)(char *, size_t, double), double value,
		 enum drpc_color color, const char *none)
{
	char text[32];

	format(text, sizeof(text), value);
	drpc_table_cell(table, color, value > 0 ? text : none);
}

static void saving(struct drpc_table *table, void (*format)(char *, size_t, double), double value)
{
	char figure[24], text[32];

	if (fabs(value) < 1e-9) {
		drpc_table_cell(table, DRPC_DIM, "-");
		return;
	}
	format(figure, sizeof(figure), fabs(value));
	snprintf(text, sizeof(text), "%s%s", value < 0 ? "-" : "", figure);
	drpc_table_cell(table, value < 0 ? DRPC_WARN : DRPC_GOOD, text);
}

static void add_row(struct drpc_table *table, const struct drpc_recommendation *r)
{
	static const enum drpc_color colors[] = {DRPC_GOOD, DRPC_WARN, DRPC_BAD};
	const struct drpc_evidence *e = &r->evidence;
	const struct drpc_advice *a = &r->advice;
	const char *none = e->limits_known ? "none" : "?";
	char text[16];

	drpc_table_row(table);
	drpc_table_cell(table, DRPC_PLAIN, e->deployment);
	snprintf(text, sizeof(text), "%u", e->replicas);
	drpc_table_cell(table, DRPC_PLAIN, text);
	cell(table, drpc_format_cores, e->cpu_has, DRPC_PLAIN, none);
	cell(table, drpc_format_cores, e->cpu_p99, DRPC_DIM, "0");
	cell(table, drpc_format_cores, a->cpu_needs, DRPC_BOLD, "-");
	cell(table, drpc_format_mib, e->mem_has, DRPC_PLAIN, none);
	cell(table, drpc_format_mib, e->mem_max, DRPC_DIM, "0");
	cell(table, drpc_format_mib, a->mem_needs, DRPC_BOLD, "-");
	saving(table, drpc_format_cores, a->cpu_saves);
	saving(table, drpc_format_mib, a->mem_saves);
	drpc_table_cell(table, colors[a->risk], drpc_risk_name(a->risk));
	drpc_table_cell(table, DRPC_DIM, a->why);
}

static void emit(void *arg, enum drpc_color color, const char *text)
{
	(void)color;
	fputs(text, arg);
}

static void print_text(const struct drpc_recommendation *list, size_t n,
		       const struct drpc_term *term, FILE *out)
{
	double cpu = 0, memory = 0;
	struct drpc_table *table;

	if (drpc_table_new(columns, DRPC_ARRAY_SIZE(columns), &table) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		add_row(table, &list[i]);
		cpu += list[i].advice.cpu_saves;
		memory += list[i].advice.mem_saves;
	}
	if (out == stdout)
		drpc_table_print(table, term);
	else
		drpc_table_emit(table, term, term->width, 0, emit, out);
	drpc_table_free(&table);
	fprintf(out, "\nAltogether %.2f CPUs and %.0f MiB %s. Figures are of one replica.\n",
		fabs(cpu), fabs(memory), cpu < 0 && memory < 0 ? "more" : "less");
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void number(struct json_object *o, const char *key, double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.6g", value);
	json_object_object_add(o, key, json_object_new_double_s(value, text));
}

static struct json_object *evidence_json(const struct drpc_evidence *e)
{
	struct json_object *o = json_object_new_object();

	number(o, "watched_sec", e->watched_sec);
	number(o, "cpu_p50_cores", e->cpu_p50);
	number(o, "cpu_p99_cores", e->cpu_p99);
	number(o, "cpu_max_cores", e->cpu_max);
	number(o, "throttled_share", e->throttled);
	number(o, "cpu_pressure", e->cpu_pressure);
	number(o, "memory_p99_mib", e->mem_p99);
	number(o, "memory_max_mib", e->mem_max);
	number(o, "memory_pressure", e->mem_pressure);
	number(o, "oom_kills", e->oom_kills);
	number(o, "queue_share", e->queue_share);
	number(o, "requests", e->requests);
	number(o, "p99_ms", e->p99_ms);
	number(o, "slo_p99_ms", e->slo_ms);
	return o;
}

static struct json_object *pair(double cpu, double memory)
{
	struct json_object *o = json_object_new_object();

	number(o, "cpu_cores", cpu);
	number(o, "memory_mib", memory);
	return o;
}

static void print_json(const struct drpc_recommendation *list, size_t n, FILE *out)
{
	struct json_object *all = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		const struct drpc_advice *a = &list[i].advice;
		const struct drpc_evidence *e = &list[i].evidence;
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "deployment", json_object_new_string(e->deployment));
		json_object_object_add(o, "replicas", json_object_new_int64(e->replicas));
		json_object_object_add(o, "containers", json_object_get(list[i].containers));
		json_object_object_add(o, "has", pair(e->cpu_has, e->mem_has));
		json_object_object_add(o, "needs", pair(a->cpu_needs, a->mem_needs));
		json_object_object_add(o, "saves", pair(a->cpu_saves, a->mem_saves));
		json_object_object_add(o, "risk", json_object_new_string(drpc_risk_name(a->risk)));
		json_object_object_add(o, "because", json_object_new_string(a->why));
		json_object_object_add(o, "evidence", evidence_json(e));
		json_object_array_add(all, o);
	}
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_SPACED |
							    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(all);
}

/* --- for a shell ------------------------------------------------------------------------------ */

/* Names come from elsewhere: none of them may end the quotation. */
static void quoted(FILE *out, const char *text)
{
	fputc('\'', out);
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", out);
		else
			fputc(*text, out);
	}
	fputc('\'', out);
}

static void print_docker(const struct drpc_recommendation *r, FILE *out)
{
	const struct drpc_advice *a = &r->advice;
	size_t n = json_object_array_length(r->containers);

	fprintf(out, "# %s: risk %s: %s\n", r->evidence.deployment, drpc_risk_name(a->risk),
		a->why);
	if (!r->evidence.engine) {
		fprintf(out, "# no engine knows it\n");
		return;
	}
	fprintf(out, "docker update --cpus %.2f --memory %.0fm --memory-swap %.0fm", a->cpu_needs,
		a->mem_needs, 2 * a->mem_needs);
	for (size_t i = 0; i < n; i++) {
		fputc(' ', out);
		quoted(out, json_object_get_string(json_object_array_get_idx(r->containers, i)));
	}
	fputc('\n', out);
}

/* "project/service" in two; without a slash there is no project. */
static const char *service_of(const char *deployment, char *project, size_t size)
{
	const char *slash = strchr(deployment, '/');

	snprintf(project, size, "%.*s", slash ? (int)(slash - deployment) : 0, deployment);
	return slash ? slash + 1 : deployment;
}

static void print_kubectl(const struct drpc_recommendation *r, FILE *out)
{
	const struct drpc_advice *a = &r->advice;
	struct json_object *name;
	char project[DRPC_RECOMMEND_NAME], patch[1024];
	const char *service = service_of(r->evidence.deployment, project, sizeof(project));

	fprintf(out, "# %s: risk %s: %s\n", r->evidence.deployment, drpc_risk_name(a->risk),
		a->why);
	name = json_object_new_string(service);
	snprintf(
		patch, sizeof(patch),
		"{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":%s,\"resources\":{\"limits\":{\"cpu\":\"%.0fm\",\"memory\":\"%.0fMi\"}}}]}}}}",
		json_object_to_json_string_ext(name, JSON_C_TO_STRING_NOSLASHESCAPE),
		a->cpu_needs * 1000, a->mem_needs);
	json_object_put(name);
	fputs("kubectl", out);
	if (project[0]) {
		fputs(" --namespace ", out);
		quoted(out, project);
	}
	fputs(" patch deployment ", out);
	quoted(out, service);
	fputs(" --type strategic --patch ", out);
	quoted(out, patch);
	fputc('\n', out);
}

/* --- YAML ------------------------------------------------------------------------------------- */

/* A JSON string is a YAML string. */
static void yaml_key(FILE *out, int indent, const char *text)
{
	struct json_object *o = json_object_new_string(text);

	fprintf(out, "%*s%s:\n", indent, "",
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

/* Entries are in the order of their names, so that those of a project stand together. */
static void print_compose(const struct drpc_recommendation *list, size_t n, FILE *out)
{
	char project[DRPC_RECOMMEND_NAME], before[DRPC_RECOMMEND_NAME] = "";
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		const struct drpc_advice *a = &list[i].advice;
		const char *service =
			service_of(list[i].evidence.deployment, project, sizeof(project));

		if (!any || strcmp(project, before) != 0)
			fprintf(out, "%s# project %s\nservices:\n", any ? "---\n" : "",
				project[0] ? project : "(none)");
		any = true;
		drpc_strcpy(before, sizeof(before), project);
		fprintf(out, "  # risk %s: %s\n", drpc_risk_name(a->risk), a->why);
		yaml_key(out, 2, service);
		fprintf(out,
			"    deploy:\n      resources:\n        limits:\n          cpus: \"%.2f\"\n          memory: %.0fM\n",
			a->cpu_needs, a->mem_needs);
	}
}

static void print_helm(const struct drpc_recommendation *list, size_t n, FILE *out)
{
	char project[DRPC_RECOMMEND_NAME];

	for (size_t i = 0; i < n; i++) {
		const struct drpc_advice *a = &list[i].advice;
		const struct drpc_evidence *e = &list[i].evidence;

		fprintf(out, "# %s: risk %s: %s\n", e->deployment, drpc_risk_name(a->risk), a->why);
		yaml_key(out, 0, service_of(e->deployment, project, sizeof(project)));
		fprintf(out,
			"  resources:\n    requests:\n      cpu: %.0fm\n      memory: %.0fMi\n    limits:\n      cpu: %.0fm\n      memory: %.0fMi\n",
			DRPC_MAX(ceil(e->cpu_p50 * 1100), 10.0),
			DRPC_MIN(ceil(e->mem_p99 + 1), a->mem_needs), a->cpu_needs * 1000,
			a->mem_needs);
	}
}

bool drpc_recommend_print(const char *format, const struct drpc_recommendation *list, size_t n,
			  const struct drpc_term *term, FILE *out)
{
	if (strcmp(format, "text") == 0) {
		print_text(list, n, term, out);
	} else if (strcmp(format, "json") == 0) {
		print_json(list, n, out);
	} else if (strcmp(format, "compose") == 0) {
		print_compose(list, n, out);
	} else if (strcmp(format, "helm") == 0) {
		print_helm(list, n, out);
	} else if (strcmp(format, "docker") == 0 || strcmp(format, "kubectl") == 0) {
		for (size_t i = 0; i < n; i++)
			(format[0] == 'd' ? print_docker : print_kubectl)(&list[i], out);
	} else {
		return false;
	}
	return true;
}
