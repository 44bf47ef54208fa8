#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# drpc on three loaded containers: the same load twice, under fixed limits and under drpc; then
# everything is put back. `make demo` runs it; docs/demo.md tells what it does and how to steer it.
set -u
export LC_NUMERIC=C
unset LC_ALL
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
. tests/lib/engine.sh
. demo/settings.sh
. demo/say.sh
. demo/services.sh
. demo/phase.sh

BEGIN=$(date +%s)
BIN=$PWD/build/release
WORK=

# --- the end, whatever the reason ------------------------------------------------------------------

cleanup() {
	trap '' INT TERM HUP
	[ -z "$NAP_PID" ] || kill_and_wait "$NAP_PID" 1
	[ -z "$LOAD_PID" ] || kill_and_wait "$LOAD_PID" 5
	[ -z "$SAMPLER_PID" ] || kill_and_wait "$SAMPLER_PID" 5
	[ -z "$AGENT_PID" ] || agent_stop
	services_stop
	engine_stop
	[ -z "$WORK" ] || rm -rf "$WORK"
}

interrupted() {
	printf '\n%s\n' "Interrupted: putting limits back, removing containers."
	exit "$1"
}

# --- where ------------------------------------------------------------------------------------------

# Whether containers on this machine can be measured and steered; WHY_NOT otherwise. Starts an
# engine if none runs.
natively() {
	if [ "$(id -u)" != 0 ]; then
		WHY_NOT="only root may load BPF programs and set limits"
	elif ! engine_start; then
		WHY_NOT=$ENGINE_WHY
	elif [ "$(docker info -f '{{.CPUCfsQuota}} {{.MemoryLimit}}' 2>/dev/null)" != "true true" ]; then
		WHY_NOT="the engine here does not enforce CPU and memory limits"
	elif [ "${DEMO_INSIDE:-}" = 1 ]; then
		return 0
	else
		can=$("$BIN/drpc" doctor --json 2>/dev/null | awk -f demo/flatten.awk | sed -n 's/^can_//p')
		case $can in
		*"measure false"*) WHY_NOT="this kernel does not let drpc measure" ;;
		*"act false"*) WHY_NOT="drpc cannot change limits here" ;;
		*"measure true"*) return 0 ;;
		*) WHY_NOT="drpc doctor does not run" ;;
		esac
		WHY_NOT="$WHY_NOT (build/release/drpc doctor tells why)"
	fi
	engine_stop
	return 1
}

# The same script in the virtual machine, with what was set for it here.
in_virtual_machine() { # REASON
	say "The demo runs in a virtual machine with cgroup v2: $1." \
		"All of it is emulated, some ten times slower than this machine: less load, looser objectives."
	mk/deps.sh vm || die "the virtual machine's packages are missing"
	assignments="DEMO_COLOR=$COLOR COLUMNS=$COLUMNS DEMO_INSIDE=1 PLANNER=${PLANNER:-student}"
	for name in LOW HIGH BEFORE PEAK AFTER SLO_FRONT SLO_FAST SLO_SLOW CPUS MEMORY SEED WAIT; do
		value=
		eval "value=\${DEMO_$name:-}"
		case $value in
		'') ;;
		*[!A-Za-z0-9.]*) die "DEMO_$name: '$value' is not accepted; digits, letters and points" ;;
		*) assignments="$assignments DEMO_$name=$value" ;;
		esac
	done
	tests/vm/vm.sh -t "${TIMEOUT:-900}" "export $assignments; tests/vm/dockerd.sh && exec demo/run.sh"
	status=$?
	say "" "All in all: $(minutes $(($(date +%s) - BEGIN))), the machine's start included."
	exit $status
}

choose_place() {
	case ${PLANNER:-student} in
	student | reactive) ;;
	*) die "PLANNER: '$PLANNER' is not accepted; student or reactive" ;;
	esac
	if [ "${DEMO_INSIDE:-}" = 1 ]; then
		natively || die "in the virtual machine: $WHY_NOT"
		settings vm
		say "" "In the virtual machine: Linux $(uname -r), cgroup v2, Docker $(docker version -f '{{.Server.Version}}')."
		return
	fi
	case ${VM:-} in '' | 0) ;; *) in_virtual_machine "VM=$VM asks for it" ;; esac
	natively || in_virtual_machine "$WHY_NOT"
	settings native
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		way="cgroup v2: limits are files that drpc writes"
	else
		way="hybrid cgroups: drpc changes limits by the engine's update call"
	fi
	say "The demo runs on this machine, natively (Linux $(uname -r), $way)."
	if [ "$ENGINE_STARTED" = 1 ]; then
		say "No container engine was running: Docker $(docker version -f '{{.Server.Version}}') was started for it, and goes afterwards."
	else
		say "It uses the engine that runs already, at $ENGINE_SOCKET. Containers of others are left alone."
	fi
}

host_state() {
	cat /proc/sys/net/ipv4/ip_forward
	for table in filter nat; do
		iptables -t $table -S 2>/dev/null | grep -E '^-P|DOCKER|docker0|br-[0-9a-f]{12}'
	done
}

# --- the story ---------------------------------------------------------------------------------------

show_services() {
	heading "1. Three services, under fixed limits"
	services_start
	limits_list >"$WORK/limits.before"
	say "$FRONT calls $FAST (2 ms of CPU a request), then $SLOW (6 ms, heavy-tailed)." \
		"Each has $DEMO_CPUS CPUs and $DEMO_MEMORY of memory, and an objective as a label: p99 under" \
		"$DEMO_SLO_FRONT for $FRONT, $DEMO_SLO_FAST for $FAST, $DEMO_SLO_SLOW for $SLOW."
	heading "2. What drpc may do on this machine"
	command_line "drpc doctor"
	"$BIN/drpc" doctor --color "$COLOR"
}

frame() { # SECOND RATE
	load_until "$1"
	note "
second $(($(date +%s) - LOAD_FROM)) of $DEMO_SECONDS, $2"
	"$BIN/drpc" top --once --color "$COLOR"
}

# What the agent itself says of who decides; the check tells whether it is who was asked for.
show_planner() {
	if [ "$PLANNER" = student ]; then
		say "" "Who decides is the student, a network of 743 numbers that has learned the rules' answers; the" \
			"rules step in where it fails. The agent says of it:"
		sed -n 's/^info agent: policy/  policy/p' "$WORK/agent.log"
	else
		say "" "Who decides are the rules, the planner 'reactive'."
	fi
}

# Whether every decision of all three came from the planner that was asked for.
decided_by() {
	for name in "$FRONT" "$FAST" "$SLOW"; do
		"$BIN/drpc" explain "$name" --json 2>/dev/null | awk -f demo/flatten.awk
	done | awk -v want="$PLANNER" '$1 ~ /\.planner$/ && $2 != "" { n++; if ($2 != want) other++ }
		END { exit !n || other }'
}

show_fixed() {
	heading "3. The load, under fixed limits: drpc looks on"
	say "$DEMO_LOW requests/s for $DEMO_BEFORE s, $DEMO_HIGH for $DEMO_PEAK s, $DEMO_LOW for $DEMO_AFTER s. The load runs; 3 s later drpc comes to it," \
		"in mode 'recommend': it measures and says what it would do, and writes nothing."
	phase_begin fixed
	load_until 3
	agent_start recommend
	agent_wait_attached
	say "" "drpc is attached. Connections that were open before it came:"
	sed -n 's/^info watch: [0-9a-f]*: \([0-9]* connections\).*/  \1/p' "$WORK/agent.log"
	show_planner
	command_line "drpc top --once"
	frame $((DEMO_BEFORE - 2)) "$DEMO_LOW requests/s"
	frame $((DEMO_BEFORE + DEMO_PEAK - 3)) "$DEMO_HIGH requests/s"
	phase_end fixed
	agent_stop || failed "the agent did not end by itself"
	limits_list >"$WORK/limits.looked"
}

show_drpc() {
	heading "4. The same load, under drpc"
	say "The same requests at the same times. drpc comes in mode 'act': each 200 ms it decides, and a" \
		"guard judges every decision before a limit is written. LIMIT tells CPUs and MiB, THR the share" \
		"of 100 ms periods in which a container had used its CPU up."
	phase_begin drpc
	load_until 3
	agent_start act
	agent_wait_attached
	command_line "drpc top --once"
	frame $((DEMO_BEFORE - 2)) "$DEMO_LOW requests/s, limits have come down"
	frame $((DEMO_BEFORE + 3)) "$DEMO_HIGH requests/s for 3 s"
	frame $((DEMO_BEFORE + DEMO_PEAK - 3)) "$DEMO_HIGH requests/s"
	frame $((DEMO_SECONDS - 8)) "$DEMO_LOW requests/s again"
	load_until $((DEMO_SECONDS - 5))
	heading "5. The latency of $FRONT, as its side of the sockets lives it"
	command_line "drpc hist $FRONT --since 60s"
	"$BIN/drpc" hist "$FRONT" --since 60s --color "$COLOR"
	"$BIN/drpc" hist "$FRONT" --since 60s --json | awk -f demo/flatten.awk >"$WORK/hist"
	heading "6. Why: the latest changes of $SLOW"
	command_line "drpc explain $SLOW --applied -n 3"
	"$BIN/drpc" explain "$SLOW" --applied -n 3 --color "$COLOR" | tee "$WORK/explain"
	ACTIONS=$(explained "$FRONT" "$FAST" "$SLOW")
	decided_by
	DECIDED_BY=$?
	phase_end drpc
	agent_stop
	AGENT_STOPPED=$?
	limits_list >"$WORK/limits.after"
}

show_table() {
	heading "7. Fixed limits and drpc side by side"
	for phase in fixed drpc; do
		awk -v seconds=$DEMO_SECONDS -f demo/facts.awk "$WORK/$phase.total" "$WORK/$phase.limits" \
			"$WORK/$phase.before" "$WORK/$phase.after" >"$WORK/$phase.facts"
	done
	OBJECTIVE=$(awk -f demo/flatten.awk "$WORK/drpc.load" | sed -n 's/^settings.slo_ms //p')
	awk -v names="$FRONT $FAST $SLOW" -v objective="$OBJECTIVE" -v good="$good" -v bad="$bad" \
		-v bold="$bold" -v plain="$plain" -f demo/table.awk "$WORK/fixed.facts" "$WORK/drpc.facts"
	say "" "Latency is the client's, from the moment a request was meant to be sent. Limits, use and" \
		"throttling come from the kernel's own files, once a second, over the whole load; the first" \
		"seconds of the right column, before drpc was there, are in it too."
}

fact() { # PHASE KEY
	sed -n "s/^$2 //p" "$WORK/$1.facts"
}

# compare TEXT CONDITION: a check of what requests went through. Where other work keeps the machine
# so busy that it is missed under fixed limits too, limits cannot be blamed.
compare() {
	if true_of "$2"; then
		passed "$1"
	elif true_of "$(fact fixed p99_ms) > $OBJECTIVE || $(fact drpc machine_busy) > 0.9"; then
		note "  -       $1: no, but other work keeps this machine too busy to tell"
	else
		failed "$1"
	fi
}

show_checks() {
	heading "8. Did it all happen, and is everything back?"
	requests=$(sed -n 's/^total.count //p' "$WORK/hist")
	check "the histogram of $FRONT is filled (${requests:-0} requests)" true_of "${requests:-0} > 0"
	check "looking on changed no limit" cmp -s "$WORK/limits.before" "$WORK/limits.looked"
	check "drpc changed limits ($ACTIONS times), and says why" \
		true_of "$ACTIONS > 0 && $(grep -c wanted "$WORK/explain") > 0"
	check "the planner '$PLANNER' took every decision" [ "$DECIDED_BY" = 0 ]
	compare "the objective is held under drpc: p99 within $DEMO_SLO_FRONT" \
		"$(fact drpc p99_ms) <= $OBJECTIVE"
	compare "no more requests failed than under fixed limits" \
		"$(fact drpc failed.total) <= $(fact fixed failed.total)"
	compare "on less CPU" "$(fact drpc cpu_limit) < $(fact fixed cpu_limit)"
	check "and less memory" true_of "$(fact drpc memory_limit) < $(fact fixed memory_limit)"
	check "the agent ended by itself" [ "$AGENT_STOPPED" = 0 ]
	check "all limits are back, by docker inspect and the kernel's files ($(grep -c . "$WORK/limits.before") of them)" \
		cmp -s "$WORK/limits.before" "$WORK/limits.after"
	cmp -s "$WORK/limits.before" "$WORK/limits.after" ||
		diff "$WORK/limits.before" "$WORK/limits.after" | cut -c1-200
	services_stop
	left=$(docker ps -aq --filter "name=^($FRONT|$FAST|$SLOW)\$"; docker network ls -q --filter "name=^$NETWORK\$")
	check "containers and network are gone" [ -z "$left" ]
	SERVICES='' NETWORK='' IMAGE=''
	[ "$ENGINE_STARTED" = 1 ] || return 0
	engine_stop
	host_state >"$WORK/host.after"
	check "the engine that was started is gone, firewall and ip_forward are as before" \
		cmp -s "$WORK/host.before" "$WORK/host.after"
}

main() {
	say_init
	[ -x "$BIN/drpc-agent" ] || die "build/release/drpc-agent is not there; run: make demo"
	trap cleanup EXIT
	trap 'interrupted 130' INT
	trap 'interrupted 143' TERM HUP
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/drpc-demo.XXXXXX") || exit 1
	DRPC_SOCKET=$WORK/agent.sock
	export DRPC_SOCKET
	host_state >"$WORK/host.before"
	choose_place
	show_services
	show_fixed
	show_drpc
	show_table
	show_checks
	if [ "$FAILURES" = 0 ]; then
		say "" "${good}All of it happened.$plain Time: $(minutes $(($(date +%s) - BEGIN)))."
		return 0
	fi
	say "" "$bad$FAILURES of it did not happen.$plain Time: $(minutes $(($(date +%s) - BEGIN)))."
	return 1
}

main
