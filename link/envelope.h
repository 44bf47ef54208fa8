/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the teacher publishes, sealed: a policy, the way back to an older one, or a mode. Numbers are
 * little-endian.
 *
 *   offset  size  what
 *        0     8  magic "DRPCENV\n"
 *        8     4  format version, u32
 *       12     4  kind, u32
 *       16     8  serial, u64: counts up over everything published under a name
 *       24     8  version, u64: of the policy inside
 *       32     8  when it was made, Unix nanoseconds, u64
 *       40     8  which key signed it
 *       48     4  N, bytes of the name, u32
 *       52     4  P, bytes of the payload, u32
 *       56     N  name of the deployment or application, "*" for all
 *     56+N     P  payload: a policy file (nn/policy_file.h), or a mode's text
 *   56+N+P    32  SHA-256 of everything before it
 *   88+N+P    64  Ed25519 over everything before it
 */
#pragma once

#include "link/experience.h"
#include "link/sign.h"

#define DRPC_ENVELOPE_VERSION	    1
#define DRPC_ENVELOPE_DIGEST_BYTES  32
#define DRPC_ENVELOPE_PAYLOAD_BYTES (768U << 10) /* a message of the broker's takes 1 MiB */
#define DRPC_ENVELOPE_BYTES                                                                     \
	(56 + DRPC_LINK_NAME_BYTES + DRPC_ENVELOPE_PAYLOAD_BYTES + DRPC_ENVELOPE_DIGEST_BYTES + \
	 DRPC_SIGNATURE_BYTES)

enum drpc_envelope_kind {
	DRPC_ENVELOPE_POLICY = 1,
	DRPC_ENVELOPE_ROLLBACK = 2, /* as a policy, and may be of an older version */
	DRPC_ENVELOPE_MODE = 3,
};

struct drpc_envelope {
	enum drpc_envelope_kind kind;
	char name[DRPC_LINK_NAME_BYTES];
	uint64_t serial, version,
		created_ns; /* serial and version from 1 on; a mode's version is 0 */
	unsigned char key_id[DRPC_KEY_ID_BYTES];
	unsigned char digest[DRPC_ENVELOPE_DIGEST_BYTES];
	const void *payload; /* borrowed from the sealed bytes */
	size_t payload_bytes;
};

/*
 * Seals; key_id and digest are filled in by it. The caller frees *ret. -EINVAL for fields that opening
 * would refuse, -ENOMEM, -EIO; logged.
 */
int drpc_envelope_seal(const struct drpc_signer *signer, const struct drpc_envelope *envelope,
		       unsigned char **ret, size_t *ret_bytes);

/*
 * Checks and verifies whole, then fills *ret. -EILSEQ foreign magic, -EPROTONOSUPPORT unknown format,
 * -ENODATA cut short, -EFBIG too large or bytes behind its end, -EINVAL an impossible field, -EBADMSG
 * wrong digest, -ENOKEY a key that is not trusted, -EKEYREJECTED a wrong signature. Silent:
 * drpc_envelope_why() has the words.
 */
int drpc_envelope_open(const struct drpc_keyring *keyring, const void *data, size_t bytes,
		       struct drpc_envelope *ret);

/* The same without the signature: for telling what lies there, never for use. */
int drpc_envelope_peek(const void *data, size_t bytes, struct drpc_envelope *ret);

const char *drpc_envelope_why(int err);

/* --- modes ---------------------------------------------------------------------------------- */

enum drpc_link_mode {
	DRPC_LINK_ACTING,   /* students decide alone */
	DRPC_LINK_TRAINING, /* the teacher's actions are applied, students learn beside it */
};

struct drpc_mode_order {
	enum drpc_link_mode mode;
	float exploration; /* deviation of the noise on actions, 0..1; 0 in acting mode */
};

#define DRPC_MODE_TEXT_BYTES 48

/* "acting\n" or "training 0.1\n"; returns its length. */
size_t drpc_mode_order_format(const struct drpc_mode_order *order, char ret[DRPC_MODE_TEXT_BYTES]);

/* -EINVAL for anything else; silent. */
int drpc_mode_order_parse(const void *text, size_t bytes, struct drpc_mode_order *ret);
