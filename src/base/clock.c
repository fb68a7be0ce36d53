/*
 * clock.c - the clock by which things fall due, as a test build can move it; how long an interval
 * is
 *
 * Owns: pgw.debug_clock_offset, which no other build has.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/clock.h"

#ifdef PGW_DEBUG_POINTS

static int offset_s = 0;

void
pgw_clock_init(void)
{
	DefineCustomIntVariable("pgw.debug_clock_offset",
							"Seconds by which the worker's clock is ahead. For tests.", NULL,
							&offset_s, 0, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

TimestampTz
pgw_now(void)
{
	return GetCurrentTimestamp() + (TimestampTz) offset_s * USECS_PER_SEC;
}

#endif

int64
pgw_interval_ms(Datum interval)
{
	Interval *i = DatumGetIntervalP(interval);

	/* Fits: the greatest month count is 2^31 * 2.6e9 ms. */
	return ((int64) i->month * DAYS_PER_MONTH + i->day) * (SECS_PER_DAY * INT64CONST(1000)) +
		   i->time / 1000;
}
