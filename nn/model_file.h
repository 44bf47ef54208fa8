/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container of every model that drpc stores: policies (policy_file.h), predictors, checkpoints.
 *
 *   offset  size  what
 *        0     8  magic "DRPCNN\r\n": a transfer that translates line ends destroys it
 *        8     4  version, u32 little-endian
 *       12     4  H, bytes of the header, u32
 *       16     8  N, weights, u64
 *       24     H  header: a JSON object with at least "kind"
 *     24+H    4N  weights, f32 little-endian
 *  24+H+4N    32  SHA-256 of everything before it
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct json_object;

#define DRPC_MODEL_VERSION	    1
#define DRPC_MODEL_HEADER_MAX_BYTES (1024 * 1024)
#define DRPC_MODEL_WEIGHTS_MAX	    (1ULL << 28)
#define DRPC_MODEL_DIGEST_BYTES	    32

struct drpc_model {
	struct json_object *header;
	float *weights;
	size_t n_weights;
	unsigned char digest[DRPC_MODEL_DIGEST_BYTES];
};

/*
 * Reads and checks a file whole: magic, version, sizes, digest, JSON, "kind", finite weights. The
 * caller ends the model with drpc_model_done(). Returns 0; -EILSEQ foreign magic, -EPROTONOSUPPORT
 * unknown version, -ENODATA cut short, -EFBIG too large or bytes after its end, -EBADMSG wrong
 * digest or header, -ERANGE a weight that is not finite, or what the system said. Logged.
 */
int drpc_model_file_load(const char *path, const char *kind, struct drpc_model *ret);

/* The same of a file that is in memory; `path` names it in messages. */
int drpc_model_parse(const char *path, const char *kind, const unsigned char *data, size_t bytes,
		     struct drpc_model *ret);

/*
 * Writes a file that appears under `path` whole or not at all: temporary file beside it, fsync,
 * rename, fsync of the folder. `header` is borrowed and must be an object; "kind" is set in it.
 */
int drpc_model_file_save(const char *path, const char *kind, struct json_object *header,
			 const float *weights, size_t n_weights);

/* NULL-safe inside: frees what the model holds and zeroes it. */
void drpc_model_done(struct drpc_model *model);
