#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# drpc record beside an agent, and what drpc-sim fit makes of it.
# timeout: 120
set -u
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/lib/agent.sh
. "$here/../lib/agent.sh"

recorded=$((slow == 1 ? 5 : 10)) rate=$((slow == 1 ? 100 : 10))
db=$dir/app.db

"$bin/drpc" record --socket "$dir/none" --out "$db" --for 1s >"$dir/out" 2>&1
same "without an agent: status 1" "$?" 1
holds "without an agent: it says what to do" "$(<"$dir/out")" "no agent answers on $dir/none .*start it"
"$bin/drpc" record --for 1s >"$dir/out" 2>&1
same "without --out: status 2" "$?" 2

cgroup_root record
container back max
container front max
service back --cpu-ms 1 --workers 4
back=$port
service front --cpu-ms 0.5 --workers 8 --call "http://127.0.0.1:$back/"
front=$port
agent_start record --cgroup-root "$root"
check "the agent runs" "$? == 0"
load main --rate $rate -d $((2 * recorded + 4 * slow))s -c 8 "http://127.0.0.1:$front/"
nap 1
drpc record --for ${recorded}s --out "$db" >"$dir/out" 2>&1
same "recorded: status 0" "$?" 0
holds "recorded: it tells how much" "$(<"$dir/out")" ': [0-9]+ intervals of up to 2 containers, [0-9]+ requests'
first=$(sed -n 's/.* containers, \([0-9]*\) requests.*/\1/p' "$dir/out")
check "every request is in it, of both services" \
	"$first >= 2 * $rate * $recorded * 0.8 && $first <= 2 * $rate * $recorded * 1.2"

echo "no database, but a file that somebody needs" >"$dir/other"
drpc record --for 1s --out "$dir/other" >"$dir/out" 2>&1
same "another file: status 1" "$?" 1
same "another file: left as it is" "$(<"$dir/other")" "no database, but a file that somebody needs"

# Until it is interrupted, into the same file.
"$bin/drpc" record --socket "$socket" --interval 500ms --out "$db" >"$dir/out" 2>&1 &
recorder=$!
pids+=("$recorder")
nap 2
kill -INT "$recorder"
wait "$recorder"
same "interrupted: status 0" "$?" 0
holds "interrupted: what there was is kept" "$(<"$dir/out")" ': [1-9][0-9]* intervals'
kill -INT "$load_pid" 2>/dev/null
wait "$load_pid"

# --- the fit --------------------------------------------------------------------------------------
"$bin/drpc-sim" fit --recording "$db" --out "$dir/app.yaml" >"$dir/out" 2>&1
same "no objective was recorded: status 1" "$?" 1
holds "no objective was recorded: it says what to do" "$(<"$dir/out")" "$db: no objective .*--slo"
check "nothing half-written" "$([ -e "$dir/app.yaml" ] && echo 1 || echo 0) == 0"
"$bin/drpc-sim" fit --recording "$db" --slo 100ms --out "$dir/app.yaml" >"$dir/out" 2>"$dir/err"
same "fitted: status 0" "$?" 0
"$bin/drpc-sim" check --app "$dir/app.yaml" --rate $rate >"$dir/out" 2>&1
same "the file is right" "$?" 0
holds "a call of back a request of front" "$(<"$dir/out")" "back +1\\.000 .*front +1\\.000 "
cpu=$(awk '$1 ~ /back$/ { print $3 }' "$dir/out")
# Waking up and the answer come on top; on an emulated machine a multiple of it.
check "its CPU time: ${cpu} ms" "$cpu >= 0.95 && $cpu <= ($slow > 1 ? 40 : 1.6)"
"$bin/drpc-sim" fit --recording "$dir/other" --slo 1s --out "$dir/other.yaml" >"$dir/out" 2>&1
same "no recording: status 1" "$?" 1
holds "no recording: it names the file" "$(<"$dir/out")" "$dir/other: .*no recording"
agent_end TERM
finish
