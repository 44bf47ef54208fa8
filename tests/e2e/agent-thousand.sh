#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A thousand cgroups, mostly idle: all are found, kernel memory stays within bounds, and the agent needs
# next to nothing. Over the cap, containers share a slot that can be seen.
# timeout: 120
set -u
# shellcheck source=tests/lib/agent.sh
. "$(dirname "$(readlink -f "$0")")/../lib/agent.sh"

cgroup_root thousand
mkdir "$root"/idle-{0001..0996}
for c in busy-1 busy-2 busy-3 busy-4; do
	container $c
	service $c --cpu-ms 0.1 --workers 2
	urls+=("http://127.0.0.1:$port/")
done
agent_start thousand --cgroup-root "$root"
check "the agent starts" "$? == 0"
mapfile -t now < <(status containers kernel.map_bytes kernel.slots_used)
check "all of them are found, each with a slot of its own" "${now[0]} == 1000 && ${now[2]} == 1000"
note "kernel maps: $((now[1] / 1048576)) MiB"
check "kernel maps are at most 32 MB" "${now[1]} > 0 && ${now[1]} <= 32 * 1000 * 1000"

# What the agent ran, in nanoseconds, all its threads.
agent_cpu_ns() {
	cat "/proc/$agent/task/"*/schedstat | awk '{ n += $1 } END { print n }'
}
load thousand --rate 200@13s -c 8 "${urls[@]}"
nap 0.5
# The best of three: what it needs, not what others' work on the same caches costs it.
share=100
for ((i = 0; i < 3; i++)); do
	begin=$(now_ms) cpu=$(agent_cpu_ns)
	nap 4
	cpu=$(($(agent_cpu_ns) - cpu)) took=$(($(now_ms) - begin))
	share=$(awk "BEGIN { s = $cpu / 10000 / $took; printf \"%.2f\", s < $share ? s : $share }")
done
rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$agent/status")
note "$share % of a core, resident $rss KiB"
check "the agent needs at most 1 % of a core" "$share <= 1"
wait "$load_pid"
nap 0.5
mapfile -t counts < <(drpc ls --json | "$probe" get @count)
same "ls lists them all" "${counts[0]}" 1000
sum=0
for c in busy-1 busy-2 busy-3 busy-4; do
	sum=$((sum + $(drpc hist $c --json | "$probe" get count)))
done
same "the busy ones are measured" "$sum" "$(loaded thousand total.ok)"
# They go again, and their slots come back.
rmdir "$root"/idle-0[1-5]*
gone() {
	[ "$(status containers)" = 500 ]
}
rm_status=0
eventually 12 gone || rm_status=1
mapfile -t now < <(status containers kernel.slots_used)
check "those that go free their slots" "$rm_status == 0 && ${now[0]} == ${now[1]}"
mkdir "$root"/idle-0{100..599}
all_back() {
	[ "$(status containers)" = 1000 ]
}
eventually 12 all_back
mapfile -t now < <(status containers kernel.slots_used kernel.lost_events)
note "500 at once: ${now[2]} events lost"
check "500 at once are found" "${now[0]} == 1000 && ${now[1]} == 1000"
agent_end TERM
same "the agent leaves with status 0" "$status" 0

# --- over the cap ---------------------------------------------------------------------------------
config capped <<<"max_containers: 100"
agent_start capped --cgroup-root "$root"
load capped --rate 200@1s -c 8 "${urls[@]}"
wait "$load_pid"
nap 0.5
mapfile -t now < <(status containers kernel.slots_used kernel.slots_max kernel.other.containers kernel.other.count)
check "over the cap: all are found, 100 have a slot of their own" \
	"${now[0]} == 1000 && ${now[1]} == 100 && ${now[2]} == 100 && ${now[3]} == 900"
holds "over the cap: the log says so" "$(<"$log")" 'over max_containers'
mapfile -t coverage < <(drpc ls --json | "$probe" get '*.coverage' | sort | uniq -c | awk '{ print $1 "x" $2 }')
same "over the cap: ls shows whose requests are not told apart" "${coverage[*]}" "900x0.0 100x1.0"
own=0
for c in busy-1 busy-2 busy-3 busy-4; do
	own=$((own + $(drpc hist $c --json | "$probe" get count)))
done
same "over the cap: every request is counted, its own or in the slot other" "$((own + now[4]))" \
	"$(loaded capped total.ok)"
agent_end TERM
finish
