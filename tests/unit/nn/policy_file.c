// SPDX-License-Identifier: Apache-2.0
#include "nn/policy_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/util.h"
#include "nn/model_file.h"

static char folder[] = "/tmp/drpc-policy-XXXXXX";
static char path[64], other[64];
static float params[1024];

static void setup(void)
{
	/* Refusals are logged, and here there are thousands. */
	cr_assert_not_null(freopen("/dev/null", "w", stderr));
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/p", folder);
	snprintf(other, sizeof(other), "%s/q", folder);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(params); i++)
		params[i] = 0.4f * sinf((float)i * 1.3f);
}

static void teardown(void)
{
	unlink(path);
	unlink(other);
	/* Fails, and the test with it, where a temporary file was left behind. */
	cr_assert_eq(rmdir(folder), 0);
}

TestSuite(policy_file, .init = setup, .fini = teardown);

static struct drpc_policy_info info_of(unsigned int n)
{
	struct drpc_policy_info info = {.n_inputs = n,
					.clip = 5.0f,
					.reward = 0.7125f,
					.method = "imitation of reactive",
					.data = "two \"runs\"",
					.program = "test 1",
					.created_s = 1700000000,
					.seed = UINT64_MAX,
					.samples = 1000,
					.updates = 2000};

	for (unsigned int i = 0; i < n; i++) {
		info.inputs[i].feature = (enum drpc_feature)i;
		info.inputs[i].offset = 0.1f * (float)i;
		info.inputs[i].scale = 1.0f / (1.0f + (float)i);
	}
	return info;
}

static void store(const char *file, const char *data, size_t bytes)
{
	FILE *f = fopen(file, "w");

	cr_assert_not_null(f);
	cr_assert_eq(fwrite(data, 1, bytes, f), bytes);
	cr_assert_eq(fclose(f), 0);
}

Test(policy_file, comes_back_as_it_was_stored)
{
	for (unsigned int n = 1; n <= DRPC_F_COUNT; n++) {
		struct drpc_policy_info info = info_of(n);
		const struct drpc_policy_info *got;
		struct drpc_policy_net *net = NULL;
		struct stat st;

		cr_assert_eq(drpc_policy_file_save(path, &info, params), 0);
		cr_assert_eq(drpc_policy_file_load(path, &net), 0);
		got = drpc_policy_net_info(net);
		cr_assert_eq(got->n_inputs, n);
		for (unsigned int i = 0; i < n; i++) {
			cr_assert_eq(got->inputs[i].feature, info.inputs[i].feature);
			cr_assert_eq(got->inputs[i].offset, info.inputs[i].offset);
			cr_assert_eq(got->inputs[i].scale, info.inputs[i].scale);
			cr_assert_str_eq(drpc_policy_net_input_name(net, i), drpc_feature_names[i]);
		}
		cr_assert_null(drpc_policy_net_input_name(net, n));
		cr_assert_eq(got->clip, info.clip);
		cr_assert_eq(got->reward, info.reward);
		cr_assert_str_eq(got->method, info.method);
		cr_assert_str_eq(got->data, info.data);
		cr_assert_eq(got->created_s, info.created_s);
		cr_assert_eq(got->seed, info.seed);
		cr_assert_eq(stat(path, &st), 0);
		cr_assert_eq(st.st_mode & 0777, 0644);
		drpc_policy_net_free(&net);
		cr_assert_null(net);
	}
}

/* What was measured afterwards is noted; weights and the rest stay, and the digest is the file's own. */
Test(policy_file, figures_are_noted_later)
{
	struct drpc_policy_info info = info_of(5), measured = {.reward = 0.5f};
	float features[DRPC_F_COUNT] = {0.3f, 0.2f, 1, 0.1f, 0.1f}, before[3], after[3];
	struct drpc_policy_net *net = NULL;
	const struct drpc_policy_info *got;
	char digest[DRPC_POLICY_DIGEST_BYTES];

	drpc_strcpy(info.source, sizeof(info.source), "v1-2-gabc");
	drpc_strcpy(info.command, sizeof(info.command), "make it");
	cr_assert_eq(drpc_policy_file_save(path, &info, params), 0);
	cr_assert_eq(drpc_policy_file_load(path, &net), 0);
	got = drpc_policy_net_info(net);
	cr_assert_eq(got->report.states, 0, "nobody has measured");
	cr_assert_str_eq(got->source, "v1-2-gabc");
	cr_assert_str_eq(got->command, "make it");
	cr_assert_eq(strspn(got->digest, "0123456789abcdef"), 64);
	cr_assert_eq(drpc_policy_net_forward(net, features, before), 0);
	drpc_strcpy(digest, sizeof(digest), got->digest);
	drpc_policy_net_free(&net);

	measured.report = (struct drpc_policy_report){.states = 4000,
						      .differ = 0.03f,
						      .differ_in = {0, 0.02f, 0.01f},
						      .opposed = 7,
						      .reward_ratio = 0.99f};
	cr_assert_eq(drpc_policy_file_note(path, &measured), 0);
	cr_assert_eq(drpc_policy_file_load(path, &net), 0);
	got = drpc_policy_net_info(net);
	cr_assert_eq(got->reward, 0.5f);
	cr_assert_eq(got->report.states, 4000);
	cr_assert_eq(got->report.differ, 0.03f);
	cr_assert_eq(got->report.differ_in[1], 0.02f);
	cr_assert_eq(got->report.opposed, 7);
	cr_assert_eq(got->report.reward_ratio, 0.99f);
	cr_assert_str_eq(got->method, info.method);
	cr_assert_eq(got->created_s, info.created_s);
	cr_assert_str_neq(got->digest, digest);
	cr_assert_eq(drpc_policy_net_forward(net, features, after), 0);
	cr_assert_arr_eq(before, after, sizeof(before));
	drpc_policy_net_free(&net);
	measured.reward = 2;
	cr_assert_eq(drpc_policy_file_note(path, &measured), -EINVAL);
	cr_assert_neq(drpc_policy_file_note(other, &measured), 0);
}

Test(policy_file, unknown_reward_stays_unknown)
{
	struct drpc_policy_info info = info_of(5);
	struct drpc_policy_net *net = NULL;

	info.reward = NAN;
	cr_assert_eq(drpc_policy_file_save(path, &info, params), 0);
	cr_assert_eq(drpc_policy_file_load(path, &net), 0);
	cr_assert(isnan(drpc_policy_net_info(net)->reward));
	drpc_policy_net_free(&net);
}

/* Takes features by name, scales, clips, and refuses what is not a number. */
Test(policy_file, forward_gathers_and_scales)
{
	struct drpc_policy_info info = info_of(2);
	float features[DRPC_F_COUNT] = {0}, got[3] = {7, 7, 7}, want[3], state[2];
	static struct drpc_student student;
	struct drpc_policy_net *net = NULL;

	info.inputs[0] = (struct drpc_policy_input){DRPC_F_P99_SLO, 0.5f, 4.0f};
	info.inputs[1] = (struct drpc_policy_input){DRPC_F_RATE, 0.0f, 100.0f};
	cr_assert_eq(drpc_policy_net_new(&info, params, &net), 0);
	cr_assert_eq(drpc_student_pack(&student, 2, params), 0);
	features[DRPC_F_P99_SLO] = 0.75f;
	features[DRPC_F_RATE] = 0.9f;	 /* 90 after scaling: clipped to 5 */
	features[DRPC_F_CPU_UTIL] = NAN; /* not an input of this net */
	state[0] = 1.0f;
	state[1] = 5.0f;
	drpc_student_forward(&student, state, want);
	cr_assert_eq(drpc_policy_net_forward(net, features, got), 0);
	cr_assert_arr_eq(got, want, sizeof(want));
	features[DRPC_F_RATE] = INFINITY;
	cr_assert_eq(drpc_policy_net_forward(net, features, got), -EDOM);
	cr_assert_arr_eq(got, want, sizeof(want));
	drpc_policy_net_free(&net);
}

Test(policy_file, cut_at_every_byte_is_refused)
{
	struct drpc_policy_info info = info_of(5);
	struct drpc_policy_net *net = NULL;
	char *data = NULL;
	ssize_t bytes;

	cr_assert_eq(drpc_policy_file_save(path, &info, params), 0);
	bytes = drpc_read_file_at(AT_FDCWD, path, 1 << 20, &data);
	cr_assert_gt(bytes, 643 * 4);
	for (ssize_t n = 0; n < bytes; n++) {
		store(other, data, (size_t)n);
		cr_assert_eq(drpc_policy_file_load(other, &net), -ENODATA, "%zd bytes", n);
		cr_assert_null(net);
	}
	free(data);
}

Test(policy_file, every_flipped_bit_is_refused)
{
	struct drpc_policy_info info = info_of(5);
	struct drpc_policy_net *net = NULL;
	char *data = NULL;
	ssize_t bytes;

	cr_assert_eq(drpc_policy_file_save(path, &info, params), 0);
	bytes = drpc_read_file_at(AT_FDCWD, path, 1 << 20, &data);
	for (ssize_t n = 0; n < bytes; n++) {
		data[n] ^= (char)(1 << (n % 8));
		store(other, data, (size_t)bytes);
		cr_assert_lt(drpc_policy_file_load(other, &net), 0, "byte %zd", n);
		cr_assert_null(net);
		data[n] ^= (char)(1 << (n % 8));
	}
	store(other, data, (size_t)bytes);
	cr_assert_eq(drpc_policy_file_load(other, &net), 0);
	drpc_policy_net_free(&net);
	free(data);
}

/* Edits the stored head and expects a particular refusal, before the digest is even looked at. */
static void refused_head(size_t offset, const void *bytes, size_t n, int want)
{
	struct drpc_policy_info info = info_of(5);
	struct drpc_policy_net *net = NULL;
	char *data = NULL;
	ssize_t size;

	cr_assert_eq(drpc_policy_file_save(path, &info, params), 0);
	size = drpc_read_file_at(AT_FDCWD, path, 1 << 20, &data);
	memcpy(data + offset, bytes, n);
	store(other, data, (size_t)size);
	cr_assert_eq(drpc_policy_file_load(other, &net), want);
	cr_assert_null(net);
	free(data);
}

Test(policy_file, foreign_heads_are_told_apart)
{
	const uint32_t version = 9, header = DRPC_MODEL_HEADER_MAX_BYTES + 1, shorter = 8;
	const uint64_t weights = DRPC_MODEL_WEIGHTS_MAX + 1;

	refused_head(0,
		     "\x7f"
		     "ELF",
		     4, -EILSEQ);
	refused_head(8, &version, 4, -EPROTONOSUPPORT);
	refused_head(12, &header, 4, -EFBIG);
	refused_head(12, &shorter, 4, -EFBIG);
	refused_head(16, &weights, 8, -EFBIG);
}

Test(policy_file, missing_file_says_so)
{
	struct drpc_policy_net *net = NULL;

	cr_assert_eq(drpc_policy_file_load("/nonexistent/p", &net), -ENOENT);
	cr_assert_eq(drpc_policy_file_load(folder, &net), -EISDIR);
	cr_assert_null(net);
}

/* Stores a model whose header is `text`, with `n` weights, well formed otherwise. */
static void load_header(const char *kind, const char *text, size_t n, int want)
{
	struct json_object *header = json_tokener_parse(text);
	struct drpc_policy_net *net = NULL;

	cr_assert_not_null(header);
	cr_assert_eq(drpc_model_file_save(path, kind, header, params, n), 0);
	json_object_put(header);
	cr_assert_eq(drpc_policy_file_load(path, &net), want, "%s", text);
	drpc_policy_net_free(&net);
}

#define INPUT "{\"name\":\"cpu_util\",\"offset\":0,\"scale\":1}"
#define OUTS  ",\"outputs\":[\"replicas\",\"cpu\",\"memory\"],\"clip\":5"
#define LAYERS(n)                                                        \
	",\"layers\":[{\"type\":\"dense\",\"in\":" #n                    \
	",\"out\":20},{\"type\":\"layernorm\",\"size\":20},"             \
	"{\"type\":\"relu\"},{\"type\":\"dense\",\"in\":20,\"out\":20}," \
	"{\"type\":\"dense\",\"in\":20,\"out\":3},{\"type\":\"tanh\"}]"

Test(policy_file, well_formed_files_of_another_shape_are_refused)
{
	const size_t n = drpc_student_params(1);

	load_header("policy", "{\"inputs\":[" INPUT "]" OUTS LAYERS(1) "}", n, 0);
	load_header("gru", "{\"inputs\":[" INPUT "]" OUTS LAYERS(1) "}", n, -EBADMSG);
	load_header("policy", "{\"inputs\":[" INPUT "]" OUTS LAYERS(1) "}", n + 1, -EINVAL);
	load_header("policy", "{\"inputs\":[" INPUT "]" OUTS LAYERS(2) "}", n, -EINVAL);
	load_header("policy", "{\"inputs\":[" INPUT "," INPUT "]" OUTS LAYERS(2) "}",
		    drpc_student_params(2), -EINVAL);
	load_header("policy", "{\"inputs\":[]" OUTS LAYERS(0) "}", 1, -EINVAL);
	load_header("policy", "{\"inputs\":[" INPUT "]" LAYERS(1) "}", n, -EINVAL);
	load_header("policy", "{\"inputs\":[" INPUT "]" OUTS "}", n, -EINVAL);
	load_header("policy", "{\"inputs\":7" OUTS LAYERS(1) "}", n, -EINVAL);
	load_header("policy", "{}", n, -EINVAL);
	load_header(
		"policy",
		"{\"inputs\":[{\"name\":\"phase_of_moon\",\"offset\":0,\"scale\":1}]" OUTS LAYERS(
			1) "}",
		n, -EINVAL);
	load_header(
		"policy",
		"{\"inputs\":[{\"name\":\"cpu_util\",\"offset\":0,\"scale\":0}]" OUTS LAYERS(1) "}",
		n, -EINVAL);
	load_header("policy",
		    "{\"inputs\":[{\"name\":\"cpu_util\",\"offset\":0}]" OUTS LAYERS(1) "}", n,
		    -EINVAL);
	load_header("policy", "{\"inputs\":[" INPUT "]" OUTS LAYERS(1) ",\"reward\":1.5}", n,
		    -EINVAL);
}

Test(policy_file, weights_that_are_not_numbers_are_not_stored)
{
	struct drpc_policy_info info = info_of(5);
	struct drpc_policy_net *net = NULL;

	cr_assert_eq(drpc_policy_file_save(path, &info, params), 0);
	params[100] = NAN;
	cr_assert_eq(drpc_policy_file_save(path, &info, params), -ERANGE);
	params[100] = 0.5f;
	info.clip = -1.0f;
	cr_assert_eq(drpc_policy_file_save(path, &info, params), -EINVAL);
	/* What was there before is still there. */
	cr_assert_eq(drpc_policy_file_load(path, &net), 0);
	drpc_policy_net_free(&net);
}
