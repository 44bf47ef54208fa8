#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# vm.sh: boot a machine with cgroup v2 alone and run one command in a copy of this tree.
set -euo pipefail

usage() {
	cat <<'EOF'
usage: tests/vm/vm.sh [options] COMMAND
Boots a virtual machine (QEMU, software emulation) whose root is this machine's file system, read
only, under a writable overlay that is forgotten afterwards, and runs COMMAND with bash in the
folder of this tree. Prints what the command prints and exits with its status.

  -k SERIES   kernel: 6.1 (default) or 6.12; environment: KERNEL
  -t SECONDS  time limit, boot included (default 300); environment: TIMEOUT
  -s DIR      folder to share; the command finds it, writable, as $DRPC_VM_SHARE
  -m MIB      memory (default 4096)       -c N   processors (default 2)
  -v          tell the machine's times on stderr
Status 124: time limit, 125: the machine did not boot or died; its console is shown then.
EOF
}

die() {
	echo "vm: $*" >&2
	exit 125
}

series=${KERNEL:-6.1} limit=${TIMEOUT:-300} share="" memory=4096 cpus=2 verbose=""
while getopts k:t:s:m:c:vh option; do
	case $option in
	k) series=$OPTARG ;;
	t) limit=$OPTARG ;;
	s) share=$OPTARG ;;
	m) memory=$OPTARG ;;
	c) cpus=$OPTARG ;;
	v) verbose=1 ;;
	h) usage && exit 0 ;;
	*) usage >&2 && exit 2 ;;
	esac
done
shift $((OPTIND - 1))
if [ $# != 1 ] || [ -z "$1" ]; then
	usage >&2
	exit 2
fi
[[ $limit =~ ^[1-9][0-9]*$ ]] || die "time limit '$limit': expected whole seconds"

here=$(dirname "$(readlink -f "$0")")
tree=$(readlink -f "$here/../..")
command -v qemu-system-x86_64 >/dev/null ||
	die "qemu-system-x86_64 is missing (Debian package qemu-system-x86; 'make deps-vm' installs it)"
kernel=$("$here/kernel.sh" "$series")


# --- the shared folder: settings and command in, output and status out ---------------------------
work=$(mktemp -d "${TMPDIR:-/tmp}/drpc-vm.XXXXXX")
machine=""
# shellcheck disable=SC2317 # called by the trap
finish() {
	if [ -n "$machine" ]; then
		kill "$machine" 2>/dev/null || true
		wait "$machine" 2>/dev/null || true
	fi
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir "$work/s" "$work/s/share"
if [ -n "$share" ]; then
	mkdir -p "$share"
	share=$(readlink -f "$share")
else
	share=$work/s/share
fi
cp "$here/guest.init" "$work/s/init"
printf '%s\n' "$1" >"$work/s/command"
quote() { # for the shells of both stages
	printf "'%s'" "${1//\'/\'\\\'\'}"
}
printf 'tree=%s\nmodules=%s\n' "$(quote "$tree")" "$(quote "$(readlink "$kernel/modules")")" \
	>"$work/s/settings"
: >"$work/s/out"
: >"$work/s/err"

# --- the machine ----------------------------------------------------------------------------------
image=$kernel/vmlinux
[ -e "$image" ] || image=$kernel/bzImage
virtfs() { # TAG PATH OPTIONS; a comma in a path is doubled for QEMU
	echo "local,mount_tag=$1,path=${2//,/,,},security_model=none,multidevs=remap$3"
}
# shellcheck disable=SC2054 # the commas are QEMU's
qemu=(qemu-system-x86_64 -accel tcg,thread=multi -cpu max -machine q35 -smp "$cpus" -m "$memory"
	-nodefaults -no-user-config -display none -no-reboot -serial "file:$work/console"
	-kernel "$image" -initrd "$kernel/initramfs"
	-append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable apparmor=0"
	-virtfs "$(virtfs root / ,readonly=on)"
	-virtfs "$(virtfs share "$work/s" "")"
	-virtfs "$(virtfs out "$share" "")")

# Should this script be killed without a chance to clean up, the machine goes with it.
started=$EPOCHREALTIME
setpriv --pdeathsig TERM timeout -k 5 "$limit" setpriv --pdeathsig KILL "${qemu[@]}" \
	</dev/null >"$work/qemu" 2>&1 &
machine=$!
tail -q -c +1 -s 0.05 -f --pid=$machine "$work/s/out" 2>/dev/null &
out=$!
tail -q -c +1 -s 0.05 -f --pid=$machine "$work/s/err" >&2 2>/dev/null &
err=$!
result=0
wait "$machine" || result=$?
machine=""
wait "$out" "$err" || true
ended=$EPOCHREALTIME

if [ -n "$verbose" ] && [ -s "$work/s/times" ]; then
	read -r ready end <"$work/s/times"
	echo "vm: $(cat "$kernel/release"): command after $ready s, end after $end s (machine's clock)," \
		"$(awk -v a="$started" -v b="$ended" 'BEGIN { printf "%.1f", b - a }') s in all" >&2
fi
if [ -s "$work/s/status" ]; then
	exit "$(cat "$work/s/status")"
fi
if [ "$result" = 124 ] || [ "$result" = 137 ]; then
	echo "vm: time limit of $limit s reached, machine stopped; end of its console:" >&2
	tail -n 5 "$work/console" >&2 || true
	exit 124
fi
echo "vm: the machine ended without a result (qemu: $result); end of its console:" >&2
tail -n 30 "$work/qemu" "$work/console" >&2 || true
exit 125
