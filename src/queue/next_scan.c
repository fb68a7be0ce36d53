/*
 * next_scan.c - when the tables are to be looked through for what is due
 *
 * Owns that time.  It may be earlier than need be, never later than what anybody has asked for.
 */
#include "postgres.h"

#include "queue/next_scan.h"

static TimestampTz scan_at = 0;  /* something was put off in the table until then; 0: nothing */
static bool full_wanted = false; /* ... or was lost track of */

void
pgw_next_scan_wake(TimestampTz when)
{
	if (scan_at == 0 || when < scan_at)
		scan_at = when;
}

void
pgw_next_scan_full(TimestampTz when)
{
	full_wanted = true;
	pgw_next_scan_wake(when);
}

bool
pgw_next_scan_due(TimestampTz now, bool *full)
{
	if (scan_at == 0 || scan_at > now)
		return false;
	scan_at = 0; /* what is put off again sets it again */
	*full |= full_wanted;
	full_wanted = false;
	return true;
}

TimestampTz
pgw_next_scan_time(void)
{
	return scan_at;
}
