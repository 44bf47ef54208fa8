/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiver's ledger: which records of which node were accepted, so that none is accepted twice,
 * whatever the network, the broker or a node does. It outlives the process (a memory-mapped file) and,
 * once synced, the machine.
 *
 * A node's records are numbered in each epoch (link/epoch.h). Blocks of 64 numbers share an entry
 * (which block, one bit each); a block's place is its number modulo DRPC_LEDGER_BLOCKS. Where a younger
 * block has the place, a number can no longer be told from a duplicate and is refused. An entry is 16
 * bytes on a boundary of 16, so a torn write leaves an older entry or a newer one, both true.
 */
#pragma once

#include <stdint.h>

#include "link/experience.h"

#define DRPC_LEDGER_BLOCKS 512U	 /* a window of 32,768 records a node and epoch */
#define DRPC_LEDGER_NODES  4096U /* 16.6 KiB of file each, once it has sent something */

struct drpc_ledger;

/*
 * Opens or creates; path NULL keeps it in memory. -EILSEQ: no ledger; -EPROTONOSUPPORT: of another
 * version; -EBUSY: another process has it; or what the system said. Logged.
 */
int drpc_ledger_open(const char *path, struct drpc_ledger **ret);
void drpc_ledger_close(struct drpc_ledger **ledger); /* NULL-safe; nulls */

/*
 * Takes records first..first+count-1 into the ledger, all or none: none where one of them was accepted
 * before or may have been. Returns DRPC_REJECT_NONE, _DUPLICATE, _EPOCH, _LATE, _SEQUENCE or _NODES.
 */
enum drpc_reject drpc_ledger_take(struct drpc_ledger *ledger, const char *node, uint64_t epoch,
				  uint64_t first, size_t count);

/* Waits until everything taken is on the disk. Returns 0 or a negative errno (logged). */
int drpc_ledger_sync(struct drpc_ledger *ledger);

/*
 * Forgets a node, for one whose epoch file was lost while its clock had been ahead. Everything of it is
 * accepted again: its old messages must be gone. False where it is unknown.
 */
bool drpc_ledger_forget(struct drpc_ledger *ledger, const char *node);

struct drpc_ledger_node {
	const char *name; /* borrowed */
	uint64_t epoch;
	uint64_t newest;   /* sequence number */
	uint64_t accepted; /* of this epoch */
	uint64_t missing;  /* of this epoch: sent before the newest, but not (yet) here */
	uint64_t lost;	   /* of all epochs that ended: sent, and never came */
};

size_t drpc_ledger_count(const struct drpc_ledger *ledger);
struct drpc_ledger_node drpc_ledger_node(const struct drpc_ledger *ledger, size_t i);
