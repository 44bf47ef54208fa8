/* SPDX-License-Identifier: Apache-2.0 */
/* The hook ladder: which rung of each need this kernel allows, found out by trying. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "agent/monitor/kernel_internal.h"
#include "lib/log.h"
#include "lib/util.h"

void drpc_kernel_hook(struct drpc_kernel *kernel, const char *need, const char *rung, bool working,
		      const char *reason, ...)
{
	struct drpc_hook_status *hook;
	va_list args;

	if (kernel->n_hooks == DRPC_HOOKS_MAX) {
		drpc_warn("kernel: more than %d hooks, status of \"%s\" is not kept, ignoring",
			  DRPC_HOOKS_MAX, need);
		return;
	}
	hook = &kernel->hooks[kernel->n_hooks++];
	drpc_strcpy(hook->need, sizeof(hook->need), need);
	drpc_strcpy(hook->rung, sizeof(hook->rung), working ? rung : "");
	hook->working = working;
	va_start(args, reason);
	vsnprintf(hook->reason, sizeof(hook->reason), reason, args);
	va_end(args);
}

bool drpc_kernel_rung_allowed(const struct drpc_kernel *kernel, const char *concern,
			      const char *rung)
{
	const char *p = kernel->force_rung;
	size_t len = strlen(concern);

	while (p && *p) {
		size_t word = strcspn(p, ",");

		if (word > len && p[len] == '=' && !strncmp(p, concern, len)) {
			char forced[64];
			size_t n = DRPC_MIN(word - len - 1, sizeof(forced) - 1);

			memcpy(forced, p + len + 1, n);
			forced[n] = '\0';
			return strstr(rung, forced);
		}
		p += word;
		p += *p == ',';
	}
	return true;
}

/* How many arguments a kernel function takes by the kernel's BTF, -1 where there is none such. */
static int function_arity(const char *name)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int arity = -1, id;

	if (libbpf_get_error(btf))
		return -1;
	id = btf__find_by_name_kind(btf, name, BTF_KIND_FUNC);
	if (id > 0)
		arity = btf_vlen(btf__type_by_id(btf, btf__type_by_id(btf, (uint32_t)id)->type));
	btf__free(btf);
	return arity;
}

/* Loads and attaches one program of an object, alone, and throws it away. 0 or a negative errno. */
static int try_program(const struct drpc_kernel *kernel, const struct drpc_object_ops *ops,
		       const char *name)
{
	void *skel = ops->open(kernel);
	struct bpf_program *prog, *wanted = NULL;
	struct bpf_link *link;
	int r;

	if (!skel)
		return -errno;
	bpf_object__for_each_program(prog, ops->object(skel))
	{
		bool this = !strcmp(bpf_program__name(prog), name);

		bpf_program__set_autoload(prog, this);
		if (this)
			wanted = prog;
	}
	r = wanted ? drpc_kernel_share_maps(kernel, ops->object(skel)) : -ENOENT;
	if (r == 0)
		r = bpf_object__load(ops->object(skel));
	if (r == 0) {
		link = bpf_program__attach(wanted);
		r = (int)libbpf_get_error(link);
		if (r == 0)
			bpf_link__destroy(link);
	}
	ops->destroy(skel);
	return r;
}

static int try_rung(const struct drpc_kernel *kernel, const struct drpc_object_ops *ops,
		    const struct drpc_rung *rung)
{
	if (rung->function) {
		int arity = function_arity(rung->function);

		if (arity < 0)
			return -ENOENT;
		if (arity != rung->arity)
			return -EPROTO;
	}
	for (int i = 0; i < DRPC_RUNG_PROGRAMS && rung->programs[i]; i++) {
		int r = try_program(kernel, ops, rung->programs[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static const char *refusal(int err)
{
	switch (err) {
	case -EPERM:
		return "not permitted here";
	case -ESRCH:
	case -ENOENT:
		return "not in this kernel";
	case -EPROTO:
		return "has other arguments in this kernel";
	case -EACCES:
	case -EINVAL:
		return "refused by the verifier";
	default:
		return strerror(-err);
	}
}

/* Appends "RUNG: why" to a list of rungs that were passed over. */
static void note_refusal(char *list, size_t size, const char *rung, const char *why)
{
	size_t len = strlen(list);

	snprintf(list + len, size - len, "%s%s: %s", len ? "; " : "", rung, why);
}

/* Whether a word in force_rung is about this need: names one of its rungs, and not all. */
static bool is_forced(const struct drpc_kernel *kernel, const char *concern,
		      const struct drpc_need *need)
{
	int rungs = 0, allowed = 0;

	for (int i = 0; i < DRPC_NEED_RUNGS && need->rungs[i].name; i++) {
		rungs++;
		allowed += drpc_kernel_rung_allowed(kernel, concern, need->rungs[i].name);
	}
	return allowed > 0 && allowed < rungs;
}

static bool climb_one(struct drpc_kernel *kernel, const char *concern,
		      const struct drpc_object_ops *ops, struct drpc_need *need)
{
	char refused[sizeof(((struct drpc_hook_status *)NULL)->reason)] = "";

	bool forced = is_forced(kernel, concern, need);

	need->chosen = NULL;
	for (int i = 0; i < DRPC_NEED_RUNGS && need->rungs[i].name; i++) {
		const struct drpc_rung *rung = &need->rungs[i];
		int r;

		/* A rung without programs is what is left when all others fail. */
		if (forced && rung->programs[0] &&
		    !drpc_kernel_rung_allowed(kernel, concern, rung->name)) {
			note_refusal(refused, sizeof(refused), rung->name, "forced out");
			continue;
		}
		r = try_rung(kernel, ops, rung);
		drpc_debug("kernel: %s: %s: %s", need->name, rung->name,
			   r == 0 ? "works" : strerror(-r));
		if (r == 0) {
			need->chosen = rung;
			drpc_kernel_hook(kernel, need->name, rung->name, true, "%s%s%s",
					 rung->lost ? rung->lost : "",
					 rung->lost && *refused ? "; " : "", refused);
			return true;
		}
		if (r != -EPROTO) /* the twin for another prototype is not news */
			note_refusal(refused, sizeof(refused), rung->name, refusal(r));
	}
	drpc_kernel_hook(kernel, need->name, "", false, "%s%s%s", need->lost ? need->lost : "",
			 need->lost && *refused ? "; " : "", refused);
	return false;
}

/* A forced rung that no need of the concern has is a mistake, not a wish. */
static bool force_is_known(const struct drpc_kernel *kernel, const char *concern,
			   const struct drpc_need *needs, size_t n_needs)
{
	for (size_t i = 0; i < n_needs; i++)
		for (int r = 0; r < DRPC_NEED_RUNGS && needs[i].rungs[r].name; r++)
			if (drpc_kernel_rung_allowed(kernel, concern, needs[i].rungs[r].name))
				return true;
	return false;
}

int drpc_ladder_climb(struct drpc_kernel *kernel, const char *concern,
		      const struct drpc_object_ops *ops, struct drpc_need *needs, size_t n_needs)
{
	int met = 0;

	if (!force_is_known(kernel, concern, needs, n_needs))
		return drpc_err(-EINVAL, "kernel: %s has no rung of the name in \"%s\"", concern,
				kernel->force_rung);
	for (size_t i = 0; i < n_needs; i++)
		met += climb_one(kernel, concern, ops, &needs[i]);
	return met;
}

void drpc_ladder_autoload(struct bpf_object *object, const struct drpc_need *needs, size_t n_needs)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, object)
	{
		bool wanted = false;

		for (size_t i = 0; i < n_needs && !wanted; i++) {
			const struct drpc_rung *rung = needs[i].chosen;

			for (int p = 0; rung && p < DRPC_RUNG_PROGRAMS && rung->programs[p]; p++)
				wanted |= !strcmp(bpf_program__name(prog), rung->programs[p]);
		}
		bpf_program__set_autoload(prog, wanted);
	}
}
