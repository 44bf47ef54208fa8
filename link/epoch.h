/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An epoch is one start of a node's agent: sequence numbers begin anew with it, and it is greater than
 * every epoch of that node before. It is the clock's microseconds, or one more than the last where the
 * clock went back; the last is kept in a file.
 */
#pragma once

#include <stdint.h>

/*
 * The next one, which is on the disk when this returns. `path` NULL: by the clock alone. A file that is
 * damaged is replaced with a warning. Returns 0 or a negative errno (logged) where the file cannot be
 * written.
 */
int drpc_epoch_next(const char *path, uint64_t *ret);
