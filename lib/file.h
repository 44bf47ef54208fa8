/* SPDX-License-Identifier: Apache-2.0 */
/* Files that others may be reading. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/*
 * Writes a file that appears under `path` whole or not at all: temporary file beside it, fsync,
 * rename, fsync of the folder. Returns 0 or a negative errno; silent. After a failure `path` is what it
 * was, or, where only the folder could not be synced, what it is to be.
 */
int drpc_file_replace(const char *path, const void *data, size_t bytes, mode_t mode);
