/* SPDX-License-Identifier: Apache-2.0 */
/* Where views draw to in tests: text without colours, and which colour a piece had. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "tools/drpc/table.h"

struct paper {
	char text[32768];
	size_t size;
	char bad[256]; /* everything in red, one piece after the other */
};

static inline void paper_emit(void *arg, enum drpc_color color, const char *text)
{
	struct paper *paper = arg;
	size_t len = strlen(text);

	if (paper->size + len >= sizeof(paper->text))
		return;
	memcpy(paper->text + paper->size, text, len + 1);
	paper->size += len;
	if (color == DRPC_BAD)
		strncat(paper->bad, text, sizeof(paper->bad) - strlen(paper->bad) - 1);
}

/* The widest line. */
static inline int paper_width(const struct paper *paper)
{
	const char *line = paper->text;
	int widest = 0;

	while (*line) {
		size_t len = strcspn(line, "\n");
		char copy[1024];
		int width;

		snprintf(copy, sizeof(copy), "%.*s", (int)len, line);
		width = drpc_text_width(copy);
		widest = width > widest ? width : widest;
		line += len + (line[len] == '\n');
	}
	return widest;
}

/* A terminal with UTF-8 of so many columns. */
static inline struct drpc_term paper_term(int width)
{
	struct drpc_term term;

	drpc_term_init(&term, DRPC_COLOR_NEVER);
	term.width = width;
	return term;
}
