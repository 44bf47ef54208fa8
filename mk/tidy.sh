#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tidy.sh FILE FLAG...: clang-tidy on one file. That a file is clean is remembered outside the clone, by
# the content of everything the verdict depends on: the file and all that it includes, the checks in
# force, the flags, the version. A finding is never remembered.
set -eu
file=$1
shift
cache=${DRPC_CACHE:-${HOME:-/root}/.cache/drpc}/tidy
needed=$(clang -M "$@" "$file" | sed 's/^[^:]*: *//; s/\\$//')
# shellcheck disable=SC2086 # a list of files
key=$({
	clang-tidy --version
	clang-tidy --dump-config "$file"
	echo "$file" "$@"
	cat $needed
} 2>/dev/null | sha256sum | cut -c 1-64)
[ ! -e "$cache/$key" ] || exit 0
clang-tidy --quiet --warnings-as-errors='*' "$file" -- "$@"
# Without a place to remember it, it is looked at again next time.
if mkdir -p "$cache" 2>/dev/null; then
	: >"$cache/$key" || true
fi
