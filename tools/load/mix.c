// SPDX-License-Identifier: Apache-2.0
/* The mix file: user types, what they ask for, and their shares over time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "tools/load/units.h"
#include "tools/load/workload.h"

#define USERS_FORM   "users TYPE COUNT"
#define REQUEST_FORM "request TYPE WEIGHT METHOD PATH-OR-URL [BODY]"
#define RATIO_FORM   "ratio|ramp TIME TYPE=SHARE ..., times ascending, the first line a ratio"

struct mix_reader {
	struct drpc_workload *workload;
	const struct drpc_load_defaults *defaults;
	const char *path;
	size_t line;
};

static int complain(const struct mix_reader *reader, const char *what, const char *form)
{
	drpc_error("%s:%zu: %s: expected %s", reader->path, reader->line, what, form);
	return -EINVAL;
}

static const char *next_word(char **rest)
{
	const char *word;

	*rest += strspn(*rest, " \t");
	word = *rest;
	*rest += strcspn(*rest, " \t");
	if (**rest)
		*(*rest)++ = '\0';
	return word;
}

static bool find_class(const struct mix_reader *reader, const char *name, unsigned int *ret)
{
	for (unsigned int i = 0; i < reader->workload->class_count; i++) {
		if (!strcmp(reader->workload->classes[i].name, name)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static bool is_name(const char *name)
{
	return *name && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789_-") == strlen(name);
}

static int read_users(struct mix_reader *reader, char *rest)
{
	const char *name = next_word(&rest), *count = next_word(&rest);
	unsigned int class;
	uint64_t users;
	int err;

	if (!is_name(name) || !drpc_parse_u64(count, 1, UINT32_MAX, &users) || *rest)
		return complain(reader, "malformed user type", USERS_FORM);
	if (find_class(reader, name, &class))
		return complain(reader, "user type given twice", USERS_FORM);
	if (reader->workload->ratio_count)
		return complain(reader, "user type after a ratio", "all users lines first");
	err = drpc_workload_class(reader->workload, name, (uint32_t)users, &class);
	if (err == -EINVAL)
		return complain(reader, "name too long", "a TYPE of at most 31 characters");
	return err;
}

static int read_request(struct mix_reader *reader, char *rest)
{
	const char *name = next_word(&rest), *weight_text = next_word(&rest);
	const char *method = next_word(&rest), *url = next_word(&rest);
	struct drpc_load_defaults defaults = *reader->defaults;
	unsigned int class;
	char where[512];
	double weight;

	if (!find_class(reader, name, &class))
		return complain(reader, "unknown user type", "a users line for it before");
	if (!drpc_parse_number(weight_text, 1e-9, 1e9, &weight) || !is_name(method) || !*url)
		return complain(reader, "malformed request", REQUEST_FORM);
	rest += strspn(rest, " \t");
	defaults.method = method;
	defaults.path = NULL;
	defaults.body = rest;
	defaults.body_len = strlen(rest);
	snprintf(where, sizeof(where), "%s:%zu:", reader->path, reader->line);
	return drpc_workload_request(reader->workload, where, class, url, weight, &defaults);
}

static int read_shares(struct mix_reader *reader, char *rest, double *shares)
{
	double sum = 0;

	while (*(rest += strspn(rest, " \t"))) {
		char *word = (char *)next_word(&rest), *equals = strchr(word, '=');
		unsigned int class;

		if (!equals)
			return complain(reader, "share without '='", RATIO_FORM);
		*equals = '\0';
		if (!find_class(reader, word, &class))
			return complain(reader, "unknown user type", "a users line for it before");
		if (!drpc_parse_number(equals + 1, 0, 1e9, &shares[class]))
			return complain(reader, "share is no number", RATIO_FORM);
		sum += shares[class];
	}
	return sum > 0 ? 0 : complain(reader, "all shares are 0", RATIO_FORM);
}

static int read_ratio(struct mix_reader *reader, char *rest, bool ramp)
{
	struct drpc_workload *workload = reader->workload;
	struct drpc_load_ratio *ratios, ratio = {.ramp = ramp};
	const char *at = next_word(&rest);
	uint64_t at_ns;
	int err;

	if (!workload->class_count)
		return complain(reader, "no user types yet", "all users lines first");
	if (!drpc_parse_duration_ns(at, &at_ns))
		return complain(reader, "malformed time", DRPC_DURATION_FORM);
	ratio.at_s = (double)at_ns / 1e9;
	if (workload->ratio_count ? ratio.at_s <= workload->ratios[workload->ratio_count - 1].at_s
				  : ramp)
		return complain(reader, "out of order", RATIO_FORM);
	ratio.shares = calloc(workload->class_count, sizeof(*ratio.shares));
	ratios = reallocarray(workload->ratios, workload->ratio_count + 1, sizeof(*ratios));
	if (ratios)
		workload->ratios = ratios;
	err = ratio.shares && ratios ? read_shares(reader, rest, ratio.shares) : -ENOMEM;
	if (err) {
		free(ratio.shares);
		return err;
	}
	ratios[workload->ratio_count++] = ratio;
	return 0;
}

static int read_line(struct mix_reader *reader, char *line)
{
	const char *keyword;

	line[strcspn(line, "\r\n")] = '\0';
	keyword = next_word(&line);
	if (!*keyword || *keyword == '#')
		return 0;
	if (!strcmp(keyword, "users"))
		return read_users(reader, line);
	if (!strcmp(keyword, "request"))
		return read_request(reader, line);
	if (!strcmp(keyword, "ratio") || !strcmp(keyword, "ramp"))
		return read_ratio(reader, line, !strcmp(keyword, "ramp"));
	return complain(reader, "unknown keyword", "users, request, ratio or ramp");
}

/* Whatever the shares can choose must have something to send. */
static int check(const struct mix_reader *reader)
{
	const struct drpc_workload *workload = reader->workload;

	if (!workload->class_count || !workload->ratio_count) {
		drpc_error("%s: expected at least one users, one request and one ratio line",
			   reader->path);
		return -EINVAL;
	}
	for (unsigned int i = 0; i < workload->class_count; i++) {
		if (workload->classes[i].weight_sum <= 0) {
			drpc_error("%s: user type %s asks for nothing: expected " REQUEST_FORM,
				   reader->path, workload->classes[i].name);
			return -EINVAL;
		}
	}
	return 0;
}

int drpc_workload_mix(struct drpc_workload *workload, const char *path,
		      const struct drpc_load_defaults *defaults)
{
	struct mix_reader reader = {.workload = workload, .defaults = defaults, .path = path};
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t capacity = 0;

	if (!file)
		return drpc_err(-errno, "%s: cannot open the mix file", path);
	while (getline(&line, &capacity, file) >= 0) {
		int err;

		reader.line++;
		err = read_line(&reader, line);
		if (err)
			return err;
	}
	if (ferror(file))
		return drpc_err(-EIO, "%s:%zu: cannot read", path, reader.line + 1);
	return check(&reader);
}
