# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# The three containers, their network and image; their limits as the engine and the kernel tell them.

SERVICES=
NETWORK=
IMAGE=
SUBTREE=

# Names that nobody else has here: demo-front, or demo2-front where there is one already.
services_name() {
	taken=$(docker ps -a --format '{{.Names}}' && docker network ls --format '{{.Name}}' &&
		docker images --format '{{.Repository}}') || die "the engine does not answer"
	prefix=demo number=1
	while printf '%s\n' "$taken" | grep -Eqx "$prefix(-front|-fast|-slow)?|drpc-$prefix"; do
		number=$((number + 1))
		prefix=demo$number
	done
	FRONT=$prefix-front FAST=$prefix-fast SLOW=$prefix-slow
	NETWORK=$prefix IMAGE=drpc-$prefix
}

# start_one NAME OBJECTIVE [DOCKER-OPTION...] -- TESTBED-OPTION...
start_one() {
	name=$1 objective=$2
	shift 2
	options=
	while [ "$1" != -- ]; do
		options="$options $1"
		shift
	done
	shift
	# shellcheck disable=SC2086 # options without blanks of their own
	docker run -d --name "$name" --network "$NETWORK" --cpus "$DEMO_CPUS" --memory "$DEMO_MEMORY" \
		--label "drpc.slo-p99=$objective" $options "$IMAGE" /bin/drpc-testbed --listen 8080 "$@" \
		>/dev/null || die "container $name did not start"
	SERVICES="$SERVICES $name"
}

services_start() {
	services_name
	engine_image "$IMAGE" "$BIN/drpc-testbed" || die "the engine takes no image"
	docker network create "$NETWORK" >/dev/null || die "the engine makes no network"
	start_one "$SLOW" "$DEMO_SLO_SLOW" -- --workers 8 --cpu-ms 6 --cpu-dist lognormal:1 \
		--memory-mib 32
	start_one "$FAST" "$DEMO_SLO_FAST" -- --workers 8 --cpu-ms 2 --memory-mib 16
	start_one "$FRONT" "$DEMO_SLO_FRONT" -p 127.0.0.1::8080 -- --workers 16 --cpu-ms 1 \
		--call "http://$FAST:8080/" --call "http://$SLOW:8080/"
	address=$(docker port "$FRONT" 8080/tcp | head -n 1)
	[ -n "$address" ] || die "the engine published no port for $FRONT"
	URL=http://$address/
	left=$DEMO_WAIT
	until curl -sf --noproxy '*' --max-time 5 "$URL" >/dev/null; do
		left=$((left - 1))
		[ $left -gt 0 ] || die "$FRONT does not answer at $URL: $(docker logs "$FRONT" 2>&1 | tail -n 1)"
		nap 1
	done
	for name in $SERVICES; do
		files_find "$name"
	done
	# Where the engine's containers have a folder of their own, drpc looks at nothing else: agents
	# for other parts of the tree are none of its business. In a slice there are services, too.
	SUBTREE=$(sed -n 's,^0::\(/.*\)/[^/]*$,\1,p' "/proc/$pid/cgroup")
	case $SUBTREE in
	'' | *.slice | *.scope) SUBTREE='' ;;
	*) SUBTREE=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)$SUBTREE ;;
	esac
}

services_stop() {
	# shellcheck disable=SC2086 # a list of names
	[ -z "$SERVICES" ] || docker rm -f $SERVICES >/dev/null 2>&1
	[ -z "$NETWORK" ] || docker network rm "$NETWORK" >/dev/null 2>&1
	[ -z "$IMAGE" ] || docker rmi "$IMAGE" >/dev/null 2>&1
}

# --- the kernel's own files -----------------------------------------------------------------------

# files_find NAME: writes the paths of the container's limits and counters to $WORK/NAME.files,
# "CONTROLLER FOLDER"; on cgroup v2 both controllers share one folder.
files_find() {
	pid=$(docker inspect -f '{{.State.Pid}}' "$1") || die "container $1 is gone"
	awk -v pid_file="/proc/$pid/cgroup" '
		$3 == "cgroup2" { v2 = $2 }
		$3 == "cgroup" {
			n = split($4, option, ",")
			for (i = 1; i <= n; i++)
				if (option[i] == "cpu" || option[i] == "memory" || option[i] == "cpuacct")
					v1[option[i]] = $2
		}
		END {
			while ((getline line < pid_file) > 0) {
				split(line, part, ":")
				path = substr(line, length(part[1]) + length(part[2]) + 3)
				n = split(part[2], name, ",")
				for (i = 1; i <= n; i++)
					if (name[i] in v1) {
						print name[i], v1[name[i]] path
						found[name[i]] = 1
					}
				if (part[1] == "0")
					unified = v2 path
			}
			if (!("cpu" in found))
				print "cpu", unified
			if (!("memory" in found))
				print "memory", unified
		}' /proc/mounts >"$WORK/$1.files"
	folder=$(sed -n 's/^cpu //p' "$WORK/$1.files")
	[ -e "$folder/cpu.max" ] || [ -e "$folder/cpu.cfs_quota_us" ] ||
		die "the kernel's CPU limit of $1 is not to be found in $folder"
}

# Every limit of every container, as the engine tells them and as the kernel does.
limits_list() {
	for name in $SERVICES; do
		echo "$name engine $(docker inspect -f '{{json .HostConfig}}' "$name")"
		while read -r controller folder; do
			for file in cpu.max cpu.max.burst cpu.weight cpu.cfs_quota_us cpu.cfs_period_us cpu.shares \
				memory.max memory.high memory.low memory.min memory.swap.max \
				memory.limit_in_bytes memory.memsw.limit_in_bytes memory.soft_limit_in_bytes; do
				case $file in
				$controller.*) [ ! -e "$folder/$file" ] || echo "$name $file $(cat "$folder/$file")" ;;
				esac
			done
		done <"$WORK/$name.files"
	done
}

# limits_now NAME: sets LIMIT_CPU (thousandths of a CPU) and LIMIT_MEMORY (KiB); 0 for no limit.
# Once a second and container: no process is started for it.
limits_now() {
	quota=0 period=100000 high=max max=max
	while read -r controller folder; do
		case $controller in
		cpu)
			if [ -e "$folder/cpu.max" ]; then
				read -r quota period <"$folder/cpu.max"
			else
				read -r quota <"$folder/cpu.cfs_quota_us"
				read -r period <"$folder/cpu.cfs_period_us"
			fi
			;;
		memory)
			if [ -e "$folder/memory.max" ]; then
				read -r max <"$folder/memory.max"
				read -r high <"$folder/memory.high"
			else
				read -r max <"$folder/memory.limit_in_bytes"
			fi
			;;
		esac
	done <"$WORK/$1.files" 2>/dev/null
	case $quota in max | -1) quota=0 ;; esac
	# The kernel reclaims from memory.high on: the lower of the two is the limit that is felt.
	case $max in max) max=$high ;; esac
	case $high in max) ;; *) [ "$high" -ge "$max" ] || max=$high ;; esac
	case $max in max) max=0 ;; esac
	# shellcheck disable=SC2034 # for phase.sh
	LIMIT_CPU=$((quota * 1000 / period)) LIMIT_MEMORY=$((max / 1024))
}

# counters NAME: "periods throttled cpu-microseconds" since the container's start.
counters() {
	awk 'function value(file, key, line, part) {
			while ((getline line < file) > 0) {
				split(line, part, " ")
				if (key == "")
					return part[1]
				if (part[1] == key) {
					close(file)
					return part[2]
				}
			}
			return 0
		}
		{ folder[$1] = $2 }
		END {
			stat = folder["cpu"] "/cpu.stat"
			usage = ("cpuacct" in folder) ? value(folder["cpuacct"] "/cpuacct.usage", "") / 1000 \
				: value(stat, "usage_usec")
			printf "%.0f %.0f %.0f\n", value(stat, "nr_periods"), value(stat, "nr_throttled"), usage
		}' "$WORK/$1.files"
}
