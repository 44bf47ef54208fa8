// SPDX-License-Identifier: Apache-2.0
#include "agent/plan/student.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

struct student {
	struct drpc_planner base;
	struct drpc_policy_net *net;
};

/*
 * Not logged here: a network that gives NaN would do so five times a second. The guard refuses the
 * decision and the record says why.
 */
static int student_decide(struct drpc_planner *planner, const struct drpc_observation *observation,
			  float raw[DRPC_OUT_COUNT])
{
	const struct student *student = (struct student *)planner;
	float out[DRPC_OUT_COUNT];
	int r;

	for (int i = 0; i < DRPC_F_COUNT; i++) {
		if (!isfinite(observation->features[i]))
			return -EDOM;
	}
	r = drpc_policy_net_forward(student->net, observation->features, out);
	if (r < 0)
		return r;
	for (int i = 0; i < DRPC_OUT_COUNT; i++) {
		if (!isfinite(out[i]))
			return -EDOM;
	}
	memcpy(raw, out, sizeof(out));
	return 0;
}

static void student_free(struct drpc_planner *planner)
{
	struct student *student = (struct student *)planner;

	drpc_policy_net_free(&student->net);
	free(student);
}

static const struct drpc_planner_ops student_ops = {
	.name = "student",
	.decide = student_decide,
	.free = student_free,
};

int drpc_planner_student_from_net(struct drpc_policy_net **net, struct drpc_planner **ret)
{
	struct student *student = calloc(1, sizeof(*student));

	if (!student)
		return drpc_err(-ENOMEM, "planner student: cannot allocate");
	student->base.ops = &student_ops;
	student->net = drpc_steal(net);
	*ret = &student->base;
	return 0;
}

int drpc_planner_student_new(const char *path, struct drpc_planner **ret)
{
	struct drpc_policy_net *net = NULL;
	int r = drpc_policy_file_load(path, &net);

	if (r < 0)
		return r;
	r = drpc_planner_student_from_net(&net, ret);
	drpc_policy_net_free(&net);
	return r;
}

const struct drpc_policy_info *drpc_planner_student_info(const struct drpc_planner *planner)
{
	const struct student *student = (const struct student *)planner;

	return planner->ops == &student_ops ? drpc_policy_net_info(student->net) : NULL;
}
