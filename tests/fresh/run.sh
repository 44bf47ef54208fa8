#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [COMMAND]: run a command (default: make && make unit) on a clone of this repository's HEAD in a
# fresh Debian 12 that has git and make and nothing else, as a new user's machine would. Shows whether
# mk/packages is complete. Needs root and the package debootstrap; uses this machine's package sources.
#   DRPC_FRESH_DIR   where the system goes (default /var/tmp/drpc-fresh); DRPC_FRESH_KEEP=1 keeps it
set -euo pipefail

die() {
	echo "fresh: $*" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || die "only root can make a Debian system in a folder"
command -v debootstrap >/dev/null || die "debootstrap is missing (Debian package debootstrap)"
command=${1:-make && make unit}
tree=$(readlink -f "$(dirname "$(readlink -f "$0")")/../..")
root=${DRPC_FRESH_DIR:-/var/tmp/drpc-fresh}
[ ! -e "$root" ] || die "$root is there already"

# shellcheck disable=SC2317 # called by the trap
finish() {
	local m
	# The kernel's file systems first: nothing of this machine may be below what is removed.
	for m in dev sys proc .; do
		umount -R -l "$root/$m" 2>/dev/null || true
	done
	if [ -n "${DRPC_FRESH_KEEP:-}" ]; then
		echo "fresh: kept in $root"
	elif ! findmnt -rno TARGET | grep -q "^$root\(/\|\$\)"; then
		rm -rf --one-file-system "$root"
	fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

begin=$SECONDS
debootstrap --variant=minbase --include=git,make,ca-certificates bookworm "$root" \
	"${DRPC_FRESH_MIRROR:-http://deb.debian.org/debian}" >"${TMPDIR:-/tmp}/drpc-fresh.log" 2>&1 ||
	die "debootstrap failed, see ${TMPDIR:-/tmp}/drpc-fresh.log"
# The same mirrors, proxy settings and certificates as here.
rm -f "$root/etc/apt/sources.list"
for f in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources /etc/apt/apt.conf.d/*proxy* \
	/etc/resolv.conf /etc/hosts; do
	[ ! -e "$f" ] || cp -L --parents "$f" "$root"
done
# A root that is a mount point: without one no process inside can have mounts of its own.
mount --bind "$root" "$root"
mount --make-private "$root"
for m in proc sys dev; do
	mount --rbind "/$m" "$root/$m"
	mount --make-rslave "$root/$m"
done
# A daemon that a package starts would be this machine's.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
git clone -q --no-hardlinks "$tree" "$root/root/drpc"
echo "fresh: Debian $(cat "$root/etc/debian_version") with git and make, in $((SECONDS - begin)) s"

status=0
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
	chroot "$root" /bin/bash -c "cd /root/drpc && $command" || status=$?
echo "fresh: status $status after $((SECONDS - begin)) s"
exit $status
