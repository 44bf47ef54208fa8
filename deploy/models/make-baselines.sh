#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the baselines learnt: deploy/models/APPLICATION.POLICY.model. From the top of the sources:
#
#   deploy/models/make-baselines.sh [drpc-sim]
#
# The same budget for each that learns: 20 runs over the first 1,200 s of the training traces (warm-up
# and a rise to the peak), judged after each five. What is interrupted goes on.
set -eu

sim=${1:-build/release/drpc-sim}
cd "$(dirname "$0")/../.."
for app in three-tier train-ticket; do
	for policy in autothrottle coscal firm hpa-tuned; do
		"$sim" tune --app "deploy/apps/$app.yaml" --policies "$policy" \
			--episodes 20 --seconds 1200 --jobs 1
	done
done
