/*
 * schedule.h - when to try again
 */
#ifndef PGW_BASE_SCHEDULE_H
#define PGW_BASE_SCHEDULE_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* How long the bank is asked about an outcome that it does not tell, in seconds. */
extern int	pgw_unknown_deadline;

/* For how long a charge that is said not to exist is looked up again: what turns up after all turns up within days. */
#define PGW_WATCH_MS ((int64) 7 * 24 * 60 * 60 * 1000)

extern void pgw_schedule_init(void);	/* _PG_init: settings */

/* After this many tries (>= 1); retry_after_s: what the bank asked for, or <= 0. */
extern TimestampTz pgw_schedule_retry(int tries, int retry_after_s);

/* After this many looks at what was taken for not charged. */
extern TimestampTz pgw_schedule_watch(int tries);

/*
 * Until when the bank is asked in spite of the deadline for what is in doubt since then; due: the look that comes now.  One that was meant to come
 * before the deadline and comes after it (the server was down, or the clock was set forward) means that nobody asked for so long: the deadline begins again.
 */
extern TimestampTz pgw_schedule_ask_until(TimestampTz watch_until, TimestampTz due, TimestampTz since);

/*
 * Since when an attempt is put off, if it is put off (again) now; due: this look.  One that comes long after its time, and so after the end, tells of a
 * server that was down or a clock that was set forward: then it begins now.
 */
extern TimestampTz pgw_schedule_put_off_since(TimestampTz since, TimestampTz due);
extern TimestampTz pgw_schedule_put_off_until(TimestampTz since);

/* Whole seconds from then until now; never negative.  0 is no time: a very large number. */
extern int64 pgw_schedule_age_s(TimestampTz then);

#endif
