// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

static const char *const state_names[] = {"ok", "degraded", "missing"};
static const enum drpc_color state_colors[] = {DRPC_GOOD, DRPC_WARN, DRPC_BAD};

struct drpc_finding *drpc_doctor_add(struct drpc_doctor *doctor, const char *group,
				     const char *name, enum drpc_finding_state state,
				     const char *found, ...)
{
	size_t at = DRPC_MIN(doctor->count, (size_t)DRPC_FINDINGS_MAX - 1);
	struct drpc_finding *finding = &doctor->findings[at];
	va_list args;

	memset(finding, 0, sizeof(*finding));
	doctor->count = at + 1;
	finding->group = group;
	finding->state = state;
	drpc_strcpy(finding->name, sizeof(finding->name), name);
	va_start(args, found);
	vsnprintf(finding->found, sizeof(finding->found), found, args);
	va_end(args);
	return finding;
}

void drpc_finding_say(struct drpc_finding *finding, const char *means, const char *todo)
{
	drpc_strcpy(finding->means, sizeof(finding->means), means);
	drpc_strcpy(finding->todo, sizeof(finding->todo), todo);
}

/* --- showing ---------------------------------------------------------------------------------- */

#define INDENT 33 /* "  degraded  " and the name */

/* Words up to the right edge, the next lines under the first. */
static void emit_wrapped(const struct drpc_term *term, enum drpc_color color, const char *text,
			 drpc_emit_fn emit, void *arg)
{
	int room = term->width > INDENT + 20 ? term->width - INDENT : 0;
	char part[320];

	while (room > 0 && drpc_text_width(text) > room) {
		const char *at = text + DRPC_MIN(strlen(text), (size_t)room);

		while (at > text && *at != ' ')
			at--;
		if (at == text)
			break;
		snprintf(part, sizeof(part), "%.*s", (int)(at - text), text);
		emit(arg, color, part);
		snprintf(part, sizeof(part), "\n%*s", INDENT, "");
		emit(arg, DRPC_PLAIN, part);
		text = at + 1;
	}
	emit(arg, color, text);
	emit(arg, DRPC_PLAIN, "\n");
}

static void emit_finding(const struct drpc_finding *f, const struct drpc_term *term,
			 drpc_emit_fn emit, void *arg)
{
	char text[320];

	snprintf(text, sizeof(text), "  %-10s", state_names[f->state]);
	emit(arg, state_colors[f->state], text);
	snprintf(text, sizeof(text), "%-*s ", INDENT - 13, f->name);
	emit(arg, DRPC_PLAIN, text);
	emit_wrapped(term, DRPC_BOLD, f->found[0] ? f->found : "-", emit, arg);
	if (f->means[0]) {
		snprintf(text, sizeof(text), "%*s", INDENT, "");
		emit(arg, DRPC_PLAIN, text);
		emit_wrapped(term, DRPC_DIM, f->means, emit, arg);
	}
	if (f->todo[0]) {
		snprintf(text, sizeof(text), "%*s", INDENT, "");
		emit(arg, DRPC_PLAIN, text);
		snprintf(text, sizeof(text), "%s %s", term->unicode ? "→" : "->", f->todo);
		emit_wrapped(term, DRPC_PLAIN, text, emit, arg);
	}
}

void drpc_doctor_print(const struct drpc_doctor *doctor, const struct drpc_term *term,
		       drpc_emit_fn emit, void *arg)
{
	const char *group = "";

	for (size_t i = 0; i < doctor->count; i++) {
		const struct drpc_finding *f = &doctor->findings[i];

		if (strcmp(f->group, group) != 0) {
			emit(arg, DRPC_PLAIN, group[0] ? "\n" : "");
			emit(arg, DRPC_TITLE, f->group);
			emit(arg, DRPC_PLAIN, "\n");
			group = f->group;
		}
		emit_finding(f, term, emit, arg);
	}
	emit(arg, DRPC_PLAIN, "\n");
	emit(arg, doctor->can_measure ? DRPC_GOOD : DRPC_BAD,
	     doctor->can_measure ? "drpc can measure here" : "drpc cannot measure here");
	emit(arg, DRPC_PLAIN, doctor->can_measure == doctor->can_act ? " and " : ", but ");
	emit(arg, doctor->can_act ? DRPC_GOOD : DRPC_WARN,
	     doctor->can_act ? "can change limits" : "cannot change limits");
	emit(arg, DRPC_PLAIN, ".\n");
}

struct json_object *drpc_doctor_json(const struct drpc_doctor *doctor)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	json_object_object_add(o, "can_measure", json_object_new_boolean(doctor->can_measure));
	json_object_object_add(o, "can_act", json_object_new_boolean(doctor->can_act));
	for (size_t i = 0; i < doctor->count; i++) {
		const struct drpc_finding *f = &doctor->findings[i];
		struct json_object *finding = json_object_new_object();

		json_object_object_add(finding, "group", json_object_new_string(f->group));
		json_object_object_add(finding, "name", json_object_new_string(f->name));
		json_object_object_add(finding, "state",
				       json_object_new_string(state_names[f->state]));
		json_object_object_add(finding, "found", json_object_new_string(f->found));
		json_object_object_add(finding, "means", json_object_new_string(f->means));
		json_object_object_add(finding, "todo", json_object_new_string(f->todo));
		json_object_array_add(list, finding);
	}
	json_object_object_add(o, "checks", list);
	return o;
}

int drpc_cmd_doctor(struct drpc_cli *cli)
{
	struct drpc_doctor *doctor = calloc(1, sizeof(*doctor));
	struct json_object *o;
	bool can_measure;

	if (!doctor)
		return drpc_cli_fail("doctor", "out of memory");
	/* What is refused becomes a finding; the libraries need not say it too. */
	drpc_log_set_level(DRPC_LOG_ERROR);
	drpc_doctor_host(doctor);
	drpc_doctor_hooks(doctor, cli);
	drpc_doctor_cgroups(doctor, cli);
	drpc_doctor_services(doctor, cli);
	if (cli->json) {
		o = drpc_doctor_json(doctor);
		drpc_cli_print_json(o);
		json_object_put(o);
	} else {
		drpc_doctor_print(doctor, &cli->term, drpc_emit_stdout, &cli->term);
		fflush(stdout);
	}
	can_measure = doctor->can_measure;
	free(doctor);
	return can_measure ? DRPC_EXIT_DONE : DRPC_EXIT_FAILED;
}
