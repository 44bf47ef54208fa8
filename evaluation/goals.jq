# SPDX-License-Identifier: Apache-2.0
# The goals as a table: what was aimed for, what was measured, met or missed. $in is the input again.
include "lib";
def verdict($ok): if $ok == null then "not measured" elif $ok then "met" else "**missed**" end;
# a value that is to be at least, or at most, a bound
def least($what; $v; $bound; f): [$what, (if $v == null then "–" else $v | f end), (if $v == null then verdict(null) else verdict($v >= $bound) end)];
def most($what; $v; $bound; f): [$what, (if $v == null then "–" else $v | f end), (if $v == null then verdict(null) else verdict($v <= $bound) end)];
def pc: percent(1) + " %"; def pcs: percent(3) + " %"; def ms: fixed(0) + " ms";
def less($who; $field): below(.held.drpc[$field]; .held[$who][$field]);
.held.drpc as $d | .held.teacher as $t | .held.static as $s
| ([less("firm"; "mean"), less("coscal"; "mean"), less("kuscal"; "mean"), less("firm"; "failed"), less("coscal"; "failed"), less("kuscal"; "failed")]) as $less
| .converged as $c | .forecast as $f
| def share($i): [$f.gru, $f.lstm | .mse_fraction[$i] / .persistence_fraction[$i]] | min;
def bench($n): if .speed then (.speed | map(select(.name == $n)) | first | .value) else null end;
[
least("held-out: mean response time at least 15 % below FIRM’s"; $less[0]; 0.15; pc),
least("… 24 % below CoScal’s"; $less[1]; 0.24; pc),
least("… 72 % below KuScal’s"; $less[2]; 0.72; pc),
least("held-out: at least 24 % fewer failures than FIRM"; $less[3]; 0.24; pc),
least("… 44 % fewer than CoScal"; $less[4]; 0.44; pc),
least("… 85 % fewer than KuScal"; $less[5]; 0.85; pc),
most("p99 at most 210 ms, on the paper’s ramp"; .ramp.drpc.p99; 210; ms),
most("… on the held-out traces"; $d.p99; 210; ms),
(["at least 5 % fewer CPU-hours than Autothrottle", 0.05, "autothrottle"], ["at least 26 % fewer CPU-hours than the best tuned HPA", 0.26, "hpa-tuned"]
	| . as $g | $ARGS.named | below($d.cores; $in.held[$g[2]].cores) as $v
	| [$g[0] + ", at no more late or failed requests", (if $v == null then "–" else "\($v | pc); late or failed \($d.missed | pcs) against \($in.held[$g[2]].missed | pcs)" end),
		(if $v == null then verdict(null) else verdict($v >= $g[1] and $d.missed <= $in.held[$g[2]].missed) end)]),
least("memory at least 20 % below static’s"; below($d.gib; $s.gib); 0.2; pc),
most("… with no OOM kill (kills a run)"; $d.kills; 0; fixed(2)),
least("teacher, held-out: CPU use at least 60 %"; $t.cpu; 0.6; pc),
least("… memory use at least 75 %"; $t.memory; 0.75; pc),
most("… p99 at most 210 ms"; $t.p99; 210; ms),
most("teacher’s training converged within 300 episodes"; (if $c == null then null else $c.converged // 1e9 end); 300; if . == 1e9 then "not at all" else tostring end),
most("… and 10 minutes"; (if $c == null then null else $c.wall_s / 60 end); 10; fixed(1) + " min"),
least("students: at least 96.4 % of the teacher’s reward (as judged by the training)"; .ratio; 0.964; pc),
most("students’ late or failed requests at most 5 % above the teacher’s"; (if $t then $d.missed / ([$t.missed, 1e-9] | max) else null end); 1.05; fixed(2) + " ×"),
most("students’ CPU-hours at most 5 % above the teacher’s"; (if $t then $d.cores / $t.cores else null end); 1.05; fixed(3) + " ×"),
most("forecast, 5 min: at most 0.85 of persistence"; (if $f then share(0) else null end); 0.85; fixed(3)),
(range(1; 5) as $i | most("… \(5 * ($i + 1)) min: at most 0.80"; (if $f then share($i) else null end); 0.80; fixed(3))),
most("… below ridge at every horizon (the worst ratio)"; (if $f then [range(0; 5) as $i | share($i) * $f.gru.persistence_fraction[$i] / $f.gru.ridge_fraction[$i]] | max else null end); 0.99999; fixed(3)),
least("simulator: M/M/1 at least 20 million events/s of a core"; bench("mm1_events_per_s"); 20e6; . / 1e6 | fixed(1) + " million"),
least("… TrainTicket at least 5 million"; bench("trainticket_events_per_s"); 5e6; . / 1e6 | fixed(1) + " million"),
most("… an event of 400 services costs at most 1.3 of one of 40"; bench("cost_ratio_400_40"); 1.3; fixed(2))
] | (map(select(.[2] == "met")) | length) as $met | (map(select(.[2] != "not measured")) | length) as $all
| ("\($met) of \($all) goals that were measured are met.", "", table(["goal", "measured", ""]))
