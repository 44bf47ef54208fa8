/* SPDX-License-Identifier: Apache-2.0 */
/* The real drpc-agent under observation. */
#pragma once

#include "tools/bench/bench.h"

/*
 * Runs drpc-agent (from this program's folder) over a cgroup subtree with redis and adds
 * agent_mcpu_10k, agent_mcpu_100k; then over 100 containers, and adds agent_rss_mib (once settled) and
 * agent_rss_peak_mib (while the programs are loaded); then over 1,000, and adds iter_pass_1000_us (one
 * pass of the cgroup iterator, caches warm) and agent_1000_cgroups_mcpu.
 */
int bench_agent(int server_cpu, struct bench_report *report);
