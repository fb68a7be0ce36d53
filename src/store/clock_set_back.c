/*
 * clock_set_back.c - attempts whose times lie in the future, because the clock was set back after
 * they were written
 *
 * What is due at a time of the former clock would wait for as long as the clock was ahead: an hour,
 * or a year.  So all times of such a row are moved back by what the row itself shows of that: the
 * distance from now to its updated_at.  That is at most what the clock was ahead, so nothing
 * becomes older than it is: a "not found" counts no sooner, and a bank's key is not held for
 * younger than before.
 *
 * The worker looks for such rows when it has noticed that the clock was set back.  Whoever locks
 * one of them before the look comes to it moves its times first: to write it makes its updated_at
 * one of this clock, and then nothing shows any more that the other times are not.
 *
 * Owns nothing.  Locks: the rows, without waiting for any; one that somebody holds is left for the
 * next time.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "core/base/mutant.h"
#include "database/statements.h"
#include "database/table_locks.h"
#include "store/clock_set_back.h"

/*
 * Two selects, so that each reads one of the two small indexes of what waits for a time
 * (find_due.c).  Of what was not sent yet only what is not due anyhow: nothing else in such a row
 * counts from a time, and millions may wait there, whose rows the index spares.
 */
#define AHEAD \
	" FROM pgw.open_work w JOIN pgw.payment_transactions t USING (transaction_id)" \
	" WHERE w.next_step_at IS NOT NULL AND t.updated_at > $2 AND "
#define PAGE \
	"(SELECT transaction_id" AHEAD "w.begun LIMIT $3)" \
	" UNION ALL (SELECT transaction_id" AHEAD "NOT w.begun AND w.next_step_at > $1 LIMIT $3)"

/* What counts from a time, in a row that is locked and in those that the look finds. */
#define TIMES(DO) \
	DO(next_step_at, next_step_at) \
	DO(bank_key_used_at, own_request.key_used_at) \
	DO(bank_asked_at, own_request.asked_at) \
	DO(refund_key_used_at, refund_request.key_used_at) \
	DO(refund_asked_at, refund_request.asked_at) \
	DO(cancelled_at, cancelled_at) \
	DO(capture_key_used_at, capture_request.key_used_at) \
	DO(capture_asked_at, capture_request.asked_at) \
	DO(abandoned_at, abandoned_at) \
	DO(put_off_since, put_off_since)
#define TAKE_BACK(column, member) take_back(&attempt->member, distance);
#define SET_BACK(column, member) #column " = " #column " - (t.updated_at - $1), "
#define SET_TIMES TIMES(SET_BACK) "updated_at = $1"
#define FOUND \
	"(SELECT l.transaction_id FROM pgw.payment_transactions l WHERE l.transaction_id IN (" PAGE \
	") AND l.updated_at > $2 FOR NO KEY UPDATE SKIP LOCKED)"
#define STATEMENT \
	"UPDATE pgw.payment_transactions t SET " SET_TIMES " WHERE t.transaction_id IN " FOUND

static void
take_back(TimestampTz *then, int64 distance)
{
	if (*then != 0)
		*then -= distance;
}

void
pgw_store_take_back_times_of(PgwAttempt *attempt, TimestampTz now)
{
	int64 distance = attempt->updated_at - now;

	if (attempt->updated_at <= TimestampTzPlusMilliseconds(now, PGW_CLOCK_NOTICED_MS) ||
		PGW_MUTATED(CLOCK_BACK_ROW))
		return;
	TIMES(TAKE_BACK)
	attempt->updated_at = now;
	attempt->times_moved = true;
}

uint64
pgw_store_take_back_times(TimestampTz now, int most)
{
	Oid types[3] = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID};
	Datum args[3] = {TimestampTzGetDatum(now),
					 TimestampTzGetDatum(TimestampTzPlusMilliseconds(now, PGW_CLOCK_NOTICED_MS)),
					 Int32GetDatum(most)};
	uint64 n;

	pgw_table_need("payment_transactions", RowExclusiveLock);
	/* what the statement changes there is changed here, too, by its trigger */
	pgw_table_need("open_work", RowExclusiveLock);
	pgw_statements_begin();
	if (SPI_execute_with_args(STATEMENT, 3, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "the times of attempts could not be taken back");
	n = SPI_processed;
	pgw_statements_end();
	return n;
}
