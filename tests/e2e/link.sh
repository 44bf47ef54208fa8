#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The link over a real NATS server, on loopback: delivery, faults, forgeries, limits, TLS.
# timeout: 120
set -u
bin=${DRPC_BIN:-$(dirname "$0")/../../build/release}
peer=$bin/tests/link-peer
command -v nats-server >/dev/null || {
	echo "1..0 # SKIP no nats-server"
	exit 0
}
dir=$(mktemp -d /tmp/drpc-e2e-link.XXXXXX) || exit 1
pids=() number=0 first=0

cleanup() {
	local pid
	for pid in "${pids[@]}"; do
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

# A port that nobody has: the server comes back on it.
port=$((20000 + RANDOM % 20000))
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
url=nats://127.0.0.1:$port

# server CONFIGURATION: starts it and waits until it listens; sets server.
server() {
	local i
	cat >"$dir/server.conf" <<-END
		listen: "127.0.0.1:$port"
		jetstream { store_dir: "$dir/jetstream" }
		$1
	END
	nats-server -c "$dir/server.conf" -l "$dir/server.log" &
	server=$!
	pids+=("$server")
	for ((i = 0; i < 200; i++)); do
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return 0
		sleep 0.02
	done
	echo "  # the server did not start: $(tail -n 3 "$dir/server.log")"
}
server_end() {
	kill -KILL "$server" 2>/dev/null
	wait "$server" 2>/dev/null
}

# run NAME KIND OPTION...: a peer in the background, its figures in NAME.out; sets pid.
run() {
	local name=$1
	shift
	"$peer" "$@" >"$dir/$name.out" 2>"$dir/$name.err" &
	pid=$!
	pids+=("$pid")
}
# figure NAME KEY
figure() {
	awk -v k="$2" '$1 == k { n = $2 } END { print n + 0 }' "$dir/$1.out"
}
teacher() { # NAME OPTION...
	local name=$1
	shift
	run "$name" teacher --create --servers "$url" --ledger "$dir/$name.ledger" --out "$dir/$name.got" "$@"
}
lines() { cat "$@" 2>/dev/null | wc -l; }
different() { cat "$@" 2>/dev/null | sort -u | wc -l; }
# until CONDITION TENTHS: waits for a shell condition.
until_true() {
	local i
	for ((i = 0; i < $2 * 5; i++)); do
		eval "$1" 2>/dev/null && return 0
		sleep 0.02
	done
	return 1
}

# --- delivery -----------------------------------------------------------------------------------
server ""
teacher plain --count 3000
teacher_pid=$pid
"$peer" agent --servers "$url" --node a --count 3000 >"$dir/a.out" 2>"$dir/a.err"
wait "$teacher_pid"
check "what is published is received, each record once" \
	"$(lines "$dir/plain.got") == 3000 && $(different "$dir/plain.got") == 3000 &&
	$(figure a sent_records) == 3000 && $(figure plain accepted) == 3000"

# --- faults -------------------------------------------------------------------------------------
teacher fault --prefix fault --count 3000 --seconds 30
teacher_pid=$pid
run b agent --servers "$url" --prefix fault --node b --count 3000 --rate 1500 --batch 50 --seconds 30
agent_pid=$pid
sleep 0.6
server_end
sleep 1
server ""
wait "$agent_pid" "$teacher_pid"
check "a broker killed and started again: the backlog comes, nothing twice, nothing lost" \
	"$(lines "$dir/fault.got") == 3000 && $(different "$dir/fault.got") == 3000 &&
	$(figure b sent_records) == 3000 && $(figure b backlog_dropped) == 0 && $(figure b reconnects) > 0"
check "publishing did not wait for it" "$(figure b longest_us) < 50000"

server_end
run c agent --servers "$url" --prefix bound --node c --count 2000 --batch 10 --backlog 40000
agent_pid=$pid
until_true '[ "$(cat "$dir/c.err" | wc -l)" -gt 0 ]' 30
sleep 0.5
server ""
teacher bound --prefix bound --seconds 6
teacher_pid=$pid
wait "$agent_pid"
sleep 0.3
kill -TERM "$teacher_pid"
wait "$teacher_pid"
check "a backlog over its bound: the oldest are dropped, counted, and known to be missing" \
	"$(figure c backlog_dropped) > 1000 && $(lines "$dir/bound.got") == $(different "$dir/bound.got") &&
	$(lines "$dir/bound.got") + $(figure c backlog_dropped) == 2000 &&
	$(figure bound missing.c) == $(figure c backlog_dropped) &&
	$(sort -k2,2n "$dir/bound.got" | tail -n 1 | cut -d' ' -f2) == 2000"

teacher killed --prefix killed --seconds 20
teacher_pid=$pid
run d agent --servers "$url" --prefix killed --node d --count 2000 --rate 2000 --batch 20
agent_pid=$pid
until_true '[ "$(lines "$dir/killed.got")" -gt 200 ]' 50
kill -KILL "$teacher_pid"
wait "$teacher_pid" 2>/dev/null
teacher killed --prefix killed --seconds 20
teacher_pid=$pid
wait "$agent_pid"
until_true '[ "$(cut -d" " -f2 "$dir/killed.got" | sort -n | tail -n 1)" = 2000 ]' 50
sleep 0.2
kill -TERM "$teacher_pid"
wait "$teacher_pid"
# What it had in its hands is at most what one call fetches: 64 batches.
check "a teacher killed: nothing twice, and less than it had in its hands is lost" \
	"$(lines "$dir/killed.got") == $(different "$dir/killed.got") &&
	$(lines "$dir/killed.got") >= 2000 - 64 * 20 && $(figure d sent_records) == 2000"

# Two of one name share the work.
teacher one --prefix two --seconds 20
first_pid=$pid
teacher other --prefix two --seconds 20
second_pid=$pid
"$peer" agent --servers "$url" --prefix two --node e --count 3000 --rate 3000 --batch 10 \
	>"$dir/e.out" 2>"$dir/e.err"
until_true '[ "$(lines "$dir"/{one,other}.got)" -ge 3000 ]' 50
kill -TERM "$first_pid" "$second_pid"
wait "$first_pid" "$second_pid"
check "two receivers of one consumer: each record goes to one of them" \
	"$(lines "$dir"/{one,other}.got) == 3000 && $(different "$dir"/{one,other}.got) == 3000 &&
	$(lines "$dir/one.got") > 0 && $(lines "$dir/other.got") > 0"

# --- forgeries ----------------------------------------------------------------------------------
raw() { "$peer" raw --servers "$url" "$@" 2>>"$dir/raw.err"; }
teacher forged --prefix forged --seconds 20
teacher_pid=$pid
run f agent --servers "$url" --prefix forged --node f --count 100
wait "$pid"
raw --subject forged.experience.f --text 'this is no protobuf'
raw --subject forged.experience.f --text ''
raw --subject forged.experience.f --node f --count 0
raw --subject forged.experience.g --node f --epoch 9 --first 1 --count 10 # another node's
raw --subject forged.experience.g --node g --epoch 7 --first 1 --count 10
raw --subject forged.experience.g --node g --epoch 7 --first 1 --count 10  # replayed
raw --subject forged.experience.g --node g --epoch 7 --first 31 --count 10 # out of order
raw --subject forged.experience.g --node g --epoch 7 --first 11 --count 20
raw --subject forged.experience.g --node g --epoch 7 --first 35 --count 20 # overlaps
raw --subject forged.experience.g --node g --epoch 6 --first 1 --count 10  # older than known
raw --subject forged.experience.h --node h --epoch 1 --first 1 --count 20 --rate 4 # a node that lies
raw --subject forged.experience.h --node h --epoch 1 --first 99999999999 --count 1
sleep 0.6
kill -TERM "$teacher_pid"
wait "$teacher_pid"
check "garbled and foreign messages are refused and counted" \
	"$(figure forged rejected.format) == 2 && $(figure forged rejected.size) == 1 &&
	$(figure forged rejected.subject) == 1"
check "replayed, overlapping and older ones too; out of order is none of these" \
	"$(figure forged rejected.duplicate) == 2 && $(figure forged rejected.epoch) == 1 &&
	$(grep -c '^g ' "$dir/forged.got") == 40 && $(figure forged missing.g) == 0"
check "of a node that lies what is possible counts" \
	"$(figure forged rejected.reward) == 5 && $(grep -c '^h ' "$dir/forged.got") == 15 &&
	$(figure forged rejected.sequence) == 1"
check "and what others send is not touched by it" "$(grep -c '^f ' "$dir/forged.got") == 100"

# --- a full disk --------------------------------------------------------------------------------
# Room for the ledger's head and one node.
mkdir "$dir/small"
if unshare -m mount -t tmpfs -o size=28k drpc-link "$dir/small" 2>/dev/null; then
	run small-maker teacher --create --servers "$url" --prefix small --ledger "$dir/small-maker.ledger" \
		--out "$dir/small-maker.got" --consumer first --seconds 1
	until_true 'grep -q "made stream" "$dir/small-maker.err"' 30
	for node in m n m; do
		raw --subject small.experience.$node --node $node --epoch 1 --first $((++first)) --count 1
	done
	unshare -m sh -c "mount -t tmpfs -o size=28k drpc-link '$dir/small' && exec '$peer' teacher --create \
		--servers '$url' --prefix small --ledger '$dir/small/ledger' --out '$dir/small.got' --seconds 1" \
		>"$dir/small.out" 2>"$dir/small.err"
	check "a full disk under the ledger: no new node, and those that are known go on" \
		"$(figure small rejected.nodes) == 1 && $(lines "$dir/small.got") == 2 &&
		$(grep -c 'no room for node' "$dir/small.err") > 0"
else
	number=$((number + 1))
	echo "ok $number - a full disk under the ledger # SKIP no mounts of its own"
fi

# --- a full stream, no stream -------------------------------------------------------------------
run makes teacher --create --servers "$url" --prefix full --stream 100000 --out "$dir/makes.got" \
	--ledger "$dir/makes.ledger" --seconds 1
wait "$pid"
"$peer" agent --servers "$url" --prefix full --node i --count 2000 --batch 20 >"$dir/i.out" 2>"$dir/i.err"
run i-full teacher --servers "$url" --prefix full --out "$dir/full.got" --ledger "$dir/full.ledger" \
	--seconds 1
wait "$pid"
check "a full stream keeps the newest, and what it lost is known" \
	"$(figure i sent_records) == 2000 && $(lines "$dir/full.got") > 100 &&
	$(lines "$dir/full.got") < 1000 && $(figure i-full missing.i) == 2000 - $(lines "$dir/full.got") &&
	$(sort -k2,2n "$dir/full.got" | tail -n 1 | cut -d' ' -f2) == 2000"
run j agent --servers "$url" --prefix none --node j --count 100 --seconds 1
wait "$pid"
check "no stream: refused, counted, kept" \
	"$(figure j refused) > 0 && $(figure j backlog_records) == 100 && $(figure j sent_records) == 0"

# --- policies -----------------------------------------------------------------------------------
"$peer" key --keys "$dir/key" 2>/dev/null && "$peer" key --keys "$dir/other" 2>/dev/null
announce() { # KEY SERIAL VERSION TEXT OPTION...
	local key=$1 serial=$2 version=$3 text=$4
	shift 4
	"$peer" announce --create --servers "$url" --keys "$dir/$key" --name shop/web --serial "$serial" \
		--version "$version" --text "$text" --seconds 5 "$@" >>"$dir/announce.out" 2>>"$dir/announce.err"
}
watch() { # NAME
	run "$1" agent --servers "$url" --node k --store "$dir/store" --keys "$dir/key.pub" --seconds 20
}
saw() { grep -qx "$1" "$dir/$2.out"; }
announce key 1 5 five
watch watch
watch_pid=$pid
until_true 'saw "policy shop/web 1 5 five" watch' 50
announce key 2 4 four
status_old=$?
announce key 2 4 four
status_same=$?
announce key 1 9 nine
status_behind=$?
announce key 3 3 three --rollback
until_true 'saw "policy shop/web 3 3 three" watch' 50
announce key 1 0 'training 0.25
' --mode
until_true 'saw "mode shop/web 1 1 0.25" watch' 50
announce other 4 7 forged
raw --subject '$KV.drpc_policies.policy.cart' --text 'no envelope'
sleep 0.4
server_end
server ""
announce key 5 8 eight
status_after=$?
until_true 'saw "policy shop/web 5 8 eight" watch' 80
kill -TERM "$watch_pid"
wait "$watch_pid"
check "a policy, a way back and a mode reach the agent" \
	"$(grep -c -e '^policy shop/web 1 5 five$' -e '^policy shop/web 3 3 three$' \
		-e '^mode shop/web 1 1 0.25$' "$dir/watch.out") == 3"
check "an older version is not taken, though it was published and signed" \
	"$status_old == 0 && $status_same == 0 && $(grep -c four "$dir/watch.out") == 0 &&
	$(figure watch store.older) > 0"
check "a teacher that is behind publishes nothing" "$status_behind == 1"
check "a policy of another key and what is no envelope are refused" \
	"$(grep -c forged "$dir/watch.out") == 0 && $(figure watch store.unsigned_by_us) > 0 &&
	$(figure watch store.garbled) > 0"
check "the watch outlives the broker" \
	"$status_after == 0 && $(grep -c '^policy shop/web 5 8 eight$' "$dir/watch.out") == 1"
server_end
run again agent --servers "$url" --node k --store "$dir/store" --keys "$dir/key.pub" --seconds 1
wait "$pid"
check "without a broker an agent begins with what it had" \
	"$(grep -c -e '^policy shop/web 5 8 eight$' -e '^mode shop/web 1 1 0.25$' "$dir/again.out") == 2"

# --- two teachers -------------------------------------------------------------------------------
server ""
run first lease --create --servers "$url" --name first
first_pid=$pid
until_true 'grep -qx held "$dir/first.out"' 50
run second lease --create --servers "$url" --name second
second_pid=$pid
sleep 0.4
second_early=$(grep -c held "$dir/second.out")
kill -KILL "$first_pid"
wait "$first_pid" 2>/dev/null
until_true 'grep -qx held "$dir/second.out"' 60
run third lease --create --servers "$url" --name third --seconds 5
third_pid=$pid
sleep 0.3
third_early=$(grep -c held "$dir/third.out")
kill -TERM "$second_pid"
wait "$second_pid"
until_true 'grep -qx held "$dir/third.out"' 10
check "one teacher at a time: another waits, and takes over from one that is killed" \
	"$second_early == 0 && $(grep -c held "$dir/second.out") == 1 && $(grep -c lost "$dir/first.out") == 0"
check "one that ends gives way at once" "$third_early == 0 && $(grep -c held "$dir/third.out") == 1"
kill -TERM "$third_pid"
wait "$third_pid"
server_end

# --- who may what -------------------------------------------------------------------------------
# certificate AUTHORITY NAME: NAME.pem, NAME.key
authority() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
		-keyout "$dir/$1.key" -out "$dir/$1.pem" 2>/dev/null
}
certificate() {
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" \
		-keyout "$dir/$2.key" -out "$dir/$2.csr" 2>/dev/null &&
		openssl x509 -req -in "$dir/$2.csr" -CA "$dir/$1.pem" -CAkey "$dir/$1.key" -days 2 \
			-extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:$2") -out "$dir/$2.pem" 2>/dev/null
}
authority ca && authority wrong-ca && certificate ca server && certificate ca teacher &&
	certificate ca node1 && certificate wrong-ca stranger
server "tls {
	cert_file: \"$dir/server.pem\", key_file: \"$dir/server.key\", ca_file: \"$dir/ca.pem\"
	verify_and_map: true
}
authorization { users: [
	{ user: teacher }
	{ user: node1, permissions: {
		publish: [\"secure.experience.node1\", \"\$JS.API.STREAM.INFO.KV_secure_policies\",
			\"\$JS.API.STREAM.NAMES\",
			\"\$JS.API.CONSUMER.CREATE.KV_secure_policies\",
			\"\$JS.API.CONSUMER.DELETE.KV_secure_policies.>\", \"\$JS.FC.KV_secure_policies.>\"]
		subscribe: [\"_INBOX.node1.>\"] } }
] }"
url=tls://127.0.0.1:$port
tls() { # AUTHORITY CERTIFICATE
	echo --ca "$dir/$1.pem" --certificate "$dir/$2.pem" --key "$dir/$2.key"
}
# shellcheck disable=SC2046 # options
teacher secure --prefix secure --count 100 $(tls ca teacher)
teacher_pid=$pid
until_true 'grep -q "made stream" "$dir/secure.err"' 50
# shellcheck disable=SC2046
{
	announce key 1 1 one --prefix secure $(tls ca teacher)
	run n1 agent --servers "$url" --prefix secure --node node1 --count 100 $(tls ca node1) --seconds 3 \
		--store "$dir/secure-store" --keys "$dir/key.pub"
	good_pid=$pid
	run n2 agent --servers "$url" --prefix secure --node node2 --count 100 $(tls ca node1) --seconds 2
	n2_pid=$pid
	run n3 agent --servers "$url" --prefix secure --node node1 --count 100 $(tls ca stranger) --seconds 2
	n3_pid=$pid
	run n4 agent --servers "$url" --prefix secure --node node1 --count 100 $(tls wrong-ca node1) --seconds 2
	n4_pid=$pid
	run n5 agent --servers "$url" --prefix secure --node node1 --count 100 $(tls ca node1) --seconds 2 \
		--servers "tls://localhost:$port"
	n5_pid=$pid
	run n6 agent --servers "nats://127.0.0.1:$port" --prefix secure --node node1 --count 100 --seconds 2
	n6_pid=$pid
}
until_true 'saw "policy shop/web 1 1 one" n1' 30
wait "$good_pid" "$teacher_pid" "$n2_pid" "$n3_pid" "$n4_pid" "$n5_pid" "$n6_pid"
check "mutual TLS with this node's certificate" \
	"$(figure n1 sent_records) == 100 && $(grep -c '^node1 ' "$dir/secure.got") == 100"
check "and with the permissions that the manual names, policies come" \
	"$(grep -c '^policy shop/web 1 1 one$' "$dir/n1.out") == 1"
check "a node cannot speak for another" "$(figure n2 sent_records) == 0 && $(figure n2 backlog_records) == 100"
check "a certificate of another authority is refused" "$(figure n3 sent_records) == 0"
check "a server of another authority is refused" "$(figure n4 sent_records) == 0"
check "a server of another name is refused" "$(figure n5 sent_records) == 0"
check "without a certificate there is no way in" "$(figure n6 sent_records) == 0"
server_end

# A pair of NATS' own documentation.
echo SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY >"$dir/seed"
server "authorization { users: [
	{ nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4 }
] }"
url=nats://127.0.0.1:$port
teacher nkey --prefix nkey --count 100 --credentials "$dir/seed"
teacher_pid=$pid
run n7 agent --servers "$url" --prefix nkey --node l --count 100 --credentials "$dir/seed"
good_pid=$pid
run n8 agent --servers "$url" --prefix nkey --node l --count 100 --seconds 1
wait "$pid" "$good_pid" "$teacher_pid"
check "credentials: in with them, out without" \
	"$(figure n7 sent_records) == 100 && $(lines "$dir/nkey.got") == 100 && $(figure n8 sent_records) == 0"

echo "1..$number"
