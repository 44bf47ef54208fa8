# SPDX-License-Identifier: Apache-2.0
# One run's figures as lines "key value". Files, told apart by their ending:
#   .total  "total.KEY VALUE" of the load generator
#   .limits "NAME CPU MEMORY", thousandths of a CPU and KiB, once a second
#   .before .after  "NAME PERIODS THROTTLED CPU-MICROSECONDS", "machine TICKS IDLE-TICKS"
# -v seconds=N: between .before and .after
FILENAME ~ /\.total$/ { sub(/^total\./, "", $1); print $1, $2 }

FILENAME ~ /\.limits$/ { samples[$1]++; cpu[$1] += $2; memory[$1] += $3 }

$1 == "machine" {
	sign = FILENAME ~ /\.before$/ ? -1 : 1
	ticks += sign * $2
	idle += sign * $3
	next
}

FILENAME ~ /\.before$/ { periods[$1] = -$2; throttled[$1] = -$3; used[$1] = -$4 }

FILENAME ~ /\.after$/ { periods[$1] += $2; throttled[$1] += $3; used[$1] += $4 }

function share(part, whole)
{
	return whole > 0 ? part / whole : 0
}

END {
	for (name in samples) {
		c = cpu[name] / samples[name] / 1000
		m = memory[name] / samples[name] / 1024
		u = used[name] / 1e6 / seconds
		print name ".cpu_limit", c
		print name ".memory_limit", m
		print name ".cpu_used", u
		print name ".throttled", share(throttled[name], periods[name])
		sum_cpu += c
		sum_memory += m
		sum_used += u
		sum_periods += periods[name]
		sum_throttled += throttled[name]
	}
	print "cpu_limit", sum_cpu
	print "memory_limit", sum_memory
	print "cpu_used", sum_used
	print "throttled", share(sum_throttled, sum_periods)
	print "machine_busy", 1 - share(idle, ticks)
}
