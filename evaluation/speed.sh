#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The simulator's own speed; measured alone, before anything else runs.
# shellcheck disable=SC2046
# shellcheck source=evaluation/lib.sh
. "$(dirname "$0")/lib.sh"

plan() { :; }
alone() { [ -z "$bench_speed" ] || piece speed 40 "$bin/drpc-bench" sim --json "$app"; }
draw() {
	done_piece speed || { echo 'Not measured in a quick run (`make bench BENCH=sim`).' >"$parts/speed.md"; return; }
	q '.[] | "speed.\(.name)\t\(.value | short)"' -r "$pieces/speed.out" >>"$work/facts"
	q '[.[] | [.name, .unit, (.value | short)]] | table(["", "unit", "value"])' -r "$pieces/speed.out" >"$parts/speed.md"
}

"$1"
