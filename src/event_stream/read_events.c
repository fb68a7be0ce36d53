/*
 * read_events.c - pgw.read_events() and pgw.commit_events(): the events as a stream, without a gap,
 * at least once
 *
 * A consumer reads batches.  A batch is what one snapshot shows and an earlier one did not, so each
 * event is in exactly one of them, whenever its transaction has committed; it is read in the order
 * of attempts and steps, with a position.  A step is committed no later than the one after it, so
 * no batch has it before; and an attempt at an operation has a greater id than the payment's. Where
 * recent events are found, without an index for them, is said in database/late_events.c.
 *
 * A new batch is begun by a read that finds the one before read and committed to its end, and is on
 * record with that: so who has read and not committed reads the same again, whatever happened to
 * him, and who reads beside him has the same events.
 *
 * Owns: the place of a consumer (seen, reading, position) in pgw.event_consumers; the rows of
 * pgw.late_events that no consumer needs any more are deleted here.
 * Locks: the consumer's row, where a batch is begun or a position committed.
 * Invariants
 *     - seen only becomes a snapshot that shows more, and only when all that it shows besides was
 *       committed, or when nothing is to be read of that.
 *     - What is returned is on disk here and at synchronous standbys: a result that the worker has
 *       committed asynchronously can be seen before.
 *     - A cursor names its batch, so one that is void does not move another.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "utils/xid8.h"

#include "base/new_id.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "event_stream/consumer_row.h"
#include "exchange/fencing_delay.h"
#include "sql_function/arguments.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "sql_function/result_set.h"

PG_FUNCTION_INFO_V1(pgw_read_events_1_0);
PG_FUNCTION_INFO_V1(pgw_commit_events_1_0);

#define MAX_EVENTS 10000
#define NCOLUMNS 16
/* A consumer that finds nothing to read moves on all the same, this often. */
#define IDLE_MOVE_MS 10000

/* What is to be read: what upto shows and seen does not, behind the position. */
typedef struct Batch
{
	pg_uuid_t id;
	Datum seen;
	Datum upto;
	bool has_since;
	TimestampTz since;
	pg_uuid_t position_id;
	int position_step;
} Batch;

/* ---- finding events ---- */

/*
 * Least transaction id that upto shows and seen does not, and the fence that holds for all from
 * that one on.  false: there is none such.
 */
static bool
bounds(const PgwConsumer *c, const Batch *b, Datum *txid, pg_uuid_t *low)
{
	Oid types[3] = {TEXTOID, PG_SNAPSHOTOID, PG_SNAPSHOTOID};
	Datum args[3] = {CStringGetTextDatum(c->name), b->seen, b->upto};
	bool isnull;
	bool none;
	int64 fence;

	(void) pgw_consumer_execute(
		"SELECT m.txid, (SELECT max(f.fence) FROM pgw.event_consumers c,"
		" unnest(c.fence_txids, c.fences) f (txid, fence) WHERE c.consumer = $1 AND f.txid <= m.txid)"
		" FROM (SELECT min(x) FROM (SELECT pg_snapshot_xmax($2) UNION ALL SELECT pg_snapshot_xip($2)) u (x)"
		" WHERE x < pg_snapshot_xmax($3) AND (x = pg_snapshot_xmax($2) OR pg_visible_in_snapshot(x, $3))) m (txid)",
		3, types, args, NULL, SPI_OK_SELECT);
	*txid = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &none);
	fence = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	pgw_uuid7_first_of(isnull ? 0 : (uint64) fence, low->data);
	return !none;
}

/* Result columns: those of pgw.read_events().  The rows are in SPI_tuptable. */
static uint64
find(const PgwConsumer *c, const Batch *b, int limit)
{
	static const char *const sql =
		"WITH k AS MATERIALIZED ("
		"(SELECT l.transaction_id, l.step_order FROM pgw.late_events l"
		" WHERE l.txid >= $3 AND l.transaction_id < $4"
		" AND pg_visible_in_snapshot(l.txid, $2) AND NOT pg_visible_in_snapshot(l.txid, $1)"
		" AND (l.transaction_id, l.step_order) > ($5, $6)"
		/* it may be gone (purge_test_data()): counted, it would be the end of a batch */
		" AND EXISTS (SELECT FROM pgw.transaction_events e WHERE e.transaction_id = l.transaction_id AND e.step_order = l.step_order)"
		" AND ($8 = '' OR EXISTS (SELECT FROM pgw.payment_transactions t WHERE t.transaction_id = l.transaction_id AND t.merchant = $8))"
		" ORDER BY 1, 2 LIMIT $7)"
		" UNION ALL "
		"(SELECT e.transaction_id, e.step_order FROM pgw.transaction_events e"
		" WHERE e.transaction_id >= $4 AND e.transaction_id >= $5 AND e.txid >= $3"
		" AND pg_visible_in_snapshot(e.txid, $2) AND NOT pg_visible_in_snapshot(e.txid, $1)"
		" AND (e.transaction_id, e.step_order) > ($5, $6)"
		" AND ($9 IS NULL OR e.occurred_at >= $9)"
		" AND ($8 = '' OR EXISTS (SELECT FROM pgw.payment_transactions t WHERE t.transaction_id = e.transaction_id AND t.merchant = $8))"
		" ORDER BY 1, 2 LIMIT $7)"
		" ORDER BY 1, 2 LIMIT $7)"
		" SELECT concat_ws('/', $10, k.transaction_id, k.step_order), e.event_id, e.transaction_id, e.step_order,"
		" e.event_type, e.from_status, e.to_status, e.occurred_at, t.payment_id, t.client_request_id, t.merchant, t.kind,"
		" t.livemode, t.correlation_id, e.event_data, e.error_details"
		" FROM k JOIN pgw.events_in_full e ON e.transaction_id = k.transaction_id AND e.step_order = k.step_order"
		" JOIN pgw.payment_transactions t ON t.transaction_id = k.transaction_id"
		" ORDER BY k.transaction_id, k.step_order";
	Oid types[10] = {PG_SNAPSHOTOID, PG_SNAPSHOTOID, XID8OID, UUIDOID,        UUIDOID,
					 INT4OID,        INT8OID,        TEXTOID, TIMESTAMPTZOID, UUIDOID};
	pg_uuid_t low;
	Datum args[10] = {b->seen,
					  b->upto,
					  (Datum) 0,
					  UUIDPGetDatum(&low),
					  UUIDPGetDatum(&b->position_id),
					  Int32GetDatum(b->position_step),
					  Int64GetDatum(limit),
					  CStringGetTextDatum(c->merchant),
					  TimestampTzGetDatum(b->since),
					  UUIDPGetDatum(&b->id)};
	const char *nulls = b->has_since ? NULL : "        n ";

	if (!bounds(c, b, &args[2], &low))
		return 0;
	return pgw_consumer_execute(sql, 10, types, args, nulls, SPI_OK_SELECT);
}

static void
put_rows(Tuplestorestate *store, TupleDesc desc, SPITupleTable *rows)
{
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS];

	if (desc->natts != NCOLUMNS)
		elog(ERROR, "unexpected result type of pgw.read_events()");
	for (uint64 i = 0; i < rows->numvals; i++)
	{
		heap_deform_tuple(rows->vals[i], rows->tupdesc, values, nulls);
		tuplestore_putvalues(store, desc, values, nulls);
	}
}

/* ---- a new batch ---- */

/*
 * Another one has begun it where the row says another batch by now: then false, and nothing is
 * changed.  reading: there is something to be read in the batch.
 */
static bool
begin_batch(const PgwConsumer *c, const Batch *b, TimestampTz seen_at, bool reading, TimestampTz at,
			const int64 *fence, FullTransactionId next)
{
	Oid types[11] = {TEXTOID,        UUIDOID,        UUIDOID,        PG_SNAPSHOTOID,
					 TIMESTAMPTZOID, TIMESTAMPTZOID, PG_SNAPSHOTOID, TIMESTAMPTZOID,
					 INT8OID,        XID8OID,        BOOLOID};
	Datum args[11] = {CStringGetTextDatum(c->name),
					  UUIDPGetDatum(&c->batch),
					  UUIDPGetDatum(&b->id),
					  b->seen,
					  TimestampTzGetDatum(seen_at),
					  TimestampTzGetDatum(b->since),
					  b->upto,
					  TimestampTzGetDatum(at),
					  Int64GetDatum(fence != NULL ? *fence : 0),
					  FullTransactionIdGetDatum(next),
					  BoolGetDatum(fence != NULL)};
	char nulls[] = "           ";

	if (!b->has_since)
		nulls[5] = 'n';
	if (!reading)
		nulls[6] = nulls[7] = 'n';
	/* a fence older than that by which the least unread transaction goes is of no use any more */
	return pgw_consumer_execute(
			   "UPDATE pgw.event_consumers c SET batch = $3, seen = $4, read_up_to = $5, since = $6, reading = $7, reading_at = $8,"
			   " position_id = '00000000-0000-0000-0000-000000000000', position_step = 0,"
			   " (fence_txids, fences) = (SELECT coalesce(array_agg(f.txid ORDER BY f.txid), '{}'), coalesce(array_agg(f.fence ORDER BY f.txid), '{}')"
			   " FROM (SELECT u.txid, u.fence FROM unnest(c.fence_txids, c.fences) u (txid, fence) UNION ALL SELECT $10, $9 WHERE $11) f (txid, fence)"
			   " WHERE f.txid >= coalesce((SELECT max(p) FROM unnest(c.fence_txids) p WHERE p <= pg_snapshot_xmin($4)), '0'))"
			   " WHERE c.consumer = $1 AND c.batch = $2",
			   11, types, args, nulls, SPI_OK_UPDATE) > 0;
}

/*
 * Of transactions that every consumer has seen.  Not by an old snapshot, which does not show a
 * consumer that has come since; that one's coming has waited for us, or we for it.
 */
static void
forget_late_events(void)
{
	if (IsolationUsesXactSnapshot())
		return;
	(void) pgw_consumer_execute(
		"DELETE FROM pgw.late_events WHERE ctid = ANY (ARRAY(SELECT l.ctid FROM pgw.late_events l"
		" WHERE l.txid < (SELECT min(pg_snapshot_xmin(c.seen)) FROM pgw.event_consumers c)"
		" ORDER BY l.txid LIMIT 10000 FOR UPDATE SKIP LOCKED))",
		0, NULL, NULL, NULL, SPI_OK_DELETE);
}

/*
 * All that was visible, by the record that this transaction has written after it.  Who cancels the
 * wait for a standby gets no events: for the server that is a warning, as what it waits for there
 * is committed; but what a consumer has heard of must not be gone after a failover.
 */
static void
wait_until_durable(void)
{
	XLogRecPtr written = XactLastRecEnd;

	XLogFlush(written);
	HOLD_INTERRUPTS();
	SyncRepWaitForLSN(written, false);
	RESUME_INTERRUPTS();
	CHECK_FOR_INTERRUPTS();
	/* synchronous_commit is on in this function, whatever the caller has */
	Assert(synchronous_commit == SYNCHRONOUS_COMMIT_ON);
	if (pgw_replicated_up_to() < written && !PGW_MUTATED(READ_UNREPLICATED))
		ereport(
			ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("the events were not read: they are not known to be at a synchronous standby"),
			 errhint("Read again once one is back. See docs/events.md.")));
}

typedef enum Outcome
{
	READ,
	NOTHING,
	AGAIN
} Outcome;

static Outcome
read_new_batch(const PgwConsumer *c, int limit, SPITupleTable **rows)
{
	TimestampTz at = GetCurrentTimestamp();
	FullTransactionId next = InvalidFullTransactionId;
	int64 fence;
	bool has_fence = pgw_consumer_new_fence(c, &fence, &next);
	Batch b = {.seen = c->has_reading ? c->reading : c->seen,
			   .has_since = c->has_since && !c->has_reading,
			   .since = c->since};
	TimestampTz seen_at = c->has_reading ? c->reading_at : c->read_up_to;
	bool found;

	b.upto = pgw_consumer_snapshot();
	pgw_new_id(&b.id);
	found = find(c, &b, limit) > 0;
	*rows = SPI_tuptable;
	if (!found)
	{
		if (!TimestampDifferenceExceeds(seen_at, at, IDLE_MOVE_MS))
			return NOTHING;
		b.seen = b.upto;
		b.has_since = false;
		seen_at = at;
	}
	if (!begin_batch(c, &b, seen_at, found, at, has_fence ? &fence : NULL, next))
		return AGAIN;
	forget_late_events();
	if (found)
		wait_until_durable();
	return found ? READ : NOTHING;
}

static Outcome
read_on(const PgwConsumer *c, int limit, SPITupleTable **rows)
{
	Batch b = {.id = c->batch,
			   .seen = c->seen,
			   .upto = c->reading,
			   .has_since = c->has_since,
			   .since = c->since,
			   .position_id = c->position_id,
			   .position_step = c->position_step};

	if (!c->has_reading || find(c, &b, limit) == 0)
		return NOTHING;
	*rows = SPI_tuptable;
	return READ;
}

static int
max_events(FunctionCallInfo fcinfo)
{
	bool isnull;
	int n = DatumGetInt32(pgw_arg(fcinfo, "max_events", &isnull));

	if (isnull || n < 1 || n > MAX_EVENTS)
		pgw_raise_fault("max_events", "out_of_range", "must be between 1 and 10000");
	return n;
}

Datum
pgw_read_events_1_0(PG_FUNCTION_ARGS)
{
	const char *name = pgw_consumer_arg(fcinfo);
	int limit = max_events(fcinfo);
	TupleDesc desc;
	Tuplestorestate *store;
	SPITupleTable *rows = NULL;
	Outcome outcome;
	Oid caller;
	int sec_context;

	pgw_consumer_may_write("pgw.read_events()");
	store = pgw_result_set(fcinfo, &desc);
	pgw_become_owner(&caller, &sec_context);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	do
	{
		PgwConsumer c;

		CHECK_FOR_INTERRUPTS();
		pgw_consumer_get(name, caller, true, &c);
		outcome = read_on(&c, limit, &rows);
		if (outcome == NOTHING)
			outcome = read_new_batch(&c, limit, &rows);
	} while (outcome == AGAIN);
	if (outcome == READ)
		put_rows(store, desc, rows);
	SPI_finish();
	pgw_become_caller(caller, sec_context);
	return (Datum) 0;
}

/* ---- what was read ---- */

typedef struct Cursor
{
	pg_uuid_t batch;
	pg_uuid_t transaction_id;
	int step_order;
} Cursor;

#define UUID_CHARS 36

/* Two ids and a number, with slashes between. */
static bool
parse_cursor(char *text, Cursor *out)
{
	char *id = text + UUID_CHARS + 1;
	char *step = id + UUID_CHARS + 1;
	char *end;
	long n;

	if (strlen(text) < 2 * UUID_CHARS + 3 || id[-1] != '/' || step[-1] != '/')
		return false;
	id[-1] = step[-1] = '\0';
	if (strspn(step, "0123456789") != strlen(step) || strlen(step) > 9)
		return false;
	n = strtol(step, &end, 10);
	out->step_order = (int) n;
	return n > 0 && pgw_uuid_from_text(text, out->batch.data) &&
		   pgw_uuid_from_text(id, out->transaction_id.data);
}

static void
get_cursor(FunctionCallInfo fcinfo, Cursor *out)
{
	char *text = pgw_arg_text(fcinfo, "cursor");

	if (text == NULL)
		pgw_raise_fault("cursor", "required", NULL);
	if (!parse_cursor(text, out))
		pgw_raise_fault("cursor", "invalid_format",
						"must be the cursor of a row of pgw.read_events()");
}

/* false: it was committed before. */
static bool
move(const PgwConsumer *c, const Cursor *to)
{
	Oid types[4] = {TEXTOID, UUIDOID, UUIDOID, INT4OID};
	Datum args[4] = {CStringGetTextDatum(c->name), UUIDPGetDatum(&to->batch),
					 UUIDPGetDatum(&to->transaction_id), Int32GetDatum(to->step_order)};

	if (pgw_consumer_execute(
			"UPDATE pgw.event_consumers c SET position_id = greatest(c.position_id, $3), committed_at = clock_timestamp(),"
			" position_step = CASE WHEN (c.position_id, c.position_step) < ($3, $4) THEN $4 ELSE c.position_step END"
			" WHERE c.consumer = $1 AND c.batch = $2 AND c.reading IS NOT NULL",
			4, types, args, NULL, SPI_OK_UPDATE) == 0)
		pgw_raise("event_cursor_void", pgw_detail(NULL, "consumer", c->name),
				  "Read again: events that were committed do not come again, and all others do.");
	return memcmp(&c->position_id, &to->transaction_id, UUID_LEN) < 0 ||
		   (memcmp(&c->position_id, &to->transaction_id, UUID_LEN) == 0 &&
			c->position_step < to->step_order);
}

Datum
pgw_commit_events_1_0(PG_FUNCTION_ARGS)
{
	const char *name = pgw_consumer_arg(fcinfo);
	Cursor cursor;
	PgwConsumer c;
	Oid caller;
	int sec_context;
	bool moved;

	get_cursor(fcinfo, &cursor);
	pgw_consumer_may_write("pgw.commit_events()");
	pgw_become_owner(&caller, &sec_context);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	pgw_consumer_get(name, caller, true, &c);
	moved = move(&c, &cursor);
	SPI_finish();
	pgw_become_caller(caller, sec_context);
	PG_RETURN_BOOL(moved);
}
