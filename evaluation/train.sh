#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# train.sh FOLDER COMMAND...: a training that begins afresh, in a folder that is removed before it: one that
# was cut short belongs to another program perhaps.
set -e
folder=$1
shift
case $folder in
*/build/reproduce/*) rm -rf "$folder" ;;
esac
exec "$@"
