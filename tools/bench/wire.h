/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire as witness: request and response packets on the loopback interface, timed by the kernel
 * where tcpdump sees them (AF_PACKET, incoming copies). A turn runs from the first data packet of a
 * request to the last of its response. Sees one connection in `1 << sample_bits`, chosen by the
 * client's port, because looking costs time that the servers would miss.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct wire;

/* Begins to listen on IPv4 TCP `port`. -EPERM, -ENOMEM, ... with the reason logged. */
int wire_open(uint16_t port, unsigned int sample_bits, struct wire **ret);

/* Forgets what was seen so far. */
void wire_reset(struct wire *wire);

/*
 * Stops taking turns and gives their durations, unsorted, valid until the next call. *ret_lost:
 * packets that the kernel had no room for; turns with a lost packet come out wrong, so a run with
 * many is to be thrown away.
 */
size_t wire_take(struct wire *wire, double **ret_total_ns, uint64_t *ret_lost);

void wire_close(struct wire **wire); /* NULL-safe; nulls */
