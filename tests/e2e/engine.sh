#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Acting through a real container engine: list, inspect, update, events, kill -9, restore.
# timeout: 180
set -u
here=$(dirname "$(readlink -f "$0")")
root=$here/../..
. "$root/tests/lib/engine.sh"

number=0
checks=12
skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}
ok() { number=$((number + 1)) && echo "ok $number - $1"; }
not_ok() {
	number=$((number + 1))
	echo "not ok $number - $1"
	shift
	printf '  # %s\n' "$@"
}
# check NAME ACTUAL PATTERN: the whole text against an extended regular expression.
check() {
	if printf '%s' "$2" | tr '\n' '|' | grep -qE -- "$3"; then
		ok "$1"
	else
		not_ok "$1" "got:    $(printf '%s' "$2" | tr '\n' '|')" "wanted: $3"
	fi
}

busybox=$(command -v busybox) || skip_all "no busybox to put into an image"
file -L "$busybox" 2>/dev/null | grep -q static || ! ldd "$busybox" >/dev/null 2>&1 ||
	skip_all "busybox is not static"
mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$mount" ] || skip_all "no cgroup2 file system is mounted"

# One engine of ours at a time on this machine.
exec 9>"${TMPDIR:-/tmp}/dockerd.lock"
flock -w 120 9 || skip_all "another test holds the engine"

dir=$(mktemp -d "${TMPDIR:-/tmp}/drpc-e2e-engine.XXXXXX") || exit 1
names=(drpc-e2e-free drpc-e2e-cpus drpc-e2e-quota)
cleanup() {
	[ -z "${DOCKER_HOST:-}" ] || docker rm -f "${names[@]}" >/dev/null 2>&1
	[ -z "${DOCKER_HOST:-}" ] || docker rmi drpc-e2e >/dev/null 2>&1
	engine_stop
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if ! ${CC:-cc} -std=gnu17 -O2 -D_GNU_SOURCE -pthread -I"$root" -I"$root/include" -o "$dir/actor" \
	"$here/engine_actor.c" "$root"/agent/execute/*.c "$root"/agent/runtime/*.c \
	"$root"/agent/limits.c "$root"/lib/util.c "$root"/lib/log.c -lcurl -ljson-c \
	2>"$dir/cc.log"; then
	not_ok "the actor compiles" "$(head -n 3 "$dir/cc.log")"
	echo "1..$number"
	exit 1
fi
engine_start || skip_all "$ENGINE_WHY"
engine_image drpc-e2e "$busybox" || skip_all "the engine takes no image"

actor() { "$dir/actor" "$ENGINE_SOCKET" "$mount" "$dir/journal" "$@" 2>>"$dir/log"; }
limits() { docker inspect -f '{{with .HostConfig}}{{.NanoCpus}} {{.CpuQuota}} {{.CpuPeriod}} {{.Memory}} {{.MemorySwap}}{{end}}' "$1"; }
# What the kernel has: quota, period and memory, from whichever hierarchy holds the controller.
kernel() {
	local pid cpu mem
	pid=$(docker inspect -f '{{.State.Pid}}' "$1")
	cpu=$(awk -F: '$2 ~ /(^|,)cpu(,|$)/ { print $3 }' "/proc/$pid/cgroup")
	mem=$(awk -F: '$2 == "memory" { print $3 }' "/proc/$pid/cgroup")
	if [ -n "$cpu" ]; then
		cat "/sys/fs/cgroup/cpu$cpu/cpu.cfs_quota_us" \
			"/sys/fs/cgroup/cpu$cpu/cpu.cfs_period_us" \
			"/sys/fs/cgroup/memory$mem/memory.limit_in_bytes"
	else
		cat "$mount$(sed -n 's/^0:://p' "/proc/$pid/cgroup")"/{cpu.max,memory.max}
	fi | tr '\n' ' '
}

kernels() {
	local n
	for n in "${names[@]}"; do
		kernel "$n"
		echo
	done
}
run() { docker run -d --name "$@" >/dev/null 2>>"$dir/log" || { cat "$dir/log" >&2; exit 1; }; }
run drpc-e2e-free -l com.docker.compose.project=shop -l com.docker.compose.service=front \
	-l com.docker.compose.container-number=1 -l drpc.slo-p99=200ms drpc-e2e /bin/sleep 600
run drpc-e2e-cpus --cpus 0.5 --memory 64m drpc-e2e /bin/sleep 600
run drpc-e2e-quota --cpu-period 50000 --cpu-quota 25000 --memory 64m --memory-swap -1 drpc-e2e \
	/bin/sleep 600
for n in "${names[@]}"; do
	limits "$n" >"$dir/limits-$n"
done
kernels >"$dir/kernels"

check "running containers, with their compose names and addresses" "$(actor list | sort)" \
	'drpc-e2e-free shop/front/1 4 labels [0-9.]+\|?'
check "limits of a container made with --cpus" "$(actor show drpc-e2e-cpus)" \
	'^nano 500000000 quota 0 period 0 memory 67108864 swap 134217728 running$'

# 300 mCPU and 128 MiB for all three, each in the fields that it was made with.
acted=$(actor act 300 128 "${names[@]}" | grep ' by ')
check "limits are set" "$acted" '^(drpc-e2e-[a-z]+ by (engine|cgroup files): in force\|?){3}$'
check "--cpus stays --cpus, what it may swap stays" "$(limits drpc-e2e-cpus)" \
	'^300000000 0 0 134217728 201326592$'
check "no limit becomes a quota" "$(limits drpc-e2e-free)" '^0 30000 0 134217728 -1$'
check "the kernel has it" "$(kernels)" \
	'^(30000 100000 134217728 \|){2}(30000 100000|15000 50000) 134217728 \|?$'

# A second actor on the same journal while the first is there; then the first is killed.
"$dir/actor" "$ENGINE_SOCKET" "$mount" "$dir/journal" hold 200 100 "${names[@]}" \
	>"$dir/hold" 2>>"$dir/log" &
holder=$!
for _ in $(seq 100); do
	[ "$(grep -c 'in force' "$dir/hold")" = 3 ] && break
	sleep 0.1
done
check "limits are set again" "$(kernels)" '^(20000 100000 104857600 \|){2}.*104857600 \|?$'
actor restore >/dev/null
check "a second one on the journal is refused, the first is named" "$(tail -n 2 "$dir/log")" \
	"in use by process $holder"
kill -9 "$holder"
wait "$holder" 2>/dev/null
docker stop -t 0 drpc-e2e-quota >/dev/null
check "everything goes back after a kill, a stopped container too" "$(actor restore)" \
	'^3 restored, 0 gone, 0 waiting, 0 failed'
docker start drpc-e2e-quota >/dev/null
bad=
for n in drpc-e2e-cpus drpc-e2e-quota; do
	[ "$(limits "$n")" = "$(cat "$dir/limits-$n")" ] || bad="$bad $n: $(limits "$n")"
done
check "the engine has the very original" "${bad:-same}" '^same$'
kernels >"$dir/kernels-after"
check "and so has the kernel" "$(diff "$dir/kernels" "$dir/kernels-after" && echo same)" '^same$'

sleep 2.5 # a stream begins a little in the past
actor events 4 >"$dir/events" &
sleep 1.5
docker update --cpus 0.4 drpc-e2e-cpus >/dev/null
docker restart -t 0 drpc-e2e-cpus >/dev/null
docker rm -f drpc-e2e-cpus >/dev/null
wait $!
check "events" "$(cat "$dir/events")" \
	'update drpc-e2e-cpus\|die drpc-e2e-cpus\|start drpc-e2e-cpus\|die drpc-e2e-cpus'

echo "1..$number"
[ "$number" = "$checks" ]
