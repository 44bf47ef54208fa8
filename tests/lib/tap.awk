# SPDX-License-Identifier: Apache-2.0
# Judge one suite: awk -v status=EXIT -v limit=SECONDS -v report=REGEX -v log_file=FILE -f tap.awk NAME.tap
# Prints lines "pass", "skip TEST - reason" and "fail WHAT", one a result; a suite that crashed, broke
# its plan or left a sanitizer's report has failures beyond those it reported.

function test_name(line)
{
	sub(/^(not )?ok */, "", line)
	sub(/^[0-9]+ */, "", line)
	sub(/^- */, "", line)
	sub(/ *$/, "", line)
	return line
}

/^1\.\.[0-9]+/ {
	plans++
	planned = substr($1, 4) + 0
	if (planned == 0) {
		why = "no reason given"
		if (match($0, /# *[Ss][Kk][Ii][Pp][^ ]* */))
			why = substr($0, RSTART + RLENGTH)
		print "skip all of it - " why
	}
	next
}
/^ok([^A-Za-z0-9]|$)/ {
	results++
	if (match($0, /# *[Ss][Kk][Ii][Pp][^ ]* */)) {
		why = substr($0, RSTART + RLENGTH)
		print "skip " test_name(substr($0, 1, RSTART - 1)) " - " (why == "" ? "no reason given" : why)
	} else {
		print "pass"
	}
	next
}
/^not ok([^A-Za-z0-9]|$)/ {
	results++
	failed++
	print "fail " test_name($0)
	next
}
/^Bail out!/ {
	failed++
	print "fail " $0
}

END {
	if (status == "") {
		print "fail did not come to its end"
		exit
	}
	if (status == 124 || status == 137) {
		failed++
		print "fail time limit of " limit " s reached"
	} else if (plans == 0) {
		failed++
		print "fail printed no plan (exit status " status ")"
	} else if (plans > 1 || (planned != results)) {
		failed++
		print "fail planned " planned " tests, reported " results + 0 " (exit status " status ")"
	}
	while ((getline line <log_file) > 0)
		if (line ~ report) {
			failed++
			print "fail sanitizer: " line
			break
		}
	if (status != 0 && !failed)
		print "fail exit status " status " although no test failed"
}
