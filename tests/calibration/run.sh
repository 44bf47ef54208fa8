#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Calibration shown on the testbed's services: recorded under some limits and rates, fitted, and the fit
# judged under others. docs/calibration.md tells what it prints.
#
# usage: run.sh [--measured] [DIR]
#   DIR         where everything goes (default build/calibration)
#   --measured  judge what DIR holds from an earlier run
set -u
export LC_NUMERIC=C
unset LC_ALL
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1
bin=$(readlink -f "${DRPC_BIN:-build/release}")
target=15 # per cent
measured=0
if [ "${1-}" = --measured ]; then
	measured=1
	shift
fi
out=${1:-build/calibration}
mkdir -p "$out" || exit 1

get() { # JSON-FILE PATH...
	local file=$1
	shift
	"$bin/tests/probe" get "$@" <"$file"
}

# judge SCENARIO: a line each of service, limit, rate and the figures, measured and simulated
judge() {
	local db front limits rate pattern p50 p99 one
	while read -r db front limits rate pattern p50 p99; do
		one=$out/${db%.db}.json
		"$bin/drpc-sim" fit --recording "$out/$db" --against "$out/$1.yaml" --rate "$pattern" --uniform \
			--json >"$one" || return
		paste -d' ' <(get "$one" '*.service') <(get "$one" '*.cpu_limit_cores') \
			<(get "$one" '*.recorded.p50_ms') <(get "$one" '*.simulated.p50_ms') \
			<(get "$one" '*.recorded.p99_ms') <(get "$one" '*.simulated.p99_ms') \
			<(get "$one" '*.recorded.throttled_share') <(get "$one" '*.simulated.throttled_share') \
			<(get "$one" '*.recorded.cpu_cores') <(get "$one" '*.simulated.cpu_cores') |
			awk -v front="$front" -v rate="$rate" -v p50="$p50" -v p99="$p99" \
				'{ print $1, $2, rate, ($1 == front), p50, p99, $3, $4, $5, $6, $7, $8, $9, $10 }'
	done <"$out/$1.held"
}

# As a table; counts go to $out/SCENARIO.count.
table() {
	awk -v target=$target -v count="$out/$1.count" '
		function off(measured, simulated) { return measured > 0 ? 100 * (simulated / measured - 1) : simulated > 0 ? 999 : 0 }
		function figure(name, measured, simulated,    d) {
			d = off(measured, simulated)
			all[name]++
			within[name] += d <= target && d >= -target
			return sprintf("%7.4g %7.4g %+6.1f", measured, simulated, d)
		}
		BEGIN {
			printf "%-8s %6s %6s | %22s | %22s | %22s | %22s | client ms\n%-8s %6s %6s |", "service", "limit", "req/s",
				"p50 ms", "p99 ms", "throttled %", "CPU cores", "", "cores", ""
			for (i = 0; i < 4; i++) printf " %7s %7s %6s |", "real", "sim.", "%"
			print " p50   p99"
		}
		{
			printf "%-8s %6.3f %6.1f | %s | %s | %s | %s |%s\n", $1, $2, $3, figure("p50", $7, $8), figure("p99", $9, $10),
				figure("throttled", 100 * $11, 100 * $12), figure("cpu", $13, $14), ($4 ? sprintf(" %.1f %.1f", $5, $6) : "")
		}
		END {
			n = split("p50 p99 throttled cpu", names, " ")
			for (i = 1; i <= n; i++) print names[i], within[names[i]], all[names[i]] >count
		}'
}

# The same as JSON.
json() {
	awk -v scenario="$1" '
		function pair(name, measured, simulated) {
			return sprintf("\"%s\":{\"measured\":%.6g,\"simulated\":%.6g,\"difference\":%s}", name, measured, simulated,
				(measured > 0 ? sprintf("%.4f", simulated / measured - 1) : "null"))
		}
		BEGIN { printf "{\"scenario\":\"%s\",\"points\":[", scenario }
		{
			printf "%s\n{\"service\":\"%s\",\"limit_cores\":%s,\"rps\":%s,%s,%s,%s,%s}", (NR > 1 ? "," : ""), $1, $2, $3,
				pair("p50_ms", $7, $8), pair("p99_ms", $9, $10), pair("throttled_share", $11, $12),
				pair("cpu_cores", $13, $14)
		}
		END { print "\n]}" }'
}

for scenario in alone chain; do
	if [ $measured = 0 ]; then
		tests/calibration/measure.sh $scenario fit "$out" || exit
		tests/calibration/measure.sh $scenario held "$out" || exit
	fi
	"$bin/drpc-sim" fit --recording "$out/$scenario.fit.db" --out "$out/$scenario.yaml" >"$out/$scenario.fit" || exit
	judge $scenario >"$out/$scenario.figures" || exit
	echo "$scenario: fitted ($out/$scenario.yaml); limits and rates that were not used for it:"
	table $scenario <"$out/$scenario.figures"
	json $scenario <"$out/$scenario.figures" >"$out/$scenario.json"
	while read -r name good all; do
		echo "  $name: $good of $all within $target %"
	done <"$out/$scenario.count"
	echo
done
echo "$out/alone.json, $out/chain.json: the same as JSON"
