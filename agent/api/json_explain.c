// SPDX-License-Identifier: Apache-2.0
#include "agent/api/json.h"
#include "agent/control.h"
#include "lib/util.h"

static struct json_object *features_of(const struct drpc_decision *d)
{
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < DRPC_F_COUNT; i++)
		json_object_object_add(o, drpc_feature_names[i],
				       drpc_json_number((double)d->features[i]));
	return o;
}

static struct json_object *raw_of(const struct drpc_decision *d)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < DRPC_OUT_COUNT; i++)
		json_object_array_add(list, drpc_json_number((double)d->raw[i]));
	return list;
}

static struct json_object *action_of(const struct drpc_decision *d)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "cpu_cores", drpc_json_number((double)d->cpu_delta_mcpu / 1000));
	json_object_object_add(o, "memory_mib",
			       drpc_json_number((double)d->memory_delta_bytes / (double)DRPC_MIB));
	json_object_object_add(o, "replicas", json_object_new_int(d->replicas_delta));
	return o;
}

static struct json_object *guard_of(const struct drpc_decision *d)
{
	struct json_object *o = json_object_new_object();
	char reason[DRPC_REASON_MAX + 64];

	json_object_object_add(o, "verdict", json_object_new_string(drpc_verdict_name(d->verdict)));
	if (d->repeats > 0)
		snprintf(reason, sizeof(reason), "%s (and the same %u times before)", d->reason,
			 d->repeats);
	else
		drpc_strcpy(reason, sizeof(reason), d->reason);
	json_object_object_add(o, "reason", json_object_new_string(reason));
	return o;
}

/* Always an object, so that its fields can be asked for; null in it before the outcome is known. */
static struct json_object *outcome_of(const struct drpc_decision *d)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "p99_ms",
			       d->outcome_known ? drpc_json_number((double)d->outcome_p99_ns / 1e6)
						: NULL);
	json_object_object_add(o, "throttled_share",
			       d->outcome_known ? drpc_json_number(d->outcome_throttled) : NULL);
	return o;
}

struct json_object *drpc_json_decision(const struct drpc_decision *d)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "time", drpc_json_time(d->realtime_ns));
	json_object_object_add(o, "planner", json_object_new_string(d->planner));
	json_object_object_add(o, "features", features_of(d));
	json_object_object_add(o, "raw", raw_of(d));
	json_object_object_add(o, "action", action_of(d));
	json_object_object_add(o, "guard", guard_of(d));
	json_object_object_add(o, "applied", json_object_new_boolean(d->applied));
	json_object_object_add(o, "before", drpc_json_limits(&d->before, d->replicas_before));
	json_object_object_add(o, "after", drpc_json_limits(&d->after, d->replicas_after));
	json_object_object_add(o, "outcome", outcome_of(d));
	return o;
}

struct json_object *drpc_json_explain(const struct drpc_deployment *deployment)
{
	struct json_object *list = json_object_new_array();
	const struct drpc_decision *d;

	if (!deployment->control)
		return list;
	for (uint32_t age = 0; (d = drpc_decision_at(&deployment->control->decisions, age)); age++)
		json_object_array_add(list, drpc_json_decision(d));
	return list;
}
