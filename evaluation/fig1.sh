#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fig. 1: 200 to 800 requests/s in a minute; the teacher alone, which decides for all, and students.
# shellcheck disable=SC2046
# shellcheck source=evaluation/lib.sh
. "$(dirname "$0")/lib.sh"

who="drpc teacher teacher-15 firm coscal kuscal"
every=5

plan() {
	local p seed
	for p in $who; do
		for seed in $(seed_list); do
			evaluate "fig1-$p-$seed" 3 "${p%-15}" --rate "200@360s,200:800@60s,800@${ramp_after}s" \
				--warmup 300 --seed "$seed" --every $every --series "$pieces/fig1-$p-$seed.csv" \
				$([ "$p" = teacher-15 ] && echo "--param period=15")
		done
	done
}

name() { [ "$1" = teacher-15 ] && echo "DRPC teacher, each 15 s" || label "$1"; }

# Means over seeds, weighted by what was answered: t rate mean_ms p99_ms cores failed.
means() {
	awk -F, -v every=$every 'FNR > 1 { t = $1 + $2 - 360; n[t] += $4; sum[t] += $8 * $4; p[t] += $10
			cores[t] += $11; req[t] += $3; bad[t] += $5; seeds[t]++ }
		END { for (t in n) print t, req[t] / seeds[t] / every, n[t] ? sum[t] / n[t] : 0, p[t] / seeds[t],
			cores[t] / seeds[t], req[t] ? bad[t] / req[t] : 0 }' "$@" | sort -g
}

draw() {
	local p list='' files c
	printf '| policy | at 200/s | 200 to 400 | 400 to 600 | 600 to 800 | a minute at 800 | after it | worst %d s, ms | failed, %% |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n' \
		$every >"$parts/fig1.md"
	for p in $who; do
		files=$(for s in $(seed_list); do done_piece "fig1-$p-$s" && echo "$pieces/fig1-$p-$s.csv"; done)
		[ -n "$files" ] || continue
		means $files >"$work/fig1-$p.dat"
		c=$(colour "${p%-15}")
		list="$list${list:+, }'$work/fig1-$p.dat' using 1:3 with lines lw 2 $([ "$p" = teacher-15 ] && echo "dt 2") lc rgb '$c' title '$(name "$p")'"
		awk -v name="$(name "$p")" -v key="fig1.$p" '
			function put(i, v) { sum[i] += v * $2; n[i] += $2 }
			{ put($1 <= 0 ? 0 : $1 <= 20 ? 1 : $1 <= 40 ? 2 : $1 <= 60 ? 3 : $1 <= 120 ? 4 : 5, $3)
			  if ($3 > worst) worst = $3
			  bad += $6 * $2; all += $2 }
			END { printf "| %s", name
				for (i = 0; i < 6; i++) printf " | %s", n[i] ? sprintf("%.1f", sum[i] / n[i]) : "–"
				printf " | %.1f | %.3f |\n", worst, bad / all * 100 }' "$work/fig1-$p.dat" >>"$parts/fig1.md"
		awk -v key="fig1.$p" '$1 <= 0 { a += $3 * $2; na += $2 } $1 > 0 && $1 <= 60 { b += $3 * $2; nb += $2 }
			$3 > worst { worst = $3 }
			END { printf "%s.before\t%.1f\n%s.ramp\t%.1f\n%s.worst\t%.1f\n", key, a / na, key, b / nb, key, worst }' \
			"$work/fig1-$p.dat" >>"$work/facts"
	done
	plot fig1 860 420 <<-EOF
		set xlabel 'seconds since the rise began'
		set ylabel 'mean response time, ms'
		set logscale y
		set y2label 'requests/s'
		set y2range [0:1000]
		set y2tics 0,200,1000
		plot $list, '$work/fig1-drpc.dat' using 1:2 axes x1y2 with lines lw 1 lc rgb '#aaaaaa' title 'requests/s (right)'
	EOF
}

"$1"
