// SPDX-License-Identifier: Apache-2.0
#include "tools/sim/points.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

#define BYTES_MAX  (1024UL * 1024)
#define POINTS_MAX 10000

struct points {
	double load[POINTS_MAX], use[POINTS_MAX];
	size_t n;
};

static int take_number(const char *text, double *ret)
{
	char *end;

	errno = 0;
	*ret = strtod(text, &end);
	end += strspn(end, " \t\r");
	return end == text || *end || errno || !isfinite(*ret) || *ret < 0 ? -EINVAL : 0;
}

/* 1 for a point, 0 for a line that is none because nothing is on it, -EINVAL. */
static int take_line(char *line, double *load, double *use)
{
	char *last = strrchr(line, ',');

	if (line[strspn(line, " \t\r")] == '\0')
		return 0;
	if (!last)
		return -EINVAL;
	*last++ = '\0';
	line[strcspn(line, ",")] = '\0';
	return take_number(line, load) < 0 || take_number(last, use) < 0 ? -EINVAL : 1;
}

static int take_lines(const char *path, char *text, struct points *ret)
{
	size_t number = 0;

	for (char *line = text, *next; line; line = next) {
		int r;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		number++;
		if (ret->n == POINTS_MAX)
			return drpc_err(-EINVAL, "%s:%zu: more than %d points", path, number,
					POINTS_MAX);
		r = take_line(line, &ret->load[ret->n], &ret->use[ret->n]);
		if (r < 0 && number > 1)
			return drpc_err(
				-EINVAL,
				"%s:%zu: expected a load, a comma and the utilisation it led to, "
				"numbers from 0",
				path, number);
		ret->n += r > 0;
	}
	return 0;
}

int sim_points_profile(const char *path, struct drpc_profile *ret)
{
	_cleanup_free_ struct points *points = calloc(1, sizeof(*points));
	_cleanup_free_ char *text = NULL;
	const ssize_t n = points ? drpc_read_file_at(AT_FDCWD, path, BYTES_MAX, &text) : -ENOMEM;
	int err;

	if (n < 0)
		return drpc_err((int)n, "cannot read %s", path);
	err = take_lines(path, text, points);
	return err ? err : drpc_profile_fit(points->load, points->use, points->n, 1, ret);
}
