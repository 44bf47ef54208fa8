#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the agent must refuse, and how it says so: configuration, another agent's subtree or journal,
# policy files; and what it tells the service manager.
# timeout: 120
set -u
# shellcheck source=tests/lib/agent.sh
. "$(dirname "$(readlink -f "$0")")/../lib/agent.sh"

quiet="bpf: {latency: false, sched: false, memory: false, lifecycle: false, edges: false, cgroup_iter: false}"
cgroup_root refusals
container one
container two

# --- configuration --------------------------------------------------------------------------------
# refused NAME PATTERN, settings on stdin: status 2 and one line that names file and line.
refused() {
	config bad
	"$bin/drpc-agent" --config "$dir/bad.yaml" --cgroup-root "$root" --engine none \
		--socket "$dir/bad.sock" --journal "$dir/bad.journal" >"$dir/out" 2>&1
	status=$?
	holds "configuration: $1: said with file and line" "$(<"$dir/out")" "bad\\.yaml:$2" &&
		same "configuration: $1: status 2" "$status" 2
}
refused "unknown key" '2: .*control-interval' <<-END
	mode: act
	control-interval: 1s
END
refused "unknown unit" '3: slo-p99: "200 parsecs".*200ms' <<-END
	mode: act
	defaults:
	  slo-p99: 200 parsecs
END
refused "no unit" '2: slo-p99: "200".*200ms' <<-END
	defaults:
	  slo-p99: 200
END
refused "min over max" '[2-4]: .*min-cpu.*above max-cpu' <<-END
	defaults:
	  min-cpu: 2
	  max-cpu: 1
END
refused "mode" '1: mode: "rampage"' <<-END
	mode: rampage
END
refused "a key given twice" '2: ' <<-END
	window: 200ms
	window: 300ms
END
refused "no YAML" '[1-3]: ' <<-END
	mode: [act
	}
END
refused "memory without sense" '2: max-memory: "-5Mi"' <<-END
	defaults:
	  max-memory: -5Mi
END
refused "unbounded numbers" '2: max-cpu: "1e999"' <<-END
	defaults:
	  max-cpu: 1e999
END
"$bin/drpc-agent" --config "$dir/none.yaml" >"$dir/out" 2>&1
same "configuration: no such file: status 2" "$?" 2
"$bin/drpc-agent" --no-such-option >"$dir/out" 2>&1
same "command line: unknown option: status 2" "$?" 2
"$bin/drpc-agent" --mode rampage --check >"$dir/out" 2>&1
same "command line: bad value: status 2" "$?" 2
same "no refused configuration left anything behind" "$(echo "$dir"/bad.[!y]*)" "$dir/bad.[!y]*"

# --- two agents -----------------------------------------------------------------------------------
mkdir "$root/one/inner" "$root/two/inner"
config quiet <<<"$quiet"
# agent_refused PATTERN [OPTION...]: it leaves by itself, with status 1 and a reason.
agent_refused() {
	local pattern=$1
	shift
	agent_begin refused --config "$dir/quiet.yaml" "$@"
	eventually $((6 * slow)) agent_ready_or_gone
	if agent_runs; then
		agent_end TERM
		status="an agent that runs"
	else
		agent_end TERM
	fi
	holds "$what: it says whom to ask" "$(<"$log")" "$pattern" && same "$what: status 1" "$status" 1
}
cp "$dir/quiet.yaml" "$dir/first.yaml"
agent_start first --cgroup-root "$root/one"
first=$agent
what="two agents: the same subtree"
agent_refused "process $first already acts on .*/one" --cgroup-root "$root/one"
what="two agents: a subtree inside"
agent_refused "process $first already acts on .*/one" --cgroup-root "$root/one/inner"
what="two agents: a subtree around"
agent_refused "already acts on or inside .*refusals" --cgroup-root "$root"
what="two agents: all of the machine"
agent_refused "already acts on or inside cgroup /" --config "$dir/quiet.yaml"
what="two agents: the same journal"
agent_refused "journal.* is in use by process $first" --cgroup-root "$root/two" --journal "$dir/first.journal"
what="two agents: the same socket"
agent_refused "another agent answers on .*first.sock" --cgroup-root "$root/two" --socket "$dir/first.sock"
"$bin/drpc" restore --journal "$dir/first.journal" --socket "$dir/none.sock" >"$dir/out" 2>&1
same "restore without the agent's leave: status 1" "$?" 1
holds "restore without the agent's leave: it says whom to ask" "$(<"$dir/out")" "in use by process $first"
cp "$dir/quiet.yaml" "$dir/second.yaml"
agent_start second --cgroup-root "$root/two"
check "two agents: disjoint subtrees are fine" "$? == 0"
socket=$dir/first.sock
check "two agents: the first goes on" "$(status control.ticks) > 0 && $(status pid) == $first"
agent_end TERM
agent=$first
agent_end KILL
agent_start first --cgroup-root "$root/one"
check "a killed agent blocks nobody" "$? == 0"
agent_end TERM
echo "no journal at all" >"$dir/foreign.journal"
what="a foreign file as journal"
agent_refused "is not a journal of drpc" --cgroup-root "$root/two" --journal "$dir/foreign.journal"
same "a foreign file as journal: it is left alone" "$(<"$dir/foreign.journal")" "no journal at all"
echo "no socket" >"$dir/foreign.sock"
what="a foreign file as socket"
agent_refused "is there and is no socket" --cgroup-root "$root/two" --socket "$dir/foreign.sock"
what="a root that is no cgroup"
agent_refused "not inside the cgroup2 mount" --cgroup-root /tmp

# --- policy files ---------------------------------------------------------------------------------
# little_endian BYTES NUMBER: as escapes for printf
little_endian() {
	local i
	for ((i = 0; i < $1; i++)); do
		printf '\\x%02x' $(($2 >> (8 * i) & 255))
	done
}
# policy FILE INPUTS WEIGHTS [LAST-WEIGHT]: a whole, well-formed file (nn/model_file.h says how), all
# of whose weights but the last are 0.
policy() {
	local names=(cpu_util mem_util replicas rate_krps rate_pred_krps p99_over_slo queue_share
		cpu_pressure throttled_share mem_pressure) inputs="" i json
	for ((i = 0; i < $2; i++)); do
		inputs+="${inputs:+,}{\"name\":\"${names[i]}\",\"offset\":0,\"scale\":1}"
	done
	json="{\"kind\":\"policy\",\"inputs\":[$inputs],\"outputs\":[\"replicas\",\"cpu\",\"memory\"],\"layers\":[
		{\"type\":\"dense\",\"in\":$2,\"out\":20},{\"type\":\"layernorm\",\"size\":20},{\"type\":\"relu\"},
		{\"type\":\"dense\",\"in\":20,\"out\":20},{\"type\":\"dense\",\"in\":20,\"out\":3},{\"type\":\"tanh\"}],
		\"clip\":5,\"reward\":0.5,\"provenance\":{\"method\":\"by hand\",\"data\":\"none\",\"program\":\"test\",
		\"created\":1,\"seed\":1,\"samples\":1,\"updates\":1}}"
	{
		printf 'DRPCNN\r\n'
		printf '%b' "$(little_endian 4 1)$(little_endian 4 ${#json})$(little_endian 8 "$3")"
		printf '%s' "$json"
		head -c $(($3 * 4 - 4)) /dev/zero
		printf '%b' "${4:-\\x00\\x00\\x00\\x00}"
	} >"$1"
	printf '%b' "$(sha256sum "$1" | cut -c1-64 | sed 's/../\\x&/g')" >>"$1"
}
# planner FILE [PATTERN]: which planner the agent says it runs with; with a pattern, its reason too.
cp "$dir/quiet.yaml" "$dir/policy.yaml"
planner() {
	agent_start policy --cgroup-root "$root/one" --planner student --policy "$1"
	got=$(status planner)
	[ -z "${2:-}" ] || holds "policy: $what: it says why" "$(<"$log")" "$2"
	agent_end TERM
	same "policy: $what: $3 decides" "$got $status" "$3 0"
}
policy "$dir/good" 10 743
what="a good one" && planner "$dir/good" "" student
policy "$dir/paper" 5 643
what="the five features" && planner "$dir/paper" "" student
head -c 3000 "$dir/good" >"$dir/cut"
what="truncated" && planner "$dir/cut" 'policy .*/cut is not used, the reactive planner decides' reactive
: >"$dir/empty"
what="empty" && planner "$dir/empty" '/empty' reactive
cp "$bin/drpc" "$dir/elf"
what="a foreign file" && planner "$dir/elf" '/elf' reactive
policy "$dir/nan" 10 743 '\x00\x00\xc0\x7f'
what="a weight that is no number" && planner "$dir/nan" 'nan.*(finite|number)' reactive
policy "$dir/shape" 10 643
what="a wrong shape" && planner "$dir/shape" '/shape' reactive
sed 's/cpu_pressure/cpu_pleasure/' "$dir/good" >"$dir/digest"
what="a byte that was changed" && planner "$dir/digest" 'digest|SHA' reactive
what="none there" && planner "$dir/missing" '/missing' reactive
what="a folder" && planner "$dir" 'policy' reactive

# --- the service manager --------------------------------------------------------------------------
"$probe" datagrams "$dir/notify" >"$dir/datagrams" &
pids+=($!)
eventually 2 test -S "$dir/notify"
cp "$dir/quiet.yaml" "$dir/notify.yaml"
agent_wrap=(env "NOTIFY_SOCKET=$dir/notify")
agent_start notify --cgroup-root "$root/one"
agent_wrap=()
nap 1.5
read -r ticks < <(status control.ticks)
fed=$(grep -c 'WATCHDOG=1' "$dir/datagrams")
same "service manager: READY=1 comes first, once" \
	"$(head -n 1 "$dir/datagrams" | cut -d' ' -f2) $(grep -c READY=1 "$dir/datagrams")" "READY=1 1"
check "service manager: the watchdog is fed with every tick, no more" \
	"$fed >= 5 && $fed >= $ticks - 2 && $fed <= $ticks + 2"
kill -STOP "$agent"
nap 0.3
fed=$(grep -c 'WATCHDOG=1' "$dir/datagrams")
nap 1
same "service manager: an agent that hangs does not feed it" "$(grep -c 'WATCHDOG=1' "$dir/datagrams")" "$fed"
kill -CONT "$agent"
nap 1
check "service manager: one that goes on does" "$(grep -c 'WATCHDOG=1' "$dir/datagrams") > $fed"
same "the API's socket is for owner and group" "$(stat -c %a "$socket")" 660
agent_end TERM
holds "service manager: it hears of the end" "$(tail -n 1 "$dir/datagrams")" STOPPING=1
check "the socket is gone with the agent" "$([ -e "$socket" ] && echo 1 || echo 0) == 0"
finish
