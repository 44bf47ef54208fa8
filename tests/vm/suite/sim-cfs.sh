#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The simulator's CFS bandwidth control against this kernel's, within 5 %.
# timeout: 180
exec "$(dirname "$(readlink -f "$0")")/../../../build/release/tests/sim-cfs"
