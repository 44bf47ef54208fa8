// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/term.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "lib/util.h"

/* --- what the terminal can -------------------------------------------------------------------- */

static bool want_color(const struct drpc_term *term, enum drpc_color_when when)
{
	const char *no_color = getenv("NO_COLOR"), *type = getenv("TERM");

	if (when != DRPC_COLOR_AUTO)
		return when == DRPC_COLOR_ALWAYS;
	return term->tty && !(no_color && no_color[0]) && type && strcmp(type, "dumb") != 0;
}

/*
 * Characters of the user's locale, numbers of none: "1.5" is 1.5 everywhere. Where no locale is set
 * at all, as in most containers and services, UTF-8 is what terminals speak; "C" in so many words
 * is a wish for ASCII.
 */
static void set_characters(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	bool named = false;

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(names); i++) {
		const char *value = getenv(names[i]);

		named = named || (value && value[0]);
	}
	if (!setlocale(LC_CTYPE, named ? "" : "C.UTF-8"))
		setlocale(LC_CTYPE, "C");
}

void drpc_term_init(struct drpc_term *term, enum drpc_color_when when)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size = {0};

	set_characters();
	*term = (struct drpc_term){.tty = isatty(STDOUT_FILENO) == 1};
	if (term->tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
		term->width = size.ws_col;
		term->height = size.ws_row;
	} else if (columns && atoi(columns) > 0) {
		term->width = atoi(columns);
	} else if (term->tty) {
		term->width = 80;
	}
	if (term->height <= 0)
		term->height = 24;
	term->unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	term->color = want_color(term, when);
}

bool drpc_color_when_parse(const char *text, enum drpc_color_when *ret)
{
	static const char *const names[] = {"auto", "always", "never"};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum drpc_color_when)i;
			return true;
		}
	}
	return false;
}

const char *drpc_color(const struct drpc_term *term, enum drpc_color color)
{
	static const char *const sequences[DRPC_COLORS] = {
		[DRPC_PLAIN] = "\033[0m", [DRPC_BOLD] = "\033[1m",  [DRPC_DIM] = "\033[2m",
		[DRPC_GOOD] = "\033[32m", [DRPC_WARN] = "\033[33m", [DRPC_BAD] = "\033[31m",
		[DRPC_INFO] = "\033[36m", [DRPC_TITLE] = "\033[1m",
	};

	return term->color ? sequences[color] : "";
}

/* --- text ------------------------------------------------------------------------------------- */

/* Columns and bytes of the first character; a byte that is no character counts as one column. */
static int step(const char *text, size_t *ret_bytes)
{
	mbstate_t state = {0};
	wchar_t wide;
	size_t n = mbrtowc(&wide, text, MB_CUR_MAX, &state);
	int width;

	if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
		*ret_bytes = 1;
		return 1;
	}
	width = wcwidth(wide);
	*ret_bytes = n;
	return width < 0 ? 1 : width;
}

int drpc_text_width(const char *text)
{
	int width = 0;
	size_t bytes;

	for (; *text; text += bytes)
		width += step(text, &bytes);
	return width;
}

void drpc_text_fit(const struct drpc_term *term, const char *text, int columns, char *dst,
		   size_t dst_size)
{
	const char *mark = term->unicode ? "…" : ".";
	int width = 0;
	size_t n = 0, bytes;

	if (drpc_text_width(text) <= columns) {
		drpc_strcpy(dst, dst_size, text);
		return;
	}
	while (*text) {
		int one = step(text, &bytes);

		if (width + one > columns - 1 || n + bytes + strlen(mark) + 1 > dst_size)
			break;
		memcpy(dst + n, text, bytes);
		n += bytes;
		text += bytes;
		width += one;
	}
	drpc_strcpy(dst + n, dst_size - n, columns > 0 ? mark : "");
}

int drpc_text_bar(const struct drpc_term *term, double share, int columns, char *dst,
		  size_t dst_size)
{
	static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
	int parts, used = 0;
	size_t n = 0;

	share = DRPC_CLAMP(share, 0.0, 1.0);
	parts = (int)lround(share * columns * 8);
	if (share > 0 && parts == 0)
		parts = 1;
	dst[0] = '\0';
	while (parts > 0) {
		const char *block = eighths[DRPC_MIN(parts, 8)];

		if (!term->unicode)
			block = parts >= 4 || used == 0 ? "#" : "";
		if (n + strlen(block) + 1 > dst_size)
			break;
		n += (size_t)snprintf(dst + n, dst_size - n, "%s", block);
		used += block[0] != '\0';
		parts -= 8;
	}
	return used;
}

/* --- figures ---------------------------------------------------------------------------------- */

/* Three digits that count: 1.23, 12.3, 123. */
static int digits_after(double value)
{
	value = fabs(value);
	return value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
}

void drpc_format_ms(char *dst, size_t size, double ms)
{
	if (ms <= 0)
		snprintf(dst, size, "-");
	else if (ms < 0.9995)
		snprintf(dst, size, "%.*f %s", ms * 1e3 < 9.995 ? 1 : 0, ms * 1e3,
			 MB_CUR_MAX > 1 ? "µs" : "us");
	else if (ms < 999.5)
		snprintf(dst, size, "%.*f ms", digits_after(ms), ms);
	else
		snprintf(dst, size, "%.*f s", digits_after(ms / 1e3), ms / 1e3);
}

static void scaled(char *dst, size_t size, double value, const char *const units[], size_t n,
		   double factor)
{
	size_t unit = 0;

	while (unit + 1 < n && value >= factor * 0.9995) {
		value /= factor;
		unit++;
	}
	snprintf(dst, size, "%.*f%s", digits_after(value), value, units[unit]);
}

void drpc_format_count(char *dst, size_t size, double count)
{
	static const char *const units[] = {"M", "G", "T"};
	char plain[32];
	size_t len, n = 0;

	if (count >= 1e7) {
		scaled(dst, size, count / 1e6, units, DRPC_ARRAY_SIZE(units), 1000);
		return;
	}
	len = (size_t)snprintf(plain, sizeof(plain), "%.0f", count);
	for (size_t i = 0; i < len && n + 2 < size; i++) {
		dst[n++] = plain[i];
		if (i + 1 < len && (len - 1 - i) % 3 == 0 && plain[i] != '-')
			dst[n++] = ',';
	}
	dst[n] = '\0';
}

void drpc_format_rate(char *dst, size_t size, double rate)
{
	static const char *const units[] = {"", "k", "M"};

	if (rate <= 0)
		snprintf(dst, size, "-");
	else if (rate < 9.95)
		snprintf(dst, size, "%.1f", rate);
	else if (rate < 999.5)
		snprintf(dst, size, "%.0f", rate);
	else
		scaled(dst, size, rate, units, DRPC_ARRAY_SIZE(units), 1000);
}

void drpc_format_mib(char *dst, size_t size, double mib)
{
	static const char *const units[] = {"M", "G", "T"};

	if (mib <= 0)
		snprintf(dst, size, "-");
	else
		scaled(dst, size, mib, units, DRPC_ARRAY_SIZE(units), 1024);
}

void drpc_format_cores(char *dst, size_t size, double cores)
{
	if (cores <= 0)
		snprintf(dst, size, "-");
	else if (cores < 0.005)
		snprintf(dst, size, "%.3f", cores);
	else
		snprintf(dst, size, "%.*f", digits_after(cores), cores);
}

void drpc_format_share(char *dst, size_t size, double share)
{
	if (share <= 0)
		snprintf(dst, size, "-");
	else if (share < 0.00005)
		snprintf(dst, size, "<0.01%%");
	else
		snprintf(dst, size, "%.*f%%",
			 share < 0.00995  ? 2
			 : share < 0.0995 ? 1
					  : 0,
			 share * 100);
}
