#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mk/deps.sh GROUP...: make sure that the Debian packages of the groups in mk/packages are there.
# DRPC_INSTALL=no: never install, fail with the names instead.
# shellcheck disable=SC2086 # lists of names are split on purpose
set -eu
cd "$(dirname "$0")"

want=""
for group in "$@"; do
	list=$(awk -v g="$group" '$1 == g { for (i = 2; i <= NF; i++) print $i }' packages)
	[ -n "$list" ] || { echo "deps: no group '$group' in mk/packages" >&2; exit 2; }
	want="$want $list"
done

missing_of() {
	for p in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || echo "$p"
	done
}

missing=$(missing_of $want | sort -u | tr '\n' ' ')
[ -n "$missing" ] || exit 0

if [ "${DRPC_INSTALL:-yes}" = no ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "deps: these packages are missing and may not be installed from here: $missing" >&2
	echo "deps: as root, run: apt-get install --no-install-recommends $missing" >&2
	exit 1
fi

# Two runs at once would undo each other's work; the second then finds little left to do.
exec 9>/run/drpc-deps.lock
flock 9
missing=$(missing_of $missing | tr '\n' ' ')
[ -n "$missing" ] || exit 0

echo "deps ($*): installing Debian packages: $missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
try() {
	apt-get -o DPkg::Lock::Timeout=300 -q update &&
		apt-get -o DPkg::Lock::Timeout=300 -q -y install --no-install-recommends $missing
}
for attempt in 1 2 3; do
	if try >"$log" 2>&1; then
		still=$(missing_of $missing | tr '\n' ' ')
		[ -z "$still" ] && exit 0
	fi
	echo "deps: attempt $attempt failed" >&2
	sleep 3
done
tail -n 20 "$log" >&2
echo "deps: could not install: $missing" >&2
exit 1
