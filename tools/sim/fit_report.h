/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded beside simulated, as a table or as JSON on standard output. */
#pragma once

#include "fit/replay.h"

struct sim_fit_report;

int sim_fit_report_new(bool json, struct sim_fit_report **ret);
/* One service at one point; a service that served nothing there is left out. */
void sim_fit_report_add(struct sim_fit_report *report, const struct drpc_fit_point *point,
			uint32_t source, const char *name, const struct drpc_fit_simulated *s);
/* Prints what is not printed yet, frees and nulls. */
void sim_fit_report_end(struct sim_fit_report **report);
