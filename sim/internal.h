/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's state, shared by its parts: engine, call, cpu, replica, observe, action, span. */
#pragma once

#include "sim/queue.h"
#include "sim/sim.h"

#define SIM_NONE	   UINT32_MAX
#define SIM_PERIOD_NS	   100000000ULL		    /* of CFS bandwidth control */
#define SIM_FINE_BUCKETS   DRPC_SIM_LATENCY_BUCKETS /* 64 an octave */
#define SIM_HANDLE_ARRIVAL 0
#define SIM_ANOMALIES	   64 /* at the same time */

/* --- calls -------------------------------------------------------------------------------------- */

enum sim_call_state {
	SIM_CALL_FREE,
	SIM_CALL_SENT,	  /* on its way to the service */
	SIM_CALL_QUEUED,  /* waits for a worker */
	SIM_CALL_RUNNING, /* on a CPU, or ready for it */
	SIM_CALL_WAITING, /* for the calls it made */
	SIM_CALL_SLEEPING,
	SIM_CALL_REPLIED, /* the answer is on its way */
	SIM_CALL_BACKOFF, /* the next attempt waits to be sent */
};

enum {
	SIM_CALL_ROOT = 1,    /* the user's */
	SIM_CALL_ORPHAN = 2,  /* nobody waits for the answer */
	SIM_CALL_FAILED = 4,  /* a call it made failed, or itself */
	SIM_CALL_TIMED = 8,   /* is in its timeout's list */
	SIM_CALL_TRACED = 16, /* writes spans */
	SIM_CALL_HOLDS = 32,  /* a worker has begun with it: it takes memory until it ends */
};

/* One attempt of one call. Two cache lines, the first is what most events need. */
struct sim_call {
	uint64_t random; /* its stream */
	uint64_t arrived_ns;
	uint64_t mark_ns; /* since when it waits for a worker */
	uint64_t waited_ns;
	uint32_t generation; /* a parent that is gone is told by another one */
	uint32_t parent, parent_generation;
	uint32_t site, replica;
	uint32_t step, step_end; /* of app->steps */
	uint16_t open;		 /* calls it made that have not ended */
	uint8_t state, flags;

	uint64_t first_ns; /* the first attempt was sent; the user waits since then */
	uint64_t deadline_ns;
	uint32_t next;		/* in the line for a worker, or of free ones */
	uint32_t sooner, later; /* in its timeout's list */
	uint16_t attempt;
	uint8_t cause; /* enum drpc_sim_failure */
	uint16_t trace, span;
	uint64_t sent_ns;
} __attribute__((aligned(64)));

struct sim_timeout {
	uint64_t duration_ns;
	uint32_t first, last;
};

/* --- replicas ----------------------------------------------------------------------------------- */

enum sim_replica_state {
	SIM_REPLICA_NONE,
	SIM_REPLICA_PENDING, /* no node has room */
	SIM_REPLICA_STARTING,
	SIM_REPLICA_READY,
	SIM_REPLICA_DRAINING,
	SIM_REPLICA_KILLED, /* will start again */
};

struct sim_job {
	double tag; /* its end in the replica's virtual time */
	uint32_t call;
};

struct sim_replica {
	/* CPU: every runnable call has had `v` ns of one core since the replica was last idle. */
	double v, speed;      /* speed: v per ns */
	uint64_t at_ns;	      /* of v and runtime */
	struct sim_job *jobs; /* binary heap */
	uint32_t n_jobs;
	uint32_t demand; /* cores it could use now, as its node counts it */
	bool dirty, quota, throttled, timer, used, sampled_throttled;
	uint8_t state;
	double quota_ns, burst_ns, runtime_ns;
	double kept_ns;	      /* of what is left at a period's end, beside the burst */
	double overrun_ns;    /* how far runtime may fall below 0 before it is noticed */
	uint64_t boundary_ns; /* the next end of a period, while `timer` */
	uint64_t phase_ns;
	uint32_t active_at; /* in its node's list of those that run */

	/* Calls. */
	uint32_t workers, busy, resident;
	uint32_t holding, peak_holding; /* calls of these that take memory */
	uint32_t fits;			/* so many of those have room; one more and it is killed */
	uint32_t first, last, n_queued; /* line for a worker */
	bool serving_line;
	bool plain; /* nothing makes its work slower now */
	bool roomy; /* its whole cache fits, whatever it does */

	uint32_t service, node;
	double cache_bytes; /* how far it has grown */
	uint64_t ready_ns;
	double warm_ns; /* warmed up from then on */
	uint32_t restarts;

	/* cpu.stat and pressure. */
	double usage_ns, usage_told_ns, stall_ns, memory_stall_ns;
	uint64_t periods, throttled_periods;
};

struct sim_node {
	double capacity; /* cores that are not taken by an anomaly */
	uint32_t demand; /* Σ of its replicas' */
	bool contended;
	uint32_t *active; /* replicas with runnable calls that are not throttled */
	uint32_t n_active;
	double cpu_allocated, memory_allocated;
};

struct sim_service {
	const struct drpc_sim_service *spec;
	uint32_t first_replica, n_slots;
	uint32_t *ready, n_ready, turn;
	uint32_t wanted, n_live, n_draining; /* live: all that are not draining */
	double cpu_limit, memory_limit;
	uint32_t weight;
	bool off;
	double slower;	       /* by anomalies: CPU time × (1 + this) */
	double network_ns;     /* by anomalies */
	double memory_anomaly; /* share of the limit */

	/* This interval. */
	uint64_t arrived, ended, errors;
	double latency_ns, waited_ns;
	uint32_t oom_kills;
	struct drpc_sim_cpu_stat before; /* what its replicas had used at the interval's start */
	double stall_before, memory_stall_before;
	uint32_t n_up;
	double up_ns, limit_ns; /* ∫ replicas, ∫ Σ limits, up to limit_since_ns */
	double limit_since_ns;
	double peak_bytes;
	uint32_t hist[DRPC_HIST_BUCKETS];
};

/* --- requests ----------------------------------------------------------------------------------- */

struct sim_fine {
	uint64_t count;
	double sum_ns, max_ns;
	uint32_t buckets[SIM_FINE_BUCKETS];
};

struct sim_class {
	double cumulative; /* share of this one and those before it */
	uint64_t arrived, ended, failed;
	double latency_ns;
	uint32_t hist[DRPC_HIST_BUCKETS];
};

struct sim_arrivals {
	uint64_t random;
	uint64_t number; /* of the next request */
	size_t piece;
	double time_ns, piece_end_ns;
	double rate, slope; /* per ns, at time_ns; per ns² */
};

struct sim_anomaly {
	uint64_t end_ns;
	uint32_t service;
	enum drpc_sim_anomaly kind;
	double intensity;
	bool on;
};

/* ∫ over time of what is allocated, since the warm-up. */
struct sim_account {
	uint64_t at_ns;
	double cpu, memory, replicas;	       /* now */
	double cpu_ns, memory_ns, replicas_ns; /* integrals */
	uint64_t since_ns;
	double memory_used_sum;
	uint64_t memory_samples;
	double usage_before_ns;
	uint64_t actions_before, oom_before;
};

struct sim_span_store;
struct sim_snapshots;

struct drpc_sim {
	struct drpc_simq queue;
	struct drpc_sim_tables tables;
	const struct drpc_sim_app *app;
	struct drpc_sim_config config;
	uint64_t now_ns, events;

	/* Handles: arrival, timeouts, replicas' CPUs, replicas' lives, calls. */
	uint32_t at_timeout, at_cpu, at_life, at_call;

	struct sim_call *calls;
	uint64_t calls_bytes;
	uint32_t n_calls, calls_max, free_call, open_calls;
	uint64_t total_calls;
	bool full;
	struct sim_timeout *timeouts;

	struct sim_replica *replicas;
	uint32_t n_replicas;
	struct sim_job *jobs;
	uint32_t *ready, *active;
	uint32_t *dirty, n_dirty;
	struct sim_node *nodes;
	struct sim_service *services;
	bool any_pending;
	bool network;
	struct drpc_sim_dist wire;

	struct sim_arrivals arrivals;
	struct sim_class *classes;
	uint64_t placements; /* so far: the stream of the next one */

	/* Whole run after the warm-up; this interval. */
	struct sim_fine total;
	uint64_t arrived, failed, failures[DRPC_SIM_FAILURES], late, open_requests;
	uint64_t interval_arrived, interval_ended, interval_failed;
	double interval_latency_ns;
	uint32_t interval_hist[DRPC_HIST_BUCKETS];
	uint64_t oom_kills, actions;
	struct sim_account account;

	struct sim_anomaly anomalies[SIM_ANOMALIES];
	uint64_t next_anomaly_ns;

	uint64_t interval_begin_ns, next_close_ns, next_decide_ns, next_tick_ns, next_sample_ns;
	bool warm;
	struct sim_snapshots *snapshots;
	struct sim_span_store *spans;
};

/* --- call.c ------------------------------------------------------------------------------------- */

/* A slot, or SIM_NONE: the run then ends with this event. */
uint32_t sim_call_take(struct drpc_sim *sim);
void sim_call_send(struct drpc_sim *sim, uint32_t call);
void sim_call_event(struct drpc_sim *sim, uint32_t call);
void sim_timeout_event(struct drpc_sim *sim, uint32_t timeout);
void sim_call_cpu_done(struct drpc_sim *sim, uint32_t call);
void sim_line_join(struct drpc_sim *sim, struct sim_replica *r, uint32_t call);
/* What is in a replica that is no more: fails. */
void sim_call_killed(struct drpc_sim *sim, uint32_t call);

/* --- users.c ------------------------------------------------------------------------------------ */

void sim_arrivals_begin(struct drpc_sim *sim);
void sim_arrival_event(struct drpc_sim *sim);

/* --- cpu.c -------------------------------------------------------------------------------------- */

void sim_cpu_event(struct drpc_sim *sim, uint32_t replica);
/* `wakes`: the call did not run just before, nor does its worker come from another one. */
void sim_cpu_add(struct drpc_sim *sim, uint32_t replica, uint32_t call, double work_ns, bool wakes);
void sim_cpu_clear(struct drpc_sim *sim, uint32_t replica); /* no more runnable calls */
void sim_cpu_limit(struct drpc_sim *sim, uint32_t replica, double cores, double burst_ns);
/* Brings usage and periods up to now. */
void sim_cpu_settle(struct drpc_sim *sim, struct sim_replica *r);
void sim_cpu_rebalance(struct drpc_sim *sim, uint32_t node);
void sim_cpu_flush(struct drpc_sim *sim);

/* --- replica.c ---------------------------------------------------------------------------------- */

int sim_replicas_init(struct drpc_sim *sim);
void sim_replica_event(struct drpc_sim *sim, uint32_t replica);
void sim_replicas_scale(struct drpc_sim *sim, uint32_t service, uint32_t wanted);
void sim_replica_left(struct drpc_sim *sim, uint32_t replica); /* a draining one is empty */
void sim_replica_oom(struct drpc_sim *sim, uint32_t replica);
void sim_replicas_place(struct drpc_sim *sim); /* those that are pending */
double sim_replica_fixed_bytes(const struct drpc_sim *sim, const struct sim_replica *r);
double sim_replica_memory_bytes(const struct drpc_sim *sim, const struct sim_replica *r);
double sim_replica_slowdown(struct drpc_sim *sim, struct sim_replica *r, double work_ns);
void sim_service_check_memory(struct drpc_sim *sim, uint32_t service);
void sim_account(struct drpc_sim *sim);
void sim_service_account(struct drpc_sim *sim, struct sim_service *s);

/* --- observe.c ---------------------------------------------------------------------------------- */

int sim_snapshots_init(struct drpc_sim *sim);
void sim_snapshots_free(struct drpc_sim *sim);
void sim_sample_periods(struct drpc_sim *sim);
void sim_sample_memory(struct drpc_sim *sim);
void sim_interval_close(struct drpc_sim *sim);
const struct drpc_sim_obs *sim_interval_show(struct drpc_sim *sim);
void sim_fine_add(struct sim_fine *fine, uint64_t ns);
double sim_fine_quantile_ns(const struct sim_fine *fine, double q);

/* --- action.c ----------------------------------------------------------------------------------- */

void sim_anomalies_end(struct drpc_sim *sim);

/* --- span.c ------------------------------------------------------------------------------------- */

int sim_spans_init(struct drpc_sim *sim);
void sim_spans_free(struct drpc_sim *sim);
void sim_span_root(struct drpc_sim *sim, struct sim_call *call, uint64_t number);
void sim_span_child(struct drpc_sim *sim, const struct sim_call *parent, struct sim_call *call);
void sim_span_end(struct drpc_sim *sim, const struct sim_call *call, bool ok);
/* The next attempt of a call begins a span of its own. */
void sim_span_again(struct drpc_sim *sim, const struct sim_call *call, struct sim_call *next);
/* The user has an answer: the trace goes out. */
void sim_span_tell(struct drpc_sim *sim, const struct sim_call *root);
void sim_span_drop(struct drpc_sim *sim, struct sim_call *call);
/* Those of the interval; the store begins afresh. */
const struct drpc_sim_span *sim_spans_take(struct drpc_sim *sim, size_t *ret_n);
