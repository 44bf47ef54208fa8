#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# All policies on the held-out traces and on the paper's ramp: latency, failures, cost, spread over
# seeds, parameters and decision time.
# shellcheck disable=SC2046
# shellcheck source=evaluation/lib.sh
. "$(dirname "$0")/lib.sh"

plan() {
	local p suite program
	program=$(digest "$bin/drpc-sim" | cut -c1-12)
	for p in $(runnable $policies); do
		for suite in held-out paper; do
			reads=$(model_of "$p") piece "$suite-$p" \
				$((seeds * held_out_s / $([ $suite = paper ] && echo 300 || echo 75))) \
				"$bin/drpc-sim" compare --app "$app" --suite "$suite" --policies "$p" \
				--models "$models" --seeds "$seeds" --seconds "$held_out_s" --jobs 1 --json \
				--results "$work/compare-$program.jsonl"
		done
	done
}

# A row a policy: means over seeds of means over traces, and the deviation over seeds.
summary='map(.[]) | by_policy | map(
	.[0].policy as $p | ($p | title) as $name
	| def m(f): of_seeds(f) | mean; def s(f): of_seeds(f) | sd;
	{key: $p, value: {name: $name, parameters: .[0].parameters,
		mean: m(.mean_ms), mean_sd: s(.mean_ms), p99: m(.p99_ms), p99_sd: s(.p99_ms),
		failed: m(.failure_rate), failed_sd: s(.failure_rate),
		missed: m(.slo_violation_rate), missed_sd: s(.slo_violation_rate),
		rps: m(.success_rps), cores: m(.cpu_cores_mean), cores_sd: s(.cpu_cores_mean),
		gib: (m(.memory_mib_mean) / 1024), gib_sd: (s(.memory_mib_mean) / 1024),
		cpu: (m(.cpu_used_cores_mean) / m(.cpu_cores_mean)),
		memory: (m(.memory_used_mib_mean) / m(.memory_mib_mean)),
		kills: (map(.oom_kills) | mean), actions: m(.actions),
		interval: (map(select(.decisions > 0) | .sim_seconds / .decisions) | mean),
		decision: (map(.decision_cpu_us | select(. != null)) | mean)}}) | from_entries'

# boxes SUITE FIELD TITLE: who spreads how far, over traces and seeds.
boxes() {
	local p n=0 list=''
	for p in $policies; do
		done_piece "$1-$p" || continue
		n=$((n + 1))
		q "map(.[]) | .[] | $2" -s "$pieces/$1-$p.out" >"$work/box-$1-$p.dat"
		list="$list${list:+, }'$work/box-$1-$p.dat' using ($n):1 with boxplot lc rgb '$(colour "$p")' notitle"
		list="$list, '' using ($n + 0.32 * (rand(0) - 0.5)):1 with points pt 7 ps 0.4 lc rgb '#44000000' notitle"
	done
	[ $n -gt 0 ] || return
	plot "$1" 860 420 <<-EOF
		set logscale y
		set ylabel '$3'
		set style fill solid 0.35
		set style boxplot nooutliers
		set boxwidth 0.6
		set xrange [0.4:$n.6]
		set xtics ($(n=0; for p in $policies; do done_piece "$1-$p" || continue
			n=$((n + 1)); printf "%s'%s' %d" "$([ $n = 1 ] || echo ', ')" "$(label "$p")" $n; done)) font ',11' rotate by -20
		plot $list
	EOF
}

draw() {
	local suite files services
	services=$("$bin/drpc-sim" check --app "$app" --rate 1 | sed -n 's/^[^:]*: \([0-9]*\) services,.*/\1/p')
	for suite in held-out paper; do
		files=$(for p in $policies; do done_piece "$suite-$p" && echo "$pieces/$suite-$p.out"; done)
		[ -n "$files" ] || continue
		q "$summary" -s $files >"$data/$suite.json"
		q '[.[] | [.name, "\(.mean | fixed(1)) ± \(.mean_sd | fixed(1))", "\(.p99 | fixed(0)) ± \(.p99_sd | fixed(0))",
			"\(.failed | percent(3)) ± \(.failed_sd | percent(3))", (.missed | percent(3)), (.rps | fixed(1))]]
			| table(["policy", "mean, ms", "p99, ms", "failed, %", "late or failed, %", "answered/s"])' \
			-r "$data/$suite.json" >"$parts/$suite.md"
		q '[.[] | [.name, "\(.cores | fixed(2)) ± \(.cores_sd | fixed(2))", (.cpu | percent(1)),
			"\(.gib | fixed(2)) ± \(.gib_sd | fixed(2))", (.memory | percent(1)), (.kills | fixed(1)),
			(.missed | percent(3)), (.actions | fixed(0))]]
			| table(["policy", "CPU-hours an hour", "CPU used, %", "GiB-hours an hour", "memory used, %", "OOM kills a run", "late or failed, %", "actions a run"])' \
			-r "$data/$suite.json" >"$parts/cost-$suite.md"
	done
	fact held.seconds "$((held_out_s - 300))"
	files=$(for p in $policies; do done_piece "held-out-$p" && echo "$pieces/held-out-$p.out"; done)
	q 'map(.[]) as $all | $all | group_by(.trace) | map([(.[0].trace | sub("held-out-"; ""))]
		+ (by_policy | map("\(map(.mean_ms) | mean | fixed(0)) / \(map(.slo_violation_rate) | mean | percent(2))"))) as $rows
		| ($all | by_policy | map(.[0].policy | title)) as $names | $rows | table(["trace"] + $names)' \
		-r -s $files >"$parts/traces.md"
	q '[.[] | select(.decision != null) | [.name, (if .parameters > 0 then .parameters else "–" end), (.interval | short), (.decision | fixed(1)),
		(.decision / $n | fixed(2))]]
		| table(["policy", "parameters of a decider", "decides each, s", "CPU time of a decision for all \($n) services, µs", "a service, µs"])' \
		-r --argjson n "${services:-1}" "$data/held-out.json" >"$parts/decisions.md"
	boxes held-out .mean_ms 'mean response time of a run, ms'
	boxes paper .p99_ms 'p99 of a run on the ramp, ms'
	q 'to_entries[] | .key as $p | .value | to_entries[] | select(.value != null) | "held.\($p).\(.key)\t" +
		(if .key == "name" then .value elif (.key | test("^(failed|missed|cpu|memory)(_sd)?$")) then .value | percent(3)
		 else .value | short end)' -r "$data/held-out.json" >>"$work/facts"
	q 'to_entries[] | .key as $p | .value | to_entries[] | select(.value != null) | "ramp.\($p).\(.key)\t" +
		(if .key == "name" then .value elif (.key | test("^(failed|missed|cpu|memory)(_sd)?$")) then .value | percent(3)
		 else .value | short end)' -r "$data/paper.json" >>"$work/facts"
}

"$1"
