/*
 * told_pause.h - for how long callers who submit are to pause, as their database's worker says
 */
#ifndef PGW_EXCHANGE_TOLD_PAUSE_H
#define PGW_EXCHANGE_TOLD_PAUSE_H

#include "postgres.h"
#include "port/atomics.h"

/* In shared memory: only the worker writes it, and nobody needs pgw_lock for it. */
typedef struct PgwSubmitPause
{
	pg_atomic_uint32 each_us; /* for each payment */
	pg_atomic_uint64 until;   /* a TimestampTz: what is said is void then */
} PgwSubmitPause;

extern void pgw_submit_pause_init(PgwSubmitPause *p);
extern void pgw_submit_pause_say(uint32 each_us); /* the worker, once it is attached */
extern uint32 pgw_submit_pause_each_us(void);     /* of this database; 0: none */

#endif
