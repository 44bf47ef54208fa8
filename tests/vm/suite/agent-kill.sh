#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The agent is killed (-9) at random moments while it acts, 50 times and more. Afterwards every limit
# is the original, in turns by `drpc restore` and by the next agent; either may be killed at it, too.
# timeout: 300
# kernels: 6.1
set -u
# shellcheck source=tests/lib/agent.sh
. "$(dirname "$(readlink -f "$0")")/../../lib/agent.sh"

kills=${DRPC_TEST_KILLS:-50} seed=${DRPC_TEST_SEED:-$((RANDOM * 32768 + RANDOM))}
note "seed $seed (DRPC_TEST_SEED repeats it)"
RANDOM=$seed

cgroup_root kill
container none
container cpu "60000 200000"
container both "90000 100000" 300M 400M
container high max 256M
container max max max 512M
container burst "70000 100000"
echo 30000 >"$root/burst/cpu.max.burst"
container busy "5000 100000"
all=(none cpu both high max burst busy)
for c in "${all[@]}"; do
	[ "$c" = busy ] || inside "$c" sleep 10000
done
# Raised as it is throttled, so that limits move in both directions.
inside busy sh -c 'while :; do :; done'
originals=$(limits "${all[@]}")

# Short windows, small steps and no cool-down: a write every 100 ms, for seconds. Without BPF, as an
# agent that starts sooner is killed at more interesting moments.
config kill <<-END
	mode: act
	window: 50ms
	control_interval: 50ms
	bpf: {latency: false, sched: false, memory: false, lifecycle: false, edges: false, cgroup_iter: false}
	defaults:
	  cpu-step: 20%
	  memory-step: 15%
	  min-cpu: 10m
	  max-cpu: 2
	  min-memory: 4Mi
	  max-memory: 1Gi
	deployments:
	  - match: "*busy"
	    max-cpu: 150m
	guard:
	  cut_interval: 0s
	  cut_after_raise: 0s
	  actions_per_minute: 1200
	  flap_budget: 16
	  flap_window: 1s
END

random_ms() { # LESS_THAN
	local n=$((RANDOM * 32768 + RANDOM))
	n=$((n % $1))
	printf '%d.%03d' $((n / 1000)) $((n % 1000))
}
# kill_at MS: the process $agent, at a random moment before that.
kill_at() {
	nap "$(random_ms "$1")"
	agent_end KILL
}
wrong=0 moved=0 early=0 worst=""
# expect WHO
expect() {
	local now
	now=$(limits "${all[@]}")
	[ "$now" != "$originals" ] || return 0
	wrong=$((wrong + 1))
	worst="after kill $i, restored by $1:
$(diff <(echo "$originals") <(echo "$now"))"
}

# How long until this machine's agent has acted at all: moments are spread over the time around it.
agent_begin kill --cgroup-root "$root"
began=$(now_ms)
acted() {
	[ "$(limits "${all[@]}")" != "$originals" ]
}
eventually $((6 * slow)) acted
first=$(($(now_ms) - began))
agent_end KILL
note "the first change comes $first ms after the start"
"$bin/drpc" restore --quiet --journal "$journal" >/dev/null 2>"$dir/restore.err"
i=0
expect "drpc restore"

for ((i = 1; i <= kills; i++)); do
	agent_begin kill --cgroup-root "$root"
	if [ $((i % 8)) = 0 ]; then
		kill_at $((first + 200)) # while it starts, or at its first write
	else
		nap "$((first / 2000)).$(printf '%03d' $((first / 2 % 1000)))"
		kill_at $((first / 2 + 1000))
	fi
	if [ "$(limits "${all[@]}")" = "$originals" ]; then
		early=$((early + 1))
	else
		moved=$((moved + 1))
	fi
	# Sometimes the one that puts back is killed at it, or another acts on what is left.
	case $((i % 10)) in
	3 | 6)
		"$bin/drpc" restore --quiet --journal "$journal" >/dev/null 2>>"$dir/restore.err" &
		agent=$!
		kill_at 100
		;;
	5)
		agent_begin kill --cgroup-root "$root"
		kill_at $((first + 500))
		;;
	esac
	if [ $((i % 2)) = 0 ]; then
		"$bin/drpc" restore --quiet --journal "$journal" >/dev/null 2>>"$dir/restore.err" ||
			note "kill $i: drpc restore: status $?"
		expect "drpc restore"
	else
		agent_start kill --cgroup-root "$root" --mode recommend
		expect "the next agent"
		if [ $((i % 4)) = 1 ]; then agent_end KILL; else agent_end TERM; fi
	fi
done
note "$kills kills: $moved with changed limits, $early before the first change; first change after $first ms"
check "most kills met changed limits" "$moved >= $kills * 0.6"
same "after each of $kills kills every limit is the original" "$wrong $worst" "0 "
same "nothing is left on record" "$(records)" 0
same "restoring had nothing to complain about" "$(grep -v '^info' "$dir/restore.err")" ""
agent_start kill --cgroup-root "$root"
eventually $((3 * slow)) acted
agent_end TERM
same "and an agent that is asked to leave puts all back" "$(limits "${all[@]}")" "$originals"
finish
