// SPDX-License-Identifier: Apache-2.0
#include "nn/forecast.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"
#include "nn/model_file.h"

#define FORECAST_KIND "predictor"

struct drpc_forecast {
	struct drpc_forecast_info info;
	struct drpc_rnn_packed rnn;
	float *head; /* W [hidden][horizons], b [horizons] */
};

static size_t rnn_params(const struct drpc_forecast_info *info)
{
	const size_t gates = info->cell == DRPC_RNN_GRU ? 3 : 4;
	const size_t biases = info->cell == DRPC_RNN_GRU ? 2 : 1;

	return gates * info->hidden * (info->n_inputs + info->hidden + biases);
}

size_t drpc_forecast_params(const struct drpc_forecast_info *info)
{
	return rnn_params(info) + (info->hidden + 1) * info->horizons;
}

static int forecast_check(const struct drpc_forecast_info *info)
{
	if ((unsigned int)info->cell > DRPC_RNN_LSTM || info->n_inputs < 1 ||
	    info->n_inputs > DRPC_FORECAST_MAX_INPUTS || info->hidden < 1 ||
	    info->hidden > DRPC_RNN_MAX_HIDDEN || info->window < 1 ||
	    info->window > DRPC_FORECAST_MAX_WINDOW || info->horizons < 1 ||
	    info->horizons > DRPC_FORECAST_MAX_HORIZONS)
		return drpc_err(
			-EINVAL,
			"forecast: %zu inputs, %zu hidden, window %zu, %zu horizons: expected 1..%d, 1..%d, 1..%d, 1..%d",
			info->n_inputs, info->hidden, info->window, info->horizons,
			DRPC_FORECAST_MAX_INPUTS, DRPC_RNN_MAX_HIDDEN, DRPC_FORECAST_MAX_WINDOW,
			DRPC_FORECAST_MAX_HORIZONS);
	if (!(info->step_s > 0 && isfinite(info->step_s)))
		return drpc_err(-EINVAL, "forecast: %g seconds a step, expected more than 0",
				info->step_s);
	for (size_t i = 0; i < info->n_inputs; i++) {
		if (!isfinite(info->offset[i]) || !isfinite(info->scale[i]) ||
		    info->scale[i] == 0.0f)
			return drpc_err(
				-EINVAL,
				"forecast: input %zu has offset %g and scale %g, expected finite numbers and a scale other than 0",
				i, (double)info->offset[i], (double)info->scale[i]);
	}
	return 0;
}

int drpc_forecast_new(const struct drpc_forecast_info *info, const float *params,
		      struct drpc_forecast **ret)
{
	struct drpc_forecast *forecast;
	size_t head_bytes;
	int err;

	err = forecast_check(info);
	if (err)
		return err;
	for (size_t i = 0; i < drpc_forecast_params(info); i++) {
		if (!isfinite(params[i]))
			return drpc_err(-ERANGE, "forecast: weight %zu is %g", i,
					(double)params[i]);
	}
	head_bytes = (info->hidden + 1) * info->horizons * sizeof(float);
	forecast = calloc(1, sizeof(*forecast));
	if (!forecast)
		return drpc_err(-ENOMEM, "forecast");
	forecast->info = *info;
	forecast->head = malloc(head_bytes);
	if (!forecast->head) {
		drpc_forecast_free(&forecast);
		return drpc_err(-ENOMEM, "forecast");
	}
	err = drpc_rnn_pack(info->cell, info->n_inputs, info->hidden, params, &forecast->rnn);
	if (err) {
		drpc_forecast_free(&forecast);
		return err;
	}
	memcpy(forecast->head, params + rnn_params(info), head_bytes);
	*ret = forecast;
	return 0;
}

void drpc_forecast_free(struct drpc_forecast **forecast)
{
	if (!*forecast)
		return;
	drpc_rnn_packed_done(&(*forecast)->rnn);
	free((*forecast)->head);
	free(*forecast);
	*forecast = NULL;
}

const struct drpc_forecast_info *drpc_forecast_info(const struct drpc_forecast *forecast)
{
	return &forecast->info;
}

int drpc_forecast_run(const struct drpc_forecast *forecast, const float *series, float *ret)
{
	const struct drpc_forecast_info *info = &forecast->info;
	const size_t n = info->n_inputs, last = (info->window - 1) * n;
	const float *b = forecast->head + info->hidden * info->horizons;
	float x[DRPC_FORECAST_MAX_WINDOW * DRPC_FORECAST_MAX_INPUTS], h[DRPC_RNN_MAX_HIDDEN];

	for (size_t i = 0; i < info->window * n; i++) {
		if (!isfinite(series[i]))
			return drpc_err(-EDOM, "forecast: input %zu of step %zu is %g", i % n,
					i / n, (double)series[i]);
		x[i] = (series[i] - info->offset[i % n]) * info->scale[i % n];
	}
	drpc_rnn_infer(&forecast->rnn, info->window, x, h);
	for (size_t k = 0; k < info->horizons; k++) {
		float sum = b[k];

		for (size_t i = 0; i < info->hidden; i++)
			sum += h[i] * forecast->head[i * info->horizons + k];
		ret[k] = series[last] + sum / info->scale[0];
	}
	return 0;
}

/* --- file --------------------------------------------------------------------------------- */

static double number(struct json_object *object, const char *key)
{
	struct json_object *found;

	if (!json_object_object_get_ex(object, key, &found) ||
	    !(json_object_is_type(found, json_type_int) ||
	      json_object_is_type(found, json_type_double)))
		return NAN;
	return json_object_get_double(found);
}

/* A whole number of 0..1e6; 0 for anything else, which no shape accepts. */
static size_t size(struct json_object *object, const char *key)
{
	const double value = number(object, key);

	return value >= 0 && value <= 1e6 ? (size_t)value : 0;
}

static void text(struct json_object *object, const char *key, char *ret, size_t bytes)
{
	struct json_object *found;
	const char *value = NULL;

	if (json_object_object_get_ex(object, key, &found))
		value = json_object_get_string(found);
	drpc_strcpy(ret, bytes, value ? value : "");
}

static int forecast_parse(const char *path, struct json_object *header,
			  struct drpc_forecast_info *ret)
{
	struct drpc_forecast_info info = {0};
	struct json_object *inputs = NULL;
	char cell[8];

	text(header, "cell", cell, sizeof(cell));
	if (strcmp(cell, "gru") != 0 && strcmp(cell, "lstm") != 0)
		return drpc_err(-EINVAL, "forecast: %s: cell is '%s', expected gru or lstm", path,
				cell);
	info.cell = strcmp(cell, "gru") ? DRPC_RNN_LSTM : DRPC_RNN_GRU;
	json_object_object_get_ex(header, "inputs", &inputs);
	if (!json_object_is_type(inputs, json_type_array) ||
	    json_object_array_length(inputs) > DRPC_FORECAST_MAX_INPUTS)
		return drpc_err(-EINVAL, "forecast: %s: \"inputs\" is not a list of at most %d",
				path, DRPC_FORECAST_MAX_INPUTS);
	info.n_inputs = json_object_array_length(inputs);
	for (size_t i = 0; i < info.n_inputs; i++) {
		struct json_object *entry = json_object_array_get_idx(inputs, i);

		info.offset[i] = (float)number(entry, "offset");
		info.scale[i] = (float)number(entry, "scale");
	}
	info.hidden = size(header, "hidden");
	info.window = size(header, "window");
	info.horizons = size(header, "horizons");
	info.step_s = number(header, "step_s");
	info.created_s = (uint64_t)fmax(number(header, "created"), 0);
	text(header, "data", info.data, sizeof(info.data));
	text(header, "program", info.program, sizeof(info.program));
	*ret = info;
	return 0;
}

int drpc_forecast_load(const char *path, struct drpc_forecast **ret)
{
	struct drpc_forecast_info info = {0};
	struct drpc_model model;
	int err;

	err = drpc_model_file_load(path, FORECAST_KIND, &model);
	if (err)
		return err;
	err = forecast_parse(path, model.header, &info);
	if (!err)
		err = forecast_check(&info);
	if (!err && model.n_weights != drpc_forecast_params(&info))
		err = drpc_err(-EINVAL, "forecast: %s: %zu weights, its shapes have %zu", path,
			       model.n_weights, drpc_forecast_params(&info));
	if (!err)
		err = drpc_forecast_new(&info, model.weights, ret);
	drpc_model_done(&model);
	return err;
}

/* A number with as many digits as it takes to read it back. */
static struct json_object *exact(double value, const char *format)
{
	char digits[32];

	snprintf(digits, sizeof(digits), format, value);
	return json_object_new_double_s(value, digits);
}

static bool put(struct json_object *object, const char *key, struct json_object *value)
{
	return value && json_object_object_add(object, key, value) == 0;
}

static bool forecast_fill(struct json_object *header, const struct drpc_forecast_info *info)
{
	struct json_object *inputs = json_object_new_array();

	if (!put(header, "inputs", inputs))
		return false;
	for (size_t i = 0; i < info->n_inputs; i++) {
		struct json_object *entry = json_object_new_object();

		if (!entry || json_object_array_add(inputs, entry) < 0 ||
		    !put(entry, "offset", exact((double)info->offset[i], "%.9g")) ||
		    !put(entry, "scale", exact((double)info->scale[i], "%.9g")))
			return false;
	}
	return put(header, "cell",
		   json_object_new_string(info->cell == DRPC_RNN_GRU ? "gru" : "lstm")) &&
	       put(header, "hidden", json_object_new_uint64(info->hidden)) &&
	       put(header, "window", json_object_new_uint64(info->window)) &&
	       put(header, "horizons", json_object_new_uint64(info->horizons)) &&
	       put(header, "step_s", exact(info->step_s, "%.17g")) &&
	       put(header, "created", json_object_new_uint64(info->created_s)) &&
	       put(header, "data", json_object_new_string(info->data)) &&
	       put(header, "program", json_object_new_string(info->program));
}

int drpc_forecast_save(const char *path, const struct drpc_forecast_info *info, const float *params)
{
	struct json_object *header;
	int err;

	err = forecast_check(info);
	if (err)
		return err;
	header = json_object_new_object();
	if (!header || !forecast_fill(header, info))
		err = drpc_err(-ENOMEM, "forecast: %s", path);
	else
		err = drpc_model_file_save(path, FORECAST_KIND, header, params,
					   drpc_forecast_params(info));
	json_object_put(header);
	return err;
}
