/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal: its width, whether colours and block characters may be used; figures for people. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum drpc_color_when {
	DRPC_COLOR_AUTO, /* on a terminal, unless NO_COLOR is set or TERM is dumb */
	DRPC_COLOR_ALWAYS,
	DRPC_COLOR_NEVER,
};

enum drpc_color {
	DRPC_PLAIN,
	DRPC_BOLD,
	DRPC_DIM,
	DRPC_GOOD,  /* green */
	DRPC_WARN,  /* yellow */
	DRPC_BAD,   /* red */
	DRPC_INFO,  /* cyan */
	DRPC_TITLE, /* bold, for headings */
	DRPC_COLORS,
};

struct drpc_term {
	bool tty;     /* standard output is a terminal */
	bool color;   /* escape sequences may be written */
	bool unicode; /* the locale has UTF-8 */
	int width;    /* columns; 0: no terminal, lines may be of any length */
	int height;
};

void drpc_term_init(struct drpc_term *term, enum drpc_color_when when);
bool drpc_color_when_parse(const char *text, enum drpc_color_when *ret);

/* The sequence that begins a colour, "" without colours; DRPC_PLAIN ends one. */
const char *drpc_color(const struct drpc_term *term, enum drpc_color color);

/* Columns a text takes on the screen. */
int drpc_text_width(const char *text);

/* Copies at most `columns` columns; where it cuts, the last one becomes an ellipsis. */
void drpc_text_fit(const struct drpc_term *term, const char *text, int columns, char *dst,
		   size_t dst_size);

/* A bar of `share` (0..1) of `columns` columns, to an eighth where there are block characters;
 * whatever is over 0 shows. `dst` takes 3 * columns + 4 bytes. Returns the columns used. */
int drpc_text_bar(const struct drpc_term *term, double share, int columns, char *dst,
		  size_t dst_size);

/* Figures, three digits that count, with their unit. "-" for 0 where `zero_is_none`. */
void drpc_format_ms(char *dst, size_t size, double ms);	      /* 850 µs, 1.24 ms, 12.0 s */
void drpc_format_count(char *dst, size_t size, double count); /* 12,345, 1.23M */
void drpc_format_rate(char *dst, size_t size, double rate);   /* 0.4, 411, 12.3k */
void drpc_format_mib(char *dst, size_t size, double mib);     /* 64.0M, 1.50G */
void drpc_format_cores(char *dst, size_t size, double cores); /* 0.25, 12.0 */
void drpc_format_share(char *dst, size_t size, double share); /* 0%, 0.4%, 62% */
