#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# drpc-load against drpc-testbed, on loopback: what is measured, what is counted, what is survived.
# timeout: 120
set -u
bin=${DRPC_BIN:-$(dirname "$0")/../../build/release}
load=$bin/drpc-load testbed=$bin/drpc-testbed
dir=$(mktemp -d /tmp/drpc-e2e-load.XXXXXX) || exit 1
pids=() number=0

cleanup() {
	local pid
	for pid in "${pids[@]}"; do
		kill -CONT "$pid" 2>/dev/null
		kill -KILL "$pid" 2>/dev/null
	done
	wait 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT

# check NAME CONDITION: an arithmetic condition of awk, with the values filled in.
check() {
	number=$((number + 1))
	if [ "$(awk "BEGIN { print (($2) ? 1 : 0) }" 2>/dev/null)" = 1 ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		echo "  # wanted: $2"
	fi
}
skip() { # NAME REASON
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}

# start NAME OPTION...: a testbed on a port of the kernel's choice; sets pid and port.
start() {
	local name=$1 i
	shift
	: >"$dir/$name.log"
	"$testbed" --listen 127.0.0.1:0 "$@" 2>"$dir/$name.log" &
	pid=$!
	pids+=("$pid")
	for ((i = 0; i < 100; i++)); do
		port=$(sed -n 's/.*listening on port \([0-9]*\).*/\1/p' "$dir/$name.log")
		[ -z "$port" ] || return 0
		sleep 0.02
	done
	echo "  # testbed $name did not start: $(cat "$dir/$name.log")"
	port=1
}
stop() { # PID
	kill -CONT "$1" 2>/dev/null
	kill -KILL "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

# run OPTION...: a load whose JSON is kept.
run() {
	"$load" --json "$@" >"$dir/out" 2>"$dir/err"
}
# total KEY, sent KEY: a figure of the whole run, from the intended and the actual send time.
total() {
	sed 's/.*"total":{//; s/"from_sent":.*"duration_s"/"duration_s"/; s/"generator_lag":.*//' "$dir/out" |
		grep -o "\"$1\":[0-9.]*" | tail -n 1 | cut -d: -f2 | grep . || echo -1
}
failed() {
	grep -o '"total":{.*' "$dir/out" | grep -o '"failed":{[^}]*}' | head -n 1 |
		grep -o "\"$1\":[0-9]*" | cut -d: -f2 | grep . || echo -1
}
sent() {
	grep -o '"from_sent":{[^}]*}' "$dir/out" | head -n 1 | grep -o "\"$1\":[0-9.]*" | cut -d: -f2 |
		grep . || echo -1
}
# seconds KEY: the figure of each second, blank-separated.
seconds() {
	grep -o '"seconds":\[.*' "$dir/out" | sed 's/"from_sent":{[^}]*}//g' | grep -o "\"$1\":[0-9.]*" |
		cut -d: -f2 | tr '\n' ' '
}
stats() { # PORT KEY
	curl -s --max-time 5 "http://127.0.0.1:$1/stats" | grep -o "\"$2\":[0-9.]*" | head -n 1 |
		cut -d: -f2 | grep . || echo -1
}
# answer URL: status, a blank, the time in seconds.
answer() {
	curl -s -o "$dir/body" -D "$dir/head" --max-time 5 -w '%{http_code} %{time_total}' "$1"
}

# --- rates and times ----------------------------------------------------------------------------
start plain --workers 2
run --rate 200@1s,400@1s "http://127.0.0.1:$port/"
check "steps: every request is due, sent and answered" \
	"$(total due) == 600 && $(total sent) == 600 && $(total ok) == 600"
read -r first second rest <<<"$(seconds due)"
check "steps: each second has its own rate" "$first == 200 && $second == 400 && \"$rest\" == \"\""
check "the schedule keeps its time" "$(total elapsed_s) > 1.99 && $(total elapsed_s) < 2.3"
check "the generator itself is on time" "\"$(grep -o '"generator_lag":{"p50_ms":[0-9.]*' "$dir/out" |
	cut -d: -f3)\" + 0 < 2"

run --rate 300 -d 1s --arrivals poisson --seed 7 "http://127.0.0.1:$port/"
one=$(total due)
run --rate 300 -d 1s --arrivals poisson --seed 7 --threads 2 "http://127.0.0.1:$port/"
check "poisson: the seed decides, not the number of threads" \
	"$one == $(total due) && $one > 200 && $one < 400 && $(total ok) == $one"

printf '100\n# a pause\n0\n50\n' >"$dir/rates"
run --rate-file "$dir/rates" --rate-scale 2 "http://127.0.0.1:$port/"
check "a rate file, scaled" "\"$(seconds due)\" == \"200 0 100 \""

"$load" --rate 500 -d 20s "http://127.0.0.1:$port/" --json >"$dir/out" 2>"$dir/err" &
one=$!
sleep 0.6
kill -INT $one
wait $one
status=$?
check "SIGINT ends the run and prints what was measured" \
	"$status == 0 && $(grep -c '"stopped":true' "$dir/out") == 1 && $(total ok) > 100 &&
	$(total due) == $(total ok) + $(total unfinished) + $(failed total) && $(total duration_s) < 5"

# --- coordinated omission -----------------------------------------------------------------------
{
	sleep 0.7
	kill -STOP "$pid"
	sleep 1
	kill -CONT "$pid"
} &
run --rate 300 -d 2500ms -c 3 --slo 100ms "http://127.0.0.1:$port/"
check "a stall of a second is in the p90 from the intended time" \
	"$(total p90_ms) > 500 && $(total max_ms) > 900 && $(total ok) == 750"
check "and hidden in the p99 from the actual send time" "$(sent p99_ms) < 300"
check "slo misses are those of the stall" "$(total slo_misses) > 200 && $(total slo_misses) < 450"
stop "$pid"

# --- failures, each under its name --------------------------------------------------------------
start errors --error-rate 0.2
run --rate 500 -d 1s "http://127.0.0.1:$port/"
one=$(failed status)
check "error rate: 500s are counted as status" \
	"$one > 60 && $one < 140 && $(total ok) + $one == 500 && $(stats "$port" injected_errors) == $one"
stop "$pid"
start errors --error-rate 0.2
run --rate 500 -d 1s "http://127.0.0.1:$port/"
check "error rate: the same requests fail with the same seed" "$(failed status) == $one"
stop "$pid"

start slow --sleep-ms 400 --workers 8
run --rate 50 -d 500ms --timeout 100ms "http://127.0.0.1:$port/"
check "timeouts are counted, at the time they were given up" \
	"$(failed timeout) == 25 && $(total ok) == 0 && $(total p50_ms) >= 100 && $(total p50_ms) < 150"
stop "$pid"

start narrow --sleep-ms 50 --workers 2
run --rate 60 -d 1s "http://127.0.0.1:$port/"
check "two workers of 50 ms serve 40 a second, the rest waits in its sockets" \
	"$(total ok) == 60 && $(total elapsed_s) >= 1.5 && $(total elapsed_s) < 1.9 &&
	$(sent max_ms) > 400"
stop "$pid"

start dying
{
	sleep 0.5
	kill -KILL "$pid"
} &
run --rate 200 -d 1s -c 4 "http://127.0.0.1:$port/"
check "a server that dies: refused, and everything accounted for" \
	"$(total ok) > 50 && $(failed refused) > 50 &&
	$(total ok) + $(failed refused) + $(failed reset) == 200 && $(failed total) == 200 - $(total ok)"
wait "$pid" 2>/dev/null
run --rate 10 -d 1s "http://127.0.0.1:$port/"
check "nobody there at the start: exit status 1 and a reason" \
	"$? == 1 && $(grep -c 'cannot connect: Connection refused' "$dir/err") == 1"

if command -v redis-server >/dev/null; then
	redis-server --port 0 --unixsocket "$dir/redis.sock" --save '' --dir "$dir" >/dev/null &
	pids+=($!)
	for ((i = 0; i < 100; i++)); do
		[ ! -S "$dir/redis.sock" ] || break
		sleep 0.02
	done
	# Without the blank it is an unknown command to redis, with it an attack.
	run --rate 50 -d 500ms -c 2 -H Host:x "unix:$dir/redis.sock:/"
	check "what is no HTTP is counted as protocol, over a unix socket" \
		"$(failed protocol) > 0 && $(failed protocol) + $(failed reset) + $(failed refused) == 25"
	kill "${pids[-1]}"
	wait "${pids[-1]}" 2>/dev/null
else
	skip "what is no HTTP is counted as protocol, over a unix socket" "no redis-server"
fi

# --- chains -------------------------------------------------------------------------------------
start back --sleep-ms 40 --workers 16
back=$port
start middle --sleep-ms 20 --workers 16 --call "http://127.0.0.1:$back/"
middle=$port
start front --workers 16 --cpu-ms 0.1 --call "http://127.0.0.1:$middle/" \
	--route "/twice:calls=0,call=http://127.0.0.1:$back/,call=http://127.0.0.1:$back/" \
	--route "/both:parallel,call=http://127.0.0.1:$back/,call=http://127.0.0.1:$back/" \
	--route "/heavy:calls=0,cpu-ms=5" --route "/light:calls=0"
front=$port front_pid=$pid
run --rate 40 -d 1s "http://127.0.0.1:$front/"
check "a chain of three adds up" "$(total p50_ms) >= 60 && $(total p50_ms) < 90 && $(total ok) == 40"
check "each request went through all of them" \
	"$(stats "$back" requests) == 40 && $(stats "$middle" requests) == 40"
run --rate 40 -d 500ms "http://127.0.0.1:$front/twice"
one=$(total p50_ms)
run --rate 40 -d 500ms "http://127.0.0.1:$front/both"
check "calls one after the other, or at once" \
	"$one >= 80 && $one < 115 && $(total p50_ms) >= 40 && $(total p50_ms) < 70"
before=$(stats "$front" cpu_ms)
run --rate 40 -d 500ms "http://127.0.0.1:$front/light"
middle_cpu=$(stats "$front" cpu_ms)
run --rate 40 -d 500ms "http://127.0.0.1:$front/heavy"
check "routes change the work" \
	"$middle_cpu - $before < 5 && $(stats "$front" cpu_ms) - $middle_cpu > 99"

cat >"$dir/mix" <<-END
	users query 1000
	users buyer 100
	request query 1 GET /light
	request buyer 1 GET /heavy
	ratio 0 query=9 buyer=1
	ramp 1s query=1 buyer=1
END
run --rate 100 -d 1s --mix "$dir/mix" "http://127.0.0.1:$front/"
check "user types: shares, and their own figures" \
	"$(total ok) == 100 && $(grep -o '"name":"[a-z]*"' "$dir/out" | wc -l) == 2 &&
	$(stats "$front" '/light') - 20 > 50 && $(stats "$front" '/heavy') - 20 > 10 &&
	$(stats "$front" '/light') + $(stats "$front" '/heavy') == 140"
stop "$front_pid"

start impatient --workers 4 --call-timeout 20ms --call "http://127.0.0.1:$back/" \
	--route "/gone:call=http://127.0.0.1:9/" --route "/optional:call-optional=http://127.0.0.1:9/" \
	--route "/unknown:call=http://no-such-name.invalid/" --route "/late:call-optional=http://127.0.0.1:$back/"
read -r status seconds <<<"$(answer "http://127.0.0.1:$port/")"
check "a call that takes too long: 504 in its time" "$status == 504 && $seconds < 0.2 &&
	$(grep -c 'X-Drpc-Reason: timeout' "$dir/head") == 1"
read -r status seconds <<<"$(answer "http://127.0.0.1:$port/gone")"
check "a call that is refused: 502 with the reason" \
	"$status == 502 && $(grep -c 'X-Drpc-Reason: refused' "$dir/head") == 1"
read -r status seconds <<<"$(answer "http://127.0.0.1:$port/unknown")"
check "a name without address: 502 with the reason" \
	"$status == 502 && $(grep -c 'X-Drpc-Reason: resolve' "$dir/head") == 1"
read -r status seconds <<<"$(answer "http://127.0.0.1:$port/optional")"
check "an optional call: 200 without it" \
	"$status == 200 && $(grep -c 'X-Drpc-Degraded: 1' "$dir/head") == 1"
read -r status seconds <<<"$(answer "http://127.0.0.1:$port/late")"
check "an optional call that is late: 200 in its time" "$status == 200 && $seconds < 0.2"
check "downstream failures are counted by reason" \
	"$(stats "$port" timeout) == 2 && $(stats "$port" refused) == 2 && $(stats "$port" resolve) == 1 &&
	$(stats "$port" gateway_timeout) == 1 && $(stats "$port" bad_gateway) == 2 &&
	$(stats "$port" degraded) == 2"
stop "$pid"

# --- clients that do not behave -----------------------------------------------------------------
start strict --client-timeout 300ms --max-body-bytes 100 --response-bytes 100000
raw() { # TEXT: the status of the answer to these bytes
	local line=
	exec 3<>"/dev/tcp/127.0.0.1/$port" || return
	printf '%b' "$1" >&3
	read -r -t 3 line <&3
	exec 3>&-
	cut -d' ' -f2 <<<"$line" | grep . || echo 0
}
long=$(printf '%09000d' 0)
check "nonsense gets 400" "$(raw 'nonsense\r\n\r\n') == 400"
check "a long target gets 414" "$(raw "GET /$long HTTP/1.1\r\n") == 414"
check "long headers get 431" "$(raw "GET / HTTP/1.1\r\nHost: h\r\nA: $long\r\nB: $long\r\n\r\n") == 431"
check "a large body gets 413" "$(raw 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n') == 413"
check "a chunked body is read" \
	"$(raw 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n') == 200"
check "a request that does not arrive gets 408" "$(raw 'GET / HTTP/1.1\r\nHost: h\r\n') == 408"
check "and everybody else is served" "$(answer "http://127.0.0.1:$port/" | cut -d' ' -f1) == 200 &&
	$(stat -c %s "$dir/body") == 100000 && $(stats "$port" bad_requests) == 4 &&
	$(stats "$port" slow_requests) == 1"
stop "$pid"

# --- a tenth of a CPU, and an end without loss ---------------------------------------------------
start throttled --workers 2 --cpu-ms 1 --client-timeout 500ms
{
	for ((i = 0; i < 15; i++)); do
		kill -STOP "$pid"
		sleep 0.09
		kill -CONT "$pid"
		sleep 0.01
	done
} &
run --rate 40 -d 1200ms -c 8 "http://127.0.0.1:$port/"
wait $!
check "a service that runs one tenth of the time answers every request" \
	"$(total ok) == 48 && $(stats "$port" slow_requests) == 0"
stop "$pid"

start draining --sleep-ms 30 --workers 32
{
	sleep 0.7
	kill -TERM "$pid"
} &
run --rate 300 -d 1500ms -c 32 "http://127.0.0.1:$port/"
wait "$pid"
status=$?
served=$(sed -n 's/.*served \([0-9]*\) requests.*/\1/p' "$dir/draining.log")
check "SIGTERM: what was connected is answered, the rest refused, nothing lost" \
	"$status == 0 && $(total ok) == $served && $(total ok) > 180 && $(failed reset) == 0 &&
	$(failed timeout) == 0 && $(failed protocol) == 0 && $(total ok) + $(failed refused) == 450"

# --- usage --------------------------------------------------------------------------------------
"$load" --rate nonsense http://127.0.0.1/ 2>"$dir/err"
check "drpc-load: wrong usage is status 2 and says what is accepted" \
	"$? == 2 && $(grep -c 'expected RATE' "$dir/err") == 1"
"$load" --rate-file "$dir/mix" http://127.0.0.1/ 2>"$dir/err"
check "drpc-load: a bad rate file is named with its line" "$? == 2 && $(grep -c 'mix:1: ' "$dir/err") == 1"
"$testbed" --route /x:cpu=1 2>"$dir/err"
check "drpc-testbed: wrong usage is status 2" "$? == 2 && $(grep -c 'expected NAME=VALUE' "$dir/err") == 1"
"$load" --version >"$dir/out" && "$testbed" --help >>"$dir/out"
check "help and version" "$? == 0 && $(grep -c 'drpc-load\|--route' "$dir/out") >= 2"

echo "1..$number"
