/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to numbers, for policy keys and the configuration file: exact decimal arithmetic, no locale,
 * no sign, no exponent, no white space. Each returns 0, -EINVAL where the text is not of its form,
 * or -ERANGE where the value does not fit; *ret is touched on success only. Silent: the caller
 * knows key and place, and names the form.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DRPC_FORM_DURATION "a duration such as 250us, 200ms or 1.5s"
#define DRPC_FORM_CPU	   "a number of CPUs such as 0.5, or 500m in thousandths"
#define DRPC_FORM_BYTES	   "a size such as 64Mi, 1Gi, 500M or 1000000 (bytes)"
#define DRPC_FORM_SHARE	   "a share such as 20% or 0.2"
#define DRPC_FORM_COUNT	   "a whole number"
#define DRPC_FORM_BOOL	   "true or false"

int drpc_unit_duration_ns(const char *text, uint64_t *ret); /* 250us 200ms 1.5s */
int drpc_unit_cpu_mcpu(const char *text, uint64_t *ret);    /* 0.5 or 500m */
int drpc_unit_bytes(const char *text, uint64_t *ret);	    /* 1000 1k 1M 1G 1T 1Ki 1Mi 1Gi 1Ti */
int drpc_unit_share(const char *text, double *ret);	    /* 20% or 0.2, at most 1 */
int drpc_unit_count(const char *text, uint32_t *ret);	    /* digits alone */
int drpc_unit_bool(const char *text, bool *ret);
