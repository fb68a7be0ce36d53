/*
 * clock_watch.h - the worker's look at the clock: was it set back?
 */
#ifndef PGW_WORKER_CLOCK_WATCH_H
#define PGW_WORKER_CLOCK_WATCH_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* All zero at the worker's start, but for wanted. */
typedef struct PgwClockWatch
{
	/* the latest that the clock has shown since it was last set back; 0: nothing yet */
	TimestampTz latest;
	bool wanted;         /* times of a clock that was ahead are to be looked for */
	TimestampTz look_at; /* not before: the last look failed, or took too long */
} PgwClockWatch;

/*
 * At each turn: a page of times of a clock that was ahead, if there are any.  true: something may
 * be due by the present clock.
 */
extern bool pgw_clock_watch_turn(PgwClockWatch *watch);

#endif
