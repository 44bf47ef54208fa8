#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The same where limits go by cgroup files: the engine is killed and started anew meanwhile.
# timeout: 420
# kernels: 6.1
set -u
here=$(dirname "$(readlink -f "$0")")
"$here/../dockerd.sh" || {
	echo "not ok 1 - the engine starts"
	echo "1..1"
	exit 1
}
exec "$here/../../e2e/agent-engine.sh"
