# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What the demo prints: headings, sentences, checks. Colours on a terminal only.

FAILURES=0

say_init() {
	bold='' dim='' good='' bad='' plain=''
	COLOR=never
	case ${DEMO_COLOR:-auto} in
	always) COLOR=always ;;
	auto)
		if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
			COLOR=always
		fi
		;;
	esac
	if [ "$COLOR" = always ]; then
		bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
		good=$(printf '\033[32m') bad=$(printf '\033[31m')
	fi
	# Tables that do not go to a terminal are as wide as this.
	: "${COLUMNS:=100}"
	export COLUMNS
}

heading() {
	printf '\n%s--- %s %s%s\n' "$bold" "$1" \
		"$(printf '%*s' $((91 - ${#1})) '' | tr ' ' -)" "$plain"
}

say() {
	printf '%s\n' "$@"
}

note() {
	printf '%s%s%s\n' "$dim" "$*" "$plain"
}

# What is about to be run, as one would type it.
command_line() {
	printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"
}

# passed TEXT, failed TEXT: a line of the list of checks; the latter decides the exit status.
passed() {
	printf '  %sok%s      %s\n' "$good" "$plain" "$1"
}
failed() {
	FAILURES=$((FAILURES + 1))
	printf '  %sFAILED%s  %s\n' "$bad" "$plain" "$1"
}

# check TEXT COMMAND...
check() {
	check_text=$1
	shift
	if "$@"; then
		passed "$check_text"
	else
		failed "$check_text"
	fi
}

die() {
	printf '%sdemo: %s%s\n' "$bad" "$*" "$plain" >&2
	exit 1
}

# true_of AWK-EXPRESSION: arithmetic and comparisons of figures with decimals.
true_of() {
	[ "$(awk "BEGIN { print (($1) ? 1 : 0) }" 2>/dev/null)" = 1 ]
}

minutes() {
	printf '%d min %02d s' $(($1 / 60)) $(($1 % 60))
}
