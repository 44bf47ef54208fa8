// SPDX-License-Identifier: Apache-2.0
#include "link/sign.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/log.h"
#include "lib/util.h"

#define RAW_BYTES 32

struct drpc_signer {
	EVP_PKEY *key;
	unsigned char id[DRPC_KEY_ID_BYTES];
};

struct drpc_keyring {
	size_t count;
	struct {
		EVP_PKEY *key;
		unsigned char id[DRPC_KEY_ID_BYTES];
	} keys[DRPC_KEYS_MAX];
};

static bool key_id(const EVP_PKEY *key, unsigned char ret[DRPC_KEY_ID_BYTES])
{
	unsigned char raw[RAW_BYTES], digest[EVP_MAX_MD_SIZE];
	size_t bytes = sizeof(raw);

	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519 ||
	    EVP_PKEY_get_raw_public_key(key, raw, &bytes) != 1 || bytes != RAW_BYTES ||
	    EVP_Digest(raw, bytes, digest, NULL, EVP_sha256(), NULL) != 1)
		return false;
	memcpy(ret, digest, DRPC_KEY_ID_BYTES);
	return true;
}

/* --- making --------------------------------------------------------------------------------- */

/* The public key first: a private one that is there has its public one beside it. */
static int write_pair(const EVP_PKEY *key, const char *path)
{
	for (int private = 0; private <= 1; private ++) {
		char name[PATH_MAX];
		_cleanup_fclose_ FILE *file = NULL;
		int fd, ok;

		if (snprintf(name, sizeof(name), private ? "%s" : "%s.pub", path) >=
		    (int)sizeof(name))
			return drpc_err(-ENAMETOOLONG, "key: %s", path);
		fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, private ? 0600 : 0644);
		if (fd < 0)
			return drpc_err(-errno, "key: cannot create %s", name);
		file = fdopen(fd, "w");
		if (!file) {
			close(fd);
			return drpc_err(-ENOMEM, "key: %s", name);
		}
		ok = private ? PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL)
			     : PEM_write_PUBKEY(file, key);
		if (ok != 1 || fflush(file) != 0 || fsync(fd) < 0) {
			unlink(name);
			return drpc_err(-EIO, "key: cannot write %s", name);
		}
	}
	return 0;
}

int drpc_key_generate(const char *path)
{
	EVP_PKEY *key;
	int err;

	/* Looked at before anything is written, so that neither half is left alone. */
	if (access(path, F_OK) == 0)
		return drpc_err(-EEXIST,
				"key: %s is there already; move it away to make another one", path);
	key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (!key)
		return drpc_err(-EIO, "key: OpenSSL makes no Ed25519 key");
	err = write_pair(key, path);
	EVP_PKEY_free(key);
	return err;
}

/* --- signing -------------------------------------------------------------------------------- */

/* Takes `key`. */
static int signer_of(EVP_PKEY *key, const char *where, struct drpc_signer **ret)
{
	struct drpc_signer *signer = calloc(1, sizeof(*signer));

	if (!signer || !key_id(key, signer->id)) {
		EVP_PKEY_free(key);
		free(signer);
		return drpc_err(signer ? -EINVAL : -ENOMEM, "key: %s is no Ed25519 key", where);
	}
	signer->key = key;
	*ret = signer;
	return 0;
}

int drpc_signer_load(const char *path, struct drpc_signer **ret)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	struct stat st;
	EVP_PKEY *key;

	if (!file)
		return drpc_err(-errno, "key: cannot read %s", path);
	if (fstat(fileno(file), &st) < 0)
		return drpc_err(-errno, "key: cannot stat %s", path);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return drpc_err(
			-EPERM,
			"key: %s is open to others (mode %04o): chmod 600, or make a new one", path,
			st.st_mode & 07777);
	/* An empty pass phrase, so that OpenSSL does not ask for one on the terminal. */
	key = PEM_read_PrivateKey(file, NULL, NULL, (void *)"");
	ERR_clear_error();
	if (!key)
		return drpc_err(-EINVAL, "key: %s holds no private key without a pass phrase",
				path);
	return signer_of(key, path, ret);
}

int drpc_signer_ephemeral(struct drpc_signer **ret)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	if (!key)
		return drpc_err(-EIO, "key: OpenSSL makes no Ed25519 key");
	return signer_of(key, "memory", ret);
}

void drpc_signer_free(struct drpc_signer **signer)
{
	if (!*signer)
		return;
	EVP_PKEY_free((*signer)->key);
	free(*signer);
	*signer = NULL;
}

int drpc_signer_sign(const struct drpc_signer *signer, const void *data, size_t bytes,
		     unsigned char ret[DRPC_SIGNATURE_BYTES])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t n = DRPC_SIGNATURE_BYTES;
	const bool ok =
		context && EVP_DigestSignInit(context, NULL, NULL, NULL, signer->key) == 1 &&
		EVP_DigestSign(context, ret, &n, data, bytes) == 1 && n == DRPC_SIGNATURE_BYTES;

	EVP_MD_CTX_free(context);
	return ok ? 0 : drpc_err(-EIO, "key: OpenSSL does not sign");
}

void drpc_signer_id(const struct drpc_signer *signer, unsigned char ret[DRPC_KEY_ID_BYTES])
{
	memcpy(ret, signer->id, DRPC_KEY_ID_BYTES);
}

/* --- verifying ------------------------------------------------------------------------------ */

int drpc_keyring_new(struct drpc_keyring **ret)
{
	struct drpc_keyring *keyring = calloc(1, sizeof(*keyring));

	if (!keyring)
		return drpc_err(-ENOMEM, "key");
	*ret = keyring;
	return 0;
}

static void truncate_to(struct drpc_keyring *keyring, size_t count)
{
	while (keyring->count > count)
		EVP_PKEY_free(keyring->keys[--keyring->count].key);
}

void drpc_keyring_free(struct drpc_keyring **keyring)
{
	if (!*keyring)
		return;
	truncate_to(*keyring, 0);
	free(*keyring);
	*keyring = NULL;
}

/* Takes `key`. */
static int add(struct drpc_keyring *keyring, EVP_PKEY *key, const char *where)
{
	int err = 0;

	if (keyring->count == DRPC_KEYS_MAX)
		err = drpc_err(-ENOSPC, "key: %s: more than %d keys", where, DRPC_KEYS_MAX);
	else if (!key_id(key, keyring->keys[keyring->count].id))
		err = drpc_err(-EINVAL, "key: %s has a key that is not Ed25519", where);
	if (err)
		EVP_PKEY_free(key);
	else
		keyring->keys[keyring->count++].key = key;
	return err;
}

int drpc_keyring_load(struct drpc_keyring *keyring, const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	const size_t before = keyring->count;
	EVP_PKEY *key;
	int err = 0;

	if (!file)
		return drpc_err(-errno, "key: cannot read %s", path);
	while (!err && (key = PEM_read_PUBKEY(file, NULL, NULL, (void *)"")))
		err = add(keyring, key, path);
	/* The file's end is an error to OpenSSL. */
	ERR_clear_error();
	if (!err && keyring->count == before)
		err = drpc_err(-EINVAL, "key: %s holds no public key (PUBLIC KEY in PEM)", path);
	if (err)
		truncate_to(keyring, before);
	return err;
}

int drpc_keyring_trust(struct drpc_keyring *keyring, const struct drpc_signer *signer)
{
	unsigned char raw[RAW_BYTES];
	size_t bytes = sizeof(raw);
	EVP_PKEY *key = NULL;

	if (EVP_PKEY_get_raw_public_key(signer->key, raw, &bytes) == 1)
		key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, bytes);
	if (!key)
		return drpc_err(-ENOMEM, "key");
	return add(keyring, key, "memory");
}

static bool signature_ok(EVP_PKEY *key, const void *data, size_t bytes,
			 const unsigned char signature[DRPC_SIGNATURE_BYTES])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	const bool ok =
		context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
		EVP_DigestVerify(context, signature, DRPC_SIGNATURE_BYTES, data, bytes) == 1;

	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return ok;
}

int drpc_keyring_verify(const struct drpc_keyring *keyring,
			const unsigned char id[DRPC_KEY_ID_BYTES], const void *data, size_t bytes,
			const unsigned char signature[DRPC_SIGNATURE_BYTES])
{
	bool known = false;

	/* Ids are for finding, not for trusting: two keys may share one. */
	for (size_t i = 0; i < keyring->count; i++) {
		if (memcmp(keyring->keys[i].id, id, DRPC_KEY_ID_BYTES) != 0)
			continue;
		known = true;
		if (signature_ok(keyring->keys[i].key, data, bytes, signature))
			return 0;
	}
	return known ? -EKEYREJECTED : -ENOKEY;
}
