#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run-suite.sh LIMIT:SUITE...: inside the virtual machine, run suites one after the other, each for at
# most LIMIT seconds. What they print goes into the shared folder as NAME.tap, NAME.log and NAME.end,
# where tests/run.sh judges it; here one line a suite tells how far the machine has come.
set -uo pipefail

[ "${DRPC_VM:-}" = 1 ] || {
	echo "run-suite.sh: this is for the inside of the virtual machine (tests/vm/vm.sh)" >&2
	exit 2
}
. tests/lib/suite.sh

for item in "$@"; do
	limit=${item%%:*} file=${item#*:}
	name=$(suite_name "$file")
	suite_run "$DRPC_VM_SHARE" "$name" "$limit" "./$file"
	echo "$name: status and seconds $(cat "$DRPC_VM_SHARE/$name.end")"
done
