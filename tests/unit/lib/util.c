// SPDX-License-Identifier: Apache-2.0
#include "lib/util.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *cut(const char *src, size_t size)
{
	static char dst[64];

	memset(dst, '!', sizeof(dst));
	drpc_strcpy(dst, size, src);
	return dst;
}

Test(util, strcpy_cuts_between_characters)
{
	cr_expect_str_eq(cut("abc", 4), "abc");
	cr_expect_str_eq(cut("abcd", 4), "abc");
	cr_expect_str_eq(cut("ab€", 5), "ab");
	cr_expect_str_eq(cut("ab€", 6), "ab€");
	cr_expect_str_eq(cut("a😀", 5), "a");
	cr_expect_str_eq(cut("abc", 1), "");
	/* Bytes that are no UTF-8 are cut where the room ends, not eaten up. */
	cr_expect_str_eq(cut("\x80\x80\x80\x80\x80\x80\x80\x80", 6), "\x80\x80\x80\x80\x80");
}

Test(util, strcpy_tells_of_a_cut)
{
	char dst[4];

	cr_expect(drpc_strcpy(dst, sizeof(dst), "abc"));
	cr_expect_not(drpc_strcpy(dst, sizeof(dst), "abcd"));
	cr_expect_not(drpc_strcpy(dst, 0, "a"));
}

static const char *clean(const char *src)
{
	static char dst[64];

	drpc_sanitize(dst, sizeof(dst), src);
	return dst;
}

Test(util, sanitize_keeps_what_prints)
{
	cr_expect_str_eq(clean("shop/web-1"), "shop/web-1");
	cr_expect_str_eq(clean("münchen €5 😀"), "münchen €5 😀");
	cr_expect_str_eq(clean("\xc2\xa0"), "\xc2\xa0");
}

Test(util, sanitize_replaces_controls_and_broken_sequences)
{
	cr_expect_str_eq(clean("a\nb\x1b[31m\x7f"), "a?b?[31m?");
	/* CSI as one C1 character is what some terminals obey. */
	cr_expect_str_eq(clean("\xc2\x9b[31m"), "??[31m");
	cr_expect_str_eq(clean("\xff\xfe"), "??");
	cr_expect_str_eq(clean("a\x80z"), "a?z");
	/* Longer than needed, a surrogate, past the last character, cut short. */
	cr_expect_str_eq(clean("\xc0\xaf"), "??");
	cr_expect_str_eq(clean("\xe0\x80\xaf"), "???");
	cr_expect_str_eq(clean("\xed\xa0\x80"), "???");
	cr_expect_str_eq(clean("\xf4\x90\x80\x80"), "????");
	cr_expect_str_eq(clean("x\xe2\x82"), "x??");
}
