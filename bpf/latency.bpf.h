/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A connection's state and what the hooks of latency.bpf.c do with it. */
#pragma once

#include "common.bpf.h"

#define IPPROTO_TCP	6
#define AF_INET		2
#define AF_INET6	10
#define MSG_PEEK	0x2
#define MSG_ERRQUEUE	0x2000
#define SKIP_RECV_FLAGS (MSG_PEEK | MSG_ERRQUEUE) /* nothing is taken off the stream */

#define SOCK_NOSPACE (1UL << 2) /* socket.flags: the last write did not fit */

/* Later than this after a response that has drained, a server's bytes are no part of it. */
#define UNASKED_GAP_NS 1000000000ULL

/* Set before the load. */
const volatile bool drpc_edges_on = false;    /* watch client-role connections */
const volatile bool drpc_accept_hook = false; /* accept() itself is seen */
const volatile bool drpc_hooks_alone = false; /* benchmarks: what the hooks cost by themselves */

enum role {
	ROLE_SERVER,
	ROLE_CLIENT,
};

/*
 * A turn that was answered remains here until the next one begins, to be extended by later bytes.
 * Client-role connections use the stamps, open (when the request went out), last_out (when the last
 * response came) and edge.
 *
 * The kernel puts a storage's value 8 bytes into a cache line. The first line is all that the
 * receive path touches, which on a busy server runs on the peer's or the network card's CPU, and
 * the server's own CPU only reads it: so a request moves one line between CPUs, once.
 */
struct drpc_sock {
	/* The receive path's. */
	__u64 in_first;	 /* arrival of the first segment of what is unread; all read: of that */
	__u64 in_before; /* in_first before that */
	__u64 acked;	 /* see note_ack() */
	/* Seldom written. */
	__u64 established; /* 0 once the accept wait is known */
	__u32 in_seq;	   /* tp->rcv_nxt when in_first was taken */
	__u32 slot, epoch, generation;
	__u8 role;
	__u8 reads; /* a read was seen on this connection */
	__u8 pad[6];
	/* The socket's own threads'. */
	__u64 open;		     /* when the unanswered turn was read, 0: there is none */
	__u64 arrive;		     /* the turn's arrival */
	__u64 first_out;	     /* first response byte of the answered turn */
	__u64 last_out;		     /* last one so far */
	__u32 read_seq;		     /* tp->write_seq when the turn was read */
	__u32 turn_slot, turn_epoch; /* where the turn was counted as seen */
	__u32 total_bucket, send_bucket;
	__u32 edge;    /* index into drpc_edge_counts + 1, 0: not looked up */
	__u8 answered; /* first_out and what follows are valid */
	__u8 blocked;  /* the last write of the response was cut short: more will come */
};

_Static_assert(__builtin_offsetof(struct drpc_sock, open) == 56, "the first line is 56 bytes");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct drpc_sock);
} drpc_socks SEC(".maps");

/* When this CPU may send its next exemplar. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} drpc_slow_next SEC(".maps");

/* --- stamps of arrival ------------------------------------------------------------------------- */

/*
 * Data came. What comes while nothing is unread begins a queue; the rest joins it. So a segment
 * that brings nothing new (a retransmission of what has been read) leaves a stamp that the next
 * request overwrites, and a request whose first segment was lost counts from when it could be
 * read. tcp_probe runs before the segment moves rcv_nxt.
 */
static __always_inline void note_data(struct drpc_sock *s, const struct tcp_sock *tp)
{
	__u32 seq = tp->rcv_nxt;

	if (seq != tp->copied_seq)
		return;
	s->in_before = s->in_first;
	s->in_seq = seq;
	s->in_first = bpf_ktime_get_ns();
}

/*
 * When what was just read had arrived, 0 where that was not seen. On loopback and with several
 * CPUs the next data may be here before our hook has run: its stamp begins after what was read.
 */
static __always_inline __u64 arrival(const struct drpc_sock *s, const struct tcp_sock *tp)
{
	return (__s32)(s->in_seq - tp->copied_seq) < 0 ? s->in_first : s->in_before;
}

#include "edge.bpf.h"

/* --- identity --------------------------------------------------------------------------------- */

static __noinline int look_up_slot(struct drpc_sock *s, struct sock *sk, __u32 generation)
{
	__u32 slot = drpc_slot_of_cgroup(sk->sk_cgrp_data.cgroup), epoch = 0;
	struct drpc_slot_info *info = drpc_slot_info(slot);

	if (info)
		epoch = info->epoch;
	if (slot != s->slot || epoch != s->epoch) {
		s->slot = slot;
		s->epoch = epoch;
		s->edge = 0;
		/* Stamps stop while nobody is interested: what is left is of another time. */
		if (slot == DRPC_SLOT_NONE)
			s->in_first = s->in_before = 0;
	}
	s->generation = generation;
	return 0;
}

/* Brings s->slot up to date with the roster. */
static __always_inline void refresh_slot(struct drpc_sock *s, struct sock *sk,
					 const struct drpc_tunables *rt)
{
	if (s->generation != rt->generation)
		look_up_slot(s, sk, rt->generation);
}

/* --- turns ------------------------------------------------------------------------------------ */

static __always_inline struct tcp_sock *tcp_of(struct sock *sk)
{
	return bpf_skc_to_tcp_sock(sk);
}

static __always_inline bool no_space(struct sock *sk)
{
	return sk->sk_socket->flags & SOCK_NOSPACE;
}

/*
 * When the bytes just handed to the socket went out. tcp_write_xmit() takes the clock as it begins
 * to send; a corked or window-bound write leaves it where it was. Our hook runs after the packet
 * has left, on loopback even after the receiver has got it and was woken: as much again as a fast
 * server's whole service time. The wire lies between the two; half-way is the least wrong (against
 * packet timestamps on loopback, requests of 25 to 45 us: the clock alone is 1.9 us early, the hook
 * 1.2 us late, half-way 0.8 us early). The bound is for a hook that was itself held up.
 */
#define TRANSMIT_HALF_MAX_NS 2000

static __always_inline __u64 time_sent(const struct tcp_sock *tp, __u64 after)
{
	__u64 sent = tp->tcp_clock_cache, now = bpf_ktime_get_ns(), half;

	if (sent <= after || sent > now)
		return now;
	half = (now - sent) / 2;
	return sent + (half < TRANSMIT_HALF_MAX_NS ? half : TRANSMIT_HALF_MAX_NS);
}

/*
 * The peer acknowledges while a write waits for space: what it wrote already went out at the
 * clock's last reading (our hook runs before this segment moves it). The first such after the read
 * is when the first response byte went out: the hook of a blocking write comes at its end.
 */
static __always_inline void note_ack(struct drpc_sock *s, struct sock *sk,
				     const struct tcp_sock *tp)
{
	if (no_space(sk) && s->open && s->role == ROLE_SERVER && s->acked <= s->open &&
	    tp->write_seq != s->read_seq && tp->tcp_clock_cache > s->open)
		s->acked = tp->tcp_clock_cache;
}

static __always_inline void begin_turn(struct drpc_sock *s, const struct tcp_sock *tp, __u64 now)
{
	struct drpc_slot_shard *shard = drpc_shard(s->slot);
	__u64 arrive = arrival(s, tp);

	if (!shard)
		return;
	if (!arrive) {
		/* No stamp (data came with the handshake, or before we looked): the clock's last
		 * reading is its arrival unless we sent since. */
		arrive = tp->tcp_clock_cache;
		if (arrive <= s->last_out || arrive > now)
			arrive = now;
	}
	if (arrive > now) {
		drpc_add(&shard->seen, 1);
		drpc_add(&shard->dropped[DRPC_DROP_CLOCK], 1);
		return;
	}
	if (s->established) {
		if (!drpc_accept_hook)
			drpc_observe(shard, DRPC_HIST_ACCEPT,
				     now - (arrive > s->established ? arrive : s->established));
		s->established = 0;
	}
	s->arrive = arrive;
	s->read_seq = tp->write_seq;
	s->turn_slot = s->slot;
	s->turn_epoch = s->epoch;
	if (__sync_val_compare_and_swap(&s->open, 0, now) == 0)
		drpc_add(&shard->seen, 1);
}

/* An exemplar, if this CPU has not had one just now. */
static __noinline int slow_turn(struct drpc_sock *s, struct sock *sk, __u64 total_ns)
{
	const struct drpc_tunables *rt = drpc_runtime();
	struct drpc_slot_info *info = drpc_slot_info(s->slot);
	__u32 zero = 0;
	__u64 *next = bpf_map_lookup_elem(&drpc_slow_next, &zero);
	struct drpc_ring_event *e;

	if (!rt || !info || !next || !info->slow_ns || total_ns < info->slow_ns ||
	    s->last_out < *next)
		return 0;
	*next = s->last_out + rt->slow_gap_ns;
	e = drpc_event_reserve(DRPC_EVENT_SLOW);
	if (!e)
		return 0;
	e->slot = s->slot;
	e->cgroup_id = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
	e->duration_ns = total_ns;
	address_of(e->peer, sk, true);
	e->peer_port = bpf_ntohs(sk->__sk_common.skc_dport);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP); /* read once a window anyway */
	return 0;
}

/* First bytes of the response: read .. first_out, and to last_out if the write took its time. */
static __always_inline void answer(struct drpc_sock *s, struct sock *sk,
				   const struct drpc_tunables *rt, __u64 read, __u64 first_out,
				   __u64 last_out)
{
	struct drpc_slot_shard *shard = drpc_shard(s->slot);
	__u64 total = last_out - s->arrive, send = last_out - first_out;
	__u32 bucket = drpc_hist_bucket(total);

	if (!shard)
		return;
	drpc_add(&shard->turns, 1);
	drpc_observe(shard, DRPC_HIST_QUEUE, read - s->arrive);
	drpc_observe(shard, DRPC_HIST_SERVICE, first_out - read);
	/* sum[TOTAL] and hist[SEND][0] follow from the others: the reader fills them in. */
	s->total_bucket = bucket;
	drpc_add(&shard->hist[DRPC_HIST_TOTAL][bucket], 1);
	s->send_bucket = 0;
	if (send) {
		bucket = drpc_hist_bucket(send);
		s->send_bucket = bucket;
		drpc_add(&shard->sum_ns[DRPC_HIST_SEND], send);
		if (bucket)
			drpc_add(&shard->hist[DRPC_HIST_SEND][bucket], 1);
	}
	s->first_out = first_out;
	s->last_out = last_out;
	s->blocked = no_space(sk);
	s->answered = 1;
	if (total >= rt->slow_min_ns)
		slow_turn(s, sk, total);
}

/* The turn's container is not the socket's any more (its slot may even be another's by now). */
static __noinline int drop_moved(struct drpc_sock *s)
{
	struct drpc_slot_info *info = drpc_slot_info(s->turn_slot);
	struct drpc_slot_shard *shard = drpc_shard(s->turn_slot);

	s->answered = 0;
	if (info && shard && info->epoch == s->turn_epoch)
		drpc_add(&shard->dropped[DRPC_DROP_MOVED], 1);
	return 0;
}

static __always_inline void move_count(__u32 *hist, __u32 *bucket, __u32 to, __u32 uncounted)
{
	__u32 from;

	if (*bucket == to)
		return;
	from = __sync_lock_test_and_set(bucket, to);
	if (from < DRPC_HIST_BUCKETS) {
		DRPC_HIST_FORGET(from); /* one check each: 6.1 cannot follow them merged */
		if (from != uncounted)
			drpc_add(&hist[from], -1);
	}
	if (to != uncounted)
		drpc_add(&hist[to], 1);
}

/*
 * Whether bytes that a server sends now, `gap_ns` after its last ones, are unasked: everything
 * before them has been acknowledged and none of it was held back for want of space.
 */
static __always_inline bool is_unasked(const struct drpc_sock *s, const struct tcp_sock *tp,
				       __u64 gap_ns, __u32 bytes)
{
	return gap_ns > UNASKED_GAP_NS && !s->blocked &&
	       tp->snd_una - (tp->write_seq - bytes) <= bytes;
}

/* Later bytes of the response: its counts move on. */
static __noinline int extend_turn(struct drpc_sock *s, struct sock *sk, const struct tcp_sock *tp,
				  __u32 bytes)
{
	__u64 last = s->last_out, out = time_sent(tp, last), total;
	struct drpc_slot_shard *shard = drpc_shard(s->slot);
	const struct drpc_tunables *rt = drpc_runtime();

	if (!shard || !rt || s->turn_slot != s->slot || s->turn_epoch != s->epoch || out < last ||
	    is_unasked(s, tp, out - last, bytes)) {
		s->answered = 0;
		return 0;
	}
	s->blocked = no_space(sk);
	last = __sync_lock_test_and_set(&s->last_out, out);
	if (out <= last)
		return 0;
	drpc_add(&shard->sum_ns[DRPC_HIST_SEND], out - last);
	move_count(shard->hist[DRPC_HIST_SEND], &s->send_bucket,
		   drpc_hist_bucket(out - s->first_out), 0);
	total = out - s->arrive;
	move_count(shard->hist[DRPC_HIST_TOTAL], &s->total_bucket, drpc_hist_bucket(total),
		   DRPC_HIST_BUCKETS);
	if (total >= rt->slow_min_ns && last - s->arrive < rt->slow_min_ns)
		slow_turn(s, sk, total);
	return 0;
}

/* A connection that never shows a read: from arrival to answer, no queue share. */
static __noinline int answer_unread(struct drpc_sock *s, const struct tcp_sock *tp)
{
	struct drpc_slot_shard *shard = drpc_shard(s->slot);
	__u64 arrive = s->in_first, out;
	__u32 bucket;

	if (!shard)
		return 0;
	out = time_sent(tp, arrive);
	s->arrive = arrive;
	s->turn_slot = s->slot;
	s->turn_epoch = s->epoch;
	drpc_add(&shard->seen, 1);
	drpc_add(&shard->turns, 1);
	drpc_add(&shard->unread, 1);
	drpc_observe(shard, DRPC_HIST_SERVICE, out - arrive);
	bucket = drpc_hist_bucket(out - arrive);
	s->total_bucket = bucket;
	drpc_add(&shard->hist[DRPC_HIST_TOTAL][bucket], 1);
	s->send_bucket = 0;
	s->first_out = out;
	s->last_out = out;
	s->answered = 1;
	return 0;
}

/* --- hooks ------------------------------------------------------------------------------------ */

static __always_inline int handle_recv(struct sock *sk, int ret, int flags)
{
	const struct drpc_tunables *rt;
	struct drpc_sock *s;
	struct tcp_sock *tp;

	if (drpc_hooks_alone || ret <= 0 || flags & SKIP_RECV_FLAGS || !sk->sk_bpf_storage)
		return 0;
	s = bpf_sk_storage_get(&drpc_socks, sk, NULL, 0);
	rt = drpc_runtime();
	if (!s || !rt)
		return 0;
	refresh_slot(s, sk, rt);
	if (s->slot == DRPC_SLOT_NONE)
		return 0;
	tp = tcp_of(sk);
	if (!tp)
		return 0;
	if (s->role == ROLE_CLIENT) {
		client_recv(s, sk, tp);
		return 0;
	}
	if (!s->reads)
		s->reads = 1;
	if (!s->open)
		begin_turn(s, tp, bpf_ktime_get_ns());
	return 0;
}

static __always_inline int handle_send(struct sock *sk, int ret)
{
	const struct drpc_tunables *rt;
	struct drpc_sock *s;
	struct tcp_sock *tp;
	__u64 open, out;

	if (drpc_hooks_alone || ret <= 0 || !sk->sk_bpf_storage)
		return 0;
	s = bpf_sk_storage_get(&drpc_socks, sk, NULL, 0);
	rt = drpc_runtime();
	if (!s || !rt)
		return 0;
	refresh_slot(s, sk, rt);
	if (s->slot == DRPC_SLOT_NONE && !s->open)
		return 0;
	tp = tcp_of(sk);
	if (!tp)
		return 0;
	if (s->role == ROLE_CLIENT) {
		client_send(s, tp);
		return 0;
	}
	open = s->open;
	if (open && __sync_val_compare_and_swap(&s->open, open, 0) == open) {
		if (s->turn_slot != s->slot || s->turn_epoch != s->epoch) {
			drop_moved(s);
			return 0;
		}
		out = time_sent(tp, open);
		if (s->acked > open)
			answer(s, sk, rt, open, s->acked, out > s->acked ? out : s->acked);
		else
			answer(s, sk, rt, open, out, out);
	} else if (!s->reads && s->in_first && s->in_first != s->arrive) {
		answer_unread(s, tp);
	} else if (s->answered) {
		extend_turn(s, sk, tp, ret);
	}
	return 0;
}

static __always_inline struct drpc_sock *make_state(struct sock *sk, enum role role)
{
	struct drpc_sock *s =
		bpf_sk_storage_get(&drpc_socks, sk, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	const struct drpc_tunables *rt = drpc_runtime();

	if (!s || !rt)
		return NULL;
	s->role = role;
	look_up_slot(s, sk, rt->generation);
	return s;
}

static __noinline int server_established(struct sock *sk)
{
	struct drpc_slot_shard *shard;
	struct drpc_sock *s;

	/* The root cgroup is no container: most of a busy host's own connections end here. */
	if (BPF_CORE_READ(sk, sk_cgrp_data.cgroup, level) == 0)
		return 0;
	s = make_state(sk, ROLE_SERVER);
	if (!s) {
		shard = drpc_shard(drpc_slot_of_cgroup(sk->sk_cgrp_data.cgroup));
		if (!shard)
			return 0;
		drpc_add(&shard->seen,
			 1); /* of its turns nothing will be known: one stands for all */
		drpc_add(&shard->dropped[DRPC_DROP_NO_STORAGE], 1);
		return 0;
	}
	s->established = bpf_ktime_get_ns();
	shard = drpc_shard(s->slot);
	if (!shard)
		return 0;
	drpc_add(&shard->accepts, 1);
	if (drpc_edges_on)
		learn_endpoint(s->slot, s->epoch, sk);
	return 0;
}

static __noinline int client_established(struct sock *sk)
{
	if (BPF_CORE_READ(sk, sk_cgrp_data.cgroup, level) != 0)
		make_state(sk, ROLE_CLIENT);
	return 0;
}

static __noinline int connection_over(struct sock *sk, enum drpc_drop why)
{
	struct drpc_slot_shard *shard;
	struct drpc_slot_info *info;
	struct drpc_sock *s;
	__u64 open;

	if (!sk->sk_bpf_storage)
		return 0;
	s = bpf_sk_storage_get(&drpc_socks, sk, NULL, 0);
	if (!s)
		return 0;
	open = s->open;
	if (!open || __sync_val_compare_and_swap(&s->open, open, 0) != open)
		return 0;
	if (s->role == ROLE_CLIENT) {
		edge_failed(s, sk);
		return 0;
	}
	s->answered = 0;
	info = drpc_slot_info(s->turn_slot);
	shard = drpc_shard(s->turn_slot);
	if (info && shard && info->epoch == s->turn_epoch)
		drpc_add(&shard->dropped[why], 1);
	return 0;
}

static __always_inline int handle_accept(struct sock *sk)
{
	struct drpc_slot_shard *shard;
	struct drpc_sock *s;
	__u64 now, since;

	if (!sk || !sk->sk_bpf_storage)
		return 0;
	s = bpf_sk_storage_get(&drpc_socks, sk, NULL, 0);
	if (!s || !s->established)
		return 0;
	now = bpf_ktime_get_ns();
	since = s->established;
	s->established = 0;
	shard = drpc_shard(s->slot);
	if (shard && now >= since)
		drpc_observe(shard, DRPC_HIST_ACCEPT, now - since);
	return 0;
}

static __always_inline int handle_reset(struct sock *sk)
{
	struct drpc_slot_shard *shard;
	struct drpc_sock *s;

	if (!sk || !sk->sk_bpf_storage)
		return 0;
	s = bpf_sk_storage_get(&drpc_socks, sk, NULL, 0);
	if (!s || s->role != ROLE_SERVER)
		return 0;
	shard = drpc_shard(s->slot);
	if (shard)
		drpc_add(&shard->resets, 1);
	return 0;
}
