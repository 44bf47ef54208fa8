#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where something is missing, in the way, hostile or gone: a visible state, no crash, no original lost
# and no limit outside the policy.
# timeout: 240
# kernels: 6.1
set -u
# shellcheck source=tests/lib/agent.sh
. "$(dirname "$(readlink -f "$0")")/../../lib/agent.sh"

# Acts within a second of its start on anything idle.
eager() { # NAME [LIFECYCLE: true|false]
	config "$1" <<-END
		mode: act
		window: 50ms
		control_interval: 50ms
		bpf: {latency: false, sched: false, memory: false, lifecycle: ${2:-false}, edges: false, cgroup_iter: false}
		defaults:
		  min-cpu: 20m
		  min-memory: 8Mi
		guard:
		  cut_interval: 0s
		  cut_after_raise: 0s
		  actions_per_minute: 1200
	END
}
changed() { # BEFORE CGROUP...
	local before=$1
	shift
	[ "$(limits "$@")" != "$before" ]
}
failing() {
	[[ $(status control.failed) == [1-9]* ]]
}

# --- a cgroup without the CPU controller ----------------------------------------------------------
root=$mount/drpc-e2e-nocpu
roots+=("$root")
mkdir "$root" && echo +memory >"$root/cgroup.subtree_control"
container a "" 300M 400M
inside a sleep 1000
before=$(limits a)
eager nocpu
agent_start nocpu --cgroup-root "$root"
nap 2
read_only_part=$(limits a | cut -d' ' -f1-3)
same "without cpu controller: there is none to write" "$read_only_part" "$(cut -d' ' -f1-3 <<<"$before")"
holds "without cpu controller: ls says so" "$(of a last_action)" 'cpu.*no such controller'
agent_end TERM
same "without cpu controller: the agent lives to its end" "$status" 0
same "without cpu controller: memory is what it was" "$(limits a)" "$before"

# --- a cgroup file system that cannot be written ---------------------------------------------------
cgroup_root trouble
container a "70000 100000" 300M 400M
container b
inside a sleep 1000
inside b sleep 1000
before=$(limits a b)
eager readonly
# shellcheck disable=SC2016 # for the shell in the other mount namespace
agent_wrap=(unshare -m sh -c 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"' "$mount")
agent_start readonly --cgroup-root "$root"
eventually $slow failing
check "read-only cgroups: the agent tries" "$? == 0"
holds "read-only cgroups: ls says why nothing is done" "$(of a last_action)" 'cannot act.*Read-only'
holds "read-only cgroups: the log says so, once a container" \
	"$(grep -c 'apply: limits of .*/a are left as they are' "$log")" '^1$'
same "read-only cgroups: nothing is written" "$(limits a b)" "$before"
same "read-only cgroups: nothing is on record" "$(records)" 0
agent_end TERM
same "read-only cgroups: the agent lives to its end" "$status" 0
agent_wrap=()

# --- a disk that is full under the journal --------------------------------------------------------
mkdir "$dir/tiny" && mount -t tmpfs -o size=64k tmpfs "$dir/tiny"
many=(a b)
# More than fits into what is left of the journal's first block.
for ((i = 0; i < 20; i++)); do
	container "many-$i"
	many+=("many-$i")
done
before=$(limits "${many[@]}")
fill() {
	dd if=/dev/zero of="$dir/tiny/fill" bs=1k 2>/dev/null
}
eager full
journal=$dir/tiny/journal
# The journal is begun while there is room, then the disk fills up before anything is to be recorded.
agent_start full --cgroup-root "$root" --journal "$journal" --mode off
agent_end TERM
fill
agent_begin full --cgroup-root "$root" --journal "$dir/tiny/journal"
journal=$dir/tiny/journal
eventually $((3 * slow)) failing
check "full disk: the agent tries" "$? == 0"
holds "full disk: ls says why nothing is done" "$(of a last_action)" 'cannot act.*journal'
holds "full disk: the log says why" "$(<"$log")" 'journal: cannot write .*No space left'
same "full disk: nothing is written" "$(limits "${many[@]}")" "$before"
rm "$dir/tiny/fill"
eventually $slow changed "$before" "${many[@]}"
check "full disk: once there is room, the agent goes on" "$? == 0 && $(records) >= 2"
fill
agent_end TERM
same "full disk: limits go back all the same" "$(limits "${many[@]}")" "$before"
rm -f "$dir/tiny/fill"
"$bin/drpc" restore --quiet --journal "$journal" >/dev/null
same "full disk: and again changes nothing" "$(limits "${many[@]}") $(records)" "$before 0"
rm -f "$journal"*
fill
agent_begin full --cgroup-root "$root" --journal "$journal"
journal=$dir/tiny/journal
eventually $((3 * slow)) failing
holds "no journal can be begun: the log says what follows" "$(<"$log")" 'nothing will be acted on'
holds "no journal can be begun: ls says why nothing is done" "$(of a last_action)" 'cannot act.*journal'
same "no journal can be begun: status tells" "$(status journal)" false
same "no journal can be begun: nothing is written" "$(limits "${many[@]}")" "$before"
agent_end TERM
umount "$dir/tiny"
for ((i = 0; i < 20; i++)); do rmdir "$root/many-$i"; done

# --- containers that come and go while they are acted on ------------------------------------------
before=$(limits a b)
eager churn true
agent_start churn --cgroup-root "$root"
gone=$("$probe" churn 6 12 "$root")
nap 1.5
mapfile -t seen < <(status control.applied control.failed containers)
note "$gone cgroups came and went, ${seen[0]} applied, ${seen[1]} failed"
check "churn: many came and went, and were acted on" "$gone > 100 && ${seen[0]} > 100"
check "churn: the agent runs, and forgot them" "${seen[0]} > 0 && ${seen[2]} == 2"
same "churn: records are of what is there" "$(grep '"op":"open"' "$journal" | grep -c '"cgroup":"[^"]*/churn-')" \
	"$(grep '"op":"close"' "$journal" | grep -c 'churn-')"
agent_end TERM
same "churn: the agent lives to its end" "$status" 0
same "churn: the others are as they were" "$(limits a b) $(records)" "$before 0"

# --- without BPF ----------------------------------------------------------------------------------
config nobpf <<-END
	mode: act
	defaults:
	  min-cpu: 50m
	guard:
	  cut_interval: 0s
END
container hungry "10000 100000"
inside hungry sh -c 'while :; do :; done'
all=(a b hungry)
before=$(limits "${all[@]}")
agent_wrap=(setpriv "--bounding-set=-bpf,-sys_admin,-perfmon")
agent_start nobpf --cgroup-root "$root"
check "no BPF: the agent runs" "$? == 0"
holds "no BPF: it says what that means" "$(<"$log")" 'no BPF program could be loaded.*limits follow CPU'
raised() {
	local line
	line=$(limits hungry)
	line=${line#* }
	[ "${line%% *}" != max ] && [ "${line%% *}" -gt 10000 ]
}
eventually $((2 * slow)) raised
check "no BPF: throttling alone raises a limit" "$? == 0"
same "no BPF: status says that the kernel measures nothing" "$(status kernel)" null
agent_end TERM
same "no BPF: limits are back" "$(limits "${all[@]}")" "$before"
agent_wrap=()
echo 1 >"$root/hungry/cgroup.kill"

# --- names ----------------------------------------------------------------------------------------
cgroup_root names
long=$(printf 'x%.0s' {1..200})
names=("${long}1" "${long}2" $'evil\e[31m\t"\\' $'evil\e[32m\t"\\' $'\xff\xfe' 'a b' '%s%n' "quo'te")
quota=30000
for n in "${names[@]}"; do
	container "$n" "$quota 100000" 300M 400M
	inside "$n" sleep 1000
	quota=$((quota + 10000))
done
before=$(limits "${names[@]}")
"$probe" watch 20 "$root/${long}1" "$root/${long}2" >"$dir/watch" &
pids+=($!)
eager names
agent_start names --cgroup-root "$root"
everyone() {
	[ "$(diff <(limits "${names[@]}") <(echo "$before") | grep -c '^<')" = ${#names[@]} ]
}
eventually $slow everyone
check "names: all are acted on, whatever they are called" "$? == 0"
same "names: what looks alike is kept apart" "$(drpc ls --json | "$probe" get '*.deployment' | sort -u | wc -l)" \
	${#names[@]}
same "names: no limit went up, as a stranger's would" "$(awk '{ k = substr($2, length($2)) }
	k in last && $3 > last[k] { print } { last[k] = $3 }' "$dir/watch")" ""
drpc ls --json >"$dir/ls.json"
drpc ls >"$dir/ls.text"
same "names: no control character comes out" \
	"$(LC_ALL=C grep -c $'[\x01-\x08\x0b-\x1f\x7f]' "$dir/ls.json" "$dir/ls.text" "$log" | cut -d: -f2 | sort -u)" 0
same "names: what comes out is UTF-8" "$(iconv -f UTF-8 -t UTF-8 "$dir/ls.json" "$log" >/dev/null && echo yes)" yes
agent_end KILL
"$bin/drpc" restore --quiet --journal "$journal" >/dev/null
same "names: the journal finds all of them" "$(limits "${names[@]}")" "$before"
finish
