#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the baselines learn: deploy/models/APPLICATION.POLICY.model.
#
#   deploy/models/make-baselines.sh [drpc-sim [APPLICATIONS [POLICIES]]]
#
# The same budget for each that learns: 20 runs over the first 1,200 s of the training traces (warm-up
# and a rise to the peak), judged after each ten. What is interrupted goes on.
set -eu

cd "$(dirname "$0")/../.."
sim=${1:-build/release/drpc-sim}
for app in ${2:-three-tier train-ticket}; do
	for policy in ${3:-autothrottle coscal firm hpa-tuned}; do
		"$sim" tune --app "deploy/apps/$app.yaml" --policies "$policy" \
			--episodes 20 --seconds 1200 --jobs 1
	done
	rm -f "deploy/models/$app".*.training "deploy/models/$app".*.training.*
done
