/*
 * schedule.h - when to try again
 */
#ifndef PGW_BASE_SCHEDULE_H
#define PGW_BASE_SCHEDULE_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* How long the bank is asked about an outcome that it does not tell, in seconds. */
extern int pgw_unknown_deadline;

/*
 * For how long a charge that is said not to exist is looked up again: what turns up after all turns
 * up within days.
 */
#define PGW_WATCH_MS ((int64) 7 * 24 * 60 * 60 * 1000)

extern void pgw_schedule_init(void); /* _PG_init: settings */

/* After this many tries (>= 1); retry_after_s: what the bank asked for, or <= 0. */
extern TimestampTz pgw_schedule_retry(int tries, int retry_after_s);

/*
 * The same for a look at what is in doubt since then: at its deadline (or at watch_until, if that
 * is later) at the latest, whatever the bank asks for.
 */
extern TimestampTz pgw_schedule_next_look(int tries, int retry_after_s, TimestampTz since,
										  TimestampTz watch_until);

/*
 * The same time, or later: of what the bank takes hours or days for, since then, it is not asked
 * more often than after an eighth of that age, but every hour.
 */
extern TimestampTz pgw_schedule_patiently(TimestampTz when, TimestampTz since);

/* After this many looks at what was taken for not charged. */
extern TimestampTz pgw_schedule_watch(int tries);

/*
 * The end of the time in which the bank is asked about an outcome that is in doubt since `since`;
 * due: when the present look was meant to come (0: there was to be none). If that was before the
 * deadline and the look comes after it, and later than any worker is that runs, nobody was asking
 * meanwhile (the server was down, or the clock was set forward): returns a new end, one deadline
 * from now. Otherwise returns watch_until unchanged.
 */
extern TimestampTz pgw_schedule_ask_until(TimestampTz watch_until, TimestampTz due,
										  TimestampTz since);

/*
 * Since when an attempt counts as put off, if it is put off (again) now; due: when the present look
 * was meant to come. If the look comes so late that the end is over, the server was down or the
 * clock was set forward: then the time begins anew, and this returns now.
 */
extern TimestampTz pgw_schedule_put_off_since(TimestampTz since, TimestampTz due);
extern TimestampTz pgw_schedule_put_off_until(TimestampTz since);

/* Whole seconds from then until now; never negative.  0 is no time: a very large number. */
extern int64 pgw_schedule_age_s(TimestampTz then);

#endif
