# SPDX-License-Identifier: Apache-2.0
# The closing table, from the facts of both runs: table.awk fixed.facts drpc.facts
# -v names="A B C" -v objective=MS -v good=… -v bad=… -v bold=… -v plain=… (terminal's colours, or "")
FNR == 1 { run++ }
{ fact[run, $1] = $2 }

function ms(value)
{
	return sprintf(value < 99.95 ? "%.1f ms" : "%.0f ms", value)
}

function percent(value)
{
	return sprintf(value > 0 && value < 0.1 ? "%.2f %%" : "%.1f %%", value * 100)
}

function change(key, from, to)
{
	from = fact[1, key]
	to = fact[2, key]
	if (from <= 0)
		return ""
	return sprintf("%s%+.0f %%%s", to < from ? good : "", (to / from - 1) * 100, to < from ? plain : "")
}

function row(label, left, right, remark)
{
	printf "  %-28s %16s %16s   %s\n", label, left, right, remark
}

function misses(r)
{
	return sprintf("%d (%s)", fact[r, "slo_misses"], percent(fact[r, "slo_misses"] / fact[r, "due"]))
}

function held(r)
{
	return fact[r, "p99_ms"] <= objective
}

function pair(key, format)
{
	return sprintf(format " -> " format, fact[1, key], fact[2, key])
}

END {
	front = names
	sub(/ .*/, "", front)
	printf "  %s%-28s %16s %16s%s\n", bold, "", "fixed limits", "under drpc", plain
	row("p50 of " front, ms(fact[1, "p50_ms"]), ms(fact[2, "p50_ms"]), "")
	row("p99 of " front, ms(fact[1, "p99_ms"]), ms(fact[2, "p99_ms"]),
	    sprintf("objective %d ms: %s%s%s", objective, held(2) ? good : bad,
		    held(2) ? "held" : "missed", plain))
	row("SLO misses", misses(1), misses(2), sprintf("of %d requests each", fact[2, "due"]))
	row("failed requests", fact[1, "failed.total"], fact[2, "failed.total"], "")
	print ""
	row("CPU limit, mean", sprintf("%.2f CPUs", fact[1, "cpu_limit"]),
	    sprintf("%.2f CPUs", fact[2, "cpu_limit"]), change("cpu_limit"))
	row("memory limit, mean", sprintf("%.0f MiB", fact[1, "memory_limit"]),
	    sprintf("%.0f MiB", fact[2, "memory_limit"]), change("memory_limit"))
	row("CPU used, mean", sprintf("%.2f CPUs", fact[1, "cpu_used"]),
	    sprintf("%.2f CPUs", fact[2, "cpu_used"]), "the same work was done")
	row("throttled periods", percent(fact[1, "throttled"]), percent(fact[2, "throttled"]),
	    "the price of tight limits")
	row("machine's CPUs in use", percent(fact[1, "machine_busy"]), percent(fact[2, "machine_busy"]),
	    "by everything that runs here")
	print ""
	printf "  %s%-20s %20s %26s %24s%s\n", bold, "mean of each", "CPU limit", "memory limit, MiB",
		"throttled", plain
	n = split(names, name, " ")
	for (i = 1; i <= n; i++)
		printf "  %-20s %20s %26s %24s\n", name[i], pair(name[i] ".cpu_limit", "%.2f"),
			pair(name[i] ".memory_limit", "%.0f"),
			percent(fact[1, name[i] ".throttled"]) " -> " percent(fact[2, name[i] ".throttled"])
}
