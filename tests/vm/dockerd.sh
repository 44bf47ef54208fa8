#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dockerd.sh: start Docker's engine inside the virtual machine and return when it answers. For use in
# a command or suite there; the engine and everything in it vanish with the machine.
set -eu

[ "${DRPC_VM:-}" = 1 ] || {
	echo "dockerd.sh: this is for the inside of the virtual machine (tests/vm/vm.sh)" >&2
	exit 2
}
if docker version >/dev/null 2>&1; then
	exit 0
fi
modprobe -a bridge br_netfilter veth iptable_nat iptable_filter xt_MASQUERADE xt_addrtype \
	xt_conntrack nft_compat
mkdir -p /var/lib/docker /var/lib/containerd
# Overlay file systems do not nest: layers need a file system of their own.
mount -t tmpfs -o mode=711 tmpfs /var/lib/docker
mount -t tmpfs -o mode=711 tmpfs /var/lib/containerd
dockerd --exec-opt native.cgroupdriver=cgroupfs >/run/dockerd.log 2>&1 &
pid=$!
tries=0
until docker version >/dev/null 2>&1; do
	tries=$((tries + 1))
	if [ $tries -gt 200 ] || ! kill -0 $pid 2>/dev/null; then
		echo "dockerd.sh: the engine does not answer; end of /run/dockerd.log:" >&2
		tail -n 20 /run/dockerd.log >&2
		exit 1
	fi
	sleep 0.3
done
