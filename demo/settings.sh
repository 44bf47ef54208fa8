# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# The demo's figures. Each may be set in the environment; docs/demo.md explains them.

# settings native|vm. In the virtual machine every instruction is emulated, some ten times slower:
# less load, and objectives to match. What the host takes from an emulated processor counts as used by
# whoever ran on it, so there is throttling that no limit explains.
settings() {
	case $1 in
	native)
		: "${DEMO_LOW:=20}" "${DEMO_HIGH:=50}"
		: "${DEMO_SLO_FRONT:=200ms}" "${DEMO_SLO_FAST:=60ms}" "${DEMO_SLO_SLOW:=120ms}"
		: "${DEMO_WAIT:=10}"
		;;
	vm)
		: "${DEMO_LOW:=3}" "${DEMO_HIGH:=8}"
		: "${DEMO_SLO_FRONT:=2s}" "${DEMO_SLO_FAST:=600ms}" "${DEMO_SLO_SLOW:=1200ms}"
		: "${DEMO_BEFORE:=15}" "${DEMO_PEAK:=15}" "${DEMO_AFTER:=15}"
		: "${DEMO_WAIT:=60}"
		;;
	esac
	# Seconds at the low rate, at the high one, at the low one again.
	: "${DEMO_BEFORE:=20}" "${DEMO_PEAK:=25}" "${DEMO_AFTER:=25}"
	# Limits of each container, as one sets them who must get through the peak.
	: "${DEMO_CPUS:=0.6}" "${DEMO_MEMORY:=96m}"
	: "${DEMO_SEED:=1}"
	# Who decides: student (the network that comes with drpc) or reactive (the rules it learned from).
	: "${PLANNER:=student}"
	DEMO_POLICY=$PWD/deploy/policies/bootstrap.policy
	# shellcheck disable=SC2034 # for phase.sh and run.sh
	DEMO_SECONDS=$((DEMO_BEFORE + DEMO_PEAK + DEMO_AFTER))
	# shellcheck disable=SC2034
	DEMO_RATES=$DEMO_LOW@${DEMO_BEFORE}s,$DEMO_HIGH@${DEMO_PEAK}s,$DEMO_LOW@${DEMO_AFTER}s
}
