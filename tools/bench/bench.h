/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drpc-bench: every benchmark, one name each. A benchmark measures and adds figures to a report;
 * main prints it, as a table or as a JSON list of {name, unit, value}.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct bench_report;

/* Adds one figure. A NaN says "could not be measured here"; it is printed as null. */
void bench_add(struct bench_report *report, const char *unit, double value, const char *name_fmt,
	       ...) __attribute__((format(printf, 4, 5)));

/* A line for people, on standard error, unless --json is asked for. */
void bench_note(struct bench_report *report, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

struct bench {
	const char *name;
	const char *help; /* one line */
	/* argv[0] is the benchmark's name; --json is already taken out. Returns 0 or a negative
	 * errno; -EINVAL for bad arguments, with the reason printed. */
	int (*run)(int argc, char **argv, struct bench_report *report);
};

/* Sorts in place. */
double bench_median(double *values, size_t n);
double bench_percentile(double *values, size_t n, double q);

/* CPU time of the calling thread and of the whole process, in nanoseconds. */
uint64_t bench_thread_cpu_ns(void);
uint64_t bench_process_cpu_ns(void);

/* Pins the calling thread to one CPU; warns where that is refused. */
void bench_pin(int cpu);

int bench_link(int argc, char **argv, struct bench_report *report);
int bench_hist(int argc, char **argv, struct bench_report *report);
int bench_inference(int argc, char **argv, struct bench_report *report);
int bench_tick(int argc, char **argv, struct bench_report *report);
int bench_overhead(int argc, char **argv, struct bench_report *report);
int bench_capture(int argc, char **argv, struct bench_report *report);
int bench_td3(int argc, char **argv, struct bench_report *report);
int bench_student(int argc, char **argv, struct bench_report *report);
int bench_distil(int argc, char **argv, struct bench_report *report);
int bench_gru(int argc, char **argv, struct bench_report *report);
int bench_replay(int argc, char **argv, struct bench_report *report);
int bench_sim(int argc, char **argv, struct bench_report *report);
int bench_pendulum(int argc, char **argv, struct bench_report *report);
