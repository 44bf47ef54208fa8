// SPDX-License-Identifier: Apache-2.0
#include "link/envelope.h"

#include <endian.h>
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "lib/log.h"
#include "lib/util.h"

static const char envelope_magic[8] = {'D', 'R', 'P', 'C', 'E', 'N', 'V', '\n'};

struct envelope_head {
	char magic[8];
	uint32_t format;
	uint32_t kind;
	uint64_t serial;
	uint64_t version;
	uint64_t created_ns;
	unsigned char key_id[DRPC_KEY_ID_BYTES];
	uint32_t name_bytes;
	uint32_t payload_bytes;
};

_Static_assert(sizeof(struct envelope_head) == 56, "the head has no holes");

#define TAIL_BYTES (DRPC_ENVELOPE_DIGEST_BYTES + DRPC_SIGNATURE_BYTES)
/* Numbers that no teacher reaches; so that one more is always a number. */
#define NUMBER_MAX (UINT64_MAX / 4)

static bool fields_ok(const struct drpc_envelope *e)
{
	if (!drpc_link_name_ok(e->name) || e->serial == 0 || e->serial > NUMBER_MAX ||
	    e->created_ns > NUMBER_MAX || e->payload_bytes == 0 ||
	    e->payload_bytes > DRPC_ENVELOPE_PAYLOAD_BYTES)
		return false;
	switch (e->kind) {
	case DRPC_ENVELOPE_POLICY:
	case DRPC_ENVELOPE_ROLLBACK:
		return e->version > 0 && e->version <= NUMBER_MAX;
	case DRPC_ENVELOPE_MODE:
		return e->version == 0;
	}
	return false;
}

static int digest_of(const void *data, size_t bytes, unsigned char ret[DRPC_ENVELOPE_DIGEST_BYTES])
{
	return EVP_Digest(data, bytes, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

int drpc_envelope_seal(const struct drpc_signer *signer, const struct drpc_envelope *e,
		       unsigned char **ret, size_t *ret_bytes)
{
	const size_t name_bytes = strnlen(e->name, sizeof(e->name));
	const size_t signed_bytes = sizeof(struct envelope_head) + name_bytes + e->payload_bytes;
	struct envelope_head head = {
		.format = htole32(DRPC_ENVELOPE_VERSION),
		.kind = htole32((uint32_t)e->kind),
		.serial = htole64(e->serial),
		.version = htole64(e->version),
		.created_ns = htole64(e->created_ns),
		.name_bytes = htole32((uint32_t)name_bytes),
		.payload_bytes = htole32((uint32_t)e->payload_bytes),
	};
	_cleanup_free_ unsigned char *data = NULL;
	unsigned char *digest;
	int err;

	if (!fields_ok(e))
		return drpc_err(
			-EINVAL,
			"envelope: kind %d, serial %llu, version %llu, name of %zu and payload of %zu bytes cannot be sealed",
			(int)e->kind, (unsigned long long)e->serial, (unsigned long long)e->version,
			name_bytes, e->payload_bytes);
	data = malloc(signed_bytes + TAIL_BYTES);
	if (!data)
		return drpc_err(-ENOMEM, "envelope: %zu bytes", signed_bytes);
	memcpy(head.magic, envelope_magic, sizeof(head.magic));
	drpc_signer_id(signer, head.key_id);
	memcpy(data, &head, sizeof(head));
	memcpy(data + sizeof(head), e->name, name_bytes);
	memcpy(data + sizeof(head) + name_bytes, e->payload, e->payload_bytes);
	digest = data + signed_bytes;
	err = digest_of(data, signed_bytes, digest);
	if (err)
		return drpc_err(err, "envelope: cannot compute SHA-256");
	err = drpc_signer_sign(signer, data, signed_bytes + DRPC_ENVELOPE_DIGEST_BYTES,
			       digest + DRPC_ENVELOPE_DIGEST_BYTES);
	if (err)
		return err;
	*ret = drpc_steal(&data);
	*ret_bytes = signed_bytes + TAIL_BYTES;
	return 0;
}

/* Head and sizes; the digest is not looked at yet. */
static int parse(const unsigned char *data, size_t bytes, struct drpc_envelope *ret)
{
	struct envelope_head head;
	struct drpc_envelope e = {0};
	size_t expected;

	if (memcmp(data, envelope_magic, DRPC_MIN(bytes, sizeof(envelope_magic))) != 0)
		return -EILSEQ;
	if (bytes < sizeof(head))
		return -ENODATA;
	memcpy(&head, data, sizeof(head));
	if (le32toh(head.format) != DRPC_ENVELOPE_VERSION)
		return -EPROTONOSUPPORT;
	head.name_bytes = le32toh(head.name_bytes);
	e.payload_bytes = le32toh(head.payload_bytes);
	if (head.name_bytes >= DRPC_LINK_NAME_BYTES ||
	    e.payload_bytes > DRPC_ENVELOPE_PAYLOAD_BYTES)
		return -EINVAL;
	expected = sizeof(head) + head.name_bytes + e.payload_bytes + TAIL_BYTES;
	if (bytes != expected)
		return bytes < expected ? -ENODATA : -EFBIG;
	memcpy(e.name, data + sizeof(head), head.name_bytes);
	if (strlen(e.name) != head.name_bytes)
		return -EINVAL;
	e.kind = (enum drpc_envelope_kind)le32toh(head.kind);
	e.serial = le64toh(head.serial);
	e.version = le64toh(head.version);
	e.created_ns = le64toh(head.created_ns);
	memcpy(e.key_id, head.key_id, sizeof(e.key_id));
	e.payload = data + sizeof(head) + head.name_bytes;
	memcpy(e.digest, data + bytes - TAIL_BYTES, sizeof(e.digest));
	if (!fields_ok(&e))
		return -EINVAL;
	*ret = e;
	return 0;
}

int drpc_envelope_peek(const void *data, size_t bytes, struct drpc_envelope *ret)
{
	unsigned char digest[DRPC_ENVELOPE_DIGEST_BYTES];
	struct drpc_envelope e;
	int err = parse(data, bytes, &e);

	if (!err)
		err = digest_of(data, bytes - TAIL_BYTES, digest);
	if (!err && memcmp(digest, e.digest, sizeof(digest)) != 0)
		err = -EBADMSG;
	if (!err)
		*ret = e;
	return err;
}

int drpc_envelope_open(const struct drpc_keyring *keyring, const void *data, size_t bytes,
		       struct drpc_envelope *ret)
{
	struct drpc_envelope e;
	int err = drpc_envelope_peek(data, bytes, &e);

	if (err)
		return err;
	err = drpc_keyring_verify(keyring, e.key_id, data, bytes - DRPC_SIGNATURE_BYTES,
				  (const unsigned char *)data + bytes - DRPC_SIGNATURE_BYTES);
	if (!err)
		*ret = e;
	return err;
}

const char *drpc_envelope_why(int err)
{
	switch (err) {
	case 0:
		return "it is good";
	case -EILSEQ:
		return "it is not an envelope";
	case -EPROTONOSUPPORT:
		return "its format is of another version";
	case -ENODATA:
		return "it is cut short";
	case -EFBIG:
		return "there are bytes behind its end";
	case -EINVAL:
		return "a field of it is impossible";
	case -EBADMSG:
		return "its digest does not match its content";
	case -ENOKEY:
		return "it is signed by a key that is not trusted here";
	case -EKEYREJECTED:
		return "its signature is wrong";
	case -ESTALE:
		return "it is older than what is here";
	case -ENOSPC:
		return "there is no room for another name";
	}
	return "it cannot be used";
}

/* --- modes ---------------------------------------------------------------------------------- */

#define ACTING_TEXT   "acting\n"
#define TRAINING_TEXT "training "

size_t drpc_mode_order_format(const struct drpc_mode_order *order, char ret[DRPC_MODE_TEXT_BYTES])
{
	if (order->mode == DRPC_LINK_ACTING)
		return (size_t)snprintf(ret, DRPC_MODE_TEXT_BYTES, ACTING_TEXT);
	return (size_t)snprintf(ret, DRPC_MODE_TEXT_BYTES, TRAINING_TEXT "%.6f\n",
				(double)order->exploration);
}

int drpc_mode_order_parse(const void *text, size_t bytes, struct drpc_mode_order *ret)
{
	const size_t head = strlen(TRAINING_TEXT);
	char copy[DRPC_MODE_TEXT_BYTES];
	char *end;
	float value;

	if (bytes >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, bytes);
	copy[bytes] = '\0';
	if (strcmp(copy, ACTING_TEXT) == 0) {
		*ret = (struct drpc_mode_order){.mode = DRPC_LINK_ACTING};
		return 0;
	}
	/* Digits and a point alone: strtof() knows more, "nan", "0x1" and blanks. */
	if (strncmp(copy, TRAINING_TEXT, head) != 0 || copy[head] == '\n' ||
	    copy[head + strspn(copy + head, "0123456789.")] != '\n')
		return -EINVAL;
	value = strtof(copy + head, &end);
	if (strcmp(end, "\n") != 0 || !(value >= 0 && value <= 1))
		return -EINVAL;
	*ret = (struct drpc_mode_order){.mode = DRPC_LINK_TRAINING, .exploration = value};
	return 0;
}
