/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys for what the teacher publishes: Ed25519, in PEM files as OpenSSL writes them. The teacher has the
 * private one; agents trust any number of public ones, so that a key can be changed while both are known.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DRPC_SIGNATURE_BYTES 64
#define DRPC_KEY_ID_BYTES    8 /* the first ones of the SHA-256 of the raw public key */
#define DRPC_KEYS_MAX	     16

/*
 * A new pair: `path` (mode 0600) and `path`.pub (0644). -EEXIST where either is there already: a key is
 * never written over. Logged.
 */
int drpc_key_generate(const char *path);

struct drpc_signer;

/* Reads a private key; refused (-EPERM) where others may read or write the file. Logged. */
int drpc_signer_load(const char *path, struct drpc_signer **ret);

/* A key of this process alone, for a teacher and an agent in one. */
int drpc_signer_ephemeral(struct drpc_signer **ret);
void drpc_signer_free(struct drpc_signer **signer); /* NULL-safe; nulls */

int drpc_signer_sign(const struct drpc_signer *signer, const void *data, size_t bytes,
		     unsigned char ret[DRPC_SIGNATURE_BYTES]);
void drpc_signer_id(const struct drpc_signer *signer, unsigned char ret[DRPC_KEY_ID_BYTES]);

struct drpc_keyring;

int drpc_keyring_new(struct drpc_keyring **ret);
void drpc_keyring_free(struct drpc_keyring **keyring); /* NULL-safe; nulls */

/*
 * Trusts every public key in a PEM file. -EINVAL where one is no Ed25519 key or there is none, -ENOSPC
 * over DRPC_KEYS_MAX. Logged; the keyring is then as it was.
 */
int drpc_keyring_load(struct drpc_keyring *keyring, const char *path);
int drpc_keyring_trust(struct drpc_keyring *keyring, const struct drpc_signer *signer);

/* -ENOKEY: signed by a key that is not trusted; -EKEYREJECTED: the signature is wrong. Silent. */
int drpc_keyring_verify(const struct drpc_keyring *keyring,
			const unsigned char id[DRPC_KEY_ID_BYTES], const void *data, size_t bytes,
			const unsigned char signature[DRPC_SIGNATURE_BYTES]);
