// SPDX-License-Identifier: Apache-2.0
/* NKeys: Ed25519 keys as NATS writes them, base32 over a kind, the key, and a check sum. */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "link/nats_internal.h"

#define KEY_BYTES    32
#define SEED_KIND    (18 << 3) /* 'S' */
#define USER_KIND    (20 << 3) /* 'U' */
#define SEED_CHARS   58
#define SEED_BYTES   (2 + KEY_BYTES + 2)
#define PUBLIC_BYTES (1 + KEY_BYTES + 2)

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* CRC-16/XMODEM. */
static uint16_t crc16(const unsigned char *data, size_t bytes)
{
	uint16_t crc = 0;

	for (size_t i = 0; i < bytes; i++) {
		crc ^= (uint16_t)(data[i] << 8);
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
	}
	return crc;
}

static bool decode(const char *text, size_t chars, unsigned char *ret)
{
	uint32_t bits = 0;
	int n = 0;

	for (size_t i = 0; i < chars; i++) {
		const char *at = text[i] ? strchr(alphabet, text[i]) : NULL;

		if (!at)
			return false;
		bits = bits << 5 | (uint32_t)(at - alphabet);
		n += 5;
		if (n >= 8) {
			n -= 8;
			*ret++ = (unsigned char)(bits >> n);
		}
	}
	return true;
}

static void encode(const unsigned char *data, size_t bytes, char *ret)
{
	uint32_t bits = 0;
	int n = 0;

	for (size_t i = 0; i < bytes; i++) {
		bits = bits << 8 | data[i];
		n += 8;
		while (n >= 5) {
			n -= 5;
			*ret++ = alphabet[bits >> n & 31];
		}
	}
	if (n > 0)
		*ret++ = alphabet[bits << (5 - n) & 31];
	*ret = '\0';
}

int drpc_nats_nkey_public(const char *seed, char ret[NATS_NKEY_BYTES])
{
	unsigned char raw[SEED_BYTES + 1], public[PUBLIC_BYTES];
	size_t bytes = KEY_BYTES;
	EVP_PKEY *key = NULL;
	uint16_t crc;
	bool ok;

	/* The kind of key fills five bits of the first byte and five from there. */
	ok = strnlen(seed, SEED_CHARS) == SEED_CHARS && decode(seed, SEED_CHARS, raw) &&
	     (raw[0] & 0xf8) == SEED_KIND && (raw[0] & 7) << 5 == (USER_KIND & 0xe0) &&
	     raw[1] >> 3 == (USER_KIND & 0x1f);
	if (ok) {
		crc = crc16(raw, SEED_BYTES - 2);
		ok = raw[SEED_BYTES - 2] == (crc & 0xff) && raw[SEED_BYTES - 1] == crc >> 8;
	}
	if (ok)
		key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw + 2, KEY_BYTES);
	OPENSSL_cleanse(raw, sizeof(raw));
	ok = key && EVP_PKEY_get_raw_public_key(key, public + 1, &bytes) == 1;
	EVP_PKEY_free(key);
	if (!ok)
		return -EINVAL;
	public[0] = USER_KIND;
	crc = crc16(public, 1 + KEY_BYTES);
	public[1 + KEY_BYTES] = (unsigned char)crc;
	public[2 + KEY_BYTES] = (unsigned char)(crc >> 8);
	encode(public, sizeof(public), ret);
	return 0;
}
