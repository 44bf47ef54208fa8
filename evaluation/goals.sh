#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What was aimed for, and whether it was reached: met or missed, with the value.
# shellcheck disable=SC2046
# shellcheck source=evaluation/lib.sh
. "$(dirname "$0")/lib.sh"

plan() { :; }

# What students' files say of themselves.
students_ratio() {
	local folder
	folder=$(model_of drpc) || return
	find "$folder" -name '*.policy' ! -name shared.policy -exec grep -a -h -o '"reward_ratio":[0-9.]*' {} + 2>/dev/null | head -n 1 | cut -d: -f2
}

draw() {
	local ratio converged=null forecast=null speed=null
	ratio=$(students_ratio)
	[ ! -f "$data/converged.json" ] || converged=$(cat "$data/converged.json")
	[ ! -f "$data/forecast.json" ] || forecast=$(cat "$data/forecast.json")
	! done_piece speed || speed=$(cat "$pieces/speed.out")
	jq -n --slurpfile held "$data/held-out.json" --slurpfile ramp "$data/paper.json" --argjson ratio "${ratio:-null}" \
		--argjson converged "$converged" --argjson forecast "$forecast" --argjson speed "$speed" \
		'{held: $held[0], ramp: $ramp[0], ratio: $ratio, converged: $converged, forecast: $forecast, speed: $speed}' >"$data/goals.json"
	jq -L "$here" -r --argjson in "$(cat "$data/goals.json")" -f "$here/goals.jq" "$data/goals.json" >"$parts/goals.md"
	jq -r '.held as $h | $h | keys[] | select(. != "drpc") | . as $p
		| "less.\($p).mean\t\((1 - $h.drpc.mean / $h[$p].mean) * 100 | . * 10 | round / 10)",
		  "less.\($p).cores\t\((1 - $h.drpc.cores / $h[$p].cores) * 100 | . * 10 | round / 10)",
		  "less.\($p).failed\t\(if $h[$p].failed > 0 then (1 - $h.drpc.failed / $h[$p].failed) * 100 | . * 10 | round / 10 else "–" end)"' \
		"$data/goals.json" >>"$work/facts"
	fact ratio "$(awk -v r="${ratio:-}" 'BEGIN { if (r == "") print "–"; else printf "%.1f", r * 100 }')"
}

"$1"
