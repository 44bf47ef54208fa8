#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Replicas on Podman's compatible API: copied, taken away, stopped and started again, restored.
# timeout: 120
set -u
here=$(dirname "$(readlink -f "$0")")
root=$here/../..
skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}
for program in podman runc busybox curl; do
	command -v $program >/dev/null || skip_all "$program is not installed"
done
[ "$(id -u)" = 0 ] || skip_all "only root may start one"
ldd "$(command -v busybox)" >/dev/null 2>&1 && skip_all "busybox is not static"
mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$mount" ] || skip_all "no cgroup2 file system is mounted"
# One engine of ours at a time on this machine.
exec 9>"${TMPDIR:-/tmp}/dockerd.lock"
flock -w 120 9 || skip_all "another test holds the engine"

dir=$(mktemp -d "${TMPDIR:-/tmp}/drpc-podman.XXXXXX") || exit 1
number=0
same() { # NAME GOT WANTED
	number=$((number + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $number - $1"
	else
		printf 'not ok %d - %s\n  # got:    %s\n  # wanted: %s\n' "$number" "$1" "$2" "$3"
	fi
}
own=(podman --root "$dir/root" --runroot "$dir/run" --cgroup-manager cgroupfs --runtime runc --storage-driver vfs)
podman() {
	command "${own[@]}" "$@" 9>&-
}
leave() {
	podman rm -af >/dev/null 2>&1
	# It goes on in a process of its own, known by its socket alone.
	# shellcheck disable=SC2046 # a list of ids
	[ -z "${service:-}" ] || kill "$service" $(pgrep -f "^podman .* unix://$dir/s\$") 2>/dev/null
	wait 2>/dev/null
	grep -o " $dir/[^ ]*" /proc/mounts | sort -r | while read -r m; do umount "$m" 2>/dev/null; done
	rm -rf "$dir"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if ! ${CC:-cc} -std=gnu17 -O2 -D_GNU_SOURCE -pthread -I"$root" -I"$root/include" -o "$dir/actor" \
	"$here/engine_actor.c" "$root"/agent/execute/*.c "$root"/agent/runtime/*.c \
	"$root"/agent/limits.c "$root"/lib/util.c "$root"/lib/log.c -lcurl -ljson-c 2>"$dir/cc.log"; then
	echo "not ok 1 - the actor compiles"
	head -n 3 "$dir/cc.log" | sed 's/^/  # /'
	echo 1..1
	exit 1
fi
mkdir -p "$dir/image/bin" "$dir/image/proc" "$dir/image/sys" "$dir/image/dev" "$dir/image/etc"
cp "$(command -v busybox)" "$dir/image/bin/busybox"
ln -s busybox "$dir/image/bin/sleep"
tar -C "$dir/image" -c . | podman import - drpc-e2e >/dev/null 2>"$dir/log" || skip_all "no image: $(tail -n 1 "$dir/log")"
# `sleep` ends at once on SIGINT alone: the first process of a container ignores SIGTERM.
podman run -d --name shop_front_1 --network none --stop-signal KILL --ulimit nofile=20000:20000 \
	--ulimit nproc=1000:1000 -l com.docker.compose.project=shop -l com.docker.compose.service=front \
	-l com.docker.compose.container-number=1 drpc-e2e /bin/sleep 600 >/dev/null 2>"$dir/log" ||
	skip_all "podman cannot run a container here: $(tail -n 1 "$dir/log")"
"${own[@]}" system service --time 0 "unix://$dir/s" >"$dir/service" 2>&1 9>&- &
service=$!
for _ in $(seq 50); do
	curl -sf --unix-socket "$dir/s" http://engine/_ping >/dev/null && break
	sleep 0.1
done
actor() { "$dir/actor" "$dir/s" "$mount" "$dir/journal" "$@" 2>>"$dir/log"; }
running() { podman ps --format '{{.Names}}' | sort | tr '\n' ' '; }
all() { podman ps -a --format '{{.Names}}' | sort | tr '\n' ' '; }

same "one more" "$(actor scale shop/front 2 || tail -n 2 "$dir/log")" "shop/front: done"
same "named and running as compose would" "$(running)" "shop_front_1 shop_front_2 "
same "its labels" "$(podman inspect -f '{{index .Config.Labels "com.docker.compose.container-number"}} {{index .Config.Labels "io.drpc.clone"}}' shop_front_2)" "2 shop/front"
same "down to none" "$(actor scale shop/front 0 || tail -n 2 "$dir/log")" "shop/front: done"
same "the copy is removed, the original stopped" "$(running)|$(all)" "|shop_front_1 "
same "up again" "$(actor scale shop/front 2 || tail -n 2 "$dir/log")" "shop/front: done"
same "the original runs, and a copy" "$(running)" "shop_front_1 shop_front_2 "
same "restored" "$(actor restore | head -n 1)" "1 deployments restored, 0 waiting "
same "as it was found" "$(running)|$(all)" "shop_front_1 |shop_front_1 "
same "nothing is left on record" "$(wc -l <"$dir/journal")" 1
echo "1..$number"
