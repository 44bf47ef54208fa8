#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fig. 4c: how the shipped teacher converged; ablations of training, each trained alike from one seed; and
# of what is done at run time, with the shipped students.
# shellcheck disable=SC2046
# shellcheck source=evaluation/lib.sh
. "$(dirname "$0")/lib.sh"

progress=$models/$app_name/progress.json
# In a quick run looks at checkpoints and judging are short as well.
judge_traces=5 judge_s=600
[ -z "$quick" ] || judge_traces=2 judge_s=150
brief="--judge-traces $judge_traces --judge-seconds $judge_s ${quick:+--set choose-traces=1 --set choose-seconds=100}"
# name: settings that differ from the base
ablations="base
reward-exponent-1:--set learn-exponent=1 --set exponent=1
reward-exponent-2:--set learn-exponent=2 --set exponent=2
no-target-smoothing:--set policy-noise=0
node-profile:--profile node
joint:--teacher joint
no-predictor:--set blind=1
no-warm-start:--set warm=0"
runtime="forecast-off:--param forecast=0
weight-only:--param weight-only=1"

plan() {
	local name options seed
	while IFS=: read -r name options; do
		piece "learn-$name" $((episodes * 5)) evaluation/train.sh "$work/train-$name" "$bin/drpc-sim" train --app "$app" \
			--out "$work/train-$name" --no-students --jobs 1 --episodes "$episodes" --seed 1 --set choose-every=2 \
			--set explore-over="$episodes" $brief --json $options
	done <<<"$ablations"
	while IFS=: read -r name options; do
		for seed in $(seed_list); do
			evaluate "runtime-$name-$seed" 6 drpc --rate "200@360s,200:800@60s,800@${ramp_after}s" \
				--warmup 300 --seed "$seed" $options
		done
	done <<<"$runtime"
}

title() {
	case $1 in
	base) echo "as shipped (pooled, paper profile, cube, smoothing, forecast)" ;;
	reward-exponent-1) echo "exponent 1 in the reward" ;;
	reward-exponent-2) echo "exponent 2 (the authors’ code)" ;;
	no-target-smoothing) echo "without target smoothing (the authors’ code)" ;;
	node-profile) echo "node profile (10 inputs)" ;;
	joint) echo "joint networks (the paper’s)" ;;
	no-predictor) echo "without the predictor" ;;
	no-warm-start) echo "from random networks" ;;
	esac
}

# The looks of a training's progress file, and which of them first met the goal for good.
looks() {
	q '.scores as $s | .best as $b | $s[$b] as $best
		| def meets: .cpu >= 0.6 and .memory >= 0.75 and .p99_ms <= 210 and .slo_violations <= 0.01;
		{best: $best, wall_s, episodes, converged: ([range(0; $s | length) as $i
			| select([$s[$i:][] | .reward >= $best.reward * 0.98] | all) | select($s[$i] | meets) | $s[$i].episode] | first)}' "$1"
}

draw_runtime() {
	local name seed files=''
	{
		echo '| students of the shipped policy on the ramp | mean, ms | p99, ms | failed, % | CPU-hours an hour | GiB-hours an hour |'
		echo '| --- | --- | --- | --- | --- | --- |'
		for name in as-shipped forecast-off weight-only; do
			if [ $name = as-shipped ]; then
				files=$(for seed in $(seed_list); do done_piece "fig1-drpc-$seed" && echo "$pieces/fig1-drpc-$seed.out"; done)
			else
				files=$(for seed in $(seed_list); do done_piece "runtime-$name-$seed" && echo "$pieces/runtime-$name-$seed.out"; done)
			fi
			[ -n "$files" ] || continue
			q '["'"$(echo $name | sed 's/forecast-off/forecast off/; s/weight-only/`cpu.weight` only, limits of the file/; s/as-shipped/as shipped/')"'",
				(map(.mean_ms) | mean | fixed(1)), (map(.p99_ms) | mean | fixed(0)), (map(.failure_rate) | mean | percent(3)),
				(map(.cpu_cores_mean) | mean | fixed(2)), (map(.memory_mib_mean) | mean / 1024 | fixed(2))] | row' -r -s $files
		done
	} >"$parts/runtime.md"
}

draw() {
	local name options list=''
	{
		echo '| training | reward on held-out traces | CPU used, % | memory used, % | p99, ms | late or failed, % | CPU-hours an hour | OOM kills | seconds |'
		echo '| --- | --- | --- | --- | --- | --- | --- | --- | --- |'
		while IFS=: read -r name options; do
			done_piece "learn-$name" || continue
			q '.held_out as $h | ["'"$(title "$name")"'", ($h.reward | fixed(4)), ($h.cpu_utilisation | percent(1)), ($h.memory_utilisation | percent(1)),
				($h.p99_ms | fixed(0)), ($h.slo_violation_rate | percent(2)), ($h.cpu_hours | fixed(1)), $h.oom_kills, (.wall_seconds | fixed(0))] | row' \
				-r "$pieces/learn-$name.out"
		done <<<"$ablations"
	} >"$parts/ablations.md"
	draw_runtime
	fact learn.episodes "$episodes"
	fact learn.traces "$judge_traces"
	fact learn.seconds "$judge_s"
	if [ -f "$progress" ]; then
		q '.scores[] | [.episode, .reward, .cpu * 100, .memory * 100, .p99_ms] | join(" ")' -r "$progress" >"$work/fig4c.dat"
		looks "$progress" >"$data/converged.json"
		q '"converged.episode\t\(.converged // "none")", "converged.best_episode\t\(.best.episode)", "converged.reward\t\(.best.reward | fixed(4))",
			"converged.cpu\t\(.best.cpu | percent(1))", "converged.memory\t\(.best.memory | percent(1))", "converged.p99\t\(.best.p99_ms | fixed(0))",
			"converged.missed\t\(.best.slo_violations | percent(2))", "converged.episodes\t\(.episodes)", "converged.minutes\t\(.wall_s / 60 | fixed(1))"' \
			-r "$data/converged.json" >>"$work/facts"
		fact converged.of "the shipped teacher’s training"
	else
		q '.scores[] | [.episode, .reward, .cpu_utilisation * 100, .memory_utilisation * 100, .p99_ms] | join(" ")' -r \
			"$pieces/learn-base.out" >"$work/fig4c.dat"
		fact converged.of "a short training of this report (no teacher’s progress.json is in $models/$app_name)"
	fi
	plot fig4c 860 420 <<-EOF
		set xlabel 'episodes'
		set ylabel 'reward (paper’s, 0..1)'
		set y2label '%'
		set y2tics
		set y2range [0:100]
		set key bottom right
		plot '$work/fig4c.dat' using 1:2 with linespoints lw 2 pt 7 ps 0.4 lc rgb '$(colour drpc)' title 'reward', \
			'' using 1:3 axes x1y2 with lines lw 1 lc rgb '$(colour firm)' title 'CPU used, % (right)', \
			'' using 1:4 axes x1y2 with lines lw 1 lc rgb '$(colour coscal)' title 'memory used, % (right)'
	EOF
}

"$1"
