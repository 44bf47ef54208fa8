#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the policy that comes with drpc, deploy/policies/bootstrap.policy: records runs of services
# under load (record.sh), teaches a student what the reactive planner answers there, lets it act in
# runs that it has not seen beside the reactive planner, and notes the figures in the file.
#
#   deploy/policies/make-bootstrap.sh FOLDER [SECONDS]
#
# FOLDER keeps the recordings; a run whose file is there already is not recorded again, so that it
# goes on where it was interrupted. SECONDS of each run: 170. Some half an hour in all, on a machine
# that does nothing else.
set -eu
cd "$(dirname "$(readlink -f "$0")")/../.."
folder=${1:?usage: deploy/policies/make-bootstrap.sh FOLDER [SECONDS]}
seconds=${2:-170}
policy=deploy/policies/bootstrap.policy
teacher=build/release/drpc-teacher
mkdir -p "$folder"
[ -x "$teacher" ] || {
	echo "make-bootstrap: $teacher is not there; run: make" >&2
	exit 1
}

# record FILE OPTION...: the file appears once its run has gone well.
record() {
	file=$folder/$1
	shift
	[ ! -e "$file" ] || return 0
	rm -f "$file.part"
	deploy/policies/record.sh --out "$file.part" --seconds "$seconds" "$@"
	mv "$file.part" "$file"
}

for seed in 11 12 13 14 21; do
	record "run-$seed.csv" --seed $seed
done
for seed in 23 24; do
	record "held-out-$seed.csv" --seed $seed
done
"$teacher" distil --out "$folder/bootstrap.policy" \
	--data "deploy/policies/make-bootstrap.sh: runs 11 to 14 and 21; 23 and 24 held out" \
	--source "$(git describe --always --dirty 2>/dev/null || cat VERSION)" \
	--held-out "$folder/held-out-23.csv" --held-out "$folder/held-out-24.csv" "$folder"/run-*.csv

# The same services, loads and first limits, each planner acting from there.
rm -f "$folder"/student-*.csv # another student's
for seed in 23 24; do
	record "reactive-$seed.csv" --seed $seed --phases act --planner reactive
	record "student-$seed.csv" --seed $seed --phases act --planner student \
		--policy "$(readlink -f "$folder/bootstrap.policy")"
done
"$teacher" evaluate --note "$folder/bootstrap.policy" \
	--teacher-run "$folder/reactive-23.csv" --teacher-run "$folder/reactive-24.csv" \
	--student-run "$folder/student-23.csv" --student-run "$folder/student-24.csv" \
	"$folder/held-out-23.csv" "$folder/held-out-24.csv"
install -m 0644 "$folder/bootstrap.policy" "$policy"
echo "made $policy; golden states for its test: tests/unit/agent/plan/bootstrap-states.csv," \
	"every eighth of $folder/held-out-23.csv"
