// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <ncurses.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/util.h"
#include "tools/drpc/cli.h"
#include "tools/drpc/client.h"
#include "tools/drpc/rows.h"

#define REFRESH_MS 1000

struct frame {
	struct json_object *status, *containers; /* NULL before the first answer */
	char why[512];				 /* "" while the agent answers */
};

struct top {
	struct drpc_cli *cli;
	struct drpc_client *client;
	struct frame frame;
	enum drpc_sort sort;
	bool held;	 /* `p`: the picture stands still */
	bool unfinished; /* a line goes on beyond the screen */
};

/* --- what is shown ---------------------------------------------------------------------------- */

/* Keeps the last frame where the agent does not answer: old figures, with a word about it. */
static int fetch(struct top *top)
{
	struct json_object *status = NULL, *containers = NULL;
	int r = drpc_client_get(top->client, "/v1/status", &status);

	if (r == 0) {
		r = drpc_client_get(top->client, "/v1/containers", &containers);
		if (r < 0)
			json_object_put(status);
	}
	if (r < 0) {
		drpc_strcpy(top->frame.why, sizeof(top->frame.why), drpc_client_why(top->client));
		return r;
	}
	json_object_put(top->frame.status);
	json_object_put(top->frame.containers);
	top->frame.status = status;
	top->frame.containers = containers;
	top->frame.why[0] = '\0';
	return 0;
}

static void frame_free(struct frame *frame)
{
	json_object_put(frame->status);
	json_object_put(frame->containers);
}

static void format_uptime(char *dst, size_t size, double sec)
{
	unsigned long s = (unsigned long)sec;

	if (s < 120)
		snprintf(dst, size, "%lus", s);
	else if (s < 7200)
		snprintf(dst, size, "%lum", s / 60);
	else if (s < 172800)
		snprintf(dst, size, "%luh", s / 3600);
	else
		snprintf(dst, size, "%lud", s / 86400);
}

static void emit_header(const struct top *top, drpc_emit_fn emit, void *arg)
{
	const struct drpc_term *term = &top->cli->term;
	struct json_object *status = top->frame.status, *control = NULL;
	const char *dot = term->unicode ? "·" : "-";
	char line[256], uptime[32];

	emit(arg, DRPC_TITLE, "drpc top");
	if (!status)
		return;
	json_object_object_get_ex(status, "control", &control);
	format_uptime(uptime, sizeof(uptime), drpc_field_number(status, "uptime_sec"));
	snprintf(line, sizeof(line), "  %zu containers %s up %s %s planner %s %s %.0f applied",
		 json_object_array_length(top->frame.containers), dot, uptime, dot,
		 drpc_field_string(status, "planner"), dot, drpc_field_number(control, "applied"));
	emit(arg, DRPC_PLAIN, line);
	if (drpc_field_bool(status, "paused"))
		emit(arg, DRPC_WARN, "  paused");
}

/* Everything in `width` columns and `height` lines (0: no bound). */
static void emit_frame(const struct top *top, int width, int height, drpc_emit_fn emit, void *arg)
{
	struct drpc_table *table;
	size_t max_rows = 0, actions = 3;

	emit_header(top, emit, arg);
	emit(arg, DRPC_PLAIN, "\n\n");
	if (!top->frame.containers) {
		emit(arg, DRPC_WARN, "waiting for the agent: ");
		emit(arg, DRPC_PLAIN, top->frame.why);
		emit(arg, DRPC_PLAIN, "\n");
		return;
	}
	if (drpc_rows_new(top->frame.containers, top->sort, &table) < 0)
		return;
	/* Header, column titles, a blank, the last actions and the keys have their place. */
	if (height > 0)
		max_rows = (size_t)DRPC_MAX(height - 9, 1);
	else
		actions = drpc_table_rows(table);
	if (top->cli->count > 0)
		max_rows = max_rows ? DRPC_MIN(max_rows, (size_t)top->cli->count)
				    : (size_t)top->cli->count;
	drpc_table_emit(table, &top->cli->term, width, max_rows, emit, arg);
	if (max_rows && drpc_table_rows(table) > max_rows) {
		char more[64];

		snprintf(more, sizeof(more), "and %zu more\n", drpc_table_rows(table) - max_rows);
		emit(arg, DRPC_DIM, more);
	}
	drpc_table_free(&table);
	emit(arg, DRPC_PLAIN, "\n");
	drpc_rows_actions(top->frame.containers, width, actions, &top->cli->term, emit, arg);
}

/* --- one frame, as text ----------------------------------------------------------------------- */

static int print_once(struct top *top)
{
	int r = fetch(top);

	if (r < 0)
		return drpc_cli_fail("top", "%s", top->frame.why);
	if (top->cli->json)
		drpc_cli_print_json(top->frame.containers);
	else
		emit_frame(top, top->cli->term.width, 0, drpc_emit_stdout, &top->cli->term);
	fflush(stdout);
	return DRPC_EXIT_DONE;
}

/* --- live ------------------------------------------------------------------------------------- */

static void init_colors(const struct drpc_term *term)
{
	if (!term->color || !has_colors())
		return;
	start_color();
	use_default_colors();
	init_pair(DRPC_GOOD, COLOR_GREEN, -1);
	init_pair(DRPC_WARN, COLOR_YELLOW, -1);
	init_pair(DRPC_BAD, COLOR_RED, -1);
	init_pair(DRPC_INFO, COLOR_CYAN, -1);
}

static attr_t attribute(const struct drpc_term *term, enum drpc_color color)
{
	switch (color) {
	case DRPC_BOLD:
	case DRPC_TITLE:
		return A_BOLD;
	case DRPC_DIM:
		return A_DIM;
	case DRPC_GOOD:
	case DRPC_WARN:
	case DRPC_BAD:
	case DRPC_INFO:
		return term->color && has_colors() ? (attr_t)COLOR_PAIR(color) : A_NORMAL;
	default:
		return A_NORMAL;
	}
}

/* Writes up to the right edge and no further: ncurses would go on in the next line. */
static void emit_screen(void *arg, enum drpc_color color, const char *text)
{
	struct top *top = arg;

	while (*text) {
		size_t len = strcspn(text, "\n");
		int room = COLS - getcurx(stdscr);
		char part[512], fitted[512];

		snprintf(part, sizeof(part), "%.*s", (int)DRPC_MIN(len, sizeof(part) - 1), text);
		if (!top->unfinished && room > 0) {
			drpc_text_fit(&top->cli->term, part, room, fitted, sizeof(fitted));
			top->unfinished = drpc_text_width(part) >= room;
			attrset(attribute(&top->cli->term, color));
			addstr(fitted);
			attrset(A_NORMAL);
		}
		text += len;
		if (*text == '\n') {
			/* A full line has wrapped by itself. */
			if (!(top->unfinished && getcurx(stdscr) == 0))
				addch('\n');
			top->unfinished = false;
			text++;
		}
	}
}

static void draw(struct top *top)
{
	char keys[160];

	erase();
	top->unfinished = false;
	emit_frame(top, COLS, LINES, emit_screen, top);
	move(LINES - 1, 0);
	top->unfinished = false;
	if (top->frame.why[0] && top->frame.containers) {
		emit_screen(top, DRPC_WARN, "waiting for the agent; these are its last figures");
	} else {
		snprintf(keys, sizeof(keys), "q quit   s sort: %s   p %s",
			 drpc_sort_name(top->sort), top->held ? "go on (held)" : "hold");
		emit_screen(top, DRPC_DIM, keys);
	}
	refresh();
}

/* True to go on. */
static bool on_key(struct top *top, int key)
{
	switch (key) {
	case 'q':
	case 'Q':
	case 27:
		return false;
	case 's':
		top->sort = (top->sort + 1) % DRPC_SORT_COUNT;
		return true;
	case 'p':
	case ' ':
		top->held = !top->held;
		return true;
	default:
		return true;
	}
}

static int run_live(struct top *top)
{
	uint64_t next_ns = 0;
	bool on = true;
	int r = 0;

	initscr();
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	set_escdelay(25);
	init_colors(&top->cli->term);
	while (on) {
		uint64_t now_ns = drpc_now_ns();

		if (now_ns >= next_ns) {
			next_ns = now_ns + REFRESH_MS * DRPC_NSEC_PER_MSEC;
			if (!top->held)
				r = fetch(top);
			/* Without rights it will not get better. */
			if (r == -EACCES)
				break;
		}
		draw(top);
		timeout((int)((next_ns - DRPC_MIN(next_ns, drpc_now_ns())) / DRPC_NSEC_PER_MSEC) +
			1);
		on = on_key(top, getch());
	}
	endwin();
	return r == -EACCES ? drpc_cli_fail("top", "%s", top->frame.why) : DRPC_EXIT_DONE;
}

int drpc_cmd_top(struct drpc_cli *cli)
{
	struct top top = {.cli = cli};
	bool live = cli->term.tty && isatty(STDIN_FILENO) && !cli->once && !cli->json;
	int status;

	if (drpc_client_new(cli->socket, &top.client) < 0)
		return drpc_cli_fail("top", "out of memory");
	status = live ? run_live(&top) : print_once(&top);
	frame_free(&top.frame);
	drpc_client_free(&top.client);
	return status;
}
