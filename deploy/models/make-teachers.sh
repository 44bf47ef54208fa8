#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The teachers and students that ship: what trained them, seed by seed. From the top of the source tree, a quarter
# of an hour of one core: deploy/models/make-teachers.sh [FOLDER]
set -e
to=${1:-deploy/models}
sim=${DRPC_SIM:-build/release/drpc-sim}
keep() { # APPLICATION: the files that decide, and how they came to be
	mkdir -p "$to/$1"
	rm -rf "$to/$1/students-paper"
	cp -r "$work/$1/teacher.td3" "$work/$1/students-paper" "$work/$1/progress.json" "$to/$1/"
}
work=build/models
mkdir -p "$work"
"$sim" train --app deploy/apps/train-ticket.yaml --seed 1 --episodes 112 --jobs 1 --judge-traces 5 --judge-seconds 400 --out "$work/train-ticket"
keep train-ticket
"$sim" train --app deploy/apps/three-tier.yaml --seed 1 --episodes 96 --set choose-traces=20 --jobs 1 --judge-traces 5 --judge-seconds 400 --out "$work/three-tier"
keep three-tier
