// SPDX-License-Identifier: Apache-2.0
#include "agent/monitor/discover.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/util.h"

#define ID    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

/* --- names ------------------------------------------------------------------------------------ */

Test(discover, component_id_of_every_runtime)
{
	static const char *const components[] = {
		ID,
		ID ".scope",
		"docker-" ID ".scope",
		"libpod-" ID ".scope",
		"libpod-" ID,
		"crio-" ID ".scope",
		"crio-" ID,
		"cri-containerd-" ID ".scope",
		"nerdctl-" ID ".scope",
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(components); i++) {
		size_t len = 0;
		const char *id =
			drpc_discover_component_id(components[i], strlen(components[i]), &len);

		cr_assert_not_null(id, "%s", components[i]);
		cr_expect_eq(len, 64);
		cr_expect_eq(strncmp(id, ID, 64), 0);
	}
}

Test(discover, component_id_refuses_what_only_looks_alike)
{
	static const char *const components[] = {
		"",
		"docker",
		"docker-.scope",
		"docker-0123456789ab.scope",
		ID "0",
		"x" ID,
		ID ".slice",
		ID ".scope.d",
		"docker-" ID ".mount",
		"crio-conmon-" ID ".scope",
		"libpod-conmon-" ID ".scope",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg",
		"pod01234567-89ab-cdef-0123-456789abcdef",
		"docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde.",
	};

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(components); i++) {
		size_t len;

		cr_expect_null(
			drpc_discover_component_id(components[i], strlen(components[i]), &len),
			"%s", components[i]);
	}
}

Test(discover, component_id_looks_no_further_than_its_length)
{
	static const char text[] = "docker-" ID ".scope/init";
	size_t len;

	cr_expect_not_null(drpc_discover_component_id(text, strcspn(text, "/"), &len));
	cr_expect_null(drpc_discover_component_id(text, 7 + 63, &len));
}

/* --- paths ------------------------------------------------------------------------------------ */

struct split {
	const char *path, *container, *id;
	bool runtime;
};

static void check(const struct drpc_discover *discover, const struct split *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = 0;
		bool runtime = false, matched;
		char id[72] = "";

		matched = drpc_discover_match(discover, cases[i].path, &len, id, sizeof(id),
					      &runtime);
		cr_assert_eq(matched, cases[i].container != NULL, "%s", cases[i].path);
		if (!matched)
			continue;
		cr_expect_eq(len, strlen(cases[i].container), "%s", cases[i].path);
		cr_expect_str_eq(id, cases[i].id);
		cr_expect_eq(runtime, cases[i].runtime, "%s", cases[i].path);
	}
}

Test(discover, match_in_the_whole_tree)
{
	static const struct drpc_discover whole = {.mount = "/sys/fs/cgroup"};
	static const struct split cases[] = {
		{"/docker/" ID, "/docker/" ID, ID, true},
		{"/system.slice/docker-" ID ".scope", "/system.slice/docker-" ID ".scope", ID,
		 true},
		/* What lies below a container is its own. */
		{"/docker/" ID "/init", "/docker/" ID, ID, true},
		{"/docker/" ID "/docker/" OTHER, "/docker/" ID, ID, true},
		{"/machine.slice/libpod-" ID ".scope/container",
		 "/machine.slice/libpod-" ID ".scope", ID, true},
		/* Kubernetes, both drivers; the pod's own folder is no container. */
		{"/kubepods/burstable/pod1b2/" ID, "/kubepods/burstable/pod1b2/" ID, ID, true},
		{"/kubepods.slice/kubepods-pod1b2.slice/cri-containerd-" ID ".scope",
		 "/kubepods.slice/kubepods-pod1b2.slice/cri-containerd-" ID ".scope", ID, true},
		{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1b2.slice/crio-" ID
		 ".scope",
		 "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1b2.slice/crio-" ID
		 ".scope",
		 ID, true},
		{"/kubepods/burstable/pod1b2", NULL, NULL, false},
		{"/system.slice/ssh.service", NULL, NULL, false},
		{"/user.slice/user-0.slice/session-1.scope", NULL, NULL, false},
		{"/docker", NULL, NULL, false},
		{"/", NULL, NULL, false},
		{"", NULL, NULL, false},
		{"docker/" ID, NULL, NULL, false},
	};

	check(&whole, cases, DRPC_ARRAY_SIZE(cases));
}

Test(discover, match_children_of_a_root)
{
	static const struct drpc_discover part = {
		.mount = "/sys/fs/cgroup", .root = "/bench", .children = true};
	static const struct split cases[] = {
		{"/bench/web", "/bench/web", "web", false},
		{"/bench/web/worker/1", "/bench/web", "web", false},
		/* A runtime's id counts wherever it stands. */
		{"/bench/docker/" ID, "/bench/docker/" ID, ID, true},
		{"/bench/a.slice/docker-" ID ".scope/x", "/bench/a.slice/docker-" ID ".scope", ID,
		 true},
		/* Folders that only hold others. */
		{"/bench/docker", NULL, NULL, false},
		{"/bench/kubepods", NULL, NULL, false},
		{"/bench/a.slice", NULL, NULL, false},
		/* Outside, or the root itself. */
		{"/bench", NULL, NULL, false},
		{"/bench/", NULL, NULL, false},
		{"/benchmark/web", NULL, NULL, false},
		{"/web", NULL, NULL, false},
		{"/docker/" ID, NULL, NULL, false},
	};

	check(&part, cases, DRPC_ARRAY_SIZE(cases));
}

Test(discover, match_cuts_an_id_that_does_not_fit)
{
	static const struct drpc_discover part = {.root = "/r", .children = true};
	char path[300] = "/r/", id[16];
	bool runtime;
	size_t len;

	memset(path + 3, 'n', 200);
	cr_expect(drpc_discover_match(&part, path, &len, id, sizeof(id), &runtime));
	cr_expect_eq(strlen(id), sizeof(id) - 1);
	cr_expect_eq(len, 203);
}

/* --- scanning a tree of plain folders --------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

struct tree {
	struct drpc_discover discover;
	char paths[16][256];
	bool runtime[16];
	size_t n;
};

static void on_found(const struct drpc_cgroup_found *found, void *arg)
{
	struct tree *tree = arg;
	struct stat st;
	char path[1024];

	cr_assert_lt(tree->n, DRPC_ARRAY_SIZE(tree->paths));
	drpc_strcpy(tree->paths[tree->n], sizeof(tree->paths[0]), found->path);
	tree->runtime[tree->n++] = found->runtime;
	snprintf(path, sizeof(path), "%s%s", tree->discover.mount, found->path);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(found->cgroup_id, st.st_ino);
}

static void make(struct tree *tree, const char *path)
{
	char full[1024];

	/* Every folder on the way. */
	for (size_t i = 1; i <= strlen(path); i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		snprintf(full, sizeof(full), "%s%.*s", tree->discover.mount, (int)i, path);
		cr_assert(mkdir(full, 0755) == 0 || errno == EEXIST, "%s", full);
	}
}

static void tree_begin(struct tree *tree)
{
	char folder[] = "/tmp/drpc-tree-XXXXXX";

	*tree = (struct tree){0};
	cr_assert_not_null(mkdtemp(folder));
	drpc_strcpy(tree->discover.mount, sizeof(tree->discover.mount), folder);
}

static void tree_end(struct tree *tree)
{
	cr_expect_eq(nftw(tree->discover.mount, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static bool was_found(const struct tree *tree, const char *path)
{
	for (size_t i = 0; i < tree->n; i++) {
		if (strcmp(tree->paths[i], path) == 0)
			return true;
	}
	return false;
}

Test(discover, scan_finds_containers_and_nothing_below)
{
	struct tree tree;
	char target[300], link_path[300];

	tree_begin(&tree);
	make(&tree, "/docker/" ID "/inner/" OTHER);
	make(&tree, "/system.slice/ssh.service");
	make(&tree, "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" OTHER ".scope");
	make(&tree, "/init.scope");
	/* A link would lead round in circles, or out. */
	snprintf(target, sizeof(target), "%s/docker", tree.discover.mount);
	snprintf(link_path, sizeof(link_path), "%s/link", tree.discover.mount);
	cr_assert_eq(symlink(target, link_path), 0);

	cr_expect_eq(drpc_discover_scan(&tree.discover, on_found, &tree), 2);
	cr_expect_eq(tree.n, 2);
	cr_expect(was_found(&tree, "/docker/" ID));
	cr_expect(was_found(&tree,
			    "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" OTHER ".scope"));
	tree_end(&tree);
}

Test(discover, scan_of_a_part_takes_its_children)
{
	struct tree tree;

	tree_begin(&tree);
	drpc_strcpy(tree.discover.root, sizeof(tree.discover.root), "/bench");
	tree.discover.children = true;
	make(&tree, "/bench/web/worker");
	make(&tree, "/bench/db");
	make(&tree, "/bench/docker/" ID);
	make(&tree, "/docker/" OTHER);
	make(&tree, "/benchmark/x");
	cr_expect_eq(drpc_discover_scan(&tree.discover, on_found, &tree), 3);
	cr_expect(was_found(&tree, "/bench/web"));
	cr_expect(was_found(&tree, "/bench/db"));
	cr_expect(was_found(&tree, "/bench/docker/" ID));
	tree_end(&tree);
}

Test(discover, scan_of_nothing_and_of_what_is_gone)
{
	struct tree tree;

	tree_begin(&tree);
	cr_expect_eq(drpc_discover_scan(&tree.discover, on_found, &tree), 0);
	tree_end(&tree);
	cr_expect_eq(drpc_discover_scan(&tree.discover, on_found, &tree), -ENOENT);
}

Test(discover, scan_ends_at_any_depth)
{
	struct tree tree;
	char path[1024] = "";

	tree_begin(&tree);
	for (int i = 0; i < 40; i++)
		strcat(path, "/deep");
	make(&tree, path);
	strcpy(path, "/a/b/c/d/" ID);
	make(&tree, path);
	cr_expect_eq(drpc_discover_scan(&tree.discover, on_found, &tree), 1);
	cr_expect(was_found(&tree, path));
	tree_end(&tree);
}

/* --- the mount -------------------------------------------------------------------------------- */

Test(discover, init_takes_folders_of_the_mount_alone)
{
	struct drpc_discover d;
	char path[300];

	if (drpc_discover_init(&d, NULL) == -ENOENT)
		cr_skip_test("no cgroup2 file system is mounted");
	cr_expect_str_empty(d.root);
	cr_expect_not(d.children);
	cr_expect_eq(drpc_discover_init(&d, "/"), -EINVAL);
	cr_expect_eq(drpc_discover_init(&d, "/tmp"), -EINVAL);
	snprintf(path, sizeof(path), "%s/drpc-there-is-no-such-folder", d.mount);
	cr_expect_eq(drpc_discover_init(&d, path), -ENOENT);
	/* The mount itself is the whole tree. */
	snprintf(path, sizeof(path), "%s/.", d.mount);
	cr_expect_eq(drpc_discover_init(&d, path), 0);
	cr_expect_str_empty(d.root);
	cr_expect_not(d.children);
}
