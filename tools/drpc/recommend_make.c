// SPDX-License-Identifier: Apache-2.0
#include "tools/drpc/recommend.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "tools/drpc/cli.h"

/* Room over what was used. */
#define CPU_ROOM	1.25 /* over the 99th percentile of the windows */
#define CPU_ROOM_P50	1.5
#define MEM_ROOM	1.15 /* over the most */
#define MEM_ROOM_MIB	4.0
/* A limit that gets in the way hides what would be used without it. */
#define CPU_CAPPED	0.01
#define CPU_CAPPED_HARD 0.2
#define MEM_PRESSED	0.03
/* Share of the objective. */
#define P99_COMFORTABLE 0.6
#define P99_CLOSE	0.85
/* What is nearer to what it has than this is left alone. */
#define NEAR		0.1
/* How long is long. */
#define SHORT_SEC	300.0
#define LONG_SEC	86400.0
#define FEW_REQUESTS	100.0

const char *drpc_risk_name(enum drpc_risk risk)
{
	static const char *const names[] = {"low", "medium", "high"};

	return (unsigned int)risk < DRPC_ARRAY_SIZE(names) ? names[risk] : "?";
}

static double p99_ratio(const struct drpc_evidence *e)
{
	return e->slo_ms > 0 && e->requests >= 1 ? e->p99_ms / e->slo_ms : 0;
}

/* --- what it needs ---------------------------------------------------------------------------- */

static double cpu_needs(const struct drpc_evidence *e)
{
	const double ratio = p99_ratio(e);
	double needs = DRPC_MAX(e->cpu_p99 * CPU_ROOM, e->cpu_p50 * CPU_ROOM_P50);

	if (e->cpu_has > 0 && e->throttled >= CPU_CAPPED) {
		/* With the objective met with room, some throttling costs nobody anything. */
		if (ratio > 0 && ratio < P99_COMFORTABLE && e->throttled < CPU_CAPPED_HARD)
			needs = DRPC_MAX(needs, e->cpu_has);
		else
			needs = DRPC_MAX(needs,
					 e->cpu_has * (e->throttled >= CPU_CAPPED_HARD || ratio > 1
							       ? 1.5
							       : 1.2));
	}
	if (ratio >= P99_CLOSE)
		needs = DRPC_MAX(needs, e->cpu_has);
	needs = DRPC_MAX(needs, e->cpu_min);
	/* In whole hundredths. */
	return ceil(needs * 100 - 1e-6) / 100;
}

static double mem_needs(const struct drpc_evidence *e)
{
	double needs = e->mem_max * MEM_ROOM + MEM_ROOM_MIB;

	if (e->mem_has > 0 && e->oom_kills > 0)
		needs = DRPC_MAX(needs, e->mem_has * 1.5);
	else if (e->mem_has > 0 && e->mem_pressure >= MEM_PRESSED)
		needs = DRPC_MAX(needs, e->mem_has * 1.2);
	needs = DRPC_MAX(needs, e->mem_min);
	return ceil(needs - 1e-6);
}

static double settle(double has, double needs)
{
	return has > 0 && fabs(needs - has) <= has * NEAR ? has : needs;
}

/* --- risk and reason -------------------------------------------------------------------------- */

static void add(char *why, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void add(char *why, size_t size, const char *fmt, ...)
{
	size_t len = strlen(why);
	va_list args;

	if (len && len + 3 < size) {
		memcpy(why + len, ", ", 3);
		len += 2;
	}
	va_start(args, fmt);
	vsnprintf(why + len, size - len, fmt, args);
	va_end(args);
}

static void raise(enum drpc_risk *risk, bool is_so, enum drpc_risk to)
{
	if (is_so && *risk < to)
		*risk = to;
}

static enum drpc_risk risk_of(const struct drpc_evidence *e, const struct drpc_advice *a)
{
	const double ratio = p99_ratio(e);
	const bool less = a->cpu_saves > 0 || a->mem_saves > 0;
	enum drpc_risk risk = DRPC_RISK_LOW;

	raise(&risk, e->watched_sec < SHORT_SEC, DRPC_RISK_HIGH);
	raise(&risk, e->oom_kills > 0, DRPC_RISK_HIGH);
	raise(&risk, ratio > 1, DRPC_RISK_HIGH);
	raise(&risk, e->watched_sec < LONG_SEC, DRPC_RISK_MEDIUM);
	raise(&risk, less && (e->slo_ms <= 0 || e->requests < FEW_REQUESTS), DRPC_RISK_MEDIUM);
	raise(&risk, less && ratio >= P99_COMFORTABLE, DRPC_RISK_MEDIUM);
	raise(&risk, a->cpu_saves > 0 && e->cpu_max > a->cpu_needs, DRPC_RISK_MEDIUM);
	raise(&risk, e->mem_pressure >= MEM_PRESSED, DRPC_RISK_MEDIUM);
	return risk;
}

static void watched_words(double sec, char *text, size_t size)
{
	if (sec < 120)
		snprintf(text, size, "%.0f s", sec);
	else if (sec < 7200)
		snprintf(text, size, "%.0f min", sec / 60);
	else if (sec < 2 * LONG_SEC)
		snprintf(text, size, "%.1f h", sec / 3600);
	else
		snprintf(text, size, "%.1f days", sec / LONG_SEC);
}

static void explain(const struct drpc_evidence *e, struct drpc_advice *a)
{
	char watched[32];

	watched_words(e->watched_sec, watched, sizeof(watched));
	add(a->why, sizeof(a->why), "watched %s%s", watched,
	    e->watched_sec < SHORT_SEC	? ", too short to trust"
	    : e->watched_sec < LONG_SEC ? ", less than a day"
					: "");
	add(a->why, sizeof(a->why), "CPU p99 %.2f, most %.2f", e->cpu_p99, e->cpu_max);
	if (e->throttled >= CPU_CAPPED)
		add(a->why, sizeof(a->why), "throttled in %.0f%% of the periods",
		    e->throttled * 100);
	if (a->cpu_saves > 0 && e->cpu_max > a->cpu_needs)
		add(a->why, sizeof(a->why), "peaks would be throttled");
	if (e->cpu_pressure >= 0.25)
		add(a->why, sizeof(a->why), "waits for a CPU %.0f%% of the time",
		    e->cpu_pressure * 100);
	add(a->why, sizeof(a->why), "memory most %.0f MiB", e->mem_max);
	if (e->oom_kills > 0)
		add(a->why, sizeof(a->why), "killed %.0f times for memory", e->oom_kills);
	if (e->mem_pressure >= 0.001)
		add(a->why, sizeof(a->why), "waits for memory %.1f%% of the time",
		    e->mem_pressure * 100);
	if (e->slo_ms <= 0)
		add(a->why, sizeof(a->why), "no objective to go by");
	else if (e->requests < FEW_REQUESTS)
		add(a->why, sizeof(a->why), "%.0f requests tell little", e->requests);
	else
		add(a->why, sizeof(a->why), "p99 %.0f%% of the objective", p99_ratio(e) * 100);
	if (e->queue_share >= 0.5 && p99_ratio(e) > 1)
		add(a->why, sizeof(a->why), "%.0f%% of the time in the queue",
		    e->queue_share * 100);
}

void drpc_recommend_make(const struct drpc_evidence *e, struct drpc_advice *ret)
{
	struct drpc_advice a = {0};

	a.cpu_needs = settle(e->cpu_has, cpu_needs(e));
	a.mem_needs = settle(e->mem_has, mem_needs(e));
	if (e->cpu_has > 0)
		a.cpu_saves = (e->cpu_has - a.cpu_needs) * e->replicas;
	if (e->mem_has > 0)
		a.mem_saves = (e->mem_has - a.mem_needs) * e->replicas;
	a.risk = risk_of(e, &a);
	explain(e, &a);
	*ret = a;
}

/* --- from the agent's figures ----------------------------------------------------------------- */

static void most(double *figure, struct json_object *o, const char *key)
{
	*figure = DRPC_MAX(*figure, drpc_field_number(o, key));
}

/* Replicas are alike: the one that speaks most against saving counts, and the one watched longest. */
static void take(struct drpc_evidence *e, struct json_object *o)
{
	e->engine |= drpc_field_bool(o, "engine");
	e->limits_known |= drpc_field_bool(o, "limits_known");
	e->replicas = (unsigned int)drpc_field_number(o, "replicas");
	e->cpu_has = drpc_field_number(o, "cpu_limit_cores");
	e->mem_has = drpc_field_number(o, "memory_limit_mib");
	e->cpu_min = drpc_field_number(o, "min_cpu_cores");
	e->mem_min = drpc_field_number(o, "min_memory_mib");
	e->slo_ms = drpc_field_number(o, "slo_p99_ms");
	e->requests += drpc_field_number(o, "requests");
	e->oom_kills += drpc_field_number(o, "oom_kills");
	most(&e->watched_sec, o, "watched_sec");
	most(&e->cpu_p50, o, "cpu_p50_cores");
	most(&e->cpu_p99, o, "cpu_p99_cores");
	most(&e->cpu_max, o, "cpu_max_cores");
	most(&e->throttled, o, "throttled_share");
	most(&e->cpu_pressure, o, "cpu_pressure");
	most(&e->queue_share, o, "queue_share");
	most(&e->mem_p99, o, "memory_p99_mib");
	most(&e->mem_max, o, "memory_max_mib");
	most(&e->mem_pressure, o, "memory_pressure");
	most(&e->p99_ms, o, "p99_ms");
}

static bool is_wanted(struct json_object *o, const char *name)
{
	return !name || strcmp(drpc_field_string(o, "deployment"), name) == 0 ||
	       strcmp(drpc_field_string(o, "name"), name) == 0;
}

static struct drpc_recommendation *entry(struct drpc_recommendation *list, size_t *count,
					 const char *deployment)
{
	for (size_t i = 0; i < *count; i++) {
		if (strcmp(list[i].evidence.deployment, deployment) == 0)
			return &list[i];
	}
	list[*count].containers = json_object_new_array();
	drpc_strcpy(list[*count].evidence.deployment, DRPC_RECOMMEND_NAME, deployment);
	return &list[(*count)++];
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct drpc_recommendation *)a)->evidence.deployment,
		      ((const struct drpc_recommendation *)b)->evidence.deployment);
}

int drpc_recommend_all(struct json_object *use, const char *name, struct drpc_recommendation **ret,
		       size_t *ret_count)
{
	size_t n = json_object_is_type(use, json_type_array) ? json_object_array_length(use) : 0;
	struct drpc_recommendation *list = calloc(n + 1, sizeof(*list));
	size_t count = 0;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct json_object *o = json_object_array_get_idx(use, i);
		struct drpc_recommendation *r;

		/* Who was never seen to run has given no evidence. */
		if (!is_wanted(o, name) || drpc_field_number(o, "watched_sec") <= 0)
			continue;
		r = entry(list, &count, drpc_field_string(o, "deployment"));
		take(&r->evidence, o);
		json_object_array_add(r->containers,
				      json_object_new_string(drpc_field_string(o, "name")));
	}
	for (size_t i = 0; i < count; i++)
		drpc_recommend_make(&list[i].evidence, &list[i].advice);
	qsort(list, count, sizeof(*list), compare);
	*ret = list;
	*ret_count = count;
	if (count > 0 || !name)
		return 0;
	drpc_recommendations_free(ret, 0);
	return -ENOENT;
}

void drpc_recommendations_free(struct drpc_recommendation **list, size_t count)
{
	for (size_t i = 0; *list && i < count; i++)
		json_object_put((*list)[i].containers);
	free(*list);
	*list = NULL;
}
