// SPDX-License-Identifier: Apache-2.0
#include "nn/policy_file.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/model_file.h"

#define POLICY_KIND "policy"

struct drpc_policy_net {
	struct drpc_student student; /* first: its alignment is the allocation's */
	struct drpc_policy_info info;
};

static const char *const output_names[DRPC_OUT_COUNT] = {
	[DRPC_OUT_REPLICAS] = "replicas",
	[DRPC_OUT_CPU] = "cpu",
	[DRPC_OUT_MEMORY] = "memory",
};

/* A layer as the header spells it; in = 0 for one that keeps the size. */
struct layer {
	const char *type;
	unsigned int in;
	unsigned int out;
};

#define N_LAYERS 6

static void policy_layers(unsigned int n_inputs, struct layer ret[N_LAYERS])
{
	const unsigned int h = DRPC_STUDENT_HIDDEN;
	const struct layer layers[N_LAYERS] = {
		{"dense", n_inputs, h},
		{"layernorm", 0, h},
		{"relu", 0, 0},
		{"dense", h, h},
		{"dense", h, DRPC_STUDENT_OUTPUTS},
		{"tanh", 0, 0},
	};

	memcpy(ret, layers, sizeof(layers));
}

/* --- checks ------------------------------------------------------------------------------- */

static int policy_check_info(const char *where, const struct drpc_policy_info *info)
{
	bool seen[DRPC_F_COUNT] = {0};

	if (info->n_inputs < 1 || info->n_inputs > DRPC_F_COUNT)
		return drpc_err(-EINVAL, "policy: %s: %u inputs, expected 1..%d", where,
				info->n_inputs, DRPC_F_COUNT);
	for (unsigned int i = 0; i < info->n_inputs; i++) {
		const struct drpc_policy_input *in = &info->inputs[i];

		if ((unsigned int)in->feature >= DRPC_F_COUNT || seen[in->feature])
			return drpc_err(
				-EINVAL,
				"policy: %s: input %u is feature %d, which is unknown or named twice",
				where, i, (int)in->feature);
		seen[in->feature] = true;
		if (!isfinite(in->offset) || !isfinite(in->scale) || in->scale == 0.0f)
			return drpc_err(
				-EINVAL,
				"policy: %s: input %s has offset %g and scale %g, expected finite numbers and a scale other than 0",
				where, drpc_feature_names[in->feature], (double)in->offset,
				(double)in->scale);
	}
	if (!isfinite(info->clip) || info->clip <= 0.0f)
		return drpc_err(-EINVAL, "policy: %s: clip is %g, expected a finite number above 0",
				where, (double)info->clip);
	if (!isnan(info->reward) && (info->reward < 0.0f || info->reward > 1.0f))
		return drpc_err(-EINVAL, "policy: %s: reward is %g, expected 0..1 or unknown",
				where, (double)info->reward);
	return 0;
}

/* --- header → info ------------------------------------------------------------------------ */

/* A member of an object, NULL where it is missing or of another type; 5 is a number like 5.0. */
static struct json_object *member(struct json_object *object, const char *key, enum json_type type)
{
	struct json_object *found;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, key, &found))
		return NULL;
	if (json_object_is_type(found, type))
		return found;
	if (type == json_type_double && json_object_is_type(found, json_type_int))
		return found;
	return NULL;
}

static const char *member_string(struct json_object *object, const char *key)
{
	struct json_object *found = member(object, key, json_type_string);

	return found ? json_object_get_string(found) : "";
}

static float member_float(struct json_object *object, const char *key)
{
	struct json_object *found = member(object, key, json_type_double);

	return found ? (float)json_object_get_double(found) : NAN;
}

static uint64_t member_u64(struct json_object *object, const char *key)
{
	struct json_object *found = member(object, key, json_type_int);

	return found ? json_object_get_uint64(found) : 0;
}

static int policy_parse_inputs(const char *path, struct json_object *header,
			       struct drpc_policy_info *info)
{
	struct json_object *inputs = member(header, "inputs", json_type_array);
	const size_t n = inputs ? json_object_array_length(inputs) : 0;

	if (n < 1 || n > DRPC_F_COUNT)
		return drpc_err(
			-EINVAL,
			"policy: %s: the header's \"inputs\" has %zu entries, expected 1..%d", path,
			n, DRPC_F_COUNT);
	for (size_t i = 0; i < n; i++) {
		struct json_object *entry = json_object_array_get_idx(inputs, i);
		const char *name = member_string(entry, "name");
		unsigned int f = 0;

		while (f < DRPC_F_COUNT && strcmp(name, drpc_feature_names[f]) != 0)
			f++;
		if (f == DRPC_F_COUNT)
			return drpc_err(
				-EINVAL,
				"policy: %s: input %zu is '%.64s', which this program does not measure",
				path, i, name);
		info->inputs[i].feature = (enum drpc_feature)f;
		info->inputs[i].offset = member_float(entry, "offset");
		info->inputs[i].scale = member_float(entry, "scale");
	}
	info->n_inputs = (unsigned int)n;
	return 0;
}

static int policy_check_layers(const char *path, struct json_object *header, unsigned int n_inputs)
{
	struct json_object *layers = member(header, "layers", json_type_array);
	struct json_object *outputs = member(header, "outputs", json_type_array);
	struct layer expected[N_LAYERS];

	if (!outputs || json_object_array_length(outputs) != DRPC_OUT_COUNT)
		return drpc_err(
			-EINVAL,
			"policy: %s: the header's \"outputs\" are not replicas, cpu, memory", path);
	for (int i = 0; i < DRPC_OUT_COUNT; i++) {
		const char *name =
			json_object_get_string(json_object_array_get_idx(outputs, (size_t)i));

		if (!name || strcmp(name, output_names[i]) != 0)
			return drpc_err(-EINVAL, "policy: %s: output %d is '%.64s', expected '%s'",
					path, i, name ? name : "", output_names[i]);
	}
	if (!layers || json_object_array_length(layers) != N_LAYERS)
		return drpc_err(-EINVAL, "policy: %s: %zu layers, a student has %d", path,
				layers ? json_object_array_length(layers) : 0, N_LAYERS);
	policy_layers(n_inputs, expected);
	for (size_t i = 0; i < N_LAYERS; i++) {
		struct json_object *layer = json_object_array_get_idx(layers, i);
		const char *type = member_string(layer, "type");
		const char *size_key = expected[i].in ? "out" : "size";
		uint64_t in = member_u64(layer, "in");
		uint64_t out = member_u64(layer, size_key);

		if (strcmp(type, expected[i].type) != 0 || in != expected[i].in ||
		    out != expected[i].out)
			return drpc_err(
				-EINVAL,
				"policy: %s: layer %zu is %.32s %llu→%llu, a student of %u inputs has %s %u→%u there",
				path, i, type, (unsigned long long)in, (unsigned long long)out,
				n_inputs, expected[i].type, expected[i].in, expected[i].out);
	}
	return 0;
}

static void policy_parse_report(struct json_object *header, struct drpc_policy_report *ret)
{
	struct json_object *report = member(header, "report", json_type_object);
	struct json_object *differ_in = member(report, "differ_in", json_type_array);

	*ret = (struct drpc_policy_report){
		.states = member_u64(report, "states"),
		.differ = member_float(report, "differ"),
		.opposed = member_u64(report, "opposed"),
		.reward_ratio = member_float(report, "reward_ratio"),
	};
	for (size_t i = 0; i < DRPC_OUT_COUNT; i++) {
		struct json_object *of = differ_in ? json_object_array_get_idx(differ_in, i) : NULL;

		ret->differ_in[i] = of ? (float)json_object_get_double(of) : NAN;
	}
}

static int policy_parse(const char *path, struct json_object *header, struct drpc_policy_info *ret)
{
	struct json_object *provenance = member(header, "provenance", json_type_object);
	struct drpc_policy_info info = {0};
	int err;

	err = policy_parse_inputs(path, header, &info);
	if (err)
		return err;
	err = policy_check_layers(path, header, info.n_inputs);
	if (err)
		return err;
	info.clip = member_float(header, "clip");
	info.reward = member_float(header, "reward");
	drpc_strcpy(info.method, sizeof(info.method), member_string(provenance, "method"));
	drpc_strcpy(info.data, sizeof(info.data), member_string(provenance, "data"));
	drpc_strcpy(info.program, sizeof(info.program), member_string(provenance, "program"));
	drpc_strcpy(info.source, sizeof(info.source), member_string(provenance, "source"));
	drpc_strcpy(info.command, sizeof(info.command), member_string(provenance, "command"));
	info.created_s = member_u64(provenance, "created");
	info.seed = member_u64(provenance, "seed");
	info.samples = member_u64(provenance, "samples");
	info.updates = member_u64(provenance, "updates");
	policy_parse_report(header, &info.report);
	err = policy_check_info(path, &info);
	if (err)
		return err;
	*ret = info;
	return 0;
}

/* --- info → header ------------------------------------------------------------------------ */

/* The shortest text that reads back as the same float. */
static struct json_object *new_float(float value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.9g", (double)value);
	return json_object_new_double_s((double)value, text);
}

/* Takes `value`; false where memory ran out. json-c's own allocations fail as NULL values. */
static bool put(struct json_object *object, const char *key, struct json_object *value)
{
	if (!value)
		return false;
	if (json_object_object_add(object, key, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

static bool append(struct json_object *array, struct json_object *value)
{
	if (!value)
		return false;
	if (json_object_array_add(array, value) == 0)
		return true;
	json_object_put(value);
	return false;
}

/* Makes an empty object or array inside `parent`; NULL where memory ran out. */
static struct json_object *put_new(struct json_object *parent, const char *key,
				   struct json_object *child)
{
	return put(parent, key, child) ? child : NULL;
}

static struct json_object *append_object(struct json_object *array)
{
	struct json_object *object = json_object_new_object();

	return append(array, object) ? object : NULL;
}

static bool policy_put_inputs(struct json_object *header, const struct drpc_policy_info *info)
{
	struct json_object *inputs = put_new(header, "inputs", json_object_new_array());
	struct json_object *outputs = put_new(header, "outputs", json_object_new_array());

	if (!inputs || !outputs)
		return false;
	for (unsigned int i = 0; i < info->n_inputs; i++) {
		const struct drpc_policy_input *in = &info->inputs[i];
		struct json_object *entry = append_object(inputs);

		if (!entry ||
		    !put(entry, "name", json_object_new_string(drpc_feature_names[in->feature])) ||
		    !put(entry, "offset", new_float(in->offset)) ||
		    !put(entry, "scale", new_float(in->scale)))
			return false;
	}
	for (int i = 0; i < DRPC_OUT_COUNT; i++) {
		if (!append(outputs, json_object_new_string(output_names[i])))
			return false;
	}
	return true;
}

static bool policy_put_layers(struct json_object *header, const struct drpc_policy_info *info)
{
	struct json_object *layers = put_new(header, "layers", json_object_new_array());
	struct layer layer[N_LAYERS];

	if (!layers)
		return false;
	policy_layers(info->n_inputs, layer);
	for (int i = 0; i < N_LAYERS; i++) {
		struct json_object *entry = append_object(layers);

		if (!entry || !put(entry, "type", json_object_new_string(layer[i].type)))
			return false;
		if (layer[i].in && !put(entry, "in", json_object_new_uint64(layer[i].in)))
			return false;
		if (layer[i].out &&
		    !put(entry, layer[i].in ? "out" : "size", json_object_new_uint64(layer[i].out)))
			return false;
	}
	return true;
}

static bool policy_put_provenance(struct json_object *header, const struct drpc_policy_info *info)
{
	struct json_object *p = put_new(header, "provenance", json_object_new_object());

	return p && put(p, "method", json_object_new_string(info->method)) &&
	       put(p, "data", json_object_new_string(info->data)) &&
	       put(p, "program", json_object_new_string(info->program)) &&
	       put(p, "source", json_object_new_string(info->source)) &&
	       put(p, "command", json_object_new_string(info->command)) &&
	       put(p, "created", json_object_new_uint64(info->created_s)) &&
	       put(p, "seed", json_object_new_uint64(info->seed)) &&
	       put(p, "samples", json_object_new_uint64(info->samples)) &&
	       put(p, "updates", json_object_new_uint64(info->updates));
}

static bool policy_put_report(struct json_object *header, const struct drpc_policy_report *report)
{
	struct json_object *r, *differ_in;

	if (report->states == 0)
		return true;
	r = put_new(header, "report", json_object_new_object());
	differ_in = r ? put_new(r, "differ_in", json_object_new_array()) : NULL;
	if (!differ_in)
		return false;
	for (int i = 0; i < DRPC_OUT_COUNT; i++) {
		if (!append(differ_in, new_float(report->differ_in[i])))
			return false;
	}
	return put(r, "states", json_object_new_uint64(report->states)) &&
	       put(r, "differ", new_float(report->differ)) &&
	       put(r, "opposed", json_object_new_uint64(report->opposed)) &&
	       (isnan(report->reward_ratio) ||
		put(r, "reward_ratio", new_float(report->reward_ratio)));
}

int drpc_policy_file_save(const char *path, const struct drpc_policy_info *info,
			  const float *params)
{
	struct json_object *header;
	int err;

	err = policy_check_info(path, info);
	if (err)
		return err;
	header = json_object_new_object();
	if (header && policy_put_inputs(header, info) &&
	    put(header, "clip", new_float(info->clip)) && policy_put_layers(header, info) &&
	    policy_put_provenance(header, info) && policy_put_report(header, &info->report) &&
	    (isnan(info->reward) || put(header, "reward", new_float(info->reward))))
		err = drpc_model_file_save(path, POLICY_KIND, header, params,
					   drpc_student_params(info->n_inputs));
	else
		err = drpc_err(-ENOMEM, "policy: %s", path);
	json_object_put(header);
	return err;
}

/* --- nets --------------------------------------------------------------------------------- */

int drpc_policy_net_new(const struct drpc_policy_info *info, const float *params,
			struct drpc_policy_net **ret)
{
	struct drpc_policy_net *net;
	int err;

	err = policy_check_info("memory", info);
	if (err)
		return err;
	net = aligned_alloc(_Alignof(struct drpc_policy_net), sizeof(*net));
	if (!net)
		return drpc_err(-ENOMEM, "policy");
	net->info = *info;
	err = drpc_student_pack(&net->student, info->n_inputs, params);
	if (err) {
		free(net);
		return err;
	}
	*ret = net;
	return 0;
}

/* From a model that was loaded to what it says; on failure the model is ended. */
static int policy_of_model(const char *path, struct drpc_model *model, struct drpc_policy_info *ret)
{
	struct drpc_policy_info info;
	int err = policy_parse(path, model->header, &info);

	if (!err && model->n_weights != drpc_student_params(info.n_inputs))
		err = drpc_err(-EINVAL, "policy: %s: %zu weights, a student of %u inputs has %zu",
			       path, model->n_weights, info.n_inputs,
			       drpc_student_params(info.n_inputs));
	if (err) {
		drpc_model_done(model);
		return err;
	}
	for (size_t i = 0; i < sizeof(model->digest); i++)
		snprintf(info.digest + 2 * i, 3, "%02x", model->digest[i]);
	*ret = info;
	return 0;
}

static int policy_read(const char *path, struct drpc_model *ret_model, struct drpc_policy_info *ret)
{
	struct drpc_model model;
	int err = drpc_model_file_load(path, POLICY_KIND, &model);

	if (!err)
		err = policy_of_model(path, &model, ret);
	if (!err)
		*ret_model = model;
	return err;
}

int drpc_policy_parse(const char *name, const void *data, size_t bytes,
		      struct drpc_policy_net **ret)
{
	struct drpc_policy_info info;
	struct drpc_model model;
	int err = drpc_model_parse(name, POLICY_KIND, data, bytes, &model);

	if (!err)
		err = policy_of_model(name, &model, &info);
	if (err)
		return err;
	err = drpc_policy_net_new(&info, model.weights, ret);
	drpc_model_done(&model);
	return err;
}

int drpc_policy_file_load(const char *path, struct drpc_policy_net **ret)
{
	struct drpc_policy_info info;
	struct drpc_model model;
	int err;

	err = policy_read(path, &model, &info);
	if (err)
		return err;
	err = drpc_policy_net_new(&info, model.weights, ret);
	drpc_model_done(&model);
	return err;
}

int drpc_policy_file_note(const char *path, const struct drpc_policy_info *info)
{
	struct drpc_policy_info noted;
	struct drpc_model model;
	int err;

	err = policy_read(path, &model, &noted);
	if (err)
		return err;
	noted.reward = info->reward;
	noted.report = info->report;
	err = drpc_policy_file_save(path, &noted, model.weights);
	drpc_model_done(&model);
	return err;
}

void drpc_policy_net_free(struct drpc_policy_net **net)
{
	free(*net);
	*net = NULL;
}

int drpc_policy_net_forward(const struct drpc_policy_net *net, const float features[DRPC_F_COUNT],
			    float ret[DRPC_OUT_COUNT])
{
	float state[DRPC_F_COUNT];

	for (unsigned int i = 0; i < net->info.n_inputs; i++) {
		const struct drpc_policy_input *in = &net->info.inputs[i];
		const float x = features[in->feature];

		if (!isfinite(x))
			return drpc_err(-EDOM, "policy: feature %s is %g, expected a finite number",
					drpc_feature_names[in->feature], (double)x);
		state[i] =
			DRPC_CLAMP((x - in->offset) * in->scale, -net->info.clip, net->info.clip);
	}
	drpc_student_forward(&net->student, state, ret);
	return 0;
}

const struct drpc_policy_info *drpc_policy_net_info(const struct drpc_policy_net *net)
{
	return &net->info;
}

const char *drpc_policy_net_input_name(const struct drpc_policy_net *net, unsigned int i)
{
	return i < net->info.n_inputs ? drpc_feature_names[net->info.inputs[i].feature] : NULL;
}
