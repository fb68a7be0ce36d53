/*
 * late_events.c - pgw.late_events: events that come long after their attempt began
 *
 * Who reads the events in the order of their commits (event_stream/read_events.c) has to find what
 * recent transactions have written, and no index tells: one on txid would cost every payment.  The
 * primary key finds the events of attempts that began recently, which is nearly all.  Of an attempt
 * that began before the fence each further event is listed here, in the same transaction; and the
 * fence stands some seconds before now (exchange/event_fence.h), or nowhere where nobody reads.
 *
 * What a reader has on record (a transaction id, and how high the fence stood when no transaction
 * had it yet) holds for ever: each event by a transaction from that one on is of an attempt that
 * began behind that fence, or is listed.  It stands on these orders:
 *
 *     - the fence is raised before the next transaction id is read (there is a lock in between),
 * and a writer has its id before it asks for the fence (in either order of the two, the writer sees
 * the fence or is before the id on record);
 *     - the fence never falls while the server runs, and after a start every event is listed until
 *       the worker has read what is on record: under a lock that also a prepared transaction
 *       holds which has put something there.
 *
 * So no clock has a say in whether an event is found; only in how far a reader has to look.
 *
 * Locks: RowExclusiveLock on pgw.late_events, by whoever writes such an event; SHARE ROW EXCLUSIVE
 * on pgw.event_consumers for a moment, by the worker after its start.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/uuid.h"
#include "utils/xid8.h"

#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "database/late_events.h"
#include "database/relations.h"
#include "database/row.h"
#include "database/statements.h"
#include "database/table_locks.h"
#include "exchange/event_fence.h"

static bool
is_late(const PgwNewEvent *row, uint64 fence)
{
	return pgw_uuid7_unix_ms(row->transaction_id.data) < fence;
}

static void
insert(PgwRel *r, const PgwNewEvent *row)
{
	pgw_row_clear(r);
	pgw_row_put(r, "txid", FullTransactionIdGetDatum(row->txid), false);
	pgw_row_put(r, "transaction_id", UUIDPGetDatum(&row->transaction_id), false);
	pgw_row_put(r, "step_order", Int32GetDatum(row->step_order), false);
	ExecStoreVirtualTuple(r->slot);
	pgw_row_insert(r);
}

void
pgw_late_events_write(const PgwNewEvent *rows, int n)
{
	uint64 fence = PGW_MUTATED(LATE_EVENTS) ? 0 : pgw_event_fence();
	PgwRel r;
	bool open = false;

	if (fence == PGW_FENCE_UNKNOWN && PGW_MUTATED(FENCE_FORGOTTEN))
		return;
	for (int i = 0; i < n; i++)
	{
		if (!is_late(&rows[i], fence))
			continue;
		if (!open)
			pgw_row_open_write(&r, pgw_relation("late_events"), NULL, false);
		open = true;
		insert(&r, &rows[i]);
	}
	if (open)
		pgw_row_close(&r);
}

/*
 * Where nobody reads the events nobody needs the list: what was written before that was known, or
 * by transactions that were under way.  With the lock nobody is about to become a reader.
 */
int
pgw_late_events_forget(int most)
{
	Oid types[] = {INT4OID};
	Datum args[] = {Int32GetDatum(most)};
	uint64 n;

	pgw_table_need("event_consumers", ShareRowExclusiveLock);
	pgw_table_need("late_events", RowExclusiveLock);
	pgw_statements_begin();
	if (SPI_execute_with_args(
			"DELETE FROM pgw.late_events WHERE ctid = ANY (ARRAY(SELECT l.ctid"
			" FROM pgw.late_events l WHERE NOT EXISTS (SELECT FROM pgw.event_consumers)"
			" LIMIT $1 FOR UPDATE SKIP LOCKED))",
			1, types, args, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "events that nobody reads could not be forgotten");
	n = SPI_processed;
	pgw_statements_end();
	return (int) n;
}

bool
pgw_late_events_learn(void)
{
	bool isnull;
	Datum ms;

	if (pgw_event_fence() != PGW_FENCE_UNKNOWN)
		return true;
	/* nobody is about to put something on record: not even who has prepared to */
	pgw_table_need("event_consumers", ShareRowExclusiveLock);
	pgw_statements_begin();
	if (SPI_execute("SELECT coalesce(max(f), 0) FROM pgw.event_consumers c, unnest(c.fences) f",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the readers of events could not be looked at");
	ms = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	pgw_event_fence_know((uint64) DatumGetInt64(ms));
	pgw_statements_end();
	return pgw_event_fence() != PGW_FENCE_UNKNOWN;
}
