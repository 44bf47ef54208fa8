# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Start and stop a container engine for a test or the demo, and leave the machine as it was found.
# To be sourced by a POSIX shell. Nothing runs at the time of sourcing.
#
#   engine_start           use the engine that answers, or start one; 1 and ENGINE_WHY if neither
#   engine_image NAME FILE...   make an image that holds static programs, without any registry
#   engine_stop            stop what engine_start started, put sysctls and firewall back
#
# Set by engine_start: ENGINE_SOCKET (path), ENGINE_STARTED (1 where this shell started it),
# DOCKER_HOST (exported). The caller must call engine_stop itself, best from a trap:
#   trap engine_stop EXIT; trap 'exit 130' INT; trap 'exit 143' TERM
#
# DRPC_ENGINE_DIR: where an engine of ours keeps its data (default: a new folder under TMPDIR).

ENGINE_STARTED=0
ENGINE_SOCKET=
ENGINE_WHY=
_engine_dir=
_engine_own_dir=0
_engine_pid=

# Does an engine answer at this socket?
engine_answers() {
	curl -sf --noproxy '*' --max-time 3 --unix-socket "$1" http://engine/_ping >/dev/null 2>&1
}

engine_start() {
	for _s in "${DRPC_ENGINE_SOCKET:-}" /run/docker.sock /var/run/docker.sock; do
		if [ -n "$_s" ] && [ -S "$_s" ] && engine_answers "$_s"; then
			ENGINE_SOCKET=$_s
			DOCKER_HOST=unix://$_s
			export DOCKER_HOST
			return 0
		fi
	done

	ENGINE_WHY=
	[ "$(id -u)" = 0 ] || ENGINE_WHY="no engine runs, and only root can start one"
	for _c in dockerd docker curl iptables; do
		command -v "$_c" >/dev/null 2>&1 ||
			ENGINE_WHY="no engine runs, and $_c is not installed"
	done
	[ -z "$ENGINE_WHY" ] || return 1

	if [ -n "${DRPC_ENGINE_DIR:-}" ]; then
		_engine_dir=$DRPC_ENGINE_DIR
		mkdir -p "$_engine_dir"
	else
		_engine_dir=$(mktemp -d "${TMPDIR:-/tmp}/drpc-engine.XXXXXX") || return 1
		_engine_own_dir=1
	fi
	_engine_save_host
	# Sockets' paths are short: at most 108 bytes.
	ENGINE_SOCKET=$_engine_dir/engine.sock
	dockerd --data-root "$_engine_dir/data" --exec-root "$_engine_dir/exec" \
		--pidfile "$_engine_dir/pid" -H "unix://$ENGINE_SOCKET" \
		>"$_engine_dir/log" 2>&1 </dev/null &
	_engine_pid=$!
	ENGINE_STARTED=1

	_left=${DRPC_ENGINE_WAIT:-60}
	until engine_answers "$ENGINE_SOCKET"; do
		_left=$((_left - 1))
		if ! kill -0 "$_engine_pid" 2>/dev/null || [ "$_left" -le 0 ]; then
			ENGINE_WHY="dockerd did not come up: $(grep -E 'level=(error|fatal)|^failed' \
				"$_engine_dir/log" | tail -n 1)"
			engine_stop
			return 1
		fi
		sleep 1
	done
	DOCKER_HOST=unix://$ENGINE_SOCKET
	export DOCKER_HOST
}

# engine_image NAME FILE...: each FILE ends up in /bin; a static busybox also gets its links.
engine_image() {
	_name=$1
	shift
	_root=$(mktemp -d "${TMPDIR:-/tmp}/drpc-image.XXXXXX") || return 1
	mkdir -p "$_root/bin" "$_root/tmp" "$_root/etc" "$_root/proc" "$_root/sys" "$_root/dev"
	for _f in "$@"; do
		cp "$_f" "$_root/bin/" || return 1
		case $_f in
		*/busybox) for _l in sh sleep cat dd true wget nc httpd; do
			ln -s busybox "$_root/bin/$_l"
		done ;;
		esac
	done
	tar -C "$_root" -c . | docker import - "$_name" >/dev/null
	_rc=$?
	rm -rf "$_root"
	return $_rc
}

engine_stop() {
	[ "$ENGINE_STARTED" = 1 ] || return 0
	ENGINE_STARTED=0
	_ids=$(DOCKER_HOST=unix://$ENGINE_SOCKET docker ps -aq 2>/dev/null)
	# An engine that we started holds nothing but what was started in it.
	# shellcheck disable=SC2086 # a list of ids
	[ -z "$_ids" ] || DOCKER_HOST=unix://$ENGINE_SOCKET docker rm -f $_ids >/dev/null 2>&1
	kill "$_engine_pid" 2>/dev/null
	_left=20
	while kill -0 "$_engine_pid" 2>/dev/null && [ "$_left" -gt 0 ]; do
		sleep 0.5
		_left=$((_left - 1))
	done
	kill -9 "$_engine_pid" 2>/dev/null
	wait "$_engine_pid" 2>/dev/null
	_engine_restore_host
	if [ "$_engine_own_dir" = 1 ]; then
		grep -q " $_engine_dir/" /proc/mounts &&
			awk -v d="$_engine_dir/" 'index($2, d) == 1 { print $2 }' /proc/mounts |
			sort -r | while read -r _m; do umount "$_m" 2>/dev/null; done
		rm -rf "$_engine_dir"
	fi
	unset DOCKER_HOST
}

# dockerd turns forwarding on, sets the FORWARD policy to DROP, adds chains, rules and docker0.
_engine_save_host() {
	for _f in /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/forwarding; do
		echo "$_f $(cat "$_f")"
	done >"$_engine_dir/sysctls"
	for _t in filter nat; do
		iptables -t $_t -S >"$_engine_dir/rules-$_t" 2>/dev/null
	done
	ip -o link show | awk -F': ' '{ sub(/@.*/, "", $2); print $2 }' >"$_engine_dir/links"
}

_engine_restore_host() {
	for _t in filter nat; do
		_engine_restore_table $_t "$_engine_dir/rules-$_t"
	done
	# The engine's bridges alone: other people's links may have come meanwhile.
	ip -o link show type bridge 2>/dev/null | awk -F': ' '{ sub(/@.*/, "", $2); print $2 }' |
		grep -E '^(docker0|br-[0-9a-f]{12})$' | grep -vxF -f "$_engine_dir/links" |
		while read -r _l; do ip link del "$_l" 2>/dev/null; done
	# ip_forward first: writing it sets every interface's value.
	while read -r _f _v; do
		[ ! -e "$_f" ] || [ "$(cat "$_f")" = "$_v" ] || echo "$_v" >"$_f"
	done <"$_engine_dir/sysctls"
}

# Take away the engine's own rules and chains that were not there before, put policies back.
_engine_restore_table() {
	iptables -t "$1" -S 2>/dev/null | grep -vxF -f "$2" >"$_engine_dir/new-$1"
	grep -E '^-A .*(DOCKER|docker0|br-[0-9a-f]{12}|172\.[0-9]+\.0\.0/16)' "$_engine_dir/new-$1" |
		sed 's/^-A/-D/' | while read -r _rule; do
		eval "iptables -t $1 $_rule" 2>/dev/null
	done
	grep -E '^-N DOCKER' "$_engine_dir/new-$1" | while read -r _n _chain; do
		iptables -t "$1" -F "$_chain" && iptables -t "$1" -X "$_chain"
	done 2>/dev/null
	grep '^-P ' "$2" | while read -r _rule; do
		eval "iptables -t $1 $_rule" 2>/dev/null
	done
}
