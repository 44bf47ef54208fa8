/* SPDX-License-Identifier: Apache-2.0 */
/* One thread of a run: its connections, its queue for each target, its part of the schedule. */
#pragma once

#include "tools/load/http.h"
#include "tools/load/run.h"

/* A request that is due. */
struct load_pending {
	uint64_t due_ns; /* CLOCK_MONOTONIC */
	const struct drpc_load_request *request;
	uint32_t user;
};

enum load_conn_state {
	LOAD_CONN_DOWN, /* waits for retry_ns */
	LOAD_CONN_CONNECTING,
	LOAD_CONN_IDLE,
	LOAD_CONN_BUSY,
};

struct load_conn {
	struct load_conn *prev, *next; /* in the lane's idle or busy list */
	int fd;
	enum load_conn_state state;
	bool served;	 /* has carried a response since it was connected */
	bool want_write; /* the socket took a part of the request only */
	unsigned int lane;
	unsigned int address; /* of the target: the one in use, or to try next */
	unsigned int tried;   /* addresses that failed in this attempt */
	uint64_t retry_ns;
	uint64_t deadline_ns; /* of the connection attempt */
	uint64_t backoff_ns;
	struct load_pending pending;
	uint64_t sent_ns;
	const char *out; /* what is left to send */
	size_t out_len;
	char *own; /* a request with the user's header in it */
	size_t own_size;
	struct drpc_http_response response;
};

/* What one thread has for one target. */
struct load_lane {
	const struct drpc_target *target;
	struct load_pending *queue; /* ring */
	size_t queue_size, queue_head, queue_count;
	struct load_conn idle; /* list heads; idle is first in, first out */
	struct load_conn busy; /* in the order of due times */
	unsigned int up;
	unsigned int connecting;
	enum drpc_load_failure reason; /* why the last attempt failed */
	int error;		       /* its errno */
	int told;		       /* the errno that was logged last */
};

/* Shared by the threads of a run. */
struct load_shared {
	const struct drpc_load_config *config;
	struct drpc_load_series *series;
	_Atomic uint64_t stop_ns; /* 0: go on */
	uint64_t start_ns;	  /* set before the threads begin to send */
};

struct load_worker {
	struct load_shared *shared;
	unsigned int index;
	int epoll;
	int wake; /* eventfd: stop_ns has been set */
	struct load_lane *lanes;
	unsigned int lane_count;
	struct load_conn *conns;
	unsigned int conn_count;
	unsigned int unready;  /* connections that are neither idle nor busy */
	uint64_t next_scan_ns; /* when one of them wants attention */
	struct drpc_rng jitter;
	struct drpc_arrivals arrivals;
	struct drpc_workload_picker picker;
	uint64_t arrival_number;
	bool exhausted;
	struct load_pending next; /* valid unless exhausted */
	struct drpc_load_window window;
	struct drpc_load_bin *classes;
	struct drpc_hdr lag;
	uint64_t connects;
	uint64_t last_ns; /* when the last request was settled */
	int error;
	const struct drpc_target *failed; /* took no connection at the start */
	char *buffer;
};

/* --- worker.c --- */

/* `connections` of the run's, the first of them being number `first`. Returns 0 or -errno. */
int load_worker_init(struct load_worker *worker, struct load_shared *shared, unsigned int index,
		     unsigned int first, unsigned int connections);
void load_worker_release(struct load_worker *worker);

/* Opens the connections. Returns 0, or a negative errno if a target took none (`failed`). */
int load_worker_connect(struct load_worker *worker);

/* Sends and receives until the schedule ends or stop_ns is set. Returns 0 or a negative errno. */
int load_worker_run(struct load_worker *worker);

/* The ways a request can end. sent_ns is 0 for one that was never sent. */
void load_settle_answer(struct load_worker *worker, const struct load_pending *pending,
			uint64_t sent_ns, uint64_t now_ns,
			const struct drpc_http_response *response);
void load_settle_failure(struct load_worker *worker, const struct load_pending *pending,
			 uint64_t sent_ns, uint64_t now_ns, enum drpc_load_failure failure);

/* Gives waiting requests to idle connections. */
void load_lane_dispatch(struct load_worker *worker, struct load_lane *lane, uint64_t now_ns);

/* Fails whatever waits, if no connection is up nor on its way. */
void load_lane_check_down(struct load_worker *worker, struct load_lane *lane, uint64_t now_ns);

/* --- conn.c --- */

void load_conn_open(struct load_worker *worker, struct load_conn *conn, uint64_t now_ns);

/* Closes and connects anew: at once if the connection was of use, after a back-off otherwise. */
void load_conn_replace(struct load_worker *worker, struct load_conn *conn, uint64_t now_ns);

/* Sends a request on an idle connection. */
void load_conn_send(struct load_worker *worker, struct load_conn *conn,
		    const struct load_pending *pending);

void load_conn_event(struct load_worker *worker, struct load_conn *conn, uint32_t events);

/* Attempts that are due or have taken too long. */
void load_conn_scan(struct load_worker *worker, uint64_t now_ns);

static inline void load_list_init(struct load_conn *head)
{
	head->prev = head->next = head;
}

static inline bool load_list_empty(const struct load_conn *head)
{
	return head->next == head;
}

static inline void load_list_append(struct load_conn *head, struct load_conn *conn)
{
	conn->prev = head->prev;
	conn->next = head;
	head->prev->next = conn;
	head->prev = conn;
}

static inline void load_list_remove(struct load_conn *conn)
{
	conn->prev->next = conn->next;
	conn->next->prev = conn->prev;
	conn->prev = conn->next = conn;
}
