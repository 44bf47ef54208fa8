# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the end-to-end scripts of the agent share: TAP, containers made of plain cgroups, services and
# load in them, agents with folders of their own. To be sourced by bash from any folder.
#
# On an emulated machine every program that is started costs a tenth of a second: what is asked often
# is asked by builtins or by tests/lib/probe.c.

bin=${DRPC_BIN:-$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../build/release}
bin=$(readlink -f "$bin")
probe=$bin/tests/probe
dir=$(mktemp -d "${TMPDIR:-/tmp}/drpc-agent.XXXXXX") || exit 1
mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
# How much longer than on real hardware things may take: the virtual machine is emulated.
slow=1
[ "${DRPC_VM:-}" != 1 ] || slow=10
number=0 pids=() roots=()
exec {never}<> <(:)

# An agent for the whole machine allows none beside it: wait for one of a moment's.
if ! flock -s -w $((30 * slow)) "$mount" true; then
	echo "1..0 # SKIP another agent acts on all of this machine"
	exit 0
fi

# --- TAP ------------------------------------------------------------------------------------------
# check NAME CONDITION: an arithmetic condition of awk, with the values filled in.
check() {
	number=$((number + 1))
	if [ "$(awk "BEGIN { print (($2) ? 1 : 0) }" 2>/dev/null)" = 1 ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		echo "  # wanted: $2"
		return 1
	fi
}
# same NAME GOT WANTED: two texts.
same() {
	number=$((number + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		diff <(echo "$3") <(echo "$2") | sed 's/^/  # /'
		return 1
	fi
}
# holds NAME TEXT PATTERN: whether an extended regular expression fits.
holds() {
	number=$((number + 1))
	if [[ $2 =~ $3 ]]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		echo "  # wanted: $3"
		echo "  # in: ${2:-nothing}" | head -n 20
		return 1
	fi
}
skip() { # NAME REASON
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}
note() {
	echo "# $*"
}
# finish: the plan, at the end of every script.
finish() {
	echo "1..$number"
}

# --- time -----------------------------------------------------------------------------------------
nap() { # SECONDS, without starting a program
	read -rt "$1" -u "$never" || true
}
now_ms() {
	local us=${EPOCHREALTIME//[.,]/}
	echo $((us / 1000))
}
# eventually SECONDS COMMAND...: until it succeeds; 1 where it never does.
eventually() {
	local until=$(($(now_ms) + $1 * 1000))
	shift
	until "$@"; do
		[ "$(now_ms)" -lt "$until" ] || return 1
		nap 0.1
	done
}

# waited_us: how long some task of this machine has waited for a CPU so far, throttled ones aside.
waited_us() {
	local some
	read -r some </proc/pressure/cpu
	echo "${some##*total=}"
}
# starved WAITED MS: whether that was more than half of the time since: the load then competes with
# others for the CPU, and no limit can mend that.
starved() {
	[ "$slow" = 1 ] && [ $(($(waited_us) - $1)) -gt $((500 * $2)) ]
}

# --- cgroups --------------------------------------------------------------------------------------
# cgroup_root NAME: a subtree for one agent and its containers; sets root.
cgroup_root() {
	root=$mount/drpc-e2e-$1
	mkdir -p "$root" || return
	roots+=("$root")
	echo "+cpu +memory" >"$root/cgroup.subtree_control" 2>/dev/null || true
}
# container NAME [CPU.MAX [MEMORY.HIGH [MEMORY.MAX]]]: one in $root, with limits where there are any.
container() {
	mkdir -p "$root/$1" || return
	[ ! -e "$root/$1/cpu.max" ] || [ -z "${2:-}" ] || echo "$2" >"$root/$1/cpu.max"
	[ ! -e "$root/$1/memory.max" ] || {
		[ -z "${3:-}" ] || echo "$3" >"$root/$1/memory.high"
		[ -z "${4:-}" ] || echo "$4" >"$root/$1/memory.max"
	}
}
# inside CGROUP COMMAND...: start a program in it, in the background; sets pid.
inside() {
	local cgroup=$1
	shift
	(
		echo 0 >"$root/$cgroup/cgroup.procs" && exec "$@"
	) &
	pid=$!
	pids+=("$pid")
}
limits() { # CGROUP...: one line each
	local c paths=()
	for c in "$@"; do
		paths+=("$root/$c")
	done
	"$probe" limits "${paths[@]}"
}
# cgroup_remove ROOT: whatever runs in it ends.
cgroup_remove() {
	local tries
	[ -d "$1" ] || return 0
	[ ! -e "$1/cgroup.kill" ] || echo 1 >"$1/cgroup.kill"
	for ((tries = 0; tries < 10; tries++)); do
		# A cgroup is busy until the last process was reaped.
		find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
		[ -d "$1" ] || return 0
		nap 0.2
	done
}

# --- services and load ----------------------------------------------------------------------------
# service CGROUP OPTION...: drpc-testbed in a container; sets pid and port.
service() {
	local name=$1 i
	shift
	: >"$dir/$name.service"
	inside "$name" "$bin/drpc-testbed" --listen 127.0.0.1:0 "$@" 2>"$dir/$name.service"
	for ((i = 0; i < 100 * slow; i++)); do
		port=$(sed -n 's/.*listening on port \([0-9]*\).*/\1/p' "$dir/$name.service")
		[ -z "$port" ] || return 0
		nap 0.05
	done
	note "service $name did not start: $(cat "$dir/$name.service")"
	port=1
}
# load NAME OPTION...: drpc-load in the background, its JSON goes to $dir/NAME.load; sets load_pid.
load() {
	local name=$1
	shift
	"$bin/drpc-load" --json "$@" >"$dir/$name.load" 2>"$dir/$name.load.err" &
	load_pid=$!
	pids+=("$load_pid")
}
loaded() { # NAME PATH...: figures of a load that has ended
	local name=$1
	shift
	"$probe" get "$@" <"$dir/$name.load"
}

# --- agents ---------------------------------------------------------------------------------------
# config NAME: settings from stdin, for the agent of that name.
config() {
	cat >"$dir/$1.yaml"
}
# agent_begin NAME [OPTION...]: start it; sets agent (pid), socket, journal, log. Without `--engine` it
# looks for none: containers of others on this machine are not ours to test with.
agent_begin() {
	local name=$1 options=()
	shift
	socket=$dir/$name.sock journal=$dir/$name.journal log=$dir/$name.log
	[ ! -e "$dir/$name.yaml" ] || options+=(--config "$dir/$name.yaml")
	: >"$log"
	"${agent_wrap[@]}" "$bin/drpc-agent" "${options[@]}" --engine none --socket "$socket" \
		--journal "$journal" "$@" 2>"$log" &
	agent=$!
	pids+=("$agent")
}
agent_wrap=()
agent_runs() {
	[[ $(<"$log") == *"agent: "*" mode, planner "* ]]
}
agent_ready_or_gone() {
	agent_runs || ! kill -0 "$agent" 2>/dev/null
}
# agent_start NAME [OPTION...]: and wait until it works; 1 where it does not.
agent_start() {
	agent_begin "$@"
	eventually $((6 * slow)) agent_ready_or_gone && agent_runs && return
	note "agent $1 does not run: $(tail -n 5 "$log")"
	return 1
}
# agent_end SIGNAL: sets status.
agent_end() {
	kill "-$1" "$agent" 2>/dev/null
	# shellcheck disable=SC2034 # for the caller
	status=0
	# shellcheck disable=SC2034 # as above
	{ wait "$agent" || status=$?; } 2>/dev/null
}
# drpc COMMAND...: the client, at the agent that was started last.
drpc() {
	"$bin/drpc" "$@" --socket "$socket"
}
api() { # PATH [CURL OPTION...]
	local path=$1
	shift
	curl -s --max-time $((3 * slow)) --unix-socket "$socket" "$@" "http://drpc$path"
}
# status PATH...: values of /v1/status
status() {
	api /v1/status | "$probe" get "$@"
}
# of CONTAINER FIELD...: fields of `drpc ls --json` for one container, one a line.
of() {
	local name=$1 i=0 n
	shift
	drpc ls --json >"$dir/ls"
	while read -r n; do
		if [ "${n##*/}" = "$name" ]; then
			"$probe" get "${@/#/$i.}" <"$dir/ls"
			return
		fi
		i=$((i + 1))
	done < <("$probe" get '*.name' <"$dir/ls")
	return 1
}
# records: lines of the journal behind its header. None are left once every limit is back.
records() {
	local lines=()
	[ ! -e "$journal" ] || mapfile -t lines <"$journal"
	echo $((${#lines[@]} > 0 ? ${#lines[@]} - 1 : 0))
}

cleanup() {
	local p r
	# Not what is killed on purpose.
	exec 2>/dev/null
	for p in "${pids[@]}"; do
		kill -CONT "$p" && kill -KILL "$p"
	done
	for r in "${roots[@]}"; do
		cgroup_remove "$r"
	done
	# Not for an engine that the script started: it ends later.
	[ ${#pids[@]} = 0 ] || wait "${pids[@]}"
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
