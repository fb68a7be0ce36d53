/*
 * wait_limit.c - how long this process waits for locks: until a deadline, and never longer than
 * lock_timeout says
 *
 * A call has its time-out, and every lock that it asks for can be somebody's: that of a table it
 * reads who may pay from, of an index, of a catalog, of a row.  Most of them are asked for by the
 * server, deep below pgw's code.  All these waits read LockTimeout when they begin; so it is what
 * is left of the call's time while the call runs, if the session's own lock_timeout is not shorter.
 *
 * The variable is written and not the setting: to save and to restore a setting of the session
 * costs more than all else of a short call.  So no code that may set lock_timeout runs within a
 * limit (foreign_code.c): the server would restore what it has found there.
 *
 * Owns: LockTimeout, between begin and end.
 */
#include "postgres.h"

#include <limits.h>

#include "storage/proc.h"
#include "utils/timestamp.h"

#include "core/base/mutant.h"
#include "database/wait_limit.h"

static PgwWaitLimit *innermost = NULL;

static void
limit_until(PgwWaitLimit *limit, TimestampTz deadline)
{
	TimestampTz now;
	int64 left;

	limit->set = 0;
	if (deadline == 0)
		return;
	now = GetCurrentTimestamp();
	/* 0 would be no limit at all */
	left = Max(1, Min(TimestampDifferenceMilliseconds(now, deadline), INT_MAX));
	if ((limit->before > 0 && limit->before < left) || PGW_MUTATED(LOCK_DEADLINE))
		return;
	limit->set = LockTimeout = (int) left;
	limit->not_before = TimestampTzPlusMilliseconds(now, left);
}

void
pgw_wait_limit_begin(PgwWaitLimit *limit, TimestampTz deadline)
{
	*limit = (PgwWaitLimit){.outer = innermost, .before = LockTimeout};
	limit_until(limit, deadline);
	innermost = limit;
}

static void
put_back(const PgwWaitLimit *limit)
{
	/* what somebody else has set meanwhile is his */
	if (limit->set > 0 && LockTimeout == limit->set)
		LockTimeout = limit->before;
}

void
pgw_wait_limit_until(TimestampTz deadline)
{
	if (innermost == NULL)
		return;
	put_back(innermost);
	limit_until(innermost, deadline);
}

void
pgw_wait_limit_end(const PgwWaitLimit *limit)
{
	put_back(limit);
	innermost = limit->outer;
}

bool
pgw_wait_limit_reached(const PgwWaitLimit *limit)
{
	/* a NOWAIT of others' raises the same, and sooner */
	return limit->set > 0 && geterrcode() == ERRCODE_LOCK_NOT_AVAILABLE &&
		   GetCurrentTimestamp() >= limit->not_before;
}

int
pgw_wait_limit_suspend(void)
{
	int left = 0;

	for (PgwWaitLimit *l = innermost; l != NULL; l = l->outer)
	{
		if (left == 0)
			left = l->set;
		put_back(l);
	}
	if (innermost != NULL)
		innermost->suspended = left;
	return left;
}

void
pgw_wait_limit_resume(void)
{
	PgwWaitLimit *outermost = innermost;

	if (innermost == NULL || innermost->suspended == 0)
		return;
	while (outermost->outer != NULL)
		outermost = outermost->outer;
	outermost->before = LockTimeout; /* as that code has left it */
	if (LockTimeout <= 0 || innermost->suspended < LockTimeout)
		LockTimeout = innermost->suspended;
	innermost->suspended = 0;
}
