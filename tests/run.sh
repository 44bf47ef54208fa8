#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh GROUP...: run suites, count their TAP lines, end with "N passed, N failed, N skipped".
#   unit     Criterion programs of tests/unit and tests/golden (build/asan/tests)
#   thread   programs of tests/thread under ThreadSanitizer (build/tsan/tests)
#   bpf      programs and scripts of tests/bpf on the running kernel
#   e2e      scripts tests/e2e/*.sh on this machine
#   vm       scripts tests/vm/suite/*.sh, and the bpf group again, in the virtual machine
# They are to be built before (make test does it). All output is kept in build/test-logs.
# Environment: SUITES, a pattern that the suites' names must match; VM_KERNELS.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 2
. tests/lib/suite.sh

logs=build/test-logs
sanitizer_report='ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|: runtime error: '
passed=0 failed=0 skipped=0
skips=()

usage() {
	sed -n '3,/^set/s/^# \{0,1\}//p' "$0"
}

selected() {
	# shellcheck disable=SC2053 # a pattern is meant
	[[ $1 == ${SUITES:-*} ]]
}

# report FOLDER NAME LIMIT: judge a suite that ran, print its line and what failed in it.
report() {
	local folder=$1 name=$2 limit=$3 status="" seconds="-" p=0 f=0 s=0 word rest reasons lines
	local failures=()
	if [ -s "$folder/$name.end" ]; then
		read -r status seconds <"$folder/$name.end"
	fi
	touch "$folder/$name.tap" "$folder/$name.log"
	while read -r word rest; do
		case $word in
		pass) p=$((p + 1)) ;;
		skip) s=$((s + 1)) && skips+=("$name: $rest") ;;
		fail) f=$((f + 1)) && failures+=("$rest") ;;
		esac
	done < <(awk -v status="$status" -v limit="$limit" -v report="$sanitizer_report" \
		-v log_file="$folder/$name.log" \
		-f tests/lib/tap.awk "$folder/$name.tap")
	if [ $((p + f + s)) = 0 ]; then
		f=1 failures+=("no result")
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	printf '  %-4s  %-32s %4d passed %3d failed %3d skipped %7s s\n' \
		"$([ $f = 0 ] && echo ok || echo FAIL)" "$name" $p $f $s "$seconds"
	[ $f != 0 ] || return 0
	for rest in "${failures[@]}"; do
		echo "        not ok: $rest"
	done
	if [ "$status" = 124 ] || [ "$status" = 137 ]; then
		unfinished "$folder/$name.log"
	fi
	# The reasons: a TAP report's indented and commented lines after each failure. Where they say
	# little, the program's own output has to.
	reasons=$(awk '/^not ok/ { on = 1; print; next } /^(ok|1\.\.)/ { on = 0 } on' "$folder/$name.tap" |
		head -n 80)
	lines=$(($(wc -l <<<"$reasons") > 2 * f ? 5 : 30))
	{
		echo "$reasons"
		# The first report of a sanitizer, down to the frames that matter.
		grep -m 1 -A 14 -E "$sanitizer_report" "$folder/$name.log"
		echo "--- end of $folder/$name.log"
		tail -n $lines "$folder/$name.log"
	} | sed 's/^/        | /'
}

# Criterion's programs that hang: which tests began and did not end.
unfinished() {
	awk '/^\[RUN \]/ { run[$3] = 1 }
	     /^\[(PASS|FAIL|SKIP)\]/ { sub(/:$/, "", $2); delete run[$2] }
	     END { for (t in run) print "        was running: " t }' "$1"
}

# one FILE DEFAULT_LIMIT [COMMAND...]: run a suite on this machine and report it.
one() {
	local file=$1 limit name
	limit=$(suite_header "$file" timeout)
	limit=${limit:-$2}
	name=$(suite_name "$file")
	shift 2
	selected "$name" || return 0
	suite_run "$logs" "$name" "$limit" "${@:-$file}"
	report "$logs" "$name" "$limit"
}

# The sources tell which programs there must be: one that was not built fails, one whose source is
# gone is not run.
programs() { # VARIANT GROUP
	local f
	for f in "tests/$2"/*.c; do
		[ ! -e "$f" ] || echo "build/$1/tests/$2-$(basename "$f" .c)"
	done
}

group_unit() {
	local d f
	for d in tests/unit/*/; do
		[ -z "$(find "$d" -name '*.c' -print -quit)" ] || one build/asan/tests/unit-"$(basename "$d")" 300
	done
	for f in tests/golden/*.c; do
		[ ! -e "$f" ] || one build/asan/tests/golden 300
		break
	done
}

group_thread() {
	local f without_aslr=()
	# ThreadSanitizer of gcc 12 and clang 14 knows 28 bits of address randomisation, kernels use 32.
	if setarch -R true 2>/dev/null; then
		without_aslr=(setarch -R)
	fi
	for f in $(programs tsan thread); do
		one "$f" 300 "${without_aslr[@]}" "$f"
	done
}

bpf_suites() {
	programs asan bpf
	scripts tests/bpf
}

scripts() { # FOLDER
	find "$1" -maxdepth 1 -name '*.sh' 2>/dev/null | sort
}

group_bpf() {
	local f
	for f in $(bpf_suites); do
		one "$f" 180
	done
}

group_e2e() {
	local f
	for f in $(scripts tests/e2e); do
		one "$f" 300
	done
}

group_vm() {
	local series
	for series in ${VM_KERNELS:-6.1 6.12}; do
		vm_kernel "$series"
	done
}

# The suites of one kernel share one machine: booting takes longer than many of them.
vm_kernel() {
	local series=$1 folder=$logs/vm-$1 total=60 f name limit kernels why begin status=0
	local files=() names=() limits=()
	for f in $(bpf_suites) $(scripts tests/vm/suite); do
		name=$(suite_name "$f")
		kernels=$(suite_header "$f" kernels)
		[[ " ${kernels:-6.1 6.12} " == *" $series "* ]] || continue
		selected "$name" || continue
		limit=$(suite_header "$f" timeout)
		limit=${limit:-600}
		files+=("$limit:$f") names+=("$name") limits+=("$limit")
		total=$((total + limit))
	done
	[ ${#files[@]} != 0 ] || return 0
	if ! why=$(tests/vm/kernel.sh "$series" 2>&1 >/dev/null); then
		echo "$why"
		if [ "$series" = 6.1 ]; then
			failed=$((failed + 1))
		else
			skipped=$((skipped + 1))
			skips+=("vm-$series: all of it - ${why##*$'\n'}")
		fi
		return 0
	fi
	mkdir -p "$folder"
	rm -f "$folder"/*
	begin=$SECONDS
	tests/vm/vm.sh -k "$series" -t "$total" -s "$folder" \
		"tests/vm/run-suite.sh $(printf '%q ' "${files[@]}")" >"$folder/machine.log" 2>&1 || status=$?
	echo "  virtual machine, kernel $series: ${#files[@]} suites in $((SECONDS - begin)) s"
	for f in "${!names[@]}"; do
		mv_suite "$folder" "${names[f]}" "$series"
		report "$folder" "${names[f]}@$series" "${limits[f]}"
	done
	if [ $status != 0 ]; then
		echo "        the machine ended with status $status; end of $folder/machine.log:"
		tail -n 15 "$folder/machine.log" | sed 's/^/        | /'
	fi
}

# Names tell the kernel, so that failures and skips of two machines can be told apart.
mv_suite() {
	local suffix
	for suffix in tap log end; do
		[ ! -e "$1/$2.$suffix" ] || mv "$1/$2.$suffix" "$1/$2@$3.$suffix"
	done
}

[ $# -gt 0 ] || {
	usage >&2
	exit 2
}
for group in "$@"; do
	declare -F "group_$group" >/dev/null || {
		echo "run.sh: no group '$group'" >&2
		usage >&2
		exit 2
	}
done
mkdir -p "$logs"
for group in "$@"; do
	echo "$group"
	"group_$group"
done

if [ ${#skips[@]} != 0 ]; then
	echo "skipped"
	printf '  %s\n' "${skips[@]}"
fi
if [ $((passed + failed)) = 0 ]; then
	echo "run.sh: nothing ran" >&2
	failed=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
