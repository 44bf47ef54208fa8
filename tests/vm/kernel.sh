#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kernel.sh SERIES: make sure that a kernel of SERIES (6.1, 6.12) can be booted by vm.sh and print
# the folder that holds it: vmlinux (or bzImage), initramfs, release, and modules (a symbolic link).
#
# A kernel installed in /boot is used where there is one. Otherwise Debian's package is unpacked
# into the cache: it is not installed, so neither the boot loader nor /boot of this machine change.
# The cache lies outside the clone: ${DRPC_CACHE:-~/.cache/drpc}.
set -euo pipefail

die() {
	echo "vm: $*" >&2
	exit 125
}

[ $# = 1 ] || die "usage: kernel.sh SERIES"
series=$1
here=$(dirname "$(readlink -f "$0")")
cache=${DRPC_CACHE:-${HOME:-/root}/.cache/drpc}/vm
case $series in
6.1) meta=linux-image-amd64 ;;
6.*) meta=linux-image-$series-amd64 ;;
*) die "KERNEL=$series: expected a series such as 6.1 or 6.12" ;;
esac
[ "$(uname -m)" = x86_64 ] || die "the virtual machine is x86_64 only, this is $(uname -m)"

PATH=$PATH:/usr/sbin:/sbin
umask 022
mkdir -p "$cache" || die "cannot make $cache; set DRPC_CACHE to a folder that can be written"
exec 9>"$cache/$series.lock"
flock 9
temp=$(mktemp -d "$cache/temp.XXXXXX")
trap 'rm -rf "$temp"' EXIT

# --- where the kernel lies: root/boot/vmlinuz-RELEASE and root/lib/modules/RELEASE ---------------
newest() {
	find "$1/boot" -maxdepth 1 -name "vmlinuz-${series}[.-]*-amd64" ! -name '*cloud*' ! -name '*-rt-*' \
		2>/dev/null | sort -V | tail -n 1
}

# The full image is wanted: Debian's "cloud" build has no 9p, by which the machine sees the tree.
usable() {
	local image release
	image=$(newest "$1")
	[ -r "$image" ] || return 1
	release=${image##*/vmlinuz-}
	[ -e "$1/lib/modules/$release/modules.dep" ]
}

fetch() {
	local package
	command -v apt-get >/dev/null ||
		die "no kernel $series in /boot, and no apt-get to fetch $meta; install a full $series kernel"
	package=$(apt-cache depends "$meta" 2>/dev/null | awk '$1 == "Depends:" { print $2; exit }')
	if [ -z "$package" ] && [ "$(id -u)" = 0 ]; then
		apt-get -o DPkg::Lock::Timeout=300 -qq update || true
		package=$(apt-cache depends "$meta" 2>/dev/null | awk '$1 == "Depends:" { print $2; exit }')
	fi
	[ -n "$package" ] ||
		die "no kernel $series: this machine's package sources have no $meta (see docs/testing.md)"
	[ "${DRPC_INSTALL:-yes}" != no ] ||
		die "kernel package $package is missing and may not be fetched (DRPC_INSTALL=no)"
	echo "vm: unpacking Debian package $package into $cache (once, not installed)" >&2
	(cd "$temp" && chmod 755 . && apt-get -q download "$package" >fetch.log 2>&1) || {
		tail -n 5 "$temp/fetch.log" >&2
		die "cannot download $package"
	}
	dpkg-deb -x "$temp"/*.deb "$temp/root"
	rm -f "$temp"/*.deb
	# Packages that follow the merged /usr carry their modules there.
	if [ ! -e "$temp/root/lib" ]; then
		ln -s usr/lib "$temp/root/lib"
	fi
	for m in "$temp"/root/lib/modules/*; do
		depmod -b "$temp/root" "${m##*/}"
	done
	rm -rf "${cache:?}/root-$series"
	mv "$temp/root" "$cache/root-$series"
}

if usable ""; then
	root=""
else
	usable "$cache/root-$series" || fetch
	root=$cache/root-$series
	usable "$root" || die "the package of kernel $series has no full image in it"
fi
image=$(newest "$root")
release=${image##*/vmlinuz-}

# unwrap BZIMAGE OUT: finds the compressed kernel by its magic number (which may occur by chance, too).
unwrap() {
	local kind magic offset
	for kind in "xz -dc --single-stream:\xfd7zXZ" "zstd -qdc:\x28\xb5\x2f\xfd"; do
		magic=$(printf '%b' "${kind#*:}")
		# shellcheck disable=SC2013 # numbers, no lines
		for offset in $(LC_ALL=C grep -abo "$magic" "$1" | cut -d: -f1); do
			# What follows the kernel in the file makes the decompressor complain.
			# shellcheck disable=SC2086 # a command and its options
			tail -c +$((offset + 1)) "$1" | ${kind%%:*} >"$2" 2>/dev/null || true
			if [ "$(head -c 4 "$2" | tail -c 3)" = ELF ]; then
				return 0
			fi
		done
	done
	rm -f "$2"
	return 1
}

# --- what is made of it, keyed by everything that goes in --------------------------------------
busybox=$(command -v busybox) || die "busybox is missing (Debian package busybox-static)"
key=$(cat "$image" "$here/kernel.sh" "$here/initramfs.init" "$busybox" | sha256sum | cut -c1-12)
out=$cache/$release-$key
if [ ! -e "$out/initramfs" ]; then
	mkdir -p "$temp/out" "$temp/tree"/{bin,modules,proc,dev,lower,rw,new}

	cp -L "$busybox" "$temp/tree/bin/busybox"
	cp "$here/initramfs.init" "$temp/tree/init"
	chmod 755 "$temp/tree/init"
	n=100
	for module in $(for m in virtio_pci 9pnet_virtio 9p overlay; do
		modprobe -d "${root:-/}" -S "$release" --show-depends "$m"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'); do
		base=${module##*/}
		case $module in
		*.xz) xz -dc "$module" >"$temp/tree/modules/$n-${base%.xz}" ;;
		*.zst) zstd -qdc "$module" >"$temp/tree/modules/$n-${base%.zst}" ;;
		*) cp "$module" "$temp/tree/modules/$n-$base" ;;
		esac
		n=$((n + 1))
	done
	# Not compressed: the emulated processor would unpack it, some ten times slower than this one.
	(cd "$temp/tree" && find . | cpio -o -H newc --quiet) >"$temp/out/initramfs"

	# For the same reason the machine boots the plain ELF image that the bzImage wraps.
	unwrap "$image" "$temp/out/vmlinux" || cp "$image" "$temp/out/bzImage"
	echo "$release" >"$temp/out/release"
	ln -s "$root/lib/modules/$release" "$temp/out/modules"
	chmod 755 "$temp/out"
	# Earlier makes, unless a machine may be starting from one just now.
	find "$cache" -maxdepth 1 -name "$release-*" -mmin +60 -exec rm -rf {} +
	mv -T "$temp/out" "$out"
fi
echo "$out"
