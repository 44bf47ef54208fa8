# SPDX-License-Identifier: Apache-2.0
# JSON to lines "path value": {"a":[{"b":1}]} gives "a.0.b 1". Strings without their quotes, escapes
# as they are. For output of our own programs: no check of its form.
{
	while (match($0, /"([^"\\]|\\.)*"|[][{}:,]|[^][{}:, \t"]+/)) {
		token = substr($0, RSTART, RLENGTH)
		$0 = substr($0, RSTART + RLENGTH)
		step(token)
	}
}

function step(token)
{
	if (token == "{" || token == "[") {
		depth++
		array[depth] = token == "["
		name[depth] = 0
		want_key[depth] = token == "{"
	} else if (token == "}" || token == "]") {
		depth--
	} else if (token == ",") {
		if (array[depth])
			name[depth]++
		else
			want_key[depth] = 1
	} else if (token != ":") {
		gsub(/^"|"$/, "", token)
		if (want_key[depth]) {
			name[depth] = token
			want_key[depth] = 0
		} else {
			print path() " " token
		}
	}
}

function path(i, whole)
{
	for (i = 1; i <= depth; i++)
		whole = whole (i > 1 ? "." : "") name[i]
	return whole
}
