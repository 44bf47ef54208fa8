#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh SECONDS NAME...: run fuzz targets, one after the other, each on all processors. Seeds come from
# tests/fuzz/corpus/NAME; what is found on the way is kept in build/fuzz/NAME and used the next time.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 2

seconds=$1
shift
bad=0
for name in "$@"; do
	work=build/fuzz/$name
	mkdir -p "$work/corpus"
	seeds=()
	[ ! -d "tests/fuzz/corpus/$name" ] || seeds=("tests/fuzz/corpus/$name")
	if build/fuzz-clang/tests/fuzz-"$name" -max_total_time="$seconds" -fork="$(nproc)" -ignore_crashes=0 \
		-timeout=10 -rss_limit_mb=2048 -artifact_prefix="$work/" \
		"$work/corpus" "${seeds[@]}" >"$work/log" 2>&1; then
		printf '  ok    fuzz-%-20s %9d inputs tried\n' "$name" \
			"$(sed -n 's/^#\([0-9]*\): .*/\1/p' "$work/log" | tail -n 1)"
	else
		bad=1
		printf '  FAIL  fuzz-%-20s inputs that fail: %s\n' "$name" "$work/{crash,leak,oom,timeout}-*"
		tail -n 40 "$work/log" | sed 's/^/        | /'
	fi
done
exit $bad
