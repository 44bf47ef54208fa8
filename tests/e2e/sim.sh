#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# drpc-sim: every command on something small, from beginning to end; being killed and going on; and what
# is wrong with files, by name, line and rule, with nothing half-written.
# timeout: 120
set -u
top=$(dirname "$0")/../..
bin=${DRPC_BIN:-$top/build/release}
sim=$bin/drpc-sim
app=$top/deploy/apps/three-tier.yaml
dir=$(mktemp -d /tmp/drpc-e2e-sim.XXXXXX) || exit 1
number=0 child=''

cleanup() {
	[ -z "$child" ] || kill -KILL "$child" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT

ok() { # NAME STATUS
	number=$((number + 1))
	if [ "$2" = 0 ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		sed 's/^/  # /' "$dir/err" | tail -n 5
	fi
}
# run COMMAND OPTION...: output and complaints are kept; its status.
run() { "$sim" "$@" >"$dir/out" 2>"$dir/err"; }
# has KEY...: the output's JSON names all of them.
has() {
	local key
	for key in "$@"; do
		grep -q "\"$key\":" "$dir/out" || { echo "no \"$key\" in it" >"$dir/err"; return 1; }
	done
}
value() { grep -o "\"$1\": *[-0-9.e+]*" "${2:-$dir/out}" | head -n 1 | sed 's/.*: *//'; }
# refused TEXT COMMAND...: fails, and says so.
refused() {
	local text=$1
	shift
	run "$@" && { echo "was taken: $*" >"$dir/err"; return 1; }
	grep -qE -- "$text" "$dir/err"
}

fields="policy app trace seed requests success_rps failure_rate mean_ms p50_ms p66_ms p75_ms p80_ms p90_ms
	p95_ms p99_ms p9999_ms slo_violation_rate cpu_cores_mean memory_mib_mean replicas_mean oom_kills actions
	sim_seconds wall_seconds events cpu_hours memory_gib_hours decisions decision_cpu_us parameters"

# --- evaluate ------------------------------------------------------------------------------------
run check --app "$app" --rate 100
ok "check" $?
run evaluate --app "$app" --policy reactive --rate 50:150@20s --warmup 4 --seed 3 --json \
	--series "$dir/series.csv" --every 4 --histogram "$dir/hist.csv" && has $fields
ok "evaluate prints the fields that were promised" $?
cp "$dir/out" "$dir/first"
awk -F, 'NR > 1 { n += $3; seconds += $2; rows++ } END { exit !(rows == 4 && seconds == 16 && n == '"$(value requests)"') }' "$dir/series.csv"
ok "a series' lines add up to the result" $?
awk -F, -v p50="$(value p50_ms)" 'NR > 1 && $3 <= 0.5 { low = $1 } NR > 1 { n += $2; last = $3 }
	END { exit !(last == 1 && n > 0 && low <= p50 * 1.02 && low >= p50 * 0.9) }' "$dir/hist.csv"
ok "a histogram's median is the result's" $?
run evaluate --app "$app" --policy reactive --rate 50:150@20s --warmup 4 --seed 3 --json
[ "$(grep -vE 'wall_seconds|process_mib|decision_cpu' "$dir/out")" = "$(grep -vE 'wall_seconds|process_mib|decision_cpu' "$dir/first")" ]
ok "the same seed gives the same run, watched or not" $?
refused 'warmup' evaluate --app "$app" --rate 10@5s --warmup 9 --series "$dir/none.csv" && [ ! -e "$dir/none.csv" ] && [ ! -e "$dir/none.csv.part" ]
ok "a run that is refused leaves no series" $?

# --- train and its policies ----------------------------------------------------------------------
mkdir -p "$dir/models"
train=(train --app "$app" --out "$dir/models/three-tier" --seed 7 --jobs 2 --set interval=5 --set steps=6 --set random=4
	--set warm=0 --set batch=8 --set choose-every=1 --set choose-traces=1 --set choose-seconds=30 --judge-traces 1
	--judge-seconds 30)
run "${train[@]}" --episodes 8 --no-students --json && has converged_episode wall_seconds scores held_out
ok "train" $?
cp "$dir/models/three-tier/teacher.td3" "$dir/whole.td3"
rm -r "$dir/models/three-tier"
run "${train[@]}" --episodes 4 --no-students && run "${train[@]}" --episodes 8 --no-students --resume &&
	cmp "$dir/whole.td3" "$dir/models/three-tier/teacher.td3" 2>>"$dir/err"
ok "a training that goes on ends as one that was never cut" $?
refused 'settings|seed' train --app "$app" --out "$dir/models/three-tier" --seed 8 --resume --episodes 8
ok "a folder of other settings is not gone on with" $?
run evaluate --app "$app" --policy teacher --model "$dir/models/three-tier/teacher.td3" --rate 50@20s --json \
	--param forecast=0 && [ "$(value parameters)" -gt 1000 ] && [ "$(value decisions)" -gt 0 ]
ok "the teacher is a policy" $?
run evaluate --app "$app" --policy teacher --model "$dir/models/three-tier/teacher.td3" --rate 50@20s --json \
	--param weight-only=1 && moved=$(value cpu_cores_mean) && run evaluate --app "$app" --policy static --rate 50@20s --json &&
	[ "$moved" = "$(value cpu_cores_mean)" ]
ok "cpu.weight alone leaves the limits" $?

# --- tune and compare ----------------------------------------------------------------------------
run tune --app "$app" --models "$dir/models" --policies coscal --episodes 1 --seconds 20
ok "tune" $?
# shellcheck disable=SC2054 # the commas belong to one word
compare=(compare --app "$app" --suite held-out --seeds 2 --seconds 12 --policies static,kuscal,teacher,coscal --models "$dir/models"
	--results "$dir/results.jsonl" --json)
run "${compare[@]}" && has $fields && [ "$(grep -c '"policy":' "$dir/out")" = 40 ]
ok "compare: each policy, trace and seed" $?
grep -v '"wall_seconds"' "$dir/out" >"$dir/all"
run "${compare[@]}" && [ "$(grep -v '"wall_seconds"' "$dir/out")" = "$(cat "$dir/all")" ] && [ "$(wc -l <"$dir/results.jsonl")" = 40 ]
ok "what was compared is not run again" $?
rm "$dir/results.jsonl"
"$sim" "${compare[@]}" >/dev/null 2>&1 &
child=$!
for _ in $(seq 100); do
	[ "$(wc -l 2>/dev/null <"$dir/results.jsonl" || echo 0)" -ge 3 ] && break
	sleep 0.05
done
kill -KILL "$child" && wait "$child" 2>/dev/null
child=''
printf '{"key": "0123456789abcdef", "resu' >>"$dir/results.jsonl"
sleep 0.5
run "${compare[@]}" && [ "$(grep -cE '"policy":' "$dir/out")" = 40 ] &&
	[ "$(grep -vE 'wall|process|decision_cpu' "$dir/out")" = "$(grep -vE 'wall|process|decision_cpu' "$dir/all")" ]
ok "killed, with a line cut short, it goes on to the same results" $?
refused 'firm.*not trained' compare --app "$app" --suite held-out --policies firm --models "$dir/models" --results "$dir/r2"
ok "a policy that nobody trained is named" $?

# --- traces, history, forecasts ------------------------------------------------------------------
run generate --kind bursty --duration 60 --rate 80 --seed 5 --rates && [ "$(wc -l <"$dir/out")" = 60 ]
ok "generate" $?
cp "$dir/out" "$dir/rates.txt"
run evaluate --app "$app" --trace "$dir/rates.txt" --json && has requests
ok "a generated trace is played" $?
run generate --services 40 && cp "$dir/out" "$dir/many.yaml" && run check --app "$dir/many.yaml" --rate 40 &&
	run evaluate --app "$dir/many.yaml" --rate 40@5s --json && [ "$(value failure_rate | cut -c1-4)" = 0 ]
ok "an application of many services is valid and runs" $?
{
	echo 't_s,cpu_percent,mem_percent'
	for i in $(seq 0 399); do
		[ "$i" = 100 ] || [ "$i" = 101 ] || awk -v i="$i" 'BEGIN { printf "%d,%.2f,50\n", i * 300, 40 + 30 * sin(i / 20) + i % 7 }'
	done
} >"$dir/machine.csv"
run import --data "$dir/machine.csv" --history "$dir/h.db" && grep -q '398 rows' "$dir/out" && grep -q '1 gaps, 2 points' "$dir/out"
ok "import reports the gap" $?
run import --data "$dir/machine.csv" --history "$dir/h.db" && grep -q ' 0 values added' "$dir/out"
ok "what is there already is not added again" $?
printf 'clients,cpu\n10,5\n20,11\n40,22\n80,41\n160,80\n' >"$dir/profile.csv"
run generate --history "$dir/h.db" --profile "$dir/profile.csv" --speed 300 --rates &&
	awk '{ if ($1 < 10 || $1 > 160) exit 1 } END { exit NR < 390 }' "$dir/out" && grep -q '1 gaps in which 2' "$dir/err"
ok "a machine's history becomes load by its profile" $?
run forecast --data "$dir/h.db" --model gru --json && has model data horizons_min mse_fraction mse_minmax persistence_fraction \
	persistence_minmax seasonal_fraction ridge_fraction
ok "forecast from the history" $?

# --- what is wrong with files --------------------------------------------------------------------
head='name: t\nslo-p99: 1s\ncluster: {nodes: [{cpu: 8, memory: 8Gi}]}\nservices:\n'
# wrong NAME RULE TEXT: an application with a mistake is refused with file, line and rule.
wrong() {
	printf "$head$3" >"$dir/wrong.yaml"
	refused "wrong.yaml:[0-9]+: .*($2)" check --app "$dir/wrong.yaml"
	ok "$1" $?
}
wrong "a cycle" 'cycle|circle|itself|again' '  a: {operations: {x: [call: b.y]}}\n  b: {operations: {y: [call: a.x]}}\nrequests: {all: {to: a.x}}\n'
wrong "an unknown callee" 'no.*(service|operation|such)|unknown|there is no' '  a: {operations: {x: [call: b.y]}}\nrequests: {all: {to: a.x}}\n'
wrong "no capacity" 'cpu' '  a: {cpu: 0, operations: {x: [cpu: 1ms]}}\nrequests: {all: {to: a.x}}\n'
wrong "an unknown key" 'colour' '  a: {colour: red, operations: {x: [cpu: 1ms]}}\nrequests: {all: {to: a.x}}\n'
printf '10\n20\n-3\n' >"$dir/bad.txt"
refused 'bad.txt:3' evaluate --app "$app" --trace "$dir/bad.txt" --json && [ ! -s "$dir/out" ]
ok "a negative rate, by file and line" $?
printf '10\nmany\n' >"$dir/bad.txt"
refused 'bad.txt:2' evaluate --app "$app" --trace "$dir/bad.txt" --json && [ ! -s "$dir/out" ]
ok "a rate that is no number" $?
for bad in '600,41,50,9:columns' '600,-4,50:number' '600,forty,50:number'; do
	{ head -n 3 "$dir/machine.csv"; echo "${bad%%:*}"; } >"$dir/bad.csv"
	rm -f "$dir/bad.db"
	refused 'bad.csv:4' import --data "$dir/bad.csv" --history "$dir/bad.db"
	status=$?
	! run generate --history "$dir/bad.db" --rate 10
	ok "a trace with '${bad%%:*}' is refused whole" $((status + $?))
done
printf 'load,use\n1,2\n3,x\n' >"$dir/bad.csv"
refused 'bad.csv:3' generate --history "$dir/h.db" --profile "$dir/bad.csv"
ok "a profile's line that is no point" $?
echo "1..$number"
