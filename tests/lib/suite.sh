# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Run one suite (a program that prints TAP) and keep what it said. To be sourced by bash; used on the
# host by tests/run.sh and in the virtual machine by tests/vm/run-suite.sh.

export DRPC_BIN=$PWD/build/release
# Leaks count, and a report must not hide behind a status that a test expects.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-second_deadlock_stack=1}

# suite_name FILE: tests/e2e/load-step.sh → e2e-load-step, build/asan/tests/unit-nn → unit-nn
suite_name() {
	local name=${1%.sh}
	case $name in
	tests/vm/suite/*) name=vm-${name##*/} ;;
	tests/*/*) name=$(basename "$(dirname "$name")")-${name##*/} ;;
	*) name=${name##*/} ;;
	esac
	echo "$name"
}

# suite_header FILE KEY: the value of a line "# KEY: value" at the top of a script.
suite_header() {
	case $1 in
	*.sh) sed -n "1,/^[^#]/s/^# $2: *//p" "$1" | head -n 1 ;;
	esac
}

# suite_run FOLDER NAME LIMIT COMMAND...: run it for at most LIMIT seconds. Afterwards there are
# FOLDER/NAME.tap (what it reported), NAME.log (all else it printed) and NAME.end, with its exit
# status and its seconds in one line. A suite without an .end did not come to its end.
suite_run() {
	local folder=$1 name=$2 limit=$3 begin tenths status=0
	shift 3
	rm -f "$folder/$name".{tap,log,end}
	begin=$EPOCHREALTIME
	# Criterion's programs report into a file, which the tests' own output cannot spoil. They show on
	# stderr which test runs, so that a hang has a name.
	# (The outer redirection is for bash, which tells of a crash too.)
	if LC_ALL=C grep -qs libcriterion "$1" && [ "${1%.sh}" = "$1" ]; then
		{ timeout -k 10 "$limit" "$@" --tap="$folder/$name.tap" --verbose=1 --color=never \
			-j"$(nproc)" </dev/null >"$folder/$name.log" 2>&1 || status=$?; } 2>/dev/null
	else
		{ timeout -k 10 "$limit" "$@" \
			</dev/null >"$folder/$name.tap" 2>"$folder/$name.log" || status=$?; } 2>/dev/null
	fi
	# Microseconds, once the decimal point is gone (a comma in some locales).
	tenths=$(((${EPOCHREALTIME//[.,]/} - ${begin//[.,]/}) / 100000))
	echo "$status $((tenths / 10)).$((tenths % 10))" >"$folder/$name.end"
}
