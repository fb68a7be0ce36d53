/*
 * clock.h - the clock by which things fall due
 *
 * In a build with -DPGW_DEBUG_POINTS the setting pgw.debug_clock_offset moves it, so that a test need not wait for minutes to pass.  Durations of
 * waits, and what is written as the time of a step, go by the real clock.
 */
#ifndef PGW_INFRA_CLOCK_H
#define PGW_INFRA_CLOCK_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* Put off until then, at most so long: a clock that was set back does not put it off for longer. */
#define pgw_is_due(when, now, longest_ms) ((when) <= (now) || (when) > TimestampTzPlusMilliseconds(now, longest_ms))

extern int64 pgw_interval_ms(Datum interval);	/* a month counts 30 days */

#ifdef PGW_DEBUG_POINTS
extern void pgw_clock_init(void);	/* _PG_init */
extern TimestampTz pgw_now(void);
#else
#define pgw_clock_init() ((void) 0)
#define pgw_now() GetCurrentTimestamp()
#endif

#endif
