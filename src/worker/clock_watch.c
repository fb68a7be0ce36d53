/*
 * clock_watch.c - the worker's look at the clock: was it set back?
 *
 * Owns nothing: what was seen of the clock stands in the PgwClockWatch of the worker.  What is done
 * to the rows is in store/clock_set_back.c.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "database/batch.h"
#include "store/clock_set_back.h"
#include "worker/clock_watch.h"

#define TIMES_AT_ONCE 500
#define TIMES_RETRY_MS (60 * 1000)

static void
take_back_times(void *arg)
{
	while (PGW_DEBUG_FLAG("clock_look_slow"))
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(10 * 1000);
	}
	*(uint64 *) arg = pgw_store_take_back_times(GetCurrentTimestamp(), TIMES_AT_ONCE);
}

/*
 * The clock was set back, in front of this process or before it began: what waits for a time of the
 * former clock gets one of this, a page a turn.  The look reads all that waits, which can take long
 * where millions do: one that runs into the limit is not repeated at every turn, or nothing else
 * would be done.
 */
bool
pgw_clock_watch_turn(PgwClockWatch *watch)
{
	TimestampTz wall = GetCurrentTimestamp();
	uint64 taken = 0;
	int sqlstate = 0;

	if (TimestampTzPlusMilliseconds(wall, PGW_CLOCK_NOTICED_MS) < watch->latest)
	{
		watch->wanted = true;
		watch->look_at = 0;
		watch->latest = wall;
	}
	watch->latest = Max(watch->latest, wall); /* small steps add up */
	if (!watch->wanted || !pgw_is_due(watch->look_at, wall, TIMES_RETRY_MS) ||
		PGW_MUTATED(CLOCK_BACK))
		return false;
	PGW_DEBUG_POINT("clock_look");
	if (pgw_batch_transaction(take_back_times, &taken, false, &sqlstate) != PGW_BATCH_DONE)
	{
		/* somebody's DDL: at the next turn, as it costs nothing */
		if (sqlstate != 0 && sqlstate != ERRCODE_LOCK_NOT_AVAILABLE)
			watch->look_at = TimestampTzPlusMilliseconds(wall, TIMES_RETRY_MS);
		return false;
	}
	watch->wanted = taken > 0;
	return true;
}
