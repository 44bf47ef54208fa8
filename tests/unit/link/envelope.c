// SPDX-License-Identifier: Apache-2.0
#include "link/envelope.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "lib/util.h"

static struct drpc_signer *signer;
static struct drpc_keyring *keyring;

static void setup(void)
{
	cr_assert_not_null(freopen("/dev/null", "w", stderr));
	cr_assert_eq(drpc_signer_ephemeral(&signer), 0);
	cr_assert_eq(drpc_keyring_new(&keyring), 0);
	cr_assert_eq(drpc_keyring_trust(keyring, signer), 0);
}

static void teardown(void)
{
	drpc_signer_free(&signer);
	drpc_keyring_free(&keyring);
}

TestSuite(envelope, .init = setup, .fini = teardown);

static const struct drpc_envelope good = {.kind = DRPC_ENVELOPE_POLICY,
					  .name = "shop/web",
					  .serial = 7,
					  .version = 5,
					  .created_ns = 1700000000,
					  .payload = "payload",
					  .payload_bytes = 7};

static unsigned char *seal(size_t *ret_bytes)
{
	unsigned char *data = NULL;

	cr_assert_eq(drpc_envelope_seal(signer, &good, &data, ret_bytes), 0);
	return data;
}

Test(envelope, what_is_sealed_is_opened)
{
	size_t bytes;
	_cleanup_free_ unsigned char *data = seal(&bytes);
	struct drpc_envelope e;
	unsigned char id[DRPC_KEY_ID_BYTES];

	cr_assert_eq(bytes, 56 + 8 + 7 + 32 + 64);
	cr_assert_eq(drpc_envelope_open(keyring, data, bytes, &e), 0);
	cr_assert_eq(e.kind, good.kind);
	cr_assert_str_eq(e.name, good.name);
	cr_assert_eq(e.serial, 7);
	cr_assert_eq(e.version, 5);
	cr_assert_eq(e.created_ns, good.created_ns);
	cr_assert_eq(e.payload_bytes, 7);
	cr_assert_arr_eq(e.payload, "payload", 7);
	drpc_signer_id(signer, id);
	cr_assert_arr_eq(e.key_id, id, sizeof(id));
}

Test(envelope, every_bit_counts)
{
	size_t bytes;
	_cleanup_free_ unsigned char *data = seal(&bytes);
	struct drpc_envelope e;

	for (size_t bit = 0; bit < bytes * 8; bit++) {
		data[bit / 8] ^= (unsigned char)(1U << bit % 8);
		cr_assert_lt(drpc_envelope_open(keyring, data, bytes, &e), 0, "bit %zu", bit);
		data[bit / 8] ^= (unsigned char)(1U << bit % 8);
	}
	cr_assert_eq(drpc_envelope_open(keyring, data, bytes, &e), 0);
}

Test(envelope, every_byte_counts)
{
	size_t bytes;
	_cleanup_free_ unsigned char *data = seal(&bytes);
	struct drpc_envelope e;

	for (size_t n = 0; n < bytes; n++) {
		_cleanup_free_ unsigned char *cut = malloc(n + 1);

		memcpy(cut, data, n);
		cr_assert_eq(drpc_envelope_open(keyring, cut, n, &e), -ENODATA, "%zu", n);
	}
	_cleanup_free_ unsigned char *longer = calloc(bytes + 1, 1);

	memcpy(longer, data, bytes);
	cr_assert_eq(drpc_envelope_open(keyring, longer, bytes + 1, &e), -EFBIG);
}

Test(envelope, another_key)
{
	size_t bytes;
	_cleanup_free_ unsigned char *data = seal(&bytes);
	struct drpc_keyring *others = NULL;
	struct drpc_signer *other = NULL;
	struct drpc_envelope e;

	cr_assert_eq(drpc_keyring_new(&others), 0);
	cr_assert_eq(drpc_signer_ephemeral(&other), 0);
	cr_assert_eq(drpc_keyring_trust(others, other), 0);
	cr_assert_eq(drpc_envelope_open(others, data, bytes, &e), -ENOKEY);
	cr_assert_eq(drpc_envelope_peek(data, bytes, &e), 0);
	/* Under the id of a trusted key, with a digest that matches, but not signed by it. */
	drpc_signer_id(other, data + 40);
	cr_assert_eq(drpc_envelope_open(others, data, bytes, &e), -EBADMSG);
	drpc_signer_free(&other);
	drpc_keyring_free(&others);
}

#define UNSEALABLE(change)                                                                 \
	do {                                                                               \
		struct drpc_envelope e = good;                                             \
		unsigned char *data = NULL;                                                \
		size_t bytes;                                                              \
		change;                                                                    \
		cr_expect_eq(drpc_envelope_seal(signer, &e, &data, &bytes), -EINVAL, "%s", \
			     #change);                                                     \
		cr_expect_null(data);                                                      \
	} while (0)

Test(envelope, impossible_fields)
{
	UNSEALABLE(e.kind = 0);
	UNSEALABLE(e.kind = 4);
	UNSEALABLE(e.name[0] = '\0');
	UNSEALABLE(strcpy(e.name, "a\tb"));
	UNSEALABLE(memset(e.name, 'a', sizeof(e.name)));
	UNSEALABLE(e.serial = 0);
	UNSEALABLE(e.serial = UINT64_MAX);
	UNSEALABLE(e.version = 0);
	UNSEALABLE(e.kind = DRPC_ENVELOPE_MODE);
	UNSEALABLE(e.payload_bytes = 0);
	UNSEALABLE(e.payload_bytes = DRPC_ENVELOPE_PAYLOAD_BYTES + 1);
}

Test(envelope, modes)
{
	static const char *const bad[] = {
		"",
		"acting",
		"acting\n\n",
		"Acting\n",
		"training\n",
		"training \n",
		"training nan\n",
		"training -0.1\n",
		"training 1.1\n",
		"training 0x1\n",
		"training  0.1\n",
		"training 0.1",
		"training 0.11111111111111111111111111111111111111111111111111\n"};
	struct drpc_mode_order order = {.mode = DRPC_LINK_TRAINING, .exploration = 0.125f}, back;
	char text[DRPC_MODE_TEXT_BYTES];
	size_t bytes = drpc_mode_order_format(&order, text);

	cr_assert_eq(drpc_mode_order_parse(text, bytes, &back), 0);
	cr_assert_eq(back.mode, DRPC_LINK_TRAINING);
	cr_assert_eq(back.exploration, 0.125f);
	order = (struct drpc_mode_order){.mode = DRPC_LINK_ACTING};
	bytes = drpc_mode_order_format(&order, text);
	cr_assert_eq(drpc_mode_order_parse(text, bytes, &back), 0);
	cr_assert_eq(back.mode, DRPC_LINK_ACTING);
	for (size_t i = 0; i < DRPC_ARRAY_SIZE(bad); i++) {
		back.exploration = 7;
		cr_expect_eq(drpc_mode_order_parse(bad[i], strlen(bad[i]), &back), -EINVAL, "'%s'",
			     bad[i]);
		cr_expect_eq(back.exploration, 7);
	}
}
