#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What grows with the number of services: the simulator, a pooled teacher's training, decisions.
# shellcheck disable=SC2046
# shellcheck source=evaluation/lib.sh
. "$(dirname "$0")/lib.sh"

# seconds of simulation and training that a size takes about
weight() { case $1 in 40) echo 2 ;; 400) echo 8 ;; *) echo 60 ;; esac; }

plan() {
	local n file student
	student=$(model_of drpc) && student=$student/shared.policy
	for n in $sizes; do
		file=$data/services-$n.yaml
		[ -s "$file" ] || "$bin/drpc-sim" generate --services "$n" >"$file"
		piece "scale-run-$n" 1 "$bin/drpc-sim" evaluate --app "$file" --rate "$n@$((scale_s / n + 20))s" --json
		piece "scale-train-$n" "$(weight "$n")" evaluation/train.sh "$work/train-$n" "$bin/drpc-sim" train \
			--app "$file" --out "$work/train-$n" --episodes 4 --set random=4 --set warm=0 --set steps=12 \
			--set batch=16 --set replay=256 --set choose-every=100 --set choose-traces=1 --set choose-seconds=20 \
			--judge-traces 1 --judge-seconds 40 --no-students --jobs 1 --json
		[ ! -f "$student" ] || piece "scale-students-$n" 1 "$bin/drpc-sim" evaluate --app "$file" --rate "$n@60s" \
			--policy drpc --model "$student" --json
	done
}

# The teacher that the training left decides; only once it is there.
after() {
	local n
	for n in $sizes; do
		done_piece "scale-train-$n" || continue
		piece "scale-teacher-$n" 1 "$bin/drpc-sim" evaluate --app "$data/services-$n.yaml" --rate "$n@60s" \
			--policy teacher --model "$work/train-$n/teacher.td3" --json
	done
}

draw() {
	local n
	{
		echo '| services | events/s of a core | memory of a run, MiB | training: seconds an episode of a minute | memory of it, MiB | teacher: a decision for all, ms | a service, µs | students: for all, ms | a service, µs |'
		echo '| --- | --- | --- | --- | --- | --- | --- | --- | --- |'
		for n in $sizes; do
			done_piece "scale-run-$n" && done_piece "scale-train-$n" || continue
			jq -n --argjson n "$n" --slurpfile run "$pieces/scale-run-$n.out" --slurpfile train "$pieces/scale-train-$n.out" \
				--slurpfile teacher <(cat "$pieces/scale-teacher-$n.out" 2>/dev/null) \
				--slurpfile students <(cat "$pieces/scale-students-$n.out" 2>/dev/null) \
				'{n: $n, run: $run[0], train: $train[0], teacher: $teacher[0], students: $students[0]}' |
				q '[.n, (.run.events / .run.wall_seconds / 1e6 | "\(fixed(2)) million"), (.run.process_mib | fixed(0)),
					(.train.wall_seconds / .train.episodes | short), (.train.process_mib | fixed(0)),
					(.teacher.decision_cpu_us | if . then . / 1000 | short else "–" end), (.n as $n | .teacher.decision_cpu_us | if . then . / $n | short else "–" end),
					(.students.decision_cpu_us | if . then . / 1000 | short else "–" end), (.n as $n | .students.decision_cpu_us | if . then . / $n | short else "–" end)] | row' -r
		done
	} >"$parts/scale.md"
}

"$1"
