#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The same on whole cgroup v2 and older kernels.
# timeout: 240
# kernels: 6.1
exec "$(dirname "$(readlink -f "$0")")/../../e2e/agent-attach.sh"
