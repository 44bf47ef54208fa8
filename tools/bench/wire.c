// SPDX-License-Identifier: Apache-2.0
#include "tools/bench/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "lib/log.h"
#include "lib/util.h"

#define BLOCK_BYTES (1U << 18)
#define BLOCKS	    128U
#define FRAME_BYTES 2048U
#define SNAP_BYTES  96U
#define TURNS_MAX   (4U << 20)

struct turn {
	uint64_t request_ns, response_ns; /* 0: none */
};

struct wire {
	int fd;
	uint16_t port;
	uint8_t *ring;
	pthread_t thread;
	atomic_bool stopping;
	pthread_mutex_t lock;	    /* turns, totals */
	struct turn turns[1 << 16]; /* by client port */
	double *totals;
	size_t count;
};

/* --- packets ---------------------------------------------------------------------------------- */

static void turn_close(struct wire *wire, struct turn *turn)
{
	if (turn->request_ns && turn->response_ns && wire->count < TURNS_MAX)
		wire->totals[wire->count++] = (double)(turn->response_ns - turn->request_ns);
	*turn = (struct turn){0};
}

static void packet(struct wire *wire, const uint8_t *ip, size_t len, uint64_t ns)
{
	const struct iphdr *iph = (const struct iphdr *)ip;
	const struct tcphdr *tcp;
	size_t ip_len, header;
	struct turn *turn;

	if (len < sizeof(*iph) || iph->protocol != IPPROTO_TCP)
		return;
	header = iph->ihl * 4U;
	if (len < header + sizeof(*tcp))
		return;
	tcp = (const struct tcphdr *)(ip + header);
	ip_len = ntohs(iph->tot_len);
	header += tcp->doff * 4U;
	if (ntohs(tcp->dest) == wire->port) {
		turn = &wire->turns[ntohs(tcp->source)];
		if (tcp->fin || tcp->rst || tcp->syn)
			turn_close(wire, turn);
		if (ip_len <= header)
			return;
		if (turn->response_ns)
			turn_close(wire, turn);
		if (!turn->request_ns)
			turn->request_ns = ns;
	} else if (ntohs(tcp->source) == wire->port && ip_len > header) {
		turn = &wire->turns[ntohs(tcp->dest)];
		if (turn->request_ns)
			turn->response_ns = ns;
	}
}

static void block(struct wire *wire, const struct tpacket_block_desc *desc)
{
	const uint8_t *at = (const uint8_t *)desc + desc->hdr.bh1.offset_to_first_pkt;

	pthread_mutex_lock(&wire->lock);
	for (uint32_t i = 0; i < desc->hdr.bh1.num_pkts; i++) {
		const struct tpacket3_hdr *h = (const struct tpacket3_hdr *)at;

		packet(wire, at + h->tp_net, h->tp_snaplen - (h->tp_net - h->tp_mac),
		       h->tp_sec * DRPC_NSEC_PER_SEC + h->tp_nsec);
		at += h->tp_next_offset;
	}
	pthread_mutex_unlock(&wire->lock);
}

static void *listen_loop(void *arg)
{
	struct wire *wire = arg;
	unsigned int next = 0;

	while (!atomic_load(&wire->stopping)) {
		struct tpacket_block_desc *desc =
			(struct tpacket_block_desc *)(wire->ring + (size_t)next * BLOCK_BYTES);
		_Atomic uint32_t *status = (_Atomic uint32_t *)&desc->hdr.bh1.block_status;

		if (!(atomic_load_explicit(status, memory_order_acquire) & TP_STATUS_USER)) {
			struct pollfd p = {.fd = wire->fd, .events = POLLIN | POLLERR};

			poll(&p, 1, 50);
			continue;
		}
		block(wire, desc);
		atomic_store_explicit(status, TP_STATUS_KERNEL, memory_order_release);
		next = (next + 1) % BLOCKS;
	}
	return NULL;
}

/* --- opening ---------------------------------------------------------------------------------- */

/*
 * Classic BPF: incoming copies of IPv4 TCP packets of our port without options in the IP header
 * (loopback has none), whose client port's low bits are zero. The link layer is cut off (SOCK_DGRAM).
 */
static int attach_filter(int fd, uint16_t port, unsigned int sample_bits)
{
	const uint32_t mask = (1U << sample_bits) - 1;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 11),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 9),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 22), /* destination port */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 2),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20), /* the client is the source */
		BPF_JUMP(BPF_JMP | BPF_JA, 3, 0, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 22), /* the client is the destination */
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, mask, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SNAP_BYTES),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {.len = DRPC_ARRAY_SIZE(code), .filter = code};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		return -errno;
	return 0;
}

static int map_ring(struct wire *wire)
{
	struct tpacket_req3 req = {
		.tp_block_size = BLOCK_BYTES,
		.tp_block_nr = BLOCKS,
		.tp_frame_size = FRAME_BYTES,
		.tp_frame_nr = BLOCK_BYTES / FRAME_BYTES * BLOCKS,
		.tp_retire_blk_tov = 20,
	};
	int version = TPACKET_V3;

	if (setsockopt(wire->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	    setsockopt(wire->fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) < 0)
		return -errno;
	wire->ring = mmap(NULL, (size_t)BLOCK_BYTES * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED,
			  wire->fd, 0);
	if (wire->ring == MAP_FAILED) {
		wire->ring = NULL;
		return -errno;
	}
	return 0;
}

static int start(struct wire *wire, unsigned int sample_bits)
{
	struct sockaddr_ll where = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IP),
		.sll_ifindex = (int)if_nametoindex("lo"),
	};
	int r;

	/* Protocol 0: nothing comes in before filter and ring are in place. */
	wire->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (wire->fd < 0)
		return -errno;
	r = attach_filter(wire->fd, wire->port, sample_bits);
	if (r == 0)
		r = map_ring(wire);
	if (r < 0)
		return r;
	if (bind(wire->fd, (struct sockaddr *)&where, sizeof(where)) < 0)
		return -errno;
	return -pthread_create(&wire->thread, NULL, listen_loop, wire);
}

static void release(struct wire *wire)
{
	if (wire->ring)
		munmap(wire->ring, (size_t)BLOCK_BYTES * BLOCKS);
	if (wire->fd >= 0)
		close(wire->fd);
	pthread_mutex_destroy(&wire->lock);
	free(wire->totals);
	free(wire);
}

int wire_open(uint16_t port, unsigned int sample_bits, struct wire **ret)
{
	struct wire *wire = calloc(1, sizeof(*wire));
	int r;

	if (!wire)
		return -ENOMEM;
	wire->fd = -1;
	wire->port = port;
	pthread_mutex_init(&wire->lock, NULL);
	wire->totals = malloc(TURNS_MAX * sizeof(*wire->totals));
	r = wire->totals ? start(wire, sample_bits) : -ENOMEM;
	if (r < 0) {
		release(wire);
		return drpc_err(r, "wire: cannot listen to packets on lo");
	}
	*ret = wire;
	return 0;
}

void wire_reset(struct wire *wire)
{
	struct tpacket_stats_v3 stats;
	socklen_t len = sizeof(stats);

	/* Reading the statistics clears them. */
	getsockopt(wire->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
	pthread_mutex_lock(&wire->lock);
	memset(wire->turns, 0, sizeof(wire->turns));
	wire->count = 0;
	pthread_mutex_unlock(&wire->lock);
}

size_t wire_take(struct wire *wire, double **ret_total_ns, uint64_t *ret_lost)
{
	struct tpacket_stats_v3 stats = {0};
	socklen_t len = sizeof(stats);
	size_t count;

	/* Blocks that are not full are handed over after their time-out. */
	usleep(100000);
	pthread_mutex_lock(&wire->lock);
	for (size_t p = 0; p < DRPC_ARRAY_SIZE(wire->turns); p++)
		turn_close(wire, &wire->turns[p]);
	count = wire->count;
	pthread_mutex_unlock(&wire->lock);
	getsockopt(wire->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
	*ret_total_ns = wire->totals;
	*ret_lost = stats.tp_drops;
	return count;
}

void wire_close(struct wire **wire)
{
	if (!*wire)
		return;
	atomic_store(&(*wire)->stopping, true);
	pthread_join((*wire)->thread, NULL);
	release(*wire);
	*wire = NULL;
}
