#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fig. 4b: response time against the number of requests, and the quadratic that fits it best.
# shellcheck disable=SC2046
# shellcheck source=evaluation/lib.sh
. "$(dirname "$0")/lib.sh"

who="drpc teacher firm coscal kuscal"
lead=60

plan() {
	local p rate
	for p in $who; do
		for rate in $rates; do
			evaluate "fig4b-$p-$rate" $((rate * (rate_s + lead) / 120000 + 1)) "$p" \
				--rate "$rate@$((rate_s + lead))s" --warmup $lead --seed "$first_seed"
		done
	done
}

# Least squares of mean = a + b x + c x², x in hundreds of requests/s.
fit() {
	awk '{ x = $1 / 100; y = $2; v[0] = 1; v[1] = x; v[2] = x * x
			for (i = 0; i < 3; i++) { for (j = 0; j < 3; j++) m[i, j] += v[i] * v[j]; m[i, 3] += v[i] * y } }
		END { for (i = 0; i < 3; i++) { for (r = i + 1; r < 3; r++) { f = m[r, i] / m[i, i]
				for (j = i; j < 4; j++) m[r, j] -= f * m[i, j] } }
			for (i = 2; i >= 0; i--) { s = m[i, 3]; for (j = i + 1; j < 3; j++) s -= m[i, j] * c[j]; c[i] = s / m[i, i] }
			print c[0], c[1], c[2] }' "$1"
}

draw() {
	local p rate list='' a b c
	{
		echo "| policy | $(echo $rates | sed 's/ / | /g') requests/s | a | b | c |"
		echo "| --- | $(echo $rates | sed 's/[0-9]*/---/g; s/ / | /g') | --- | --- | --- |"
	} >"$parts/fig4b.md"
	for p in $who; do
		for rate in $rates; do
			done_piece "fig4b-$p-$rate" && q "[$rate, .mean_ms, .p99_ms] | join(\" \")" -r "$pieces/fig4b-$p-$rate.out"
		done >"$work/fig4b-$p.dat"
		[ "$(wc -l <"$work/fig4b-$p.dat")" -ge 4 ] || continue
		read -r a b c < <(fit "$work/fig4b-$p.dat")
		list="$list${list:+, }'$work/fig4b-$p.dat' using 1:2 with points pt 7 lc rgb '$(colour "$p")' notitle, $a + $b * x / 100 + $c * (x / 100) ** 2 with lines lw 2 lc rgb '$(colour "$p")' title '$(label "$p")'"
		awk -v name="$(label "$p")" -v a="$a" -v b="$b" -v c="$c" '{ v = v sprintf(" | %.1f", $2) }
			END { printf "| %s%s | %.1f | %.2f | %.3f |\n", name, v, a, b, c }' "$work/fig4b-$p.dat" >>"$parts/fig4b.md"
		fact "fig4b.$p.c" "$(awk -v c="$c" 'BEGIN { printf "%.3f", c }')"
	done
	plot fig4b 860 420 <<-EOF
		set xlabel 'requests/s'
		set ylabel 'mean response time, ms'
		set logscale y
		set xrange [50:850]
		plot $list
	EOF
}

"$1"
