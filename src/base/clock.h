/*
 * clock.h - the clock by which things fall due
 *
 * In a build with -DPGW_DEBUG_POINTS the setting pgw.debug_clock_offset moves it, so that a test
 * need not wait for minutes to pass.  Durations of waits, and what is written as the time of a
 * step, go by the real clock.
 */
#ifndef PGW_BASE_CLOCK_H
#define PGW_BASE_CLOCK_H

#include "postgres.h"
#include "datatype/timestamp.h"

/*
 * A clock that is corrected by less than this, as NTP does all the time, puts nothing off that
 * anybody would notice: what waits then waits for a second more, no longer than a worker that
 * sleeps may be late, or than the shortest delay between two tries that is set by default
 * (pgw.retry_base_delay).  Daemons that set the clock slew what is smaller than some tenths of a
 * second, and virtual machines step by milliseconds; a look for what a step has put off reads all
 * that waits.
 */
#define PGW_CLOCK_NOTICED_MS 1000

/* Put off until then, at most so long: a clock that was set back does not put it off for longer. */
#define pgw_is_due(when, now, longest_ms) \
	((when) <= (now) || (when) > TimestampTzPlusMilliseconds(now, longest_ms))

/* Of a submitted request, 0: it does not expire. */
#define pgw_has_expired(expires_at, now) ((expires_at) != 0 && (expires_at) <= (now))

/* Since 1970, as others than PostgreSQL count. */
#define pgw_unix_seconds(t) \
	((t) / USECS_PER_SEC + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)
#define pgw_unix_microseconds(t) \
	((t) + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

extern int64 pgw_interval_ms(Datum interval); /* a month counts 30 days */

#ifdef PGW_DEBUG_POINTS
extern void pgw_clock_init(void); /* _PG_init */
extern TimestampTz pgw_now(void);
#else
#define pgw_clock_init() ((void) 0)
#define pgw_now() GetCurrentTimestamp()
#endif

#endif
