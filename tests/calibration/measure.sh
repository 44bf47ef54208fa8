#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Records testbed services in containers: `fit` under limits and rates to fit an application to, `held`
# under others to judge the fit by. docs/calibration.md tells what is held constant and why.
#
# usage: measure.sh alone|chain fit|held DIR
#   writes DIR/SCENARIO.fit.db, or DIR/SCENARIO.held-N.db and a line about each in DIR/SCENARIO.held
set -u
export LC_NUMERIC=C
unset LC_ALL
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1
# shellcheck source=tests/lib/engine.sh
. tests/lib/engine.sh

bin=$(readlink -f "${DRPC_BIN:-build/release}")
prefix=drpc-cal
# Seconds that count of each point, and before them: until limits and load have settled.
fit_s=${DRPC_CALIBRATE_FIT_S:-20} held_s=${DRPC_CALIBRATE_HELD_S:-30} settle_s=3
scenario=${1-} phase=${2-} out=${3-}

containers=() agent='' load='' work='' made=0
cleanup() {
	trap '' INT TERM HUP
	[ -z "$load" ] || { kill "$load" && wait "$load"; } 2>/dev/null
	[ -z "$agent" ] || { kill "$agent" && wait "$agent"; } 2>/dev/null
	[ ${#containers[@]} = 0 ] || docker rm -f "${containers[@]}" >/dev/null 2>&1
	[ $made = 0 ] || {
		docker network rm $prefix
		docker rmi $prefix
	} >/dev/null 2>&1
	engine_stop
	[ -z "$work" ] || rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
die() {
	echo "calibrate: $*" >&2
	exit 1
}

# --- services -------------------------------------------------------------------------------------
# run NAME TESTBED-OPTION...: the deployment has the name without the prefix
run() {
	local name=$prefix-$1
	shift
	docker run -d --name "$name" --network $prefix --cpus 0.5 --memory 128m --memory-swap 128m \
		--label "drpc.deployment=${name#"$prefix"-}" --label drpc.slo-p99=300ms $prefix \
		/bin/drpc-testbed --listen 8080 "$@" >/dev/null || die "$name does not start"
	containers+=("$name")
}
address() {
	docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$prefix-$1"
}

# Each sets front, and the points: a line each of the limit of every service in thousandths of a CPU
# and a rate. Those of `fit` and of `held` have no limit and no rate in common; the last ones of `fit` are
# somewhat more than can be served: the only load that shows how many requests are worked on at once.
start_alone() {
	front=alone
	run alone --workers 8 --cpu-ms 2 --cpu-dist lognormal:0.5 --sleep-ms 2
	fit_points="
		alone=800 60
		alone=400 50
		alone=260 75
		alone=260 96
		alone=300 96
		alone=300 116
		alone=340 75
		alone=340 116
		alone=400 130
		alone=200 105"
	held_points="
		alone=280 88
		alone=280 98
		alone=280 108
		alone=320 88
		alone=320 98
		alone=320 108
		alone=370 88
		alone=370 98
		alone=370 108"
}
start_chain() {
	front=front
	run back --workers 8 --cpu-ms 1 --cpu-dist exp --sleep-ms 1
	run middle --workers 8 --cpu-ms 1.6 --cpu-dist lognormal:0.5 --call http://$prefix-back:8080/
	run front --workers 16 --cpu-ms 0.6 --cpu-dist lognormal:0.4 --call http://$prefix-middle:8080/
	fit_points="
		front=500,middle=600,back=500 60
		front=200,middle=400,back=300 60
		front=115,middle=290,back=190 85
		front=115,middle=290,back=190 105
		front=130,middle=330,back=215 105
		front=130,middle=330,back=215 115
		front=150,middle=375,back=245 85
		front=150,middle=375,back=245 130
		front=180,middle=440,back=290 130
		front=60,middle=400,back=300 92
		front=200,middle=150,back=300 95"
	held_points="
		front=125,middle=310,back=205 100
		front=125,middle=310,back=205 110
		front=125,middle=310,back=205 120
		front=140,middle=350,back=230 100
		front=140,middle=350,back=230 110
		front=140,middle=350,back=230 120
		front=160,middle=400,back=260 100
		front=160,middle=400,back=260 110
		front=160,middle=400,back=260 120"
}

set_limits() { # SERVICE=THOUSANDTHS,...
	local one
	for one in ${1//,/ }; do
		docker update --cpus "$(awk "BEGIN { print ${one#*=} / 1000 }")" "$prefix-${one%%=*}" >/dev/null ||
			die "the engine does not set the limit of ${one%%=*}"
	done
}

# --- agent and load -------------------------------------------------------------------------------
agent_start() {
	printf 'defaults:\n  mode: recommend\n' >"$work/agent.yaml"
	"$bin/drpc-agent" --config "$work/agent.yaml" --engine "$ENGINE_SOCKET" --socket "$work/sock" \
		--journal "$work/journal" 2>"$work/agent.log" &
	agent=$!
	for _ in {1..50}; do
		if "$bin/drpc" ls --json --socket "$work/sock" 2>/dev/null | grep -q "\"$prefix-$front\""; then
			return
		fi
		kill -0 $agent 2>/dev/null || break
		sleep 0.2
	done
	die "the agent does not see the services: $(tail -n 3 "$work/agent.log")"
}

# point LIMITS SECONDS DB LOAD-OPTION...: with the load's report in $work/load
point() {
	local limits=$1 seconds=$2 db=$3
	shift 3
	set_limits "$limits"
	sleep 0.5
	"$bin/drpc-load" --json --connections 256 --timeout 10s -d $((seconds + settle_s + 1))s "$@" \
		"http://$(address $front):8080/" >"$work/load" 2>"$work/load.err" &
	load=$!
	sleep $settle_s
	"$bin/drpc" record --socket "$work/sock" --for "${seconds}s" --out "$db" >/dev/null ||
		die "point $limits was not recorded"
	wait $load || die "the load generator failed: $(cat "$work/load.err")"
	load=
}

# burst RATE: a load whose mean is RATE, in bursts of 150 ms at three and a half times as much. They come
# every 1.13 s, so that they meet every part of the CPU limits' periods of 100 ms. A queue that a burst
# has made says more of a service than one that chance made: the percentiles of two runs agree.
burst() {
	awk -v r="$1" 'BEGIN { high = 3.5 * r; printf "%.4f@0.15s,%.4f@0.98s", high, (1.13 * r - 0.15 * high) / 0.98 }'
}

measure_fit() {
	local limits rate n=0
	rm -f "$out/$scenario.fit.db"
	while read -r limits rate; do
		[ -n "$limits" ] || continue
		n=$((n + 1))
		echo "calibrate: $scenario, point $n to fit: $limits, $rate requests/s" >&2
		# What users look like, and what the fit takes them for.
		point "$limits" "$fit_s" "$out/$scenario.fit.db" --rate "$rate" --arrivals poisson --seed $n
	done <<<"$fit_points"
}
measure_held() {
	local limits rate n=0 p50 p99
	rm -f "$out/$scenario".held*
	while read -r limits rate; do
		[ -n "$limits" ] || continue
		n=$((n + 1))
		echo "calibrate: $scenario, point $n held out: $limits, $rate requests/s" >&2
		point "$limits" "$held_s" "$out/$scenario.held-$n.db" --rate "$(burst "$rate")" --repeat
		read -r p50 p99 < <("$bin/tests/probe" get total.p50_ms total.p99_ms <"$work/load" | xargs)
		echo "$scenario.held-$n.db $front $limits $rate $(burst "$rate") $p50 $p99" >>"$out/$scenario.held"
	done <<<"$held_points"
}

case $scenario:$phase in
alone:fit | alone:held | chain:fit | chain:held) ;;
*)
	sed -n '3,7s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
[ -n "$out" ] && mkdir -p "$out" || exit 2
[ "$(id -u)" = 0 ] || die "only root may measure and set limits"
engine_start || die "$ENGINE_WHY"
[ -z "$(docker ps -aq --filter "name=^$prefix-")" ] || die "there are containers named $prefix-…"
work=$(mktemp -d "${TMPDIR:-/tmp}/drpc-cal.XXXXXX") || exit 1
made=1
engine_image $prefix "$bin/drpc-testbed" || die "the engine takes no image"
docker network create $prefix >/dev/null || die "the engine makes no network"
"start_$scenario"
agent_start
"measure_$phase"
