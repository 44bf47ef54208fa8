// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/term.h"

#include <criterion/criterion.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

static void utf8(void)
{
	setlocale(LC_CTYPE, "C.UTF-8");
}

TestSuite(term, .init = utf8);

typedef void (*format_fn)(char *dst, size_t size, double value);

static void is(format_fn format, double value, const char *expected)
{
	char text[64];

	format(text, sizeof(text), value);
	cr_expect_str_eq(text, expected, "%g is %s, not %s", value, text, expected);
}

Test(term, milliseconds)
{
	is(drpc_format_ms, 0, "-");
	is(drpc_format_ms, 0.000954, "1.0 µs");
	is(drpc_format_ms, 0.0129, "13 µs");
	is(drpc_format_ms, 0.85, "850 µs");
	is(drpc_format_ms, 0.9996, "1.00 ms");
	is(drpc_format_ms, 1.234, "1.23 ms");
	is(drpc_format_ms, 9.996, "10.0 ms");
	is(drpc_format_ms, 12.34, "12.3 ms");
	is(drpc_format_ms, 143.4, "143 ms");
	is(drpc_format_ms, 999.6, "1.00 s");
	is(drpc_format_ms, 64000, "64.0 s");
}

Test(term, counts_and_rates)
{
	is(drpc_format_count, 0, "0");
	is(drpc_format_count, 999, "999");
	is(drpc_format_count, 1000, "1,000");
	is(drpc_format_count, 1234567, "1,234,567");
	is(drpc_format_count, 12345678, "12.3M");
	is(drpc_format_count, 1.5e9, "1.50G");
	is(drpc_format_rate, 0, "-");
	is(drpc_format_rate, 0.44, "0.4");
	is(drpc_format_rate, 9.96, "10");
	is(drpc_format_rate, 411.3, "411");
	is(drpc_format_rate, 999.6, "1.00k");
	is(drpc_format_rate, 12345, "12.3k");
	is(drpc_format_rate, 1.2e6, "1.20M");
}

Test(term, resources)
{
	is(drpc_format_mib, 0, "-");
	is(drpc_format_mib, 64, "64.0M");
	is(drpc_format_mib, 1023.9, "1.00G");
	is(drpc_format_mib, 1536, "1.50G");
	is(drpc_format_cores, 0, "-");
	is(drpc_format_cores, 0.004, "0.004");
	is(drpc_format_cores, 0.25, "0.25");
	is(drpc_format_cores, 12, "12.0");
	is(drpc_format_share, 0, "-");
	is(drpc_format_share, 0.00001, "<0.01%");
	is(drpc_format_share, 0.0006, "0.06%");
	is(drpc_format_share, 0.0499, "5.0%");
	is(drpc_format_share, 0.62, "62%");
	is(drpc_format_share, 1, "100%");
}

Test(term, fit_cuts_to_columns)
{
	struct drpc_term term = {.unicode = true};
	char text[32];

	drpc_text_fit(&term, "web", 3, text, sizeof(text));
	cr_expect_str_eq(text, "web");
	drpc_text_fit(&term, "website", 4, text, sizeof(text));
	cr_expect_str_eq(text, "web…");
	drpc_text_fit(&term, "µµµµµ", 3, text, sizeof(text));
	cr_expect_str_eq(text, "µµ…");
	/* Wide characters take two columns, and are not cut in half. */
	drpc_text_fit(&term, "日本語", 4, text, sizeof(text));
	cr_expect_str_eq(text, "日…");
	drpc_text_fit(&term, "website", 0, text, sizeof(text));
	cr_expect_str_eq(text, "");
	term.unicode = false;
	drpc_text_fit(&term, "website", 4, text, sizeof(text));
	cr_expect_str_eq(text, "web.");
	/* A small buffer cuts earlier, between characters. */
	term.unicode = true;
	drpc_text_fit(&term, "µµµµµµµµ", 7, text, 8);
	cr_expect_str_eq(text, "µµ…");
}

Test(term, width_of_text)
{
	cr_expect_eq(drpc_text_width(""), 0);
	cr_expect_eq(drpc_text_width("≤ 7.81 ms"), 9);
	cr_expect_eq(drpc_text_width("日本"), 4);
	cr_expect_eq(drpc_text_width("\xff\xfe"), 2, "a byte that is no character");
}

static int bar(const struct drpc_term *term, double share, int columns, const char *expected)
{
	char text[256];
	int used = drpc_text_bar(term, share, columns, text, sizeof(text));

	cr_expect_str_eq(text, expected);
	cr_expect_eq(drpc_text_width(text), used);
	return used;
}

Test(term, bars_to_an_eighth)
{
	const struct drpc_term term = {.unicode = true}, ascii = {0};

	cr_expect_eq(bar(&term, 0, 4, ""), 0);
	cr_expect_eq(bar(&term, 1, 4, "████"), 4);
	bar(&term, 0.5, 4, "██");
	bar(&term, 0.40625, 4, "█▋");
	bar(&term, 1e-9, 4, "▏");
	bar(&term, 7, 2, "██");
	bar(&term, -1, 2, "");
	bar(&ascii, 0.5, 4, "##");
	bar(&ascii, 1e-9, 4, "#");
	bar(&ascii, 0.99, 4, "####");
}

Test(term, colors)
{
	struct drpc_term term;
	enum drpc_color_when when;

	/* Standard output is no terminal here. */
	drpc_term_init(&term, DRPC_COLOR_AUTO);
	cr_expect_not(term.color);
	cr_expect_str_empty(drpc_color(&term, DRPC_BAD));
	setenv("NO_COLOR", "1", 1);
	drpc_term_init(&term, DRPC_COLOR_ALWAYS);
	cr_expect(term.color, "what is asked for in so many words is done");
	cr_expect_str_eq(drpc_color(&term, DRPC_BAD), "\033[31m");
	drpc_term_init(&term, DRPC_COLOR_NEVER);
	cr_expect_not(term.color);
	cr_expect(drpc_color_when_parse("always", &when));
	cr_expect_eq(when, DRPC_COLOR_ALWAYS);
	cr_expect_not(drpc_color_when_parse("yes", &when));
}

Test(term, characters_of_the_locale)
{
	struct drpc_term term;

	unsetenv("LC_ALL");
	unsetenv("LC_CTYPE");
	unsetenv("LANG");
	drpc_term_init(&term, DRPC_COLOR_NEVER);
	cr_expect(term.unicode, "UTF-8 where nothing is said");
	setenv("LC_ALL", "C", 1);
	drpc_term_init(&term, DRPC_COLOR_NEVER);
	cr_expect_not(term.unicode);
	setenv("LC_ALL", "no_SUCH.locale", 1);
	drpc_term_init(&term, DRPC_COLOR_NEVER);
	cr_expect_not(term.unicode);
}

Test(term, width_from_the_environment)
{
	struct drpc_term term;

	setenv("COLUMNS", "100", 1);
	drpc_term_init(&term, DRPC_COLOR_NEVER);
	cr_expect_eq(term.width, 100);
	setenv("COLUMNS", "nonsense", 1);
	drpc_term_init(&term, DRPC_COLOR_NEVER);
	cr_expect_eq(term.width, 0);
}
