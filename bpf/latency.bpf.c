// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Latency of every container as its server side lives it, from TCP alone: no payload is looked at,
 * so any protocol and any encryption will do.
 *
 * A turn on a server-role connection: data arrives (queue), the application reads it (service),
 * the first response byte is handed to the socket (send), the last one. Turns are recorded when
 * the first response byte goes out; later bytes of the same response move the count on. So nothing
 * waits for the next request or for close, and the client's next request, which on loopback may
 * arrive before our own send hook has run, cannot spoil anything: its stamp waits in in_first.
 *
 * Who writes what: the receive path (softirq, or whoever holds the socket's lock) sets the stamps
 * of arrival and nothing else; the thread that reads or writes the socket does the rest. Two
 * threads may share a socket: `open` is claimed and released by compare-and-swap, so each turn is
 * counted once as seen and once as answered or dropped, whatever the interleaving.
 *
 * What each I/O path yields:
 *   read, recv*, write, send*, io_uring send/recv   everything
 *   sendfile, splice to the socket                   as a send (6.5 and up by the send hook, before
 *                                                    that by tcp_sendpage)
 *   splice from the socket                           no read is seen: if a connection never shows
 *                                                    one, its turns run from arrival to answer and
 *                                                    count as `unread`, without a queue share
 *   kTLS, io_uring zero copy                         as plain sockets: hooks sit above both
 *   a blocking write larger than the send buffer     the hook comes at its end, so its first byte
 *                                                    is taken from the peer's acknowledgements
 *   bytes a server sends unasked                     belong to the last response within a second of
 *                                                    it, or while that is still draining; after
 *                                                    that they are nobody's
 */
#include "latency.bpf.h"
#include "common.bpf.h"
#include "seed.bpf.h"

/* --- data arrived ----------------------------------------------------------------------------- */

/*
 * In front of tcp_rcv_established(), each segment of an established connection, the socket locked.
 * skb->len includes the TCP header: 20 to 60 bytes. Longer segments hold data for certain; of the
 * others an acknowledgement that carries SACK blocks must not pass for data.
 */
static __always_inline bool segment_has_data(const struct sk_buff *skb)
{
	__u32 len = skb->len;
	__u8 doff = 0;

	if (len > 60)
		return true;
	if (len <= 20)
		return false;
	if (bpf_probe_read_kernel(&doff, 1, skb->data + 12))
		return false;
	return len > (__u32)(doff >> 4) * 4;
}

SEC("tp_btf/tcp_probe")
int BPF_PROG(on_tcp_probe, struct sock *sk, struct sk_buff *skb)
{
	struct drpc_sock *s;
	struct tcp_sock *tp;

	if (drpc_hooks_alone || !sk->sk_bpf_storage)
		return 0;
	s = bpf_sk_storage_get(&drpc_socks, sk, NULL, 0);
	if (!s || s->slot == DRPC_SLOT_NONE)
		return 0;
	tp = tcp_of(sk);
	if (!tp)
		return 0;
	if (segment_has_data(skb))
		note_data(s, tp);
	else
		note_ack(s, sk, tp);
	return 0;
}

/* --- application read ------------------------------------------------------------------------- */

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_sock_recv_length, struct sock *sk, int ret, int flags)
{
	return handle_recv(sk, ret, flags);
}

/* 5.19 dropped the argument `nonblock` (ec095263a965): two programs, chosen by the prototype. */
SEC("fexit/tcp_recvmsg")
int BPF_PROG(on_tcp_recvmsg, struct sock *sk, void *msg, __u64 len, int flags, int *addr_len,
	     int ret)
{
	return handle_recv(sk, ret, flags);
}

SEC("fexit/tcp_recvmsg")
int BPF_PROG(on_tcp_recvmsg_nonblock, struct sock *sk, void *msg, __u64 len, int nonblock,
	     int flags, int *addr_len, int ret)
{
	return handle_recv(sk, ret, flags);
}

/* --- application wrote ------------------------------------------------------------------------ */

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_sock_send_length, struct sock *sk, int ret, int flags)
{
	return handle_send(sk, ret);
}

SEC("fexit/tcp_sendmsg")
int BPF_PROG(on_tcp_sendmsg, struct sock *sk, void *msg, __u64 size, int ret)
{
	return handle_send(sk, ret);
}

/* Until 6.5 (dc97391e6610) sendfile and splice came through here. */
SEC("fexit/tcp_sendpage")
int BPF_PROG(on_tcp_sendpage, struct sock *sk, void *page, int offset, __u64 size, int flags,
	     int ret)
{
	return handle_send(sk, ret);
}

/* --- role, accept, close, reset --------------------------------------------------------------- */

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_set_state, struct sock *sk, int from, int to)
{
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (to == TCP_ESTABLISHED) {
		if (from == TCP_SYN_RECV)
			server_established(sk);
		else if (from == TCP_SYN_SENT && drpc_edges_on)
			client_established(sk);
		return 0;
	}
	if (from == TCP_SYN_SENT && to == TCP_CLOSE) {
		if (drpc_edges_on)
			client_refused(sk);
		return 0;
	}
	/* Nothing is sent any more: our FIN goes out, or the connection is gone at once. */
	if (to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK)
		connection_over(sk, DRPC_DROP_CLOSED);
	else if (to == TCP_CLOSE)
		connection_over(sk, from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT
					    ? DRPC_DROP_RESET
					    : DRPC_DROP_CLOSED);
	return 0;
}

/* 6.10 changed the arguments (92ef0fd55ac8): two programs, chosen by the prototype. */
SEC("fexit/inet_csk_accept")
int BPF_PROG(on_accept, struct sock *listener, void *arg, struct sock *sk)
{
	return handle_accept(sk);
}

SEC("fexit/inet_csk_accept")
int BPF_PROG(on_accept_flags, struct sock *listener, int flags, int *err, bool kern,
	     struct sock *sk)
{
	return handle_accept(sk);
}

SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(on_receive_reset, struct sock *sk)
{
	return handle_reset(sk);
}

/* sk may be NULL (no such connection); 6.10 added an argument behind the two. */
SEC("tp_btf/tcp_send_reset")
int BPF_PROG(on_send_reset, struct sock *sk, struct sk_buff *skb)
{
	return handle_reset(sk);
}

/* --- connections that were open before -------------------------------------------------------- */

/*
 * Over all TCP sockets of the reader's network namespace: listeners come first, so by the time a
 * connection comes its role can be told from its local port. Writes a byte for each server-role
 * connection it takes in. Storage that is already there is left alone.
 */
SEC("iter/tcp")
int seed_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct tcp_sock *tp;

	if (!skc)
		return 0;
	if (skc->skc_state == TCP_LISTEN) {
		struct listen_key key;
		__u8 one = 1;

		listen_key_of(&key, skc);
		bpf_map_update_elem(&drpc_listening, &key, &one, BPF_ANY);
		return 0;
	}
	if (skc->skc_state != TCP_ESTABLISHED && skc->skc_state != TCP_CLOSE_WAIT)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (tp && seed_connection(skc, tp)) {
		__u8 mark = '.';

		bpf_seq_write(ctx->meta->seq, &mark, 1);
	}
	return 0;
}
