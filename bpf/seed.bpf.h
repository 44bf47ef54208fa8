/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connections that were open before the programs: role from the listening port, storage made. */
#pragma once

#include "latency.bpf.h"

struct listen_key {
	__u64 netns;
	__u32 port;
	__u32 pad;
};

/* Ports that have a listener. Entries outlive listeners: the agent empties it between runs. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct listen_key);
	__type(value, __u8);
} drpc_listening SEC(".maps");

static __always_inline void listen_key_of(struct listen_key *key, struct sock_common *skc)
{
	key->netns = BPF_CORE_READ(skc, skc_net.net, net_cookie);
	key->port = skc->skc_num;
	key->pad = 0;
}

/* Whether a server-role connection was taken in. */
static __always_inline bool seed_connection(struct sock_common *skc, struct tcp_sock *tp)
{
	struct sock *sk = (struct sock *)tp;
	const struct drpc_tunables *rt = drpc_runtime();
	struct listen_key key;
	struct drpc_sock *s;
	enum role role;

	if (!rt || BPF_CORE_READ(sk, sk_cgrp_data.cgroup, level) == 0)
		return false;
	listen_key_of(&key, skc);
	role = bpf_map_lookup_elem(&drpc_listening, &key) ? ROLE_SERVER : ROLE_CLIENT;
	if (role == ROLE_CLIENT && !drpc_edges_on)
		return false;
	if (bpf_sk_storage_get(&drpc_socks, tp, NULL, 0))
		return false;
	s = bpf_sk_storage_get(&drpc_socks, tp, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!s)
		return false;
	s->role = role;
	s->slot = drpc_slot_of_cgroup(BPF_CORE_READ(sk, sk_cgrp_data.cgroup));
	s->generation = rt->generation - 1; /* epoch and all come with the first hook */
	return role == ROLE_SERVER;
}
