// SPDX-License-Identifier: Apache-2.0
/* The kernel and what this process may do with it. */
#include <bpf/bpf.h>
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#include "agent/loop.h"
#include "agent/monitor/kernel.h"
#include "lib/util.h"
#include "tools/drpc/client.h"
#include "tools/drpc/doctor.h"

#define GROUP_KERNEL "Kernel"
#define GROUP_HOOKS  "Hooks"

#ifndef BPF_FS_MAGIC
#define BPF_FS_MAGIC 0xcafe4a11
#endif
#ifndef TRACEFS_MAGIC
#define TRACEFS_MAGIC 0x74726163
#endif

/* --- kernel ----------------------------------------------------------------------------------- */

bool drpc_release_at_least(const char *release, unsigned int major, unsigned int minor)
{
	unsigned int a, b;

	if (sscanf(release, "%u.%u", &a, &b) != 2)
		return false;
	return a > major || (a == major && b >= minor);
}

static void check_release(struct drpc_doctor *doctor)
{
	struct utsname name = {0};
	bool fit;

	uname(&name);
	fit = drpc_release_at_least(name.release, 5, 15);
	drpc_finding_say(drpc_doctor_add(doctor, GROUP_KERNEL, "version",
					 fit ? DRPC_FINDING_OK : DRPC_FINDING_DEGRADED, "%s",
					 name.release),
			 fit ? "" : "older than 5.15: not tested, parts may be refused",
			 fit ? "" : "use kernel 5.15 or newer");
}

static void check_btf(struct drpc_doctor *doctor)
{
	static const char path[] = "/sys/kernel/btf/vmlinux";
	bool there = access(path, R_OK) == 0;

	drpc_finding_say(
		drpc_doctor_add(doctor, GROUP_KERNEL, "type information (BTF)",
				there ? DRPC_FINDING_OK : DRPC_FINDING_MISSING, "%s",
				there ? path : "none"),
		there ? "" : "no program can be attached without it: no latency",
		there ? "" : "use a kernel with CONFIG_DEBUG_INFO_BTF=y (all large distributions)");
}

/* The smallest program: return 0. */
static void check_bpf(struct drpc_doctor *doctor)
{
	static const struct bpf_insn program[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "drpc_probe", "GPL", program,
			       DRPC_ARRAY_SIZE(program), NULL);
	int err = errno;

	if (fd >= 0) {
		close(fd);
		drpc_doctor_add(doctor, GROUP_KERNEL, "BPF programs", DRPC_FINDING_OK,
				"may be loaded");
		return;
	}
	drpc_finding_say(
		drpc_doctor_add(doctor, GROUP_KERNEL, "BPF programs", DRPC_FINDING_MISSING,
				"refused: %s", strerror(err)),
		"nothing can be measured in the kernel by this process",
		err == EPERM
			? "run as root, or with CAP_BPF and CAP_PERFMON; in a container, allow bpf(2) in the seccomp profile"
			: "use a kernel with CONFIG_BPF_SYSCALL=y");
}

static void check_capabilities(struct drpc_doctor *doctor)
{
	static const struct {
		unsigned int cap;
		const char *name;
		bool needed; /* for measuring */
	} caps[] = {{CAP_BPF, "bpf", true},
		    {CAP_PERFMON, "perfmon", true},
		    {CAP_SYS_ADMIN, "sys_admin", false},
		    {CAP_DAC_OVERRIDE, "dac_override", false}};
	char have[128] = "", lack[128] = "";
	bool all = capng_get_caps_process() == 0, admin;

	admin = all && capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(caps); i++) {
		bool held = capng_have_capability(CAPNG_EFFECTIVE, caps[i].cap);
		char *list = held ? have : lack;
		size_t n = strlen(list);

		snprintf(list + n, sizeof(have) - n, "%s%s", n ? " " : "", caps[i].name);
		/* CAP_SYS_ADMIN includes what was split off it. */
		all = all && (held || !caps[i].needed || admin);
	}
	if (lack[0] == '\0')
		drpc_doctor_add(doctor, GROUP_KERNEL, "capabilities", DRPC_FINDING_OK, "%s", have);
	else
		drpc_finding_say(
			drpc_doctor_add(doctor, GROUP_KERNEL, "capabilities",
					all ? DRPC_FINDING_DEGRADED : DRPC_FINDING_MISSING,
					"%s%slacking: %s", have, have[0] ? "; " : "", lack),
			all ? "other namespaces' connections and others' cgroups may be out of reach"
			    : "BPF programs cannot be loaded",
			"run as root, or grant CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN and CAP_DAC_OVERRIDE");
}

static void check_memlock(struct drpc_doctor *doctor)
{
	struct utsname name = {0};
	struct rlimit limit = {0};
	bool counted_elsewhere;

	uname(&name);
	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur == RLIM_INFINITY) {
		drpc_doctor_add(doctor, GROUP_KERNEL, "locked memory", DRPC_FINDING_OK,
				"unlimited");
		return;
	}
	/* Since 5.11 BPF memory is charged to the memory cgroup instead. */
	counted_elsewhere = drpc_release_at_least(name.release, 5, 11);
	drpc_finding_say(
		drpc_doctor_add(doctor, GROUP_KERNEL, "locked memory",
				counted_elsewhere ? DRPC_FINDING_OK : DRPC_FINDING_DEGRADED,
				"%llu KiB%s", (unsigned long long)limit.rlim_cur / 1024,
				counted_elsewhere ? ", not counted against BPF maps" : ""),
		counted_elsewhere ? "" : "BPF maps of 32 MiB may not fit",
		counted_elsewhere
			? ""
			: "raise it: ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit");
}

static void check_io_uring(struct drpc_doctor *doctor)
{
	struct drpc_loop *loop = NULL;
	int r = drpc_loop_new(DRPC_LOOP_URING, &loop);

	drpc_finding_say(drpc_doctor_add(doctor, GROUP_KERNEL, "io_uring",
					 r == 0 ? DRPC_FINDING_OK : DRPC_FINDING_DEGRADED, "%s",
					 r == 0 ? "may be used" : strerror(-r)),
			 r == 0 ? ""
				: "the agent uses epoll instead; nothing is lost but a little CPU",
			 r == 0 ? "" : "sysctl kernel.io_uring_disabled=0, where you want it");
	drpc_loop_free(&loop);
}

static void check_mount(struct drpc_doctor *doctor, const char *name, const char *const *paths,
			size_t n, long magic, const char *means, const char *todo)
{
	for (size_t i = 0; i < n; i++) {
		struct statfs fs;

		if (statfs(paths[i], &fs) == 0 && (long)fs.f_type == magic) {
			drpc_doctor_add(doctor, GROUP_KERNEL, name, DRPC_FINDING_OK, "%s",
					paths[i]);
			return;
		}
	}
	drpc_finding_say(
		drpc_doctor_add(doctor, GROUP_KERNEL, name, DRPC_FINDING_DEGRADED, "not mounted"),
		means, todo);
}

void drpc_doctor_host(struct drpc_doctor *doctor)
{
	static const char *const tracefs[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
	static const char *const bpffs[] = {"/sys/fs/bpf"};

	check_release(doctor);
	check_btf(doctor);
	check_bpf(doctor);
	check_capabilities(doctor);
	check_memlock(doctor);
	check_io_uring(doctor);
	check_mount(doctor, "tracefs", tracefs, DRPC_ARRAY_SIZE(tracefs), TRACEFS_MAGIC,
		    "BTF tracepoints do without it; classic tracepoints would not",
		    "mount -t tracefs none /sys/kernel/tracing");
	check_mount(doctor, "bpffs", bpffs, DRPC_ARRAY_SIZE(bpffs), (long)BPF_FS_MAGIC,
		    "drpc pins nothing and does without it; bpftool may want it",
		    "mount -t bpf none /sys/fs/bpf");
}

/* --- hooks ------------------------------------------------------------------------------------ */

/* Without one of these there is no latency. */
static bool is_vital(const char *need)
{
	static const char *const vital[] = {"data arrived", "application read", "application wrote",
					    "connection state"};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(vital); i++) {
		if (strcmp(need, vital[i]) == 0)
			return true;
	}
	return false;
}

static void add_hook(struct drpc_doctor *doctor, const char *need, const char *rung, bool working,
		     const char *reason, size_t *vital_works)
{
	enum drpc_finding_state state = !working	    ? DRPC_FINDING_MISSING
					: reason[0] != '\0' ? DRPC_FINDING_DEGRADED
							    : DRPC_FINDING_OK;

	*vital_works += working && is_vital(need);
	drpc_finding_say(drpc_doctor_add(doctor, GROUP_HOOKS, need, state, "%s",
					 working ? rung : "none works"),
			 reason, "");
}

/* The agent has its programs attached already: where this process may not, it can still tell. */
static bool hooks_of_agent(struct drpc_doctor *doctor, struct drpc_cli *cli, size_t *vital_works)
{
	struct json_object *answer = NULL, *hooks = NULL;
	struct drpc_client *client;
	bool told = false;

	if (drpc_client_new(cli->socket, &client) < 0)
		return false;
	if (drpc_client_get(client, "/v1/doctor", &answer) == 0 &&
	    json_object_object_get_ex(answer, "hooks", &hooks) &&
	    json_object_is_type(hooks, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(hooks); i++) {
			struct json_object *h = json_object_array_get_idx(hooks, i);

			add_hook(doctor, drpc_field_string(h, "need"), drpc_field_string(h, "rung"),
				 drpc_field_bool(h, "working"), drpc_field_string(h, "reason"),
				 vital_works);
			told = true;
		}
	}
	json_object_put(answer);
	drpc_client_free(&client);
	return told;
}

void drpc_doctor_hooks(struct drpc_doctor *doctor, struct drpc_cli *cli)
{
	const struct drpc_kernel_options options = {.max_containers = 16,
						    .latency = true,
						    .sched = true,
						    .memory = true,
						    .lifecycle = true,
						    .edges = true,
						    .cgroup_iter = true,
						    .cgroup_root_fd = -1};
	const struct drpc_hook_status *hooks;
	struct drpc_kernel *kernel = NULL;
	size_t count, vital_works = 0;
	int r;

	r = drpc_kernel_open(&options, &kernel);
	if (r == 0) {
		hooks = drpc_kernel_hooks(kernel, &count);
		for (size_t i = 0; i < count; i++)
			add_hook(doctor, hooks[i].need, hooks[i].rung, hooks[i].working,
				 hooks[i].reason, &vital_works);
		drpc_kernel_close(&kernel);
	} else if (!hooks_of_agent(doctor, cli, &vital_works)) {
		drpc_finding_say(drpc_doctor_add(doctor, GROUP_HOOKS, "all of them",
						 DRPC_FINDING_MISSING, "%s", strerror(-r)),
				 "no latency: the agent would show CPU, memory and pressure only",
				 "see the kernel's lines above");
	}
	doctor->can_measure = vital_works >= 4;
}
