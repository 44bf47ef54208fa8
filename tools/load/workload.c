// SPDX-License-Identifier: Apache-2.0
#include "tools/load/workload.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/log.h"
#include "lib/util.h"

/* Makes room for one more element and zeroes it; counts grow by ones, they are small. */
static void *grow(void *array, unsigned int count, size_t size)
{
	char *bigger = reallocarray(array, count + 1, size);

	if (bigger)
		memset(bigger + count * size, 0, size);
	return bigger;
}

void drpc_workload_release(struct drpc_workload *workload)
{
	for (unsigned int i = 0; i < workload->request_count; i++)
		free(workload->requests[i].text);
	for (unsigned int i = 0; i < workload->ratio_count; i++)
		free(workload->ratios[i].shares);
	free(workload->targets);
	free(workload->requests);
	free(workload->classes);
	free(workload->ratios);
	memset(workload, 0, sizeof(*workload));
}

int drpc_workload_class(struct drpc_workload *workload, const char *name, uint32_t users,
			unsigned int *ret_class)
{
	struct drpc_load_class *class;

	for (unsigned int i = 0; i < workload->class_count; i++) {
		if (!strcmp(workload->classes[i].name, name)) {
			*ret_class = i;
			return 0;
		}
	}
	if (!*name || strlen(name) >= sizeof(class->name))
		return -EINVAL;
	class = grow(workload->classes, workload->class_count, sizeof(*class));
	if (!class)
		return -ENOMEM;
	workload->classes = class;
	class += workload->class_count;
	drpc_strcpy(class->name, sizeof(class->name), name);
	class->users = users;
	*ret_class = workload->class_count++;
	return 0;
}

static int add_target(struct drpc_workload *workload, const char *flag, const char *url,
		      unsigned int *ret_target, char **ret_path)
{
	struct drpc_target target, *targets;
	int err;

	if (url[0] == '/') {
		if (!workload->target_count) {
			drpc_error("%s %s: a path alone needs a target: expected " DRPC_TARGET_FORM,
				   flag, url);
			return -EINVAL;
		}
		if (url[strcspn(url, " \t\r\n")]) {
			drpc_error("%s: blank in a path", flag);
			return -EINVAL;
		}
		*ret_target = 0;
		*ret_path = strdup(url);
		return *ret_path ? 0 : -ENOMEM;
	}
	err = drpc_target_parse(&target, flag, url, ret_path);
	if (err)
		return err;
	for (unsigned int i = 0; i < workload->target_count; i++) {
		if (!strcmp(workload->targets[i].name, target.name)) {
			*ret_target = i;
			return 0;
		}
	}
	targets = grow(workload->targets, workload->target_count, sizeof(*targets));
	if (!targets) {
		free(*ret_path);
		return -ENOMEM;
	}
	workload->targets = targets;
	targets[workload->target_count] = target;
	*ret_target = workload->target_count++;
	return 0;
}

int drpc_workload_base(struct drpc_workload *workload, const char *flag, const char *url)
{
	_cleanup_free_ char *path = NULL;
	unsigned int target;

	assert(!workload->target_count);
	return add_target(workload, flag, url, &target, &path);
}

static bool has_header(const struct drpc_load_defaults *defaults, const char *name)
{
	size_t n = strlen(name);

	for (const char *const *h = defaults->headers; h && *h; h++) {
		if (!strncasecmp(*h, name, n) && (*h)[n] == ':')
			return true;
	}
	return false;
}

/* A server may wait for a body with these methods unless it is told that there is none. */
static bool wants_length(const struct drpc_load_defaults *defaults)
{
	const char *m = defaults->method;

	if (has_header(defaults, "Content-Length") || has_header(defaults, "Transfer-Encoding"))
		return false;
	return defaults->body_len || !strcmp(m, "POST") || !strcmp(m, "PUT") || !strcmp(m, "PATCH");
}

static int write_text(struct drpc_load_request *request, const struct drpc_target *target,
		      const char *path, const struct drpc_load_defaults *defaults)
{
	FILE *out = open_memstream(&request->text, &request->len);

	if (!out)
		return -ENOMEM;
	fprintf(out, "%s %s HTTP/1.1\r\n", defaults->method, path);
	if (!has_header(defaults, "Host"))
		fprintf(out, "Host: %s\r\n", target->host_header);
	if (!has_header(defaults, "User-Agent"))
		fprintf(out, "User-Agent: drpc-load/%s\r\n", DRPC_VERSION);
	if (defaults->close)
		fputs("Connection: close\r\n", out);
	for (const char *const *h = defaults->headers; h && *h; h++)
		fprintf(out, "%s\r\n", *h);
	if (wants_length(defaults))
		fprintf(out, "Content-Length: %zu\r\n", defaults->body_len);
	fflush(out);
	request->user_at = request->len;
	fputs("\r\n", out);
	fwrite(defaults->body, 1, defaults->body_len, out);
	return fclose(out) ? -ENOMEM : 0;
}

int drpc_workload_request(struct drpc_workload *workload, const char *flag, unsigned int class,
			  const char *url, double weight, const struct drpc_load_defaults *defaults)
{
	struct drpc_load_request *request;
	_cleanup_free_ char *path = NULL;
	unsigned int target;
	int err;

	err = add_target(workload, flag, url, &target, &path);
	if (err)
		return err;
	request = grow(workload->requests, workload->request_count, sizeof(*request));
	if (!request)
		return -ENOMEM;
	workload->requests = request;
	request += workload->request_count;
	request->target = target;
	request->class = class;
	request->weight = weight;
	request->is_head = !strcmp(defaults->method, "HEAD");
	err = write_text(request, &workload->targets[target],
			 defaults->path ? defaults->path : path, defaults);
	if (err) {
		free(request->text);
		return err;
	}
	workload->request_count++;
	workload->classes[class].weight_sum += weight;
	return 0;
}

int drpc_workload_resolve(struct drpc_workload *workload)
{
	for (unsigned int i = 0; i < workload->target_count; i++) {
		const char *why = "";
		int err = drpc_target_resolve(&workload->targets[i], &why);

		if (err) {
			drpc_error("%s: cannot look up the host: %s", workload->targets[i].name,
				   *why ? why : strerror(-err));
			return err;
		}
	}
	return 0;
}

/* --- choosing ------------------------------------------------------------------------------- */

void drpc_workload_picker_init(struct drpc_workload_picker *picker,
			       const struct drpc_workload *workload, uint64_t seed)
{
	*picker = (struct drpc_workload_picker){
		.workload = workload,
		.rng = drpc_rng_stream(seed, 1),
	};
}

/* The share of a class at a time, between two lines where the later one is a ramp. */
static double share_at(const struct drpc_workload *workload, unsigned int line, unsigned int class,
		       double at_s)
{
	const struct drpc_load_ratio *from = &workload->ratios[line], *to = from + 1;
	double part;

	if (line + 1 >= workload->ratio_count || !to->ramp || at_s <= from->at_s)
		return from->shares[class];
	part = (at_s - from->at_s) / (to->at_s - from->at_s);
	return from->shares[class] + part * (to->shares[class] - from->shares[class]);
}

static unsigned int pick_class(struct drpc_workload_picker *picker, double at_s)
{
	const struct drpc_workload *workload = picker->workload;
	unsigned int n = workload->class_count, last = 0;
	double sum = 0, draw;

	if (n == 1 || !workload->ratio_count)
		return 0;
	while (picker->ratio + 1 < workload->ratio_count &&
	       at_s >= workload->ratios[picker->ratio + 1].at_s)
		picker->ratio++;
	for (unsigned int i = 0; i < n; i++)
		sum += share_at(workload, picker->ratio, i, at_s);
	draw = drpc_rng_uniform(&picker->rng) * sum;
	for (unsigned int i = 0; i < n; i++) {
		double share = share_at(workload, picker->ratio, i, at_s);

		if (share <= 0)
			continue;
		last = i;
		draw -= share;
		if (draw <= 0)
			break;
	}
	return last;
}

struct drpc_workload_pick drpc_workload_pick(struct drpc_workload_picker *picker, double at_s)
{
	const struct drpc_workload *workload = picker->workload;
	unsigned int class = pick_class(picker, at_s);
	struct drpc_workload_pick pick = {0};
	double draw;

	if (workload->classes[class].users)
		pick.user = 1 + drpc_rng_below(&picker->rng, workload->classes[class].users);
	if (workload->request_count == 1) {
		pick.request = workload->requests;
		return pick;
	}
	draw = drpc_rng_uniform(&picker->rng) * workload->classes[class].weight_sum;
	for (unsigned int i = 0; i < workload->request_count; i++) {
		const struct drpc_load_request *request = &workload->requests[i];

		if (request->class != class)
			continue;
		pick.request = request;
		draw -= request->weight;
		if (draw <= 0)
			break;
	}
	return pick;
}
