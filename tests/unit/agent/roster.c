// SPDX-License-Identifier: Apache-2.0
#include "agent/roster.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/util.h"

/* What the roster asked of its owner. */
struct owner {
	uint32_t next_slot, max_slot;
	unsigned int tracked, untracked, gone, deployments_gone;
	char last_gone[DRPC_NAME_MAX];
};

static uint32_t track(uint64_t cgroup_id, void *arg)
{
	struct owner *owner = arg;

	(void)cgroup_id;
	owner->tracked++;
	return owner->next_slot < owner->max_slot ? ++owner->next_slot : DRPC_SLOT_OTHER;
}

static void untrack(uint64_t cgroup_id, uint32_t slot, void *arg)
{
	(void)cgroup_id;
	(void)slot;
	((struct owner *)arg)->untracked++;
}

static void policy(const char *deployment, struct drpc_policy *ret, void *arg)
{
	(void)arg;
	drpc_policy_defaults(ret, 4000, 4096 * DRPC_MIB);
	if (strncmp(deployment, "acting", 6) == 0)
		ret->mode = DRPC_MODE_ACT;
}

static void gone(struct drpc_container *container, void *arg)
{
	struct owner *owner = arg;

	owner->gone++;
	cr_expect_not_null(container->deployment, "the owner may still look at it");
	drpc_strcpy(owner->last_gone, sizeof(owner->last_gone), container->name);
}

static void deployment_gone(struct drpc_deployment *deployment, void *arg)
{
	cr_expect_eq(deployment->replica_count, 0);
	((struct owner *)arg)->deployments_gone++;
}

static struct drpc_roster *make(struct owner *owner)
{
	const struct drpc_roster_ops ops = {.track = track,
					    .untrack = untrack,
					    .policy = policy,
					    .gone = gone,
					    .deployment_gone = deployment_gone,
					    .arg = owner};
	struct drpc_roster *roster = NULL;

	*owner = (struct owner){.max_slot = 1000};
	cr_assert_eq(drpc_roster_new(&ops, &roster), 0);
	return roster;
}

/* A container whose id begins with the 8 digits of `number`. */
static struct drpc_container *add(struct drpc_roster *roster, unsigned int number)
{
	struct drpc_container *c = NULL;
	char id[72], path[100];

	snprintf(id, sizeof(id), "%08x%056d", number, 0);
	snprintf(path, sizeof(path), "/docker/%s", id);
	drpc_roster_add(roster,
			&(struct drpc_cgroup_found){
				.path = path, .id = id, .cgroup_id = number, .runtime = true},
			&c);
	return c;
}

static void describe(struct drpc_roster *roster, struct drpc_container *c, const char *name,
		     const char *deployment, const struct drpc_label *labels, size_t n)
{
	cr_assert_eq(drpc_roster_describe(roster, c,
					  &(struct drpc_container_info){.name = name,
									.deployment = deployment,
									.labels = labels,
									.label_count = n,
									.init_pid = 42}),
		     0);
}

Test(roster, add_knows_a_cgroup_again)
{
	struct owner owner;
	struct drpc_roster *roster = make(&owner);
	const struct drpc_cgroup_found found = {.path = "/system/web", .id = "web", .cgroup_id = 7};
	struct drpc_container *first = NULL, *again = NULL;

	cr_expect_eq(drpc_roster_add(roster, &found, &first), 1);
	cr_expect_eq(drpc_roster_add(roster, &found, &again), 0);
	cr_expect_eq(first, again);
	cr_expect_eq(drpc_roster_count(roster), 1);
	cr_expect_eq(owner.tracked, 1);
	/* Without an engine's word: named by its path, a deployment of its own. */
	cr_expect_str_eq(first->name, "system/web");
	cr_expect_str_eq(first->deployment->name, "system/web");
	cr_expect_not(first->engine_known);
	cr_expect_eq(drpc_roster_by_cgroup(roster, 7), first);
	cr_expect_null(drpc_roster_by_cgroup(roster, 8));
	drpc_roster_free(&roster);
	cr_expect_null(roster);
	cr_expect_eq(owner.gone, 1);
	cr_expect_eq(owner.untracked, 1);
	cr_expect_eq(owner.deployments_gone, 1);
	drpc_roster_free(&roster);
}

Test(roster, add_refuses_a_path_that_does_not_fit)
{
	struct owner owner;
	struct drpc_roster *roster = make(&owner);
	char path[DRPC_PATH_MAX + 8];

	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	cr_expect_eq(drpc_roster_add(
			     roster,
			     &(struct drpc_cgroup_found){.path = path, .id = "x", .cgroup_id = 1},
			     NULL),
		     -ENAMETOOLONG);
	cr_expect_eq(drpc_roster_count(roster), 0);
	cr_expect_eq(owner.tracked, 0);
	drpc_roster_free(&roster);
}

Test(roster, add_cleans_hostile_names)
{
	struct owner owner;
	struct drpc_roster *roster = make(&owner);
	struct drpc_container *c = NULL;

	drpc_roster_add(roster,
			&(struct drpc_cgroup_found){
				.path = "/a\x1b]0;x\x07\n\xff", .id = "a\n", .cgroup_id = 1},
			&c);
	cr_expect_eq(strncmp(c->name, "a?]0;x???~", 10), 0, "%s", c->name);
	cr_expect_str_eq(c->id, "a?");
	/* The path is what is opened: it stays as it is. */
	cr_expect_str_eq(c->cgroup, "/a\x1b]0;x\x07\n\xff");
	drpc_roster_free(&roster);
}

/* Replicas share limits: whoever only looks alike must not become one. */
Test(roster, names_that_look_alike_stay_apart)
{
	static const char *const endings[] = {"1", "2", "\x01", "\x02", "\xc3\xa4", "\xc3\xb6"};
	struct drpc_deployment *before = NULL;
	struct owner owner;
	struct drpc_roster *roster = make(&owner);

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(endings); i++) {
		struct drpc_container *c = NULL;
		char path[300] = "/";

		memset(path + 1, 'x', 200);
		drpc_strcpy(path + (i == 2 || i == 3 ? 20 : 201), 8, endings[i]);
		cr_assert_eq(drpc_roster_add(roster,
					     &(struct drpc_cgroup_found){
						     .path = path, .id = "x", .cgroup_id = i + 1},
					     &c),
			     1);
		cr_expect_eq(c->deployment->replica_count, 1);
		cr_expect_neq(c->deployment, before);
		before = c->deployment;
	}
	/* No digest on a name that is whole. */
	cr_expect_null(strchr(add(roster, 1000)->name, '~'));
	drpc_roster_free(&roster);
}

Test(roster, a_name_is_not_cut_inside_a_character)
{
	struct owner owner;
	struct drpc_roster *roster = make(&owner);

	for (size_t lead = 1; lead <= 2; lead++) {
		struct drpc_container *c = NULL;
		char path[300] = "/xx", again[DRPC_NAME_MAX];
		char *at = path + 1 + lead;

		for (int i = 0; i < 100; i++, at += 2)
			memcpy(at, "\xc3\xa4", 3);
		drpc_roster_add(
			roster,
			&(struct drpc_cgroup_found){.path = path, .id = "x", .cgroup_id = lead},
			&c);
		cr_assert_not_null(c);
		drpc_sanitize(again, sizeof(again), c->name);
		cr_expect_str_eq(again, c->name);
		cr_expect_eq(strlen(c->name) >= DRPC_NAME_MAX - 2, true);
	}
	drpc_roster_free(&roster);
}

Test(roster, describe_groups_replicas)
{
	struct owner owner;
	struct drpc_roster *roster = make(&owner);
	struct drpc_container *a = add(roster, 1), *b = add(roster, 2);
	struct drpc_deployment *d;

	cr_expect_str_eq(a->name, "000000010000", "an engine's id is cut to what people know");
	describe(roster, a, "shop-web-1", "shop/web", NULL, 0);
	describe(roster, b, "shop-web-2", "shop/web", NULL, 0);
	d = drpc_roster_deployment(roster, "shop/web");
	cr_assert_not_null(d);
	cr_expect_eq(d->replica_count, 2);
	cr_expect_eq(d->replicas, a);
	cr_expect_eq(a->next_replica, b);
	cr_expect_null(b->next_replica);
	cr_expect(a->engine_known);
	cr_expect_eq(a->init_pid, 42);
	/* The deployments they were before are gone. */
	cr_expect_eq(owner.deployments_gone, 2);
	cr_expect_eq(drpc_roster_next_deployment(roster, NULL), d);
	cr_expect_null(drpc_roster_next_deployment(roster, d));

	/* The same again changes nothing; another name moves it out. */
	describe(roster, a, "shop-web-1", "shop/web", NULL, 0);
	cr_expect_eq(d->replica_count, 2);
	describe(roster, a, "shop-web-1", "shop/api", NULL, 0);
	cr_expect_eq(d->replica_count, 1);
	cr_expect_eq(d->replicas, b);
	drpc_roster_free(&roster);
}

Test(roster, labels_over_the_configured_policy)
{
	static const struct drpc_label labels[] = {{"drpc.slo-p99", "200ms"},
						   {"drpc.max-cpu", "2"},
						   {"drpc.io/min-memory", "64Mi"},
						   {"com.example.other", "nonsense"},
						   {"drpc.mode", "act"}};
	struct owner owner;
	struct drpc_roster *roster = make(&owner);
	struct drpc_container *c = add(roster, 1);
	const struct drpc_policy *p;

	describe(roster, c, "web", NULL, labels, DRPC_ARRAY_SIZE(labels));
	p = &c->deployment->policy;
	cr_expect_eq(p->slo_p99_ns, 200 * DRPC_NSEC_PER_MSEC);
	cr_expect_eq(p->max_cpu_mcpu, 2000);
	cr_expect_eq(p->min_memory_bytes, 64 * DRPC_MIB);
	cr_expect_eq(p->mode, DRPC_MODE_ACT);
	cr_expect_str_empty(c->deployment->config_error);

	/* A label that is taken away is taken back. */
	describe(roster, c, "web", NULL, labels, 1);
	cr_expect_eq(p->max_cpu_mcpu, 4000);
	cr_expect_eq(p->mode, DRPC_MODE_RECOMMEND);
	drpc_roster_free(&roster);
}

Test(roster, label_names_the_deployment)
{
	static const struct drpc_label labels[] = {{"drpc.deployment", "mine"}};
	struct owner owner;
	struct drpc_roster *roster = make(&owner);
	struct drpc_container *c = add(roster, 1);

	describe(roster, c, "web", "shop/web", labels, 1);
	cr_expect_str_eq(c->deployment->name, "mine");
	drpc_roster_free(&roster);
}

Test(roster, refused_label_stops_acting)
{
	static const struct drpc_label bad_value[] = {{"drpc.max-cpu", "lots"}};
	static const struct drpc_label bad_key[] = {{"drpc.maxcpu", "2"}};
	static const struct drpc_label bad_order[] = {{"drpc.min-cpu", "3"}, {"drpc.max-cpu", "2"}};
	static const struct drpc_label good[] = {{"drpc.max-cpu", "2"}};
	const struct {
		const struct drpc_label *labels;
		size_t n;
		const char *named;
	} bad[] = {{bad_value, 1, "max-cpu"}, {bad_key, 1, "maxcpu"}, {bad_order, 2, "min-cpu"}};
	struct owner owner;
	struct drpc_roster *roster = make(&owner);
	struct drpc_container *c = add(roster, 1);

	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++) {
		describe(roster, c, "acting-1", "acting", bad[i].labels, bad[i].n);
		cr_expect_eq(c->deployment->policy.mode, DRPC_MODE_RECOMMEND);
		cr_expect_eq(c->deployment->policy.max_cpu_mcpu, 4000, "nothing of it counts");
		cr_expect_not_null(strstr(c->deployment->config_error, bad[i].named), "%s",
				   c->deployment->config_error);
	}
	describe(roster, c, "acting-1", "acting", good, 1);
	cr_expect_eq(c->deployment->policy.mode, DRPC_MODE_ACT);
	cr_expect_str_empty(c->deployment->config_error);
	drpc_roster_free(&roster);
}

Test(roster, sweep_removes_what_was_not_found_again)
{
	struct owner owner;
	struct drpc_roster *roster = make(&owner);
	struct drpc_container *kept, *late;

	add(roster, 1);
	kept = add(roster, 2);
	add(roster, 3);
	drpc_roster_mark(roster);
	add(roster, 2);
	late = add(roster, 4);
	cr_expect_eq(drpc_roster_sweep(roster), 2);
	cr_expect_eq(drpc_roster_count(roster), 2);
	cr_expect_eq(drpc_roster_next(roster, NULL), kept);
	cr_expect_eq(drpc_roster_next(roster, kept), late);
	cr_expect_null(drpc_roster_next(roster, late));
	cr_expect_eq(drpc_roster_sweep(roster), 0, "a second sweep finds nothing");
	drpc_roster_free(&roster);
}

Test(roster, remove_in_the_middle_keeps_the_order)
{
	struct owner owner;
	struct drpc_roster *roster = make(&owner);
	struct drpc_container *a = add(roster, 1), *b = add(roster, 2), *c = add(roster, 3);

	drpc_roster_remove(roster, b);
	cr_expect_str_eq(owner.last_gone, "000000020000");
	cr_expect_eq(drpc_roster_next(roster, a), c);
	cr_expect_null(drpc_roster_by_cgroup(roster, 2));
	drpc_roster_remove(roster, a);
	cr_expect_eq(drpc_roster_next(roster, NULL), c);
	cr_expect_eq(drpc_roster_next_deployment(roster, NULL), c->deployment);
	drpc_roster_remove(roster, c);
	cr_expect_null(drpc_roster_next(roster, NULL));
	cr_expect_null(drpc_roster_next_deployment(roster, NULL));
	drpc_roster_free(&roster);
}

Test(roster, slots_find_their_container)
{
	struct owner owner;
	struct drpc_roster *roster = make(&owner);
	struct drpc_container *c[200];

	owner.max_slot = 150;
	for (unsigned int i = 0; i < DRPC_ARRAY_SIZE(c); i++)
		c[i] = add(roster, i + 1);
	for (unsigned int i = 0; i < 150; i++)
		cr_expect_eq(drpc_roster_by_slot(roster, i + 1), c[i]);
	/* Over the cap they share a slot, which is nobody's. */
	cr_expect_eq(c[150]->slot, DRPC_SLOT_OTHER);
	cr_expect_null(drpc_roster_by_slot(roster, DRPC_SLOT_OTHER));
	cr_expect_null(drpc_roster_by_slot(roster, 151));
	cr_expect_null(drpc_roster_by_slot(roster, UINT32_MAX));
	drpc_roster_remove(roster, c[150]);
	drpc_roster_remove(roster, c[10]);
	cr_expect_null(drpc_roster_by_slot(roster, 11));
	cr_expect_eq(drpc_roster_by_slot(roster, 12), c[11]);
	drpc_roster_free(&roster);
}

Test(roster, find_by_name_id_and_unique_prefix)
{
	struct owner owner;
	struct drpc_roster *roster = make(&owner);
	struct drpc_container *a = add(roster, 0xabcd1234), *b = add(roster, 0xabcd5678);

	describe(roster, a, "web", NULL, NULL, 0);
	describe(roster, b, "abcd1", NULL, NULL, 0);
	cr_expect_eq(drpc_roster_find(roster, "web"), a);
	cr_expect_eq(drpc_roster_find(roster, a->id), a);
	cr_expect_eq(drpc_roster_find(roster, "abcd5"), b);
	cr_expect_eq(drpc_roster_find(roster, "abcd1"), b, "a name comes before a prefix");
	cr_expect_eq(drpc_roster_find(roster, "abcd12"), a);
	cr_expect_null(drpc_roster_find(roster, "abcd"), "two begin so");
	cr_expect_null(drpc_roster_find(roster, "abc"), "too short to mean an id");
	cr_expect_null(drpc_roster_find(roster, ""));
	drpc_roster_free(&roster);
}
