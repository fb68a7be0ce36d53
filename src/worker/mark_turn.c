/*
 * mark_turn.c - the worker's mark is moved on: every attempt with a smaller id is over or in
 * pgw.open_work
 *
 * Every second it goes to where the clock was DISTANCE_MS ago.  What is passed on the way and still
 * open gets its row of open_work in the same transaction.  So a payment that ends within that time
 * costs one reading of its row, and a worker that starts reads the last seconds only.
 *
 * Ids are made by callers, and are recorded later: after they have waited for room at a bank, or
 * when the clock was set back meanwhile.  One that is smaller than the mark by then has a row from
 * the first (store/open_work.c).  The mark never goes back; with a clock that was set back an hour
 * every attempt of that hour has a row.
 *
 * Owns nothing: when it is due stands in the PgwMarkTurns of the worker.
 * Locks: rows of attempts, without waiting.  What a caller holds, who has saved his payment and not
 * committed yet, is listed all the same.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/debug_points.h"
#include "core/base/uuid7.h"
#include "database/batch.h"
#include "store/open_work.h"
#include "store/tables.h"
#include "worker/mark_turn.h"

#define EVERY_MS 1000
#define IDLE_EVERY_MS 10000
#define DISTANCE_MS 10000
#define LIST_AT_ONCE 2000

static uint64
unix_ms(TimestampTz when)
{
	return (when + (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) / 1000;
}

/* false: not now, and the mark cannot pass it. */
static bool
list(const pg_uuid_t *id)
{
	PgwAttempt attempt;
	bool busy = false;

	if (pgw_store_lock_attempt(id, false, &attempt, &busy))
	{
		pgw_store_relist(&attempt);
		return true;
	}
	return !busy || pgw_store_list_busy(id);
}

/* *to := how far it can go. */
static void
list_what_is_passed(const pg_uuid_t *from, pg_uuid_t *to)
{
	static pg_uuid_t ids[LIST_AT_ONCE];
	int n = pgw_store_find_unlisted(from, to, ids, LIST_AT_ONCE);

	if (n == LIST_AT_ONCE)
		*to = ids[n - 1];
	for (int i = 0; i < n; i++)
	{
		if (!list(&ids[i]))
		{
			*to = ids[i];
			return;
		}
	}
}

/* Has anything been left without a row that the mark does not stand behind already? */
static bool
has_to_move(const PgwMarkTurns *turns, const pg_uuid_t *mark)
{
	TimestampTz last = Max(pgw_store_last_unlisted(), turns->start);

	return !turns->written || pgw_uuid7_unix_ms(mark->data) <= unix_ms(last);
}

static void
move(void *arg)
{
	PgwMarkTurns *turns = arg;
	pg_uuid_t mark;
	pg_uuid_t to;

	pgw_store_read_mark(&mark);
	pgw_uuid7_first_of(unix_ms(GetCurrentTimestamp()) - DISTANCE_MS, to.data);
	if (memcmp(to.data, mark.data, UUID_LEN) < 0)
		to = mark; /* the clock was set back */
	/* before anything is listed: what lies below is */
	pgw_store_set_mark(&to);
	if (memcmp(to.data, mark.data, UUID_LEN) > 0 && has_to_move(turns, &mark))
	{
		list_what_is_passed(&mark, &to);
		PGW_DEBUG_POINT("mark_listed");
		pgw_store_write_mark(&to);
	}
	(void) pgw_store_forget_ended();
}

void
pgw_mark_turn(PgwMarkTurns *turns)
{
	TimestampTz now = GetCurrentTimestamp();
	bool idle;

	if (turns->start == 0)
		turns->start = now;
	if (!pgw_is_due(turns->next, now, IDLE_EVERY_MS))
		return;
	idle = TimestampDifferenceExceeds(Max(pgw_store_last_unlisted(), turns->start), now,
									  2 * DISTANCE_MS);
	turns->next = TimestampTzPlusMilliseconds(now, idle ? IDLE_EVERY_MS : EVERY_MS);
	if (pgw_batch_transaction(move, turns, false, NULL) == PGW_BATCH_DONE)
	{
		turns->written = true;
		PGW_DEBUG_POINT("mark_moved");
	}
}
