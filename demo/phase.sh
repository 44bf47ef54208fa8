# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# One run of the load, with an agent that attaches while it is under way.

LOAD_PID='' AGENT_PID='' SAMPLER_PID='' NAP_PID=''

# nap SECONDS: a sleep that a signal ends at once.
nap() {
	sleep "$1" &
	NAP_PID=$!
	wait $NAP_PID
	NAP_PID=''
}

# kill_and_wait PID SECONDS [SIGNAL]: true where it ended by itself in time.
kill_and_wait() {
	kill -s "${3:-TERM}" "$1" 2>/dev/null
	tenths=$(($2 * 10))
	while kill -0 "$1" 2>/dev/null; do
		tenths=$((tenths - 1))
		if [ $tenths -le 0 ]; then
			kill -s KILL "$1" 2>/dev/null
			wait "$1" 2>/dev/null
			return 1
		fi
		sleep 0.1
	done
	wait "$1" 2>/dev/null
}

# --- load -----------------------------------------------------------------------------------------

load_start() { # PHASE
	LOAD_FROM=$(date +%s)
	# In a session of its own: Ctrl-C is for this script, which ends the rest in order.
	setsid "$BIN/drpc-load" --rate "$DEMO_RATES" --arrivals poisson --seed "$DEMO_SEED" \
		--connections 32 --timeout 10s --slo "$DEMO_SLO_FRONT" --json "$URL" \
		>"$WORK/$1.load" 2>"$WORK/$1.load-log" &
	LOAD_PID=$!
}

# load_until SECOND: waits for this second of the load.
load_until() {
	left=$((LOAD_FROM + $1 - $(date +%s)))
	[ $left -le 0 ] || nap $left
	[ -z "$AGENT_PID" ] || kill -0 "$AGENT_PID" 2>/dev/null ||
		die "the agent has ended: $(tail -n 3 "$WORK/agent.log")"
}

load_end() { # PHASE
	wait "$LOAD_PID" || die "the load was not measured: $(tail -n 1 "$WORK/$1.load-log")"
	LOAD_PID=''
	awk -f demo/flatten.awk "$WORK/$1.load" | grep '^total\.' >"$WORK/$1.total"
}

# total PHASE KEY: a figure of the whole load.
total() {
	sed -n "s/^total\.$2 //p" "$WORK/$1.total"
}

# --- agent ----------------------------------------------------------------------------------------

agent_start() { # MODE
	# Containers of others, and there may be some, are measured and left alone.
	{
		printf 'defaults:\n  mode: off\ndeployments:\n'
		printf '  - match: %s\n    mode: '"$1"'\n' "$FRONT" "$FAST" "$SLOW"
	} >"$WORK/agent.yaml"
	# shellcheck disable=SC2086 # an option or nothing; the policy is not read where the rules decide
	setsid "$BIN/drpc-agent" --config "$WORK/agent.yaml" --engine "$ENGINE_SOCKET" \
		${SUBTREE:+--cgroup-root "$SUBTREE"} --planner "$PLANNER" --policy "$DEMO_POLICY" \
		--socket "$DRPC_SOCKET" --journal "$WORK/journal" >"$WORK/agent.log" 2>&1 &
	AGENT_PID=$!
}

# Whether the agent has seen requests to all three containers.
agent_attached() {
	"$BIN/drpc" ls --json >"$WORK/ls" 2>/dev/null || return 1
	awk -f demo/flatten.awk "$WORK/ls" | awk -v want="$FRONT $FAST $SLOW" '
		$1 ~ /\.name$/ { name = $2 }
		$1 ~ /\.rate_rps$/ && $2 > 0 { seen[name] = 1 }
		END {
			n = split(want, service, " ")
			for (i = 1; i <= n; i++)
				if (!(service[i] in seen))
					exit 1
		}'
}

agent_wait_attached() {
	left=$((DEMO_WAIT * 2))
	until agent_attached; do
		kill -0 "$AGENT_PID" 2>/dev/null || die "the agent has ended: $(tail -n 3 "$WORK/agent.log")"
		left=$((left - 1))
		[ $left -gt 0 ] || die "the agent sees no requests: $(tail -n 3 "$WORK/agent.log")"
		nap 0.5
	done
}

# Puts every limit back, and ends.
agent_stop() {
	kill_and_wait "$AGENT_PID" "$DEMO_WAIT"
	agent_status=$?
	AGENT_PID=''
	return $agent_status
}

# explained DEPLOYMENT...: how many actions were written.
explained() {
	for name in "$@"; do
		"$BIN/drpc" explain "$name" --applied --json 2>/dev/null | awk -f demo/flatten.awk
	done | grep -c '\.applied true$'
}

# --- what the kernel says meanwhile ----------------------------------------------------------------

# Counters of the containers, and "machine TOTAL IDLE" in the kernel's ticks.
all_counters() {
	for name in $SERVICES; do
		echo "$name $(counters "$name")"
	done
	awk '$1 == "cpu" { for (i = 2; i <= 9; i++) sum += $i; printf "machine %.0f %.0f\n", sum, $5 + $6 }' /proc/stat
}

# Lines "NAME CPU MEMORY" into $WORK/PHASE.limits, once a second.
sampler_start() { # PHASE
	all_counters >"$WORK/$1.before"
	{
		while :; do
			for name in $SERVICES; do
				limits_now "$name"
				echo "$name $LIMIT_CPU $LIMIT_MEMORY"
			done
			sleep 1
		done >"$WORK/$1.limits"
	} &
	SAMPLER_PID=$!
}

sampler_stop() { # PHASE
	kill "$SAMPLER_PID" 2>/dev/null
	wait "$SAMPLER_PID" 2>/dev/null
	SAMPLER_PID=''
	all_counters >"$WORK/$1.after"
}

phase_begin() { # PHASE
	sampler_start "$1"
	load_start "$1"
}

# The load's last requests, its figures, and those of the kernel.
phase_end() { # PHASE
	load_end "$1"
	sampler_stop "$1"
}
