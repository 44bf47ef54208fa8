#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Replicas on a real engine: a service under thrice its load is copied and comes back to one without a
# failed request; what an overloaded node can do without leaves and returns; a killed agent's copies go
# with `drpc restore`.
# timeout: 180
set -u
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/lib/agent.sh
. "$here/../lib/agent.sh"
# shellcheck source=tests/lib/engine.sh
. "$here/../lib/engine.sh"

# One engine of ours at a time on this machine.
exec 9>"${TMPDIR:-/tmp}/dockerd.lock"
flock -w 120 9 || {
	echo "1..0 # SKIP another test holds the engine"
	exit 0
}
net=drpc-e2e-net
ours() {
	docker ps -aq --filter name=drpc-e2e-r
}
leave() {
	cleanup
	# shellcheck disable=SC2046 # a list of ids
	[ -z "${DOCKER_HOST:-}" ] || [ -z "$(ours)" ] || docker rm -f $(ours) >/dev/null 2>&1
	[ -z "${DOCKER_HOST:-}" ] || docker network rm $net >/dev/null 2>&1
	[ -z "${DOCKER_HOST:-}" ] || docker rmi drpc-e2e-replicas >/dev/null 2>&1
	engine_stop
}
trap leave EXIT
engine_start || {
	echo "1..0 # SKIP no engine: $ENGINE_WHY"
	exit 0
}
engine_image drpc-e2e-replicas "$bin/drpc-testbed" || note "no image"
docker network create $net >/dev/null || note "no network"

# serve NAME OPTION... -- TESTBED-OPTION...: as compose names and labels it.
serve() {
	local name=$1 options=()
	shift
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	docker run -d --name "drpc-e2e-r-$name-1" --network $net --network-alias "$name" \
		-l com.docker.compose.project=drpc-e2e-r -l "com.docker.compose.service=$name" \
		-l com.docker.compose.container-number=1 "${options[@]}" \
		drpc-e2e-replicas /bin/drpc-testbed "$@" >/dev/null
}
# 100 requests a second are what 0.2 CPUs can do for the shop; the front waits for it and nothing else.
# It looks its name up once a second: an address that is gone since does not answer, and the front
# soon tries the next, as a proxy does.
serve shop --cpus 0.2 --memory 64m -l drpc.mode=act -l drpc.slo-p99=60ms -l drpc.min-cpu=0.2 \
	-l drpc.max-cpu=0.2 -l drpc.memory-managed=false -l drpc.replicas=1..4 -- --cpu-ms 2 --workers 4
serve front --sysctl net.ipv4.tcp_syn_retries=1 -- --workers 32 --cpu-ms 0 --call http://shop:8080/ --call-reuse 500ms --call-timeout 20s
address=$(docker inspect -f "{{(index .NetworkSettings.Networks \"$net\").IPAddress}}" drpc-e2e-r-front-1)
running() { # SERVICE
	docker ps -q --filter "label=com.docker.compose.service=$1" | grep -c .
}
runs() { # SERVICE COUNT
	[ "$(running "$1")" = "$2" ]
}
more() { # SERVICE
	[ "$(running "$1")" -gt 1 ]
}
# machine_busy: whether others use so much of this machine that there is no room to return to.
machine_busy() {
	local a b
	read -r -a a < <(head -n 1 /proc/stat)
	nap 2
	read -r -a b < <(head -n 1 /proc/stat)
	awk "BEGIN { all = $(printf '%s+' "${b[@]:1:8}")0 - ($(printf '%s+' "${a[@]:1:8}")0)
		idle = ${b[4]} + ${b[5]} - ${a[4]} - ${a[5]}; exit !(1 - idle / all > 0.3) }"
}
before=$(docker inspect -f '{{.Id}} {{.State.StartedAt}}' drpc-e2e-r-shop-1)

config replicas <<-END
	cgroup_root: $mount/docker
	guard:
	  scale_interval: 2s
	  scale_in_cooldown: 5s
	  brownout_after: 1s
	  brownout_calm: 3s
	  brownout_busy: 80%
	scale:
	  drain_timeout: 5s
	  stop_grace: 3s
END

# --- load that triples ----------------------------------------------------------------------------
load base --rate 40 -d 22s -c 8 --timeout 20s "http://$address:8080/"
base_pid=$load_pid
agent_start replicas --engine "$ENGINE_SOCKET"
check "the agent comes to a service under load" "$? == 0"
shop_known() {
	[ "$(of drpc-e2e-r-shop-1 deployment)" = drpc-e2e-r/shop ]
}
eventually 5 shop_known
check "its containers are one deployment" "$? == 0"
begun=$(now_ms)
load step --rate 80 -d 10s -c 16 --timeout 20s "http://$address:8080/"
step_pid=$load_pid
eventually 9 more shop
check "thrice the load: the service is copied" "$? == 0"
note "the first copy runs after $(($(now_ms) - begun)) ms"
clone=$(docker ps -q --filter label=io.drpc.clone | head -n 1)
same "the copy: labels of compose, the network's alias, the image" \
	"$(docker inspect -f "{{index .Config.Labels \"com.docker.compose.container-number\"}} {{index .Config.Labels \"io.drpc.clone\"}} {{.HostConfig.NanoCpus}} {{.Image}}" "$clone")" \
	"2 drpc-e2e-r/shop 200000000 $(docker inspect -f '{{.Image}}' drpc-e2e-r-shop-1)"
holds "its alias" "$(docker inspect -f "{{(index .NetworkSettings.Networks \"$net\").Aliases}}" "$clone")" 'shop'
eventually 6 more shop && nap 1
most=$(running shop)
mapfile -t row < <(of drpc-e2e-r-shop-1 replicas last_action)
check "ls tells the replicas" "${row[0]:-0} >= 2"
wait "$step_pid"
eventually 15 runs shop 1
check "with the load they go: one is left" "$? == 0"
note "at most $most replicas"
wait "$base_pid"
note "the front's calls: $(curl -s --max-time 3 "http://$address:8080/stats" | "$probe" get calls)"
check "no request failed on the way" "$(loaded base total.failed.total) + $(loaded step total.failed.total) == 0"
same "the original was never touched" "$(docker inspect -f '{{.Id}} {{.State.StartedAt}}' drpc-e2e-r-shop-1)" "$before"
same "nothing of the copies is left" "$(docker ps -aq --filter label=io.drpc.clone | wc -l)" 0
holds "explain tells of replicas and why" "$(drpc explain drpc-e2e-r/shop --applied -n 64)" 'replicas 1 → 2'

holds "recommend says what it needs, as a line for the engine" "$(drpc recommend --format docker drpc-e2e-r/shop)" \
	"docker update --cpus [0-9.]+ --memory [0-9]+m --memory-swap [0-9]+m 'drpc-e2e-r-shop-1'"
holds "and as a table, with the risk" "$(drpc recommend)" 'drpc-e2e-r/shop .*high .*too short to trust'

# --- brownout -------------------------------------------------------------------------------------
# Both processors are wanted by more than there is; the ads are what the shop can do without.
cpus=$(nproc)
serve ads -l drpc.mode=act -l drpc.brownout=true -l drpc.replicas=0..1 -l drpc.memory-managed=false \
	-- --cpu-ms 20 --workers $((4 * cpus))
docker rm -f drpc-e2e-r-shop-1 >/dev/null
serve till -l drpc.mode=act -l drpc.slo-p99=40ms -l drpc.memory-managed=false -l drpc.min-cpu=$cpus \
	-- --cpu-ms 8 --workers 16
ads=$(docker inspect -f "{{(index .NetworkSettings.Networks \"$net\").IPAddress}}" drpc-e2e-r-ads-1)
till=$(docker inspect -f "{{(index .NetworkSettings.Networks \"$net\").IPAddress}}" drpc-e2e-r-till-1)
load ads --rate $((60 * cpus)) -d 18s -c $((4 * cpus)) --timeout 5s "http://$ads:8080/"
ads_pid=$load_pid
load till --rate $((75 * cpus)) -d 9s -c 16 "http://$till:8080/"
till_pid=$load_pid
eventually 10 runs ads 0
check "an overloaded node: what can be done without leaves" "$? == 0" || {
	drpc explain drpc-e2e-r/till -n 3
	drpc explain drpc-e2e-r/ads -n 3
	drpc ls
} | sed 's/^/  # /'
holds "it is stopped, not removed" "$(docker ps -a --format '{{.Names}} {{.Status}}')" 'drpc-e2e-r-ads-1 Exited'
away() {
	[[ $(api /v1/status) == *brownout* ]]
}
eventually 2 away
check "and status tells of it" "$? == 0"
holds "so does ls" "$(drpc ls)" 'drpc-e2e-r/ads: 0 replicas'
wait "$till_pid"
kill "$ads_pid" 2>/dev/null
nap 0.5
mapfile -t p99 < <(loaded till 'seconds.*.p99_ms')
note "the other's p99 by the second: ${p99[*]}"
if machine_busy; then
	skip "it comes back when there is room" "this machine is busy with other work"
else
	eventually 15 runs ads 1
	check "it comes back when there is room" "$? == 0"
fi

# --- kill -9 --------------------------------------------------------------------------------------
serve shop --cpus 0.2 -l drpc.mode=act -l drpc.slo-p99=60ms -l drpc.min-cpu=0.2 -l drpc.max-cpu=0.2 \
	-l drpc.memory-managed=false -l drpc.replicas=1..4 -- --cpu-ms 2 --workers 4
nap 1
load kill --rate 160 -d 12s -c 16 --timeout 20s "http://$address:8080/"
eventually 10 more shop
check "copied again" "$? == 0" || drpc explain drpc-e2e-r/shop -n 3 | sed 's/^/  # /'
agent_end KILL
kill "$load_pid" 2>/dev/null
check "killed: the copies are still there" "$(running shop) > 1"
"$bin/drpc" restore --journal "$journal" >"$dir/out" 2>&1
same "drpc restore: status" "$?" 0
check "the number of replicas is what it was" "$(running shop) == 1"
same "no copy is left" "$(docker ps -aq --filter label=io.drpc.clone | wc -l)" 0
same "nothing is left on record" "$(records)" 0
finish
