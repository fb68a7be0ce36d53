/*
 * pace_turn.c - the worker tells those who submit whether it keeps up
 *
 * Owns nothing: the state stands in the PgwPace of the worker, what is told in its database's
 * entry.
 */
#include "postgres.h"

#include <time.h>

#include "base/debug_points.h"
#include "exchange/told_pause.h"
#include "worker/pace_turn.h"

#define DEBUG_PAUSE_US 60000000 /* for a test: longer than anybody pauses */

static int64
microseconds(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) != 0)
		return 0;
	return (int64) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void
pgw_pace_submits(PgwPace *pace, bool behind)
{
	if (PGW_DEBUG_FLAG("submits_pause"))
		pgw_submit_pause_say(DEBUG_PAUSE_US);
	else if (pgw_pace_turn(pace, behind, microseconds(CLOCK_MONOTONIC),
						   microseconds(CLOCK_PROCESS_CPUTIME_ID)))
		pgw_submit_pause_say((uint32) pace->pause_us);
}
