/*
 * event_fence.h - events of attempts that began before the fence are listed in pgw.late_events
 *
 * A time in Unix milliseconds, as ids of attempts begin with.  src/database/late_events.c says what
 * it is for.
 */
#ifndef PGW_EXCHANGE_EVENT_FENCE_H
#define PGW_EXCHANGE_EVENT_FENCE_H

#include "postgres.h"
#include "port/atomics.h"

/* Nobody has looked yet at which readers there are: every event is listed. */
#define PGW_FENCE_UNKNOWN PG_UINT64_MAX

extern void pgw_event_fence_init(pg_atomic_uint64 *fence);

/* Of this database.  To be asked by a transaction that has its xid already. */
extern uint64 pgw_event_fence(void);

/* The worker has looked: all that readers have on record is this.  0: there are none. */
extern void pgw_event_fence_know(uint64 ms);

/*
 * Not below ms from now on.  Transactions that get their xid after this returns see it.  false: it
 * is not known yet, and nothing may be put on record.
 */
extern bool pgw_event_fence_raise(uint64 ms);

#endif
