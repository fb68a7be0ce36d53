/*
 * worker_progress.h - when a database's worker has last made a turn, has last committed, and what
 * its last error was
 */
#ifndef PGW_EXCHANGE_WORKER_PROGRESS_H
#define PGW_EXCHANGE_WORKER_PROGRESS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "port/atomics.h"

/*
 * A worker that runs makes a turn every second: one that has made none for so long waits for
 * something.
 */
#define PGW_TURN_LATE_MS 4000

/* In shared memory: only the worker writes it, and nobody needs pgw_lock for it. */
typedef struct PgwWorkerProgress
{
	pg_atomic_uint64 turned_at;    /* the last turn has begun; a TimestampTz, 0: none */
	pg_atomic_uint64 committed_at; /* what a transaction has written is committed */
	pg_atomic_uint64 failed_at;    /* the last error, other than a lock that somebody has */
	pg_atomic_uint32 sqlstate;     /* ... and what it was; written before failed_at */
} PgwWorkerProgress;

/* As it was at one moment. */
typedef struct PgwProgress
{
	TimestampTz turned_at;
	TimestampTz committed_at;
	TimestampTz failed_at;
	int sqlstate;
} PgwProgress;

extern void pgw_progress_init(PgwWorkerProgress *p);
extern void pgw_progress_begin(PgwWorkerProgress *p); /* of an entry */
extern void pgw_progress_read(PgwWorkerProgress *p, PgwProgress *out);

/* The worker, once it is attached; before that, and in other processes, they do nothing. */
extern void pgw_progress_turned(void);
extern void pgw_progress_committed(void);
extern void pgw_progress_failed(int sqlstate);

#endif
