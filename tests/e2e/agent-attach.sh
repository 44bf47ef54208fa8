#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The agent comes to services that run and are under load already, in plain cgroups without any engine.
# It measures every request, and in recommend mode it writes nothing. Runs on any kernel.
# timeout: 240
set -u
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/lib/agent.sh
. "$here/../lib/agent.sh"

quick=$((slow == 1))
cgroup_root attach
container back "50000 100000" 200M 256M
container front max
service back --cpu-ms 1 --workers 4 --memory-mib 8
back=$port
service front --cpu-ms 0.5 --workers 8 --call "http://127.0.0.1:$back/"
front=$port
before=$(limits back front)
"$probe" watch 20 "$root/back" "$root/front" >"$dir/watch" &
pids+=($!)

# How long an agent takes to start here, and how long the load has to last for one to come meanwhile.
begun=$(now_ms)
agent_start trial --cgroup-root "$root"
agent_end TERM
first=$(((($(now_ms) - begun) * 3 + 3000) / 1000))
rate=$((quick ? 200 : 20)) last=$((quick ? 4 : 10)) pause=$((quick ? 3 : 8))
# The pause tells the counts of the first part, which the agent has not seen whole, from the second's.
load main --rate "$rate@${first}s,0@${pause}s,$rate@${last}s" -c 8 "http://127.0.0.1:$front/"
begun=$(now_ms)
nap 1
agent_start attach --cgroup-root "$root"
check "the agent is up while its services are under load" "$? == 0 && $(now_ms) - $begun < $first * 1000"
holds "it finds connections that were open before" "$(<"$log")" ' [1-9][0-9]* connections were open already'
until [ $(($(now_ms) - begun)) -gt $((first * 1000 + pause * 400)) ]; do nap 0.1; done
declare -A seen
for c in front back; do
	seen[$c]=$(drpc hist $c --json | "$probe" get count)
done
wait "$load_pid"
nap 0.6 # the last window closes
mapfile -t total < <(loaded main total.ok total.failed.total total.connects)
check "the load went through, on the connections it began with" \
	"${total[0]} == $rate * ($first + $last) && ${total[1]} == 0 && ${total[2]} == 8"

# --- counts ---------------------------------------------------------------------------------------
for c in front back; do
	drpc hist $c --json >"$dir/hist-$c"
	mapfile -t hist < <("$probe" get count coverage errors total.count queue.count service.count \
		send.count total.p99_ms <"$dir/hist-$c")
	check "$c: every request of the second part is counted, none twice" \
		"${hist[0]} - ${seen[$c]} >= $rate * $last * 0.99 && ${hist[0]} - ${seen[$c]} <= $rate * $last * 1.01"
	# Every connection is one from before.
	check "$c: the first part counts from the agent's start on" \
		"${seen[$c]} >= $rate / 4 && ${seen[$c]} <= $rate * ($first - 1)"
	check "$c: full coverage, no errors" "${hist[1]} >= 0.999 && ${hist[2]} == 0"
	check "$c: each phase has every request" "${hist[3]} == ${hist[0]} && ${hist[4]} == ${hist[0]} &&
		${hist[5]} == ${hist[0]} && ${hist[6]} == ${hist[0]}"
done
read -r own < <("$probe" get total.p50_ms <"$dir/hist-front")
read -r client < <(loaded main total.from_sent.p50_ms)
note "front: p50 $own ms by the agent, $client ms by the client"
check "the front's p50 is what the client sees, less the way to it" \
	"$own > 0.5 && $own <= $client * 1.2 && $own > $client * 0.3"
holds "the call from front to back is an edge" "$(drpc edges --json)" 'front.*back'

# --- fields ---------------------------------------------------------------------------------------
ordered() {
	tr ' ' '\n' | sort | tr '\n' ' '
}
same "hist --json: the fields" "$("$probe" get @keys <"$dir/hist-front" | ordered)" \
	"$(echo container count errors coverage dropped schema total queue service send | ordered)"
for phase in total queue service send; do
	same "hist --json: the fields of $phase" "$("$probe" get $phase.@keys <"$dir/hist-front" | ordered)" \
		"$(echo count mean_ms p50_ms p90_ms p99_ms p999_ms max_ms buckets | ordered)"
done
same "hist --json: the fields of a bucket" "$("$probe" get total.buckets.0.@keys <"$dir/hist-front")" \
	"le_ms count"
read -r sum < <("$probe" get 'total.buckets.*.count' <"$dir/hist-front" | awk '{ n += $1 } END { print n }')
same "hist --json: the buckets add up" "$sum" "$("$probe" get count <"$dir/hist-front")"
same "ls --json: the fields" "$(drpc ls --json | "$probe" get 0.@keys | ordered)" "$(echo \
	id name deployment mode rate_rps error_rate p50_ms p99_ms slo_p99_ms queue_share cpu_usage_cores \
	cpu_limit_cores throttled_share cpu_pressure memory_usage_mib memory_limit_mib memory_pressure \
	replicas coverage last_action | ordered)"
holds "hist --csv has a line for each bucket" "$(drpc hist front --csv | head -n 3)" $',.*\n.*,.*[0-9]'
mapfile -t recent < <(drpc hist front --json --since 60s | "$probe" get count)
check "hist --since looks back" "${recent[0]} > 0 && ${recent[0]} <= $("$probe" get count <"$dir/hist-front")"

# --- nothing is written ---------------------------------------------------------------------------
if [ -e "$root/back/cpu.max" ]; then
	mapfile -t row < <(of back cpu_limit_cores memory_limit_mib memory_usage_mib mode)
	check "ls tells the limits in force" "${row[0]} == 0.5 && ${row[1]} == 256 && ${row[2]} > 4"
	drpc explain back --json >"$dir/explain"
	same "explain --json: the fields" "$("$probe" get 0.@keys <"$dir/explain" | ordered)" "$(echo \
		time planner features raw action guard applied before after outcome | ordered)"
	same "explain --json: all ten features" "$("$probe" get 0.features.@keys <"$dir/explain" | ordered)" \
		"$(echo cpu_util mem_util replicas rate_krps rate_pred_krps p99_over_slo queue_share \
			cpu_pressure throttled_share mem_pressure | ordered)"
	holds "decisions are recorded as recommendations" \
		"$("$probe" get '*.guard.verdict' <"$dir/explain" | sort -u)" recommend
	same "none of them was applied" "$("$probe" get '*.applied' <"$dir/explain" | sort -u)" false
else
	skip "ls tells the limits in force" "no cpu.max on this machine"
	skip "decisions are recorded as recommendations" "no cpu.max on this machine"
fi
same "limits are as they were" "$(limits back front)" "$before"
same "and were so at every moment" "$(cut -d' ' -f2-7 "$dir/watch" | sort -u | wc -l)" 2
same "the journal is empty" "$(records)" 0
agent_end TERM
same "the agent leaves with status 0" "$status" 0
same "and leaves the limits alone" "$(limits back front)" "$before"
finish
