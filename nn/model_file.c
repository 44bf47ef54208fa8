// SPDX-License-Identifier: Apache-2.0
#include "nn/model_file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <math.h>
#include <openssl/evp.h>
#include <string.h>

#include "lib/file.h"
#include "lib/log.h"
#include "lib/util.h"

static const char model_magic[8] = {'D', 'R', 'P', 'C', 'N', 'N', '\r', '\n'};

#define DIGEST_BYTES DRPC_MODEL_DIGEST_BYTES

struct model_head {
	char magic[8];
	uint32_t version;
	uint32_t header_bytes;
	uint64_t n_weights;
};

_Static_assert(sizeof(struct model_head) == 24, "the file's head has no holes");

static int model_digest(const void *data, size_t bytes, unsigned char ret[DIGEST_BYTES])
{
	return EVP_Digest(data, bytes, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

/* Checks the first 24 bytes against the file's size; what the rest says is not looked at yet. */
static int model_check_head(const char *path, const unsigned char *data, size_t bytes,
			    struct model_head *ret)
{
	struct model_head head = {0};
	uint64_t expected;

	if (bytes < sizeof(model_magic) || memcmp(data, model_magic, sizeof(model_magic)) != 0) {
		if (memcmp(data, model_magic, DRPC_MIN(bytes, sizeof(model_magic))) == 0)
			return drpc_err(
				-ENODATA,
				"model: %s is cut short: %zu bytes, not even a magic number", path,
				bytes);
		return drpc_err(
			-EILSEQ,
			"model: %s is not a drpc model: it begins with other bytes than DRPCNN",
			path);
	}
	if (bytes < sizeof(head))
		return drpc_err(-ENODATA, "model: %s is cut short: %zu bytes, a head has %zu", path,
				bytes, sizeof(head));
	memcpy(&head, data, sizeof(head));
	head.version = le32toh(head.version);
	head.header_bytes = le32toh(head.header_bytes);
	head.n_weights = le64toh(head.n_weights);
	if (head.version != DRPC_MODEL_VERSION)
		return drpc_err(-EPROTONOSUPPORT,
				"model: %s has format version %u, this program reads %d", path,
				head.version, DRPC_MODEL_VERSION);
	if (head.header_bytes > DRPC_MODEL_HEADER_MAX_BYTES)
		return drpc_err(-EFBIG, "model: %s: header of %u bytes, at most %d are read", path,
				head.header_bytes, DRPC_MODEL_HEADER_MAX_BYTES);
	if (head.n_weights > DRPC_MODEL_WEIGHTS_MAX)
		return drpc_err(-EFBIG, "model: %s: %llu weights, at most %llu are read", path,
				(unsigned long long)head.n_weights, DRPC_MODEL_WEIGHTS_MAX);
	expected = sizeof(head) + head.header_bytes + 4 * head.n_weights + DIGEST_BYTES;
	if (bytes < expected)
		return drpc_err(-ENODATA, "model: %s is cut short: %zu bytes of %llu", path, bytes,
				(unsigned long long)expected);
	if (bytes > expected)
		return drpc_err(-EFBIG, "model: %s has %zu bytes, its head says %llu", path, bytes,
				(unsigned long long)expected);
	*ret = head;
	return 0;
}

static int model_parse_header(const char *path, const char *text, size_t bytes, const char *kind,
			      struct json_object **ret)
{
	struct json_tokener *tokener = json_tokener_new_ex(16);
	struct json_object *header, *found;
	enum json_tokener_error error;
	const char *name;
	size_t used;

	if (!tokener)
		return drpc_err(-ENOMEM, "model: %s", path);
	header = json_tokener_parse_ex(tokener, text, (int)bytes);
	error = json_tokener_get_error(tokener);
	used = json_tokener_get_parse_end(tokener);
	json_tokener_free(tokener);
	if (error != json_tokener_success || used != bytes ||
	    !json_object_is_type(header, json_type_object)) {
		json_object_put(header);
		return drpc_err(-EBADMSG,
				"model: %s: the header is not one JSON object (%s, byte %zu)", path,
				json_tokener_error_desc(error), used);
	}
	name = json_object_object_get_ex(header, "kind", &found) ? json_object_get_string(found)
								 : NULL;
	if (!name || strcmp(name, kind) != 0) {
		drpc_err(-EBADMSG, "model: %s holds a '%s', expected a '%s'", path,
			 name ? name : "(nothing)", kind);
		json_object_put(header);
		return -EBADMSG;
	}
	*ret = header;
	return 0;
}

static int model_parse_weights(const char *path, const unsigned char *data, size_t n, float **ret)
{
	_cleanup_free_ float *weights = malloc(DRPC_MAX(n, (size_t)1) * sizeof(*weights));

	if (!weights)
		return drpc_err(-ENOMEM, "model: %s: %zu weights", path, n);
	for (size_t i = 0; i < n; i++) {
		uint32_t bits;

		memcpy(&bits, data + 4 * i, 4);
		bits = le32toh(bits);
		memcpy(&weights[i], &bits, 4);
		if (!isfinite(weights[i]))
			return drpc_err(-ERANGE,
					"model: %s: weight %zu is %g, expected a finite number",
					path, i, (double)weights[i]);
	}
	*ret = drpc_steal(&weights);
	return 0;
}

int drpc_model_parse(const char *path, const char *kind, const unsigned char *data, size_t bytes,
		     struct drpc_model *ret)
{
	unsigned char digest[DIGEST_BYTES];
	struct drpc_model model = {0};
	struct model_head head = {0};
	int err;

	err = model_check_head(path, data, bytes, &head);
	if (err)
		return err;
	err = model_digest(data, bytes - DIGEST_BYTES, digest);
	if (err)
		return drpc_err(err, "model: %s: cannot compute SHA-256", path);
	if (memcmp(digest, data + bytes - DIGEST_BYTES, DIGEST_BYTES) != 0)
		return drpc_err(-EBADMSG,
				"model: %s is damaged: its SHA-256 does not match its content",
				path);
	err = model_parse_header(path, (const char *)data + sizeof(head), head.header_bytes, kind,
				 &model.header);
	if (err)
		return err;
	err = model_parse_weights(path, data + sizeof(head) + head.header_bytes, head.n_weights,
				  &model.weights);
	if (err) {
		drpc_model_done(&model);
		return err;
	}
	model.n_weights = head.n_weights;
	memcpy(model.digest, digest, sizeof(digest));
	*ret = model;
	return 0;
}

int drpc_model_file_load(const char *path, const char *kind, struct drpc_model *ret)
{
	const size_t most = sizeof(struct model_head) + DRPC_MODEL_HEADER_MAX_BYTES +
			    4 * DRPC_MODEL_WEIGHTS_MAX + DIGEST_BYTES;
	_cleanup_free_ char *data = NULL;
	ssize_t bytes = drpc_read_file_at(AT_FDCWD, path, most, &data);

	if (bytes < 0)
		return drpc_err((int)bytes, "model: cannot read %s", path);
	return drpc_model_parse(path, kind, (const unsigned char *)data, (size_t)bytes, ret);
}

/* The whole file in memory, digest and all. */
static int model_format(const char *path, const char *text, const float *weights, size_t n,
			unsigned char **ret, size_t *ret_bytes)
{
	const size_t header_bytes = strlen(text);
	const size_t bytes = sizeof(struct model_head) + header_bytes + 4 * n + DIGEST_BYTES;
	struct model_head head = {.version = htole32(DRPC_MODEL_VERSION),
				  .header_bytes = htole32((uint32_t)header_bytes),
				  .n_weights = htole64(n)};
	_cleanup_free_ unsigned char *data = NULL;
	unsigned char *at;

	if (header_bytes > DRPC_MODEL_HEADER_MAX_BYTES || n > DRPC_MODEL_WEIGHTS_MAX)
		return drpc_err(
			-EFBIG,
			"model: %s: header of %zu bytes and %zu weights, at most %d and %llu can be stored",
			path, header_bytes, n, DRPC_MODEL_HEADER_MAX_BYTES, DRPC_MODEL_WEIGHTS_MAX);
	data = malloc(bytes);
	if (!data)
		return drpc_err(-ENOMEM, "model: %s: %zu bytes", path, bytes);
	memcpy(head.magic, model_magic, sizeof(head.magic));
	memcpy(data, &head, sizeof(head));
	memcpy(data + sizeof(head), text, header_bytes);
	at = data + sizeof(head) + header_bytes;
	for (size_t i = 0; i < n; i++, at += 4) {
		uint32_t bits;

		if (!isfinite(weights[i]))
			return drpc_err(-ERANGE, "model: %s: weight %zu is %g, not stored", path, i,
					(double)weights[i]);
		memcpy(&bits, &weights[i], 4);
		bits = htole32(bits);
		memcpy(at, &bits, 4);
	}
	if (model_digest(data, bytes - DIGEST_BYTES, at) < 0)
		return drpc_err(-EIO, "model: %s: cannot compute SHA-256", path);
	*ret = drpc_steal(&data);
	*ret_bytes = bytes;
	return 0;
}

int drpc_model_file_save(const char *path, const char *kind, struct json_object *header,
			 const float *weights, size_t n_weights)
{
	_cleanup_free_ unsigned char *data = NULL;
	struct json_object *name;
	size_t bytes = 0;
	int err;

	name = json_object_new_string(kind);
	if (!name || json_object_object_add(header, "kind", name) < 0)
		return drpc_err(-ENOMEM, "model: %s", path);
	err = model_format(path, json_object_to_json_string_ext(header, JSON_C_TO_STRING_PLAIN),
			   weights, n_weights, &data, &bytes);
	if (err)
		return err;
	err = drpc_file_replace(path, data, bytes, 0644);
	if (err)
		return drpc_err(err, "model: cannot write %s", path);
	return 0;
}

void drpc_model_done(struct drpc_model *model)
{
	json_object_put(model->header);
	free(model->weights);
	*model = (struct drpc_model){0};
}
