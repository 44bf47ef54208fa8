// SPDX-License-Identifier: Apache-2.0
#include "link/sign.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/util.h"

static char folder[] = "/tmp/drpc-sign-XXXXXX";
static char path[64], public[80];

static void setup(void)
{
	cr_assert_not_null(freopen("/dev/null", "w", stderr));
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/key", folder);
	snprintf(public, sizeof(public), "%s.pub", path);
}

static void teardown(void)
{
	unlink(path);
	unlink(public);
	cr_assert_eq(rmdir(folder), 0);
}

TestSuite(sign, .init = setup, .fini = teardown);

static mode_t mode_of(const char *file)
{
	struct stat st;

	cr_assert_eq(stat(file, &st), 0);
	return st.st_mode & 07777;
}

Test(sign, a_pair_on_disk)
{
	unsigned char signature[DRPC_SIGNATURE_BYTES], id[DRPC_KEY_ID_BYTES];
	struct drpc_keyring *keyring = NULL;
	struct drpc_signer *signer = NULL;

	umask(0);
	cr_assert_eq(drpc_key_generate(path), 0);
	cr_assert_eq(mode_of(path), 0600);
	cr_assert_eq(mode_of(public), 0644);
	cr_assert_eq(drpc_signer_load(path, &signer), 0);
	cr_assert_eq(drpc_signer_sign(signer, "text", 4, signature), 0);
	drpc_signer_id(signer, id);

	cr_assert_eq(drpc_keyring_new(&keyring), 0);
	cr_assert_eq(drpc_keyring_verify(keyring, id, "text", 4, signature), -ENOKEY);
	cr_assert_eq(drpc_keyring_load(keyring, public), 0);
	cr_assert_eq(drpc_keyring_verify(keyring, id, "text", 4, signature), 0);
	cr_assert_eq(drpc_keyring_verify(keyring, id, "tExt", 4, signature), -EKEYREJECTED);
	cr_assert_eq(drpc_keyring_verify(keyring, id, "text", 3, signature), -EKEYREJECTED);
	for (size_t i = 0; i < DRPC_SIGNATURE_BYTES; i++) {
		signature[i] ^= 1;
		cr_assert_eq(drpc_keyring_verify(keyring, id, "text", 4, signature), -EKEYREJECTED);
		signature[i] ^= 1;
	}
	id[0] ^= 1;
	cr_assert_eq(drpc_keyring_verify(keyring, id, "text", 4, signature), -ENOKEY);
	drpc_signer_free(&signer);
	drpc_keyring_free(&keyring);
	drpc_keyring_free(&keyring);
	cr_assert_null(keyring);
}

Test(sign, a_key_is_never_written_over)
{
	cr_assert_eq(drpc_key_generate(path), 0);
	cr_assert_eq(drpc_key_generate(path), -EEXIST);
	unlink(path);
	cr_assert_eq(drpc_key_generate(path), -EEXIST, "the public half is there");
	cr_assert_neq(access(path, F_OK), 0);
}

Test(sign, a_private_key_that_others_may_read)
{
	struct drpc_signer *signer = NULL;

	cr_assert_eq(drpc_key_generate(path), 0);
	cr_assert_eq(chmod(path, 0640), 0);
	cr_assert_eq(drpc_signer_load(path, &signer), -EPERM);
	cr_assert_eq(chmod(path, 0600), 0);
	cr_assert_eq(drpc_signer_load(path, &signer), 0);
	drpc_signer_free(&signer);
	drpc_signer_free(&signer);
}

Test(sign, files_that_hold_no_key)
{
	struct drpc_keyring *keyring = NULL;
	struct drpc_signer *signer = NULL;
	FILE *f;

	cr_assert_eq(drpc_keyring_new(&keyring), 0);
	cr_assert_eq(drpc_signer_load(path, &signer), -ENOENT);
	cr_assert_eq(drpc_keyring_load(keyring, path), -ENOENT);
	f = fopen(path, "w");
	fchmod(fileno(f), 0600);
	fputs("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", f);
	fclose(f);
	cr_assert_eq(drpc_signer_load(path, &signer), -EINVAL);
	cr_assert_eq(drpc_keyring_load(keyring, path), -EINVAL);
	/* A private key is no public one. */
	unlink(path);
	cr_assert_eq(drpc_key_generate(path), 0);
	cr_assert_eq(drpc_keyring_load(keyring, path), -EINVAL);
	cr_assert_eq(drpc_signer_load(public, &signer), -EPERM);
	cr_assert_null(signer);
	drpc_keyring_free(&keyring);
}

Test(sign, several_are_trusted_and_no_more_than_there_is_room)
{
	unsigned char signature[DRPC_SIGNATURE_BYTES], id[DRPC_KEY_ID_BYTES];
	struct drpc_keyring *keyring = NULL;

	cr_assert_eq(drpc_keyring_new(&keyring), 0);
	for (int i = 0; i <= DRPC_KEYS_MAX; i++) {
		struct drpc_signer *signer = NULL;

		cr_assert_eq(drpc_signer_ephemeral(&signer), 0);
		cr_assert_eq(drpc_keyring_trust(keyring, signer), i < DRPC_KEYS_MAX ? 0 : -ENOSPC);
		cr_assert_eq(drpc_signer_sign(signer, "x", 1, signature), 0);
		drpc_signer_id(signer, id);
		cr_assert_eq(drpc_keyring_verify(keyring, id, "x", 1, signature),
			     i < DRPC_KEYS_MAX ? 0 : -ENOKEY);
		drpc_signer_free(&signer);
	}
	drpc_keyring_free(&keyring);
}
