#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The evaluation: runs what is not there yet, on all processors, and writes the report.
#
#   make reproduce              docs/evaluation.md and docs/evaluation/*.svg
#   make reproduce QUICK=1      in minutes, into build/reproduce/quick
#
# Variables: APP, MODELS (deploy/models), SEEDS, JOBS; TRACE, MACHINE, PROFILE: the load of Fig. 3 from a file
# or a history database; SERIES: what Table 2 forecasts. What is finished is kept under build/reproduce and
# not done again unless the program, the command or a file that it reads changes.
# shellcheck disable=SC2046
# shellcheck source=evaluation/lib.sh
. "$(dirname "$0")/lib.sh"

figures=${FIGURES:-"speed heldout fig1 fig3 fig4b learning table2 scale goals"}
jobs=${JOBS:-$(nproc)}
[ -z "$quick" ] && out=$top/docs || out=$work

die() {
	echo "reproduce: $*" >&2
	exit 1
}

for tool in jq gnuplot sha256sum; do
	command -v $tool >/dev/null || die "$tool is missing: mk/deps.sh evaluation"
done
[ -x "$bin/drpc-sim" ] || die "$bin/drpc-sim is missing: make"
exec 9>"$work/lock"
flock -n 9 || die "another run is at work in $work"

# Runs the queue, the heaviest first, so many at the same time; shows how far it is.
run_queue() { # JOBS
	local total done=0 begin=$SECONDS weight name key command running=0 left
	[ -s "$work/queue" ] || return 0
	total=$(awk -F'\t' '{ s += $1 } END { print s }' "$work/queue")
	sort -t "$(printf '\t')" -k1,1gr "$work/queue" >"$work/sorted"
	tell() {
		left=$(awk -v d="$done" -v t="$total" -v s=$((SECONDS - begin)) 'BEGIN { printf "%.0f", d ? s * (t / d - 1) : 0 }')
		printf '%s  %3.0f %%, %d s so far, about %d s to go   %s\n' "$(date +%T)" \
			"$(awk -v d="$done" -v t="$total" 'BEGIN { print 100 * d / t }')" $((SECONDS - begin)) "$left" "$1" >&2
	}
	declare -A weights=() names=()
	local pid
	reap() {
		wait -n -p pid
		running=$((running - 1))
		done=$(awk -v a="$done" -v b="${weights[$pid]}" 'BEGIN { print a + b }')
		tell "${names[$pid]}"
	}
	while IFS=$'\t' read -r weight name key command <&3; do
		while [ $running -ge "$1" ]; do reap; done
		run_piece "$name" "$key" "$command" 3<&- &
		weights[$!]=$weight
		names[$!]=$name
		running=$((running + 1))
	done 3<"$work/sorted"
	while [ $running -gt 0 ]; do reap; done
}

plan_all() { # WHAT
	local f
	: >"$work/queue"
	for f in $figures; do
		grep -q "^$1()" "$here/$f.sh" && "$here/$f.sh" "$1"
	done
}

# Children end with this script; what they had not finished is begun again the next time.
stop() {
	local children
	trap '' INT TERM
	children=$(jobs -p)
	# The programs below the pieces' shells first.
	for child in $children; do pkill -TERM -P "$child"; done
	kill $children
	exit 130
} 2>/dev/null
trap stop INT TERM

begin=$SECONDS
rm -f "$work/wanted" "$work/failed" "$work/facts"
plan_all alone
run_queue 1
plan_all plan
echo "reproduce: $(wc -l <"$work/queue") of $(wc -l <"$work/wanted") pieces to run, $jobs at the same time" >&2
run_queue "$jobs"
plan_all after
run_queue "$jobs"
seconds=$((SECONDS - begin))
# What all pieces took, also those of runs before this one.
spent=$(sort -u "$work/wanted" | while read -r name; do cat "$pieces/$name.seconds" 2>/dev/null; done | awk '{ s += $1 } END { print s + 0 }')

for f in $figures; do
	"$here/$f.sh" draw || echo "$f: could not be drawn" >>"$work/failed"
done

{
	printf 'run.version\t%s\n' "$(cat VERSION)$(git describe --always --dirty=+ 2>/dev/null | sed 's/^/, /')"
	printf 'run.seconds\t%s\n' "$seconds"
	printf 'run.minutes\t%s\n' "$(awk -v s="$spent" -v j="$jobs" 'BEGIN { printf "%.0f", s / 60 / j }')"
	printf 'run.jobs\t%s\n' "$jobs"
	printf 'run.seeds\t%s\n' "$seeds"
	printf 'run.processor\t%s\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores"
	printf 'run.missing\t%s\n' "$(for p in $policies; do model_of "$p" >/dev/null || printf '%s ' "$p"; done | awk '{ sub(/ $/, ""); print } END { if (!NR) print "none" }')"
	printf 'run.kind\t%s\n' "$([ -n "$quick" ] && echo "a quick run, too short to judge by" || echo "a full run")"
	printf 'run.command\t%s\n' "make reproduce${quick:+ QUICK=1}${TRACE:+ TRACE=$(basename "$trace")}${SERIES:+ SERIES=\"$(for s in $series; do basename "$s"; done | paste -sd " ")\"}"
} >>"$work/facts"

# The template: {{KEY}} is a fact, a line @PART@ a part, a line that names what is missing stays away.
awk -v facts="$work/facts" -v parts="$parts" -F'\t' '
	BEGIN { while ((getline line <facts) > 0) { i = index(line, "\t"); value[substr(line, 1, i - 1)] = substr(line, i + 1) } }
	/^@[a-z0-9-]+@$/ { file = parts "/" substr($0, 2, length($0) - 2) ".md"; n = 0
		while ((getline line <file) > 0) { print line; n++ }
		if (!n) print "*not measured in this run*"; close(file); next }
	{ text = $0; result = ""
	  while (match(text, /\{\{[A-Za-z0-9._-]+\}\}/)) { key = substr(text, RSTART + 2, RLENGTH - 4)
		result = result substr(text, 1, RSTART - 1) (key in value ? value[key] : "–")
		text = substr(text, RSTART + RLENGTH) }
	  print result text }' "$here/report.md.in" >"$work/evaluation.md"

if [ -s "$work/failed" ]; then
	sed 's/^/reproduce: failed: /' "$work/failed" >&2
	die "$(wc -l <"$work/failed") pieces failed, the report is not complete ($work/evaluation.md); logs are in $pieces"
fi
if [ -z "$quick" ]; then
	mkdir -p "$out/evaluation"
	rm -f "$out/evaluation"/*.svg
	cp "$plots"/*.svg "$out/evaluation/"
	cp "$work/evaluation.md" "$out/evaluation.md"
fi
echo "reproduce: $out/evaluation.md, $seconds s" >&2
