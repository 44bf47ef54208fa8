#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every rung of the hook ladder that this kernel allows, forced: the same load gives the same counts.
# A kernel that allows none of those that are left still gets an agent, which says what is missing.
# timeout: 240
set -u
# shellcheck source=tests/lib/agent.sh
. "$(dirname "$(readlink -f "$0")")/../lib/agent.sh"

lowest="cgroup=probe reads,sched=sched_wakeup,lifecycle=cgroup_release,memory=mark_victim + exit"
# What does not depend on each other is forced together: starting takes its time.
forced=("" "latency=fexit,$lowest" "latency=first read")
rate=60
if [ $slow = 1 ]; then
	forced+=(latency=tp_btf)
	rate=300
fi

cgroup_root rungs
container back
container front
service back --cpu-ms 0.2 --workers 4 --response-bytes 20000
back=$port
service front --cpu-ms 0.2 --workers 4 --call "http://127.0.0.1:$back/"
front=$port

# rung NEED: what the agent says it uses for it, "" for none.
declare -A rungs why
ask_doctor() {
	local need rung reason
	rungs=() why=()
	api /v1/doctor >"$dir/doctor"
	while IFS='|' read -r need rung reason; do
		rungs[$need]=$rung why[$need]=$reason
	done < <(paste -d'|' <("$probe" get 'hooks.*.need' <"$dir/doctor") <("$probe" get 'hooks.*.rung' <"$dir/doctor") \
		<("$probe" get 'hooks.*.reason' <"$dir/doctor"))
}
# The need that a forced rung is of.
need_of() {
	case $1 in
	latency=first*) echo "accept wait" ;;
	latency=*) echo "application read" ;;
	cgroup=*) echo "cgroup counters" ;;
	sched=*) echo "run queue wait" ;;
	lifecycle=*) echo "container removed" ;;
	memory=*) echo "OOM kill" ;;
	esac
}
seen() {
	drpc ls --json | "$probe" get '*.name' | grep -q "/$1\$"
}
unseen() {
	! seen "$1"
}

for f in "${forced[@]}"; do
	agent_wrap=(env "DRPC_FORCE_RUNG=$f")
	name="rung ${f%%,*}"
	[ "$f" = "${f%%,*}" ] || name+=" and the lowest of all else"
	[ -n "$f" ] || name="best rungs"
	agent_start rungs --cgroup-root "$root" || {
		check "$name: the agent runs" 0
		continue
	}
	ask_doctor
	while IFS= read -r word; do
		need=$(need_of "$word") rung=${word#*=}
		[ -n "$word" ] || continue
		if [[ ${rungs[$need]:-} == *"$rung"* ]]; then
			same "$name: $need by ${rungs[$need]}" yes yes
		else
			skip "$name: $need by $rung" "not on this kernel: ${why[$need]:-no such need}"
		fi
	done < <(tr ',' '\n' <<<"$f")
	load rungs --rate "$rate@2s" -c 4 "http://127.0.0.1:$front/"
	# Meanwhile: lifecycle.
	container "late"
	eventually $((2 * slow)) seen late
	check "$name: a container that comes is seen" "$? == 0"
	rmdir "$root/late"
	eventually $((2 * slow)) unseen late
	check "$name: one that goes is forgotten" "$? == 0"
	wait "$load_pid"
	nap 0.6
	sent=$(loaded rungs total.ok)
	if [ -n "${rungs["application read"]:-}" ] && [ -n "${rungs["application wrote"]:-}" ]; then
		# A response still going out at the end of a window moves on to a higher bucket in the next: of
		# what was shown, nothing is taken back.
		more=$((rate / 10))
		for c in front back; do
			mapfile -t hist < <(drpc hist $c --json | "$probe" get count coverage total.count \
				queue.count service.count send.count errors)
			check "$name: $c: all $sent requests counted, in each phase" "$sent == 2 * $rate &&
				${hist[0]} == $sent && ${hist[2]} - $sent <= $more && ${hist[3]} == $sent &&
				${hist[4]} == $sent && ${hist[5]} - $sent <= $more && ${hist[6]} == 0 &&
				${hist[2]} >= $sent && ${hist[5]} >= $sent && ${hist[1]} == 1"
		done
	else
		mapfile -t hist < <(drpc hist front --json | "$probe" get count)
		check "$name: without latency nothing is counted" "${hist[0]} == 0"
		holds "$name: the log says what is not measured" "$(<"$log")" 'no request latency, no rates, no edges'
		mapfile -t row < <(of front rate_rps cpu_usage_cores)
		check "$name: CPU is measured all the same" "${row[1]} > 0"
	fi
	agent_end TERM
done
finish
