#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The same on older kernels, which have rungs that this machine's may not.
# timeout: 240
exec "$(dirname "$(readlink -f "$0")")/../../e2e/agent-rungs.sh"
