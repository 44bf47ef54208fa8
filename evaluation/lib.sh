# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2046
# What the scripts of the evaluation share: settings, pieces of work that are kept, tables and plots.
#
# A piece is a command whose standard output is a result. It is kept under a key made of the command,
# the program and the files that it reads, so that what was finished is not done again.
set -u
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(dirname "$here")
cd "$top" || exit 1

# --- settings ------------------------------------------------------------------------------------
bin=${DRPC_BIN:-build/release}
app=${APP:-deploy/apps/train-ticket.yaml}
app_name=$(sed -n 's/^name: *//p' "$app" | head -n 1)
models=${MODELS:-deploy/models}
trace=${TRACE:-}          # a rate a line, a trace that `import` reads, or a history database
machine=${MACHINE:-}      # of it
profile=${PROFILE:-}      # load,utilisation: what its utilisation becomes load by
series=${SERIES:-}        # what Table 2 forecasts: FILE or FILE:MACHINE, joined by blanks
quick=${QUICK:-}
[ "$quick" != 0 ] || quick=
peak=800                  # requests/s that the application's limits are made for
first_seed=1001           # of simulations that judge; training has others

if [ -n "$quick" ]; then
	seeds=${SEEDS:-2} held_out_s=480 trace_part=0.1 ramp_after=60
	rates="200 400 600 800" rate_s=30 episodes=4 sizes="40 400" scale_s=400
	forecast_days=4 bench_speed=
else
	seeds=${SEEDS:-5} held_out_s=${HELD_OUT_SECONDS:-1800} trace_part=1 ramp_after=240
	rates="100 200 300 400 500 600 700 800" rate_s=120 episodes=16 sizes="40 400 4000" scale_s=8000
	forecast_days=8 bench_speed=1
fi
mode=${quick:+quick}
work=$top/build/reproduce/${mode:-full}
pieces=$work/pieces parts=$work/parts data=$work/data
plots=$work/evaluation    # SVG files, and what the report names
mkdir -p "$pieces" "$parts" "$data" "$plots"

policies="drpc teacher firm coscal kuscal hpa-tuned autothrottle reactive static"
paper_policies="drpc teacher firm coscal kuscal autothrottle hpa-tuned"

seed_list() { seq "$first_seed" $((first_seed + seeds - 1)); }

# The file or folder that a policy runs with; fails where it needs one and has none.
model_of() {
	local path
	case $1 in
	static | kuscal | reactive) return 0 ;;
	teacher) path=$models/$app_name/teacher.td3 ;;
	drpc)
		path=$models/$app_name/students-paper
		[ -e "$path" ] || path=$models/$app_name/students-node
		;;
	*)
		path=$models/$app_name/$1.model
		[ -e "$path" ] || path=$models/$app_name.$1.model
		;;
	esac
	if [ -e "$path" ]; then
		echo "$path"
	elif [ "$1" != autothrottle ]; then
		return 1
	fi
}

# Those of the list that can run.
runnable() {
	local p
	for p in "$@"; do
		model_of "$p" >/dev/null && echo "$p"
	done
}

label() {
	case $1 in
	drpc) echo "DRPC (students)" ;;
	teacher) echo "DRPC teacher" ;;
	firm) echo FIRM ;;
	coscal) echo CoScal ;;
	kuscal) echo KuScal ;;
	hpa-tuned) echo "HPA, tuned" ;;
	autothrottle) echo Autothrottle ;;
	*) echo "$1" ;;
	esac
}

colour() {
	case $1 in
	drpc) echo '#1b6ca8' ;;
	teacher) echo '#7db8da' ;;
	firm) echo '#d1495b' ;;
	coscal) echo '#edae49' ;;
	kuscal) echo '#66a182' ;;
	hpa-tuned) echo '#2e4057' ;;
	autothrottle) echo '#8d5a97' ;;
	reactive) echo '#b08968' ;;
	*) echo '#999999' ;;
	esac
}

# --- pieces --------------------------------------------------------------------------------------
digest() { sha256sum "$@" 2>/dev/null | cut -c1-64; }

# What a piece depends on besides its words: files and folders among them, those in $reads, and the
# program. The folder of all models is not read as a whole.
depends() {
	local word file
	digest "$bin/drpc-sim"
	for word in "$@" ${reads:-}; do
		[ "$word" != "$models" ] || continue
		for file in "$word" "${word#*=}"; do
			if [ -f "$file" ]; then
				digest "$file"
				[ ! -f "$file.gru" ] || digest "$file.gru"
			elif [ -d "$file" ] && [ "$file" != / ]; then
				find "$file" -maxdepth 2 -type f -not -path '*/latest-*' | sort |
					xargs -r sha256sum
			fi
		done
	done
}

# piece NAME WEIGHT COMMAND...: into the queue, unless its result is there; its weight is about how
# many seconds it takes.
piece() {
	local name=$1 weight=$2 key
	shift 2
	key=$({ printf '%s\n' "$@"; depends "$@"; } | digest)
	echo "$name" >>"$work/wanted"
	if [ -f "$pieces/$name.out" ] && [ "$(cat "$pieces/$name.key" 2>/dev/null)" = "$key" ]; then
		return
	fi
	printf '%s\t%s\t%s\t%s\n' "$weight" "$name" "$key" "$(printf '%q ' "$@")" >>"$work/queue"
}

# Runs one line of the queue.
run_piece() { # NAME KEY COMMAND
	local begin=$SECONDS
	rm -f "$pieces/$1.key"
	if eval "$3" >"$pieces/$1.part" 2>"$pieces/$1.log" </dev/null; then
		mv "$pieces/$1.part" "$pieces/$1.out"
		echo "$2" >"$pieces/$1.key"
		echo "$((SECONDS - begin))" >"$pieces/$1.seconds"
	else
		echo "$1: $(tail -n 1 "$pieces/$1.log")" >>"$work/failed"
	fi
}

# Whether a piece's result is there.
done_piece() { [ -f "$pieces/$1.out" ] && [ -f "$pieces/$1.key" ]; }

# evaluate NAME WEIGHT POLICY OPTION...: an evaluation of a policy with its model.
evaluate() {
	local name=$1 weight=$2 policy=$3 model
	shift 3
	model=$(model_of "$policy") || return 0
	piece "$name" "$weight" "$bin/drpc-sim" evaluate --app "$app" --policy "$policy" \
		${model:+--model "$model"} --json "$@"
}

# --- output --------------------------------------------------------------------------------------
# plot NAME WIDTH HEIGHT: an SVG by the gnuplot commands on standard input.
plot() {
	local out=$plots/$1.svg
	{
		cat <<-EOF
			set terminal svg size $2,$3 enhanced font 'Helvetica,13' background '#ffffff'
			set output '$out.part'
			set border 3 lc rgb '#555555'
			set tics nomirror
			set grid ytics lc rgb '#dddddd'
			set key top left opaque
		EOF
		cat
	} >"$work/plot-$1.gp"
	gnuplot "$work/plot-$1.gp" && mv "$out.part" "$out"
}

# fact KEY VALUE: what the template may name as {{KEY}}.
fact() { printf '%s\t%s\n' "$1" "$2" >>"$work/facts"; }

# jq with the functions of lib.jq.
q() {
	local program=$1
	shift
	jq -L "$here" "include \"lib\"; $program" "$@"
}
