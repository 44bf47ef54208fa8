#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Records states of real containers for `drpc-teacher distil`: one run of some services under load,
# as varied as a seed makes them. docs/learning.md tells more.
#
#   deploy/policies/record.sh --out FILE.csv [--seed N] [--seconds N] [--phases 'recommend act …']
#                             [--planner NAME] [--policy FILE]
#
# Services: a front that calls two others, a deployment of two or three replicas, one that stands
# alone, nginx with more files than memory, redis whose memory grows. Seeded: their work, workers,
# objectives, loads, and the limits that each phase begins with, from far too small to far too large.
# In phases of mode recommend somebody else keeps changing limits; in mode act drpc alone does.
# An engine is started where none runs; everything is put back at the end, whatever the reason.
set -u
export LC_ALL=C
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1
# shellcheck source=tests/lib/engine.sh
. tests/lib/engine.sh

bin=$PWD/build/release
prefix=drpc-rec
out='' seed=1 seconds=240 phases='recommend act recommend act' planner=reactive policy=''
while [ $# -gt 0 ]; do
	case $1 in
	--out | --seed | --seconds | --phases | --planner | --policy)
		declare "${1#--}=${2?$1 needs a value}"
		shift 2
		;;
	*)
		sed -n '3,16s/^# \{0,1\}//p' "$0"
		exit 2
		;;
	esac
done
[ -n "$out" ] || { echo "record: --out FILE.csv is missing" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "record: only root may measure and set limits" >&2; exit 1; }
RANDOM=$seed

containers=() children=() agent='' work=''
network=$prefix image=$prefix
cleanup() {
	trap '' INT TERM HUP
	[ -z "$agent" ] || { kill "$agent" && wait "$agent"; } 2>/dev/null
	for pid in "${children[@]}"; do
		kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
	done
	[ ${#containers[@]} = 0 ] || docker rm -f "${containers[@]}" >/dev/null 2>&1
	[ -z "$work" ] || {
		docker network rm "$network"
		docker rmi "$image"
	} >/dev/null 2>&1
	engine_stop
	[ -z "$work" ] || rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

die() {
	echo "record: $*" >&2
	exit 1
}
exec {never}<> <(:)
nap() { # SECONDS
	read -rt "$1" -u "$never" || true
}

# --- what is drawn --------------------------------------------------------------------------------
# draw LOW HIGH: a number between, evenly on a logarithmic scale; sets drawn.
draw() {
	local u=$((RANDOM * 32768 + RANDOM)) # not in the substitution, where it would be seeded anew
	drawn=$(awk -v low="$1" -v high="$2" -v u=$u \
		'BEGIN { printf "%.4g", low * exp(u / 1073741824 * log(high / low)) }')
}
# of EXPRESSION: arithmetic with decimals, and clamp(x, low, high).
of() {
	awk "function clamp(x, low, high) { return x < low ? low : x > high ? high : x }
		BEGIN { printf \"%.4g\", $1 }"
}
pick() { # WORD...
	shift $((RANDOM % $#))
	picked=$1
}

# --- services -------------------------------------------------------------------------------------
declare -A demand mib # of each container: CPUs and MiB it needs, roughly

# run NAME DOCKER-OPTION... -- COMMAND...
run() {
	local name=$1 options=()
	shift
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	# Enough to start with; each phase begins with other limits.
	docker run -d --restart always --name "$name" --network "$network" --cpus 1 --memory 256m \
		--memory-swap 256m "${options[@]}" "$image" "$@" >/dev/null ||
		die "container $name did not start"
	containers+=("$name")
}

# limits_of NAME: from a third of the CPU it needs to six times that, and from two thirds of its
# memory to four times that; sets cpus and memory (MiB; the engine takes no less than 6).
limits_of() {
	draw 0.35 6
	cpus=$(of "clamp(${demand[$1]} * $drawn, 0.03, 2)")
	draw 0.66 4
	memory=$(of "clamp(int(${mib[$1]} * $drawn), 6, 4096)")
}

# Without an objective now and then; else from hardly to easily met.
objective_of() { # CPU-MS
	objective=()
	[ $((RANDOM % 10)) -lt 3 ] && return
	draw 4 60
	objective=(--label "drpc.slo-p99=$(of "int($1 * $drawn) + 6")ms")
}

# service NAME DEMAND CPU-MS [DOCKER-OPTION...] -- [TESTBED-OPTION...]
service() {
	local name=$1 cpu_ms=$3 options=()
	demand[$name]=$2
	shift 3
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	draw 2 48
	local ws=$drawn
	mib[$name]=$(of "$ws + 2")
	pick 1 2 4 8 16
	local workers=$picked
	pick fixed exp lognormal:1 lognormal:1.5 pareto:1.7
	local kind=$picked
	pick 0 0 0 512 2048
	local each=$picked
	pick 0 0 0 5 20
	[ ${#objective[@]} = 0 ] || options+=("${objective[@]}")
	run "$name" "${options[@]}" -- \
		/bin/drpc-testbed --listen 8080 --workers "$workers" --cpu-ms "$cpu_ms" \
		--cpu-dist "$kind" --cpu-cap 30 --sleep-ms "$picked" \
		--memory-mib "$(of "int($ws)")" --memory-per-request-kib "$each" --seed "$seed" "$@"
}

address() { # NAME
	docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"
}

# schedule RATE: pieces of load for all the time, a fifth to two and a half times the rate; sets rates.
schedule() {
	local left=$seconds at=$1 next piece
	rates=
	while [ "$left" -gt 0 ]; do
		piece=$((5 + RANDOM % 21))
		draw 0.2 2.5
		next=$(of "clamp($1 * $drawn, 0.3, 5000)")
		pick step step ramp
		[ "$picked" = ramp ] && rates="$rates,$at:$next@${piece}s" || rates="$rates,$next@${piece}s"
		at=$next
		left=$((left - piece))
	done
	rates=${rates#,}
}

load() { # RATE [OPTION...] URL...
	local tries=50
	until curl -sf --noproxy '*' --max-time 1 -o "$work/answer" "${@: -1}"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || die "${*: -1} does not answer"
		nap 0.1
	done
	schedule "$1"
	shift
	pick uniform poisson poisson
	"$bin/drpc-load" --rate "$rates" --arrivals "$picked" --seed "$seed" --connections 32 --timeout 5s \
		"$@" >/dev/null 2>>"$work/load.log" &
	children+=($!)
}

# start_testbeds: the front and its two, the replicas, the one alone; each with its load.
start_testbeds() {
	local urls=() name
	draw 2 30
	local rate=$drawn
	for name in $prefix-a $prefix-b; do
		draw 0.02 0.35
		local cpu_ms
		cpu_ms=$(of "1000 * $drawn / $rate")
		objective_of "$cpu_ms"
		service $name "$drawn" "$cpu_ms" --
	done
	objective_of 5
	service $prefix-front "$(of "$rate * 0.001 + 0.02")" 1 -- \
		--call http://$prefix-a:8080/ --call http://$prefix-b:8080/
	load "$rate" "http://$(address $prefix-front):8080/"

	draw 0.05 0.3
	local all=$drawn
	draw 0.5 25
	local each=$drawn
	pick 2 3
	local n=$picked
	objective_of "$each"
	for ((i = 1; i <= n; i++)); do
		service $prefix-many-$i "$(of "$all / $n")" "$each" \
			--label com.docker.compose.project=$prefix --label com.docker.compose.service=many \
			--label com.docker.compose.container-number=$i --label drpc.replicas=1..5 --
		urls+=("http://$(address $prefix-many-$i):8080/")
	done
	load "$(of "1000 * $all / $each")" "${urls[@]}"

	draw 0.02 0.4
	all=$drawn
	draw 0.3 60
	each=$drawn
	objective_of "$each"
	service $prefix-alone "$all" "$each" --
	load "$(of "1000 * $all / $each")" "http://$(address $prefix-alone):8080/"
}

# The machine's own programs, as they are.
system=(-v /usr:/usr:ro -v /lib:/lib:ro -v /lib64:/lib64:ro -v /etc/passwd:/etc/passwd:ro
	-v /etc/group:/etc/group:ro)

# Some 60 MiB of files: where the limit is lower, they are read from disk again and again.
start_nginx() {
	local i files=$work/files
	mkdir -p "$files"
	{
		echo "users reader 20"
		for ((i = 0; i < 240; i++)); do
			dd if=/dev/urandom of="$files/$i" bs=256K count=1 conv=fdatasync 2>/dev/null
			dd if="$files/$i" iflag=nocache count=0 2>/dev/null # not in the cache, on nobody's account
			echo "request reader 1 GET /$i"
		done
		echo "ratio 0 reader=1"
	} >"$work/mix"
	cat >"$work/nginx.conf" <<-'END'
		daemon off;
		user root;
		pid /tmp/nginx.pid;
		error_log stderr;
		events {}
		http {
			access_log off;
			client_body_temp_path /tmp/body;
			proxy_temp_path /tmp/proxy;
			fastcgi_temp_path /tmp/fastcgi;
			uwsgi_temp_path /tmp/uwsgi;
			scgi_temp_path /tmp/scgi;
			server { listen 8080; root /files; }
		}
	END
	demand[$prefix-nginx]=0.08 mib[$prefix-nginx]=20
	objective_of 1
	run $prefix-nginx "${objective[@]}" \
		"${system[@]}" -v "$files:/files:ro" -v "$work/nginx.conf:/nginx.conf:ro" -- \
		/usr/sbin/nginx -c /nginx.conf -e stderr
	draw 10 120
	# Paths of the mix are put on the URL; it must answer by itself.
	: >"$files/index.html"
	load "$drawn" --mix "$work/mix" "http://$(address $prefix-nginx):8080/"
}

start_redis() {
	demand[$prefix-redis]=0.15 mib[$prefix-redis]=24
	objective_of 0.5
	run $prefix-redis "${objective[@]}" \
		"${system[@]}" -- \
		/usr/bin/redis-server --save '' --appendonly no --maxmemory 24mb --maxmemory-policy allkeys-lru \
		--protected-mode no
	draw 60 1500
	local burst
	burst=$(of "int($drawn)")
	(
		trap 'kill "$!" 2>/dev/null; exit' TERM
		while :; do
			timeout 20 redis-benchmark -h "$(address $prefix-redis)" -c 4 -n "$burst" -t set,get -d 400 \
				-r 100000 -q >/dev/null 2>&1 &
			wait $!
			nap 0.7
		done
	) &
	children+=($!)
}

# --- phases ---------------------------------------------------------------------------------------
set_limits() { # NAME
	limits_of "$1"
	docker update --cpus "$cpus" "$1" >/dev/null 2>&1
	# Refused where what is in use does not fit: the limit then stays.
	docker update --memory "${memory}m" --memory-swap "${memory}m" "$1" >/dev/null 2>&1
}

agent_start() { # MODE
	{
		printf 'defaults:\n  mode: off\ndeployments:\n'
		printf '  - match: "%s*"\n    mode: '"$1"'\n' "$prefix-" "$prefix/"
	} >"$work/agent.yaml"
	"$bin/drpc-agent" --config "$work/agent.yaml" --engine "$ENGINE_SOCKET" --socket "$work/sock" \
		--journal "$work/journal" --planner "$planner" ${policy:+--policy "$policy"} \
		--record-states "$out" >>"$work/agent.log" 2>&1 &
	agent=$!
}

# phase MODE SECONDS
phase() {
	local until name starts=1
	for name in "${containers[@]}"; do
		set_limits "$name"
	done
	agent_start "$1"
	until=$((SECONDS + $2))
	while [ $SECONDS -lt $until ]; do
		nap 1
		if ! kill -0 "$agent" 2>/dev/null; then
			# Another agent may act on this machine for a moment (a test's).
			[ $starts -lt 8 ] || die "the agent has ended: $(tail -n 2 "$work/agent.log")"
			starts=$((starts + 1))
			nap 2
			agent_start "$1"
		fi
		[ "$1" = act ] || set_limits "${containers[RANDOM % ${#containers[@]}]}"
	done
	kill "$agent" && wait "$agent"
	agent=
}

main() {
	local begin=$SECONDS n mode
	engine_start || die "$ENGINE_WHY"
	[ -z "$(docker ps -aq --filter "name=^$prefix-")" ] || die "there are containers named $prefix-…"
	work=$(mktemp -d "${TMPDIR:-/tmp}/drpc-rec.XXXXXX") || exit 1
	engine_image "$image" "$bin/drpc-testbed" || die "the engine takes no image"
	docker network create "$network" >/dev/null || die "the engine makes no network"
	start_testbeds
	start_nginx
	start_redis
	read -ra modes <<<"$phases"
	n=${#modes[@]}
	for mode in "${modes[@]}"; do
		phase "$mode" $((seconds / n))
	done
	echo "record: seed $seed, $((SECONDS - begin)) s, planner $planner, $(wc -l <"$out") lines in $out:" \
		"${#containers[@]} containers"
	cat "$work/load.log"
}
main
