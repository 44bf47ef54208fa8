/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Caller -> callee relations, from client-role connections of tracked containers: request sent to
 * first response byte. The table never evicts (an LRU map would forget the busiest node's edges
 * first and takes memory for its lists): what does not fit is counted as lost.
 *
 * The hash holds an index into an array of counts, and a connection remembers its index, so that
 * a request costs no hash lookup.
 */
#pragma once

#include <bpf/bpf_endian.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct drpc_edge_key);
	__type(value, __u32);
} drpc_edge_index SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct drpc_edge_counts);
} drpc_edge_table SEC(".maps");

/* Indices that were in use once: the agent hands them back when a caller has gone. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__type(value, __u32);
} drpc_edge_free SEC(".maps");

/* Local address and port of server-role connections: who is behind an address. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct drpc_edge_key);
	__type(value, struct drpc_endpoint);
} drpc_endpoints SEC(".maps");

const volatile __u32 drpc_edge_max = 1;
__u32 drpc_edge_next = 0;

/* The socket's remote or local address as IPv6; IPv4 is mapped. */
static __always_inline void address_of(__u8 addr[16], struct sock *sk, bool remote)
{
	__u32 *word = (__u32 *)addr;

	if (sk->__sk_common.skc_family == AF_INET6) {
		BPF_CORE_READ_INTO((struct in6_addr *)addr, sk, __sk_common.skc_v6_daddr);
		if (!remote)
			BPF_CORE_READ_INTO((struct in6_addr *)addr, sk,
					   __sk_common.skc_v6_rcv_saddr);
		return;
	}
	word[0] = 0;
	word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = remote ? sk->__sk_common.skc_daddr : sk->__sk_common.skc_rcv_saddr;
}

static __always_inline bool is_loopback(const __u8 addr[16])
{
	const __u32 *word = (const __u32 *)addr;

	if (word[0] || word[1])
		return false;
	if (!word[2])
		return word[3] == bpf_htonl(1);
	return word[2] == bpf_htonl(0xffff) && addr[12] == 127;
}

/* A loopback address means something within its network namespace only. */
static __always_inline void edge_key(struct drpc_edge_key *key, struct sock *sk, bool remote)
{
	__builtin_memset(key, 0, sizeof(*key));
	address_of(key->addr, sk, remote);
	if (is_loopback(key->addr))
		key->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie);
	key->port = remote ? bpf_ntohs(sk->__sk_common.skc_dport) : sk->__sk_common.skc_num;
}

static __noinline int learn_endpoint(__u32 slot, __u32 epoch, struct sock *sk)
{
	struct drpc_endpoint now = {.slot = slot, .epoch = epoch}, *known;
	struct drpc_edge_key key;

	edge_key(&key, sk, false);
	known = bpf_map_lookup_elem(&drpc_endpoints, &key);
	if (known && known->slot == slot && known->epoch == epoch)
		return 0;
	if (bpf_map_update_elem(&drpc_endpoints, &key, &now, BPF_ANY))
		drpc_count_lost(DRPC_LOST_EDGE);
	return 0;
}

/* An index into the table that nobody uses, or one beyond it. */
static __always_inline __u32 free_edge(void)
{
	__u32 index;

	if (!bpf_map_pop_elem(&drpc_edge_free, &index))
		return index;
	if (drpc_edge_next >= drpc_edge_max)
		return drpc_edge_max;
	return __sync_fetch_and_add(&drpc_edge_next, 1);
}

/* Finds or makes the edge; its index + 1, 0 where the table is full. */
static __noinline __u32 find_edge(struct drpc_sock *s, struct sock *sk)
{
	struct drpc_edge_key key;
	__u32 *known, index;

	edge_key(&key, sk, true);
	key.slot = s->slot;
	key.epoch = s->epoch;
	known = bpf_map_lookup_elem(&drpc_edge_index, &key);
	if (known)
		return *known + 1;
	index = free_edge();
	if (index < drpc_edge_max) {
		if (!bpf_map_update_elem(&drpc_edge_index, &key, &index, BPF_NOEXIST))
			return index + 1;
		bpf_map_push_elem(&drpc_edge_free, &index, BPF_ANY);
		known = bpf_map_lookup_elem(&drpc_edge_index, &key); /* somebody was faster */
		if (known)
			return *known + 1;
	}
	drpc_count_lost(DRPC_LOST_EDGE);
	return 0;
}

static __always_inline struct drpc_edge_counts *edge_of(struct drpc_sock *s, struct sock *sk)
{
	__u32 index;

	if (s->slot == DRPC_SLOT_NONE)
		return NULL;
	if (!s->edge)
		s->edge = find_edge(s, sk);
	index = s->edge - 1;
	return bpf_map_lookup_elem(&drpc_edge_table, &index);
}

static __always_inline void edge_failed(struct drpc_sock *s, struct sock *sk)
{
	struct drpc_edge_counts *edge = edge_of(s, sk);

	if (edge)
		drpc_add(&edge->failures, 1);
}

static __noinline int client_refused(struct sock *sk)
{
	struct drpc_sock s = {.slot = drpc_slot_of_cgroup(sk->sk_cgrp_data.cgroup)};
	struct drpc_slot_info *info = drpc_slot_info(s.slot);

	if (!info)
		return 0;
	s.epoch = info->epoch;
	edge_failed(&s, sk);
	return 0;
}

/*
 * The request goes out. On loopback the response may be here already: then the clock shows that,
 * but its acknowledgement has left the request's time of sending in first_tx_mstamp.
 */
static __always_inline void client_send(struct drpc_sock *s, const struct tcp_sock *tp)
{
	__u64 came = s->in_first, sent;

	if (s->open)
		return;
	sent = tp->tcp_clock_cache;
	if (came > s->last_out) {
		__u64 tx = tp->first_tx_mstamp * 1000;

		sent = tx > s->last_out && tx < came ? tx : came;
	} else if (sent <= s->last_out) {
		sent = bpf_ktime_get_ns();
	}
	s->open = sent;
}

static __always_inline void client_recv(struct drpc_sock *s, struct sock *sk,
					const struct tcp_sock *tp)
{
	__u64 came = arrival(s, tp), sent = s->open;
	struct drpc_edge_counts *edge;

	if (!came)
		came = tp->tcp_clock_cache;
	if (came > s->last_out)
		s->last_out = came;
	if (!sent || __sync_val_compare_and_swap(&s->open, sent, 0) != sent || came < sent)
		return;
	edge = edge_of(s, sk);
	if (!edge)
		return;
	drpc_add(&edge->count, 1);
	drpc_add(&edge->sum_ns, came - sent);
	drpc_add(&edge->hist[drpc_hist_bucket(came - sent)], 1);
}
