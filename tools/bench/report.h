/* SPDX-License-Identifier: Apache-2.0 */
/* The report behind bench_add(): main makes and prints it. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

#include "tools/bench/bench.h"

struct bench_report {
	struct json_object *figures; /* array of {name, unit, value} */
	bool json;
};

void bench_report_print(const struct bench_report *report, FILE *out);
