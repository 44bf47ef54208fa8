# SPDX-License-Identifier: Apache-2.0
# Statistics and numbers as text.
def mean: if length == 0 then null else add / length end;
def sd: if length < 2 then 0 else mean as $m | (map((. - $m) * (. - $m)) | add / (length - 1) | sqrt) end;
def quantile($p): sort | if length == 0 then null
  else ((length - 1) * $p) as $at | ($at | floor) as $i
    | .[$i] + (.[([$i + 1, length - 1] | min)] - .[$i]) * ($at - $i) end;

# $d digits behind the point.
def fixed($d): if . == null then "–" else
  (if . < 0 then "-" else "" end) as $sign
  | (if . < 0 then -. else . end) * pow(10; $d) | round
  | if $d == 0 then $sign + tostring
    else (tostring | if length <= $d then ("0" * ($d + 1 - length)) + . else . end)
      | $sign + .[:length - $d] + "." + .[length - $d:] end end;

# Three digits that say something.
def short: if . == null then "–" else (if . < 0 then -. else . end) as $a
  | if $a == 0 then "0" elif $a >= 100 then fixed(0) elif $a >= 10 then fixed(1) elif $a >= 1 then fixed(2)
    elif $a >= 0.1 then fixed(3) elif $a >= 0.001 then fixed(4)
    else ($a | log10 | floor) as $e | (. / pow(10; $e) | fixed(1)) + "e" + ($e | tostring) end end;
def percent($d): if . == null then "–" else . * 100 | fixed($d) end;

# How much less $b it is than it, in percent: 15 where 0.85 of it.
def below($a; $b): if $a == null or $b == null or $b == 0 then null else (1 - $a / $b) end;

def row: "| " + (map(if type == "string" then . else tostring end) | join(" | ")) + " |";
def table($head): ($head | row), ([$head[] | "---"] | row), (.[] | row);

def title: {drpc: "DRPC (students)", teacher: "DRPC teacher", firm: "FIRM", coscal: "CoScal",
  kuscal: "KuScal", "hpa-tuned": "HPA, tuned", autothrottle: "Autothrottle"}[.] // .;
def order: ["drpc", "teacher", "firm", "coscal", "kuscal", "hpa-tuned", "autothrottle", "reactive",
  "static"] as $o | . as $p | $o | index($p) // 99;

# evaluate's objects of one policy: means over traces of each seed, then over seeds.
def of_seeds(f): group_by(.seed) | map(map(f) | mean);
def by_policy: group_by(.policy) | sort_by(.[0].policy | order);
