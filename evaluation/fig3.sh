#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fig. 3a-d, Fig. 4a and Table 4: five periods of a trace of 5,000 minutes, pressed together in time.
# shellcheck disable=SC2046
# shellcheck source=evaluation/lib.sh
. "$(dirname "$0")/lib.sh"

minutes=5000
load=$data/trace.rates
lead=300 # seconds at the first rate that do not count

# Requests/s, a line a minute of the trace.
per_minute() {
	if [ -n "$trace" ]; then
		"$bin/drpc-sim" generate --history "$trace" ${machine:+--machine "$machine"} \
			${profile:+--profile "$profile"} --rate 400 --speed 60 --step 1 --rates 2>"$work/trace.log" ||
			cat "$work/trace.log" >&2
	else
		# A day's wave with bursts of about half an hour that double it, a few a day.
		paste -d ' ' \
			<("$bin/drpc-sim" generate --kind diurnal --duration $((minutes * 60)) --step 60 --seed 5001 --rates) \
			<("$bin/drpc-sim" generate --kind bursty --duration $((minutes * 60)) --step 60 --seed 5002 \
				--peak 2 --burst 1800 --gap 28800 --noise 0 --rates) | awk '{ print $1 * $2 / 200 }'
	fi | head -n $minutes
}

# A minute of the trace lasts a second here; the highest one becomes what the application's limits are made
# for. A quick run plays the first part of each of the five periods alone.
make_load() {
	per_minute | awk -v part="$trace_part" -v peak=$peak -v lead=$lead '
		{ v[NR] = $1; if ($1 > top) top = $1 }
		END { period = int(NR / 5)
			if (period < 1 || top <= 0) exit 1
			for (i = 0; i < lead; i++) print v[1] * peak / top
			for (k = 0; k < 5; k++) for (i = 1; i <= int(period * part); i++) print v[k * period + i] * peak / top }' \
			>"$load.part" && mv "$load.part" "$load"
}

seconds() { wc -l <"$load"; }

plan() {
	local p seed all
	make_load || { echo "fig3: no trace" >>"$work/failed"; return; }
	all=$(seconds)
	for p in $(runnable $paper_policies); do
		for seed in $(seed_list); do
			evaluate "fig3-$p-$seed" $((all / 300)) "$p" --trace "$load" --warmup $lead --seed "$seed" \
				--every $(((all - lead) / 5)) --series "$pieces/fig3-$p-$seed.csv" \
				--histogram "$pieces/fig3-$p-$seed.hist"
		done
	done
}

files() { # POLICY SUFFIX
	for s in $(seed_list); do done_piece "fig3-$1-$s" && echo "$pieces/fig3-$1-$s.$2"; done
}

# Of each period, over seeds: t answered/s failed mean p99, and deviations of answered/s and mean.
periods() {
	awk -F, 'FNR > 1 { i = FNR - 1; n[i]++; rps[i] += $7; rps2[i] += $7 * $7; bad[i] += $5; all[i] += $4 + $5
			mean[i] += $8; mean2[i] += $8 * $8; p[i] += $10 }
		function dev(sum, squares, n, v) { v = n > 1 ? (squares - sum * sum / n) / (n - 1) : 0; return v > 0 ? sqrt(v) : 0 }
		END { for (i = 1; i <= 5; i++) print i, rps[i] / n[i], all[i] ? bad[i] / all[i] * 100 : 0, mean[i] / n[i],
			p[i] / n[i], dev(rps[i], rps2[i], n[i]), dev(mean[i], mean2[i], n[i]) }' "$@"
}

# The average over seeds of the share of requests that were at least as fast.
cdf() {
	awk -F, 'FNR > 1 { n[$1] += $2; all += $2 } END { for (t in n) print t, n[t] / all }' "$@" | sort -g |
		awk '{ s += $2; print $1, s }'
}

bars() { # NAME COLUMN LABEL POLICY...
	local name=$1 column=$2 text=$3 list='' p n=0 all
	shift 3
	all=$#
	for p in "$@"; do
		list="$list${list:+, }'$work/fig3-$p.dat' using (\$1 + ($n - ($all - 1) / 2.0) * 0.8 / $all):$column with boxes lc rgb '$(colour "$p")' title '$(label "$p")'"
		n=$((n + 1))
	done
	plot "$name" 860 380 <<-EOF
		set xlabel 'period of the trace'
		set ylabel '$text'
		set boxwidth $(awk -v n=$all 'BEGIN { print 0.75 / n }')
		set style fill solid 0.9 noborder
		set xrange [0.4:5.6]
		set xtics 1
		set key outside right
		$([ "$column" = 2 ] || echo 'set logscale y')
		plot $list
	EOF
}

draw() {
	local p there='' i
	for p in $paper_policies; do
		[ -n "$(files "$p" csv)" ] || continue
		there="$there $p"
		periods $(files "$p" csv) >"$work/fig3-$p.dat"
		cdf $(files "$p" hist) >"$work/cdf-$p.dat"
	done
	[ -n "$there" ] || return
	bars fig3a 2 'answered requests/s' $there
	bars fig3b '($3 > 0 ? $3 : 1e-4)' 'failed, %' $there
	bars fig3c 4 'mean response time, ms' $there
	bars fig3d 2 'answered requests/s' drpc teacher
	{
		echo '| | policy | period 1 | 2 | 3 | 4 | 5 | mean |'
		echo '| --- | --- | --- | --- | --- | --- | --- | --- |'
		for i in '2:answered/s:%.1f' '3:failed, %:%.3f' '4:mean, ms:%.1f' '5:p99, ms:%.0f'; do
			for p in $there; do
				awk -v c="${i%%:*}" -v f="${i##*:}" -v what="$(echo "$i" | cut -d: -f2)" -v p="$(label "$p")" '
					{ v[NR] = $c; sum += $c }
					END { printf "| %s | %s", what, p; for (k = 1; k <= NR; k++) printf " | " f, v[k]; printf " | " f " |\n", sum / NR }' \
					"$work/fig3-$p.dat"
			done
		done
	} >"$parts/fig3.md"
	for p in $there; do
		q '"fig3.'"$p"'" as $k | "\($k).mean\t\(map(.mean_ms) | mean | fixed(1))", "\($k).failed\t\(map(.failure_rate) | mean | percent(3))",
			"\($k).rps\t\(map(.success_rps) | mean | fixed(1))"' -r -s $(files "$p" out) >>"$work/facts"
		awk -v k="fig3.$p" '{ s += $6; n++ } END { printf "%s.rps_sd\t%.2f\n", k, s / n }' "$work/fig3-$p.dat" >>"$work/facts"
	done
	table4 $there
	fig4a $there
	fact fig3.load "$([ -n "$trace" ] && echo "\`$(basename "$trace")\`${machine:+, $machine}" || echo "the project’s own generators (diurnal × bursty)")"
	fact fig3.minutes "$(($(seconds) - lead))"
	fact fig3.part "$([ "$trace_part" = 1 ] || echo ", of which a quick run plays the first $(awk -v p="$trace_part" 'BEGIN { print 100 * p }') % of each period")"
}

# Table 4, ours and the paper's.
table4() {
	local p
	{
		echo '| policy | | 50th | 66th | 75th | 80th | 90th | 95th | 99th | 99.99th |'
		echo '| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |'
		for p in "$@"; do
			q '["'"$(label "$p")"'", "ours"] + (["p50_ms", "p66_ms", "p75_ms", "p80_ms", "p90_ms", "p95_ms", "p99_ms", "p9999_ms"]
				| map(. as $key | $all | map(.[$key]) | mean | short)) | row' \
				-nr --slurpfile all <(cat $(files "$p" out))
			case $p in
			drpc) echo '| | paper | 11 | 17 | 23 | 28 | 44 | 84 | 210 | 900 |' ;;
			firm) echo '| | paper | 9 | 10 | 12 | 15 | 45 | 120 | 360 | 2900 |' ;;
			coscal) echo '| | paper | 22 | 36 | 51 | 63 | 95 | 180 | 510 | 1800 |' ;;
			kuscal) echo '| | paper | 240 | 660 | 960 | 1100 | 1700 | 2300 | 3900 | 7900 |' ;;
			esac
		done
	} >"$parts/table4.md"
	for p in "$@"; do
		q '"table4.'"$p"'.p50\t\(map(.p50_ms) | mean | short)", "table4.'"$p"'.p90\t\(map(.p90_ms) | mean | short)",
			"table4.'"$p"'.p99\t\(map(.p99_ms) | mean | short)", "table4.'"$p"'.p9999\t\(map(.p9999_ms) | mean | short)"' \
			-r -s $(files "$p" out) >>"$work/facts"
	done
}

fig4a() {
	local list='' p
	for p in "$@"; do
		list="$list${list:+, }'$work/cdf-$p.dat' using 1:2 with lines lw 2 lc rgb '$(colour "$p")' title '$(label "$p")'"
	done
	plot fig4a 860 420 <<-EOF
		set xlabel 'response time, ms'
		set ylabel 'share of the answered requests'
		set logscale x
		set key bottom right
		plot $list
	EOF
}

"$1"
