#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Table 2: errors of forecasts 5 to 25 minutes ahead, on the last fifth of a series.
# shellcheck disable=SC2046
# shellcheck source=evaluation/lib.sh
. "$(dirname "$0")/lib.sh"

own=$data/bursty-5min.csv

# FILE:MACHINE of each series, the project's own last; what they are called.
all_series() { printf '%s\n' $series "$own"; }
file_of() { echo "${1%%:*}"; }
machine_of() { case $1 in *:*) echo "${1#*:}" ;; esac; }
name_of() {
	local machine
	machine=$(machine_of "$1")
	[ "$1" = "$own" ] && echo "bursty series of the project’s own" || echo "\`$(basename "$(file_of "$1")")\`${machine:+ $machine}"
}
key_of() { echo "table2-$(basename "$(file_of "$1")" | tr -c 'A-Za-z0-9_\n' -)${1#"$(file_of "$1")"}" | tr : -; }

# The first one and the own by both cells, the others by the GRU alone.
cells() { [ "$1" = "$own" ] || [ "$1" = "$(all_series | head -n 1)" ] && echo gru lstm || echo gru; }

plan() {
	local one cell machine
	[ -s "$own" ] && [ "$(wc -l <"$own")" = $((forecast_days * 288 + 1)) ] ||
		"$bin/drpc-sim" generate --kind bursty --duration $((forecast_days * 86400)) --step 300 --seed 5003 \
			--burst 3600 --gap 14400 >"$own"
	all_series | while read -r one; do
		machine=$(machine_of "$one")
		for cell in $(cells "$one"); do
			piece "$(key_of "$one")-$cell" $((forecast_days * 4)) "$bin/drpc-sim" forecast --data "$(file_of "$one")" \
				${machine:+--machine "$machine"} --model "$cell" --json
		done
	done
}

draw() {
	local one files first
	{
		echo '| data | | 5 min | 10 | 15 | 20 | 25 |'
		echo '| --- | --- | --- | --- | --- | --- | --- |'
		all_series | while read -r one; do
			files=$(for cell in $(cells "$one"); do done_piece "$(key_of "$one")-$cell" && echo "$pieces/$(key_of "$one")-$cell.out"; done)
			[ -n "$files" ] || continue
			q '.[0] as $g | def r($what; $v): ["'"$(name_of "$one")"'", $what] + ($v | map(short)) | row;
				(.[] | (.model | ascii_upcase) as $m | r($m + ", 0–1 scale"; .mse_fraction),
					r($m + " ÷ persistence"; [range(0; 5) as $i | .mse_fraction[$i] / .persistence_fraction[$i]])),
				r("ridge ÷ persistence"; [range(0; 5) as $i | $g.ridge_fraction[$i] / $g.persistence_fraction[$i]]),
				r("persistence, 0–1 scale"; $g.persistence_fraction), r("GRU, min-max scale"; $g.mse_minmax)' -r -s $files
		done
		echo '| Alibaba 2018, scale not stated | paper, GRU | 0.0025 | 0.0027 | 0.0033 | 0.0049 | 0.0057 |'
	} >"$parts/table2.md"
	first=$(all_series | head -n 1)
	jq -s '{gru: .[0], lstm: .[1]}' "$pieces/$(key_of "$first")-gru.out" "$pieces/$(key_of "$first")-lstm.out" >"$data/forecast.json"
	q '. as $f | range(0; 5) as $i | "table2.\($i).share\t\([$f.gru, $f.lstm | .mse_fraction[$i] / .persistence_fraction[$i]] | min | fixed(3))",
		"table2.\($i).ridge\t\($f.gru.ridge_fraction[$i] / $f.gru.persistence_fraction[$i] | fixed(3))"' -r "$data/forecast.json" >>"$work/facts"
	fact table2.data "$(name_of "$first")"
}

"$1"
