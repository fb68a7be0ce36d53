/*
 * changes_at_bank.c - notifications that may tell of what was done at the bank without pgw
 *
 * The endpoint's transaction inserts them, and only the worker changes them from then on, with the
 * row of the charge's attempt locked.
 *
 * Locks: rows that somebody else has locked (they are being purged) are passed over, so that the
 * worker waits for nobody.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "database/statements.h"
#include "database/table_locks.h"
#include "store/changes_at_bank.h"
#include "store/notification_rows.h"

#define SOON_S "interval '10 s'"
#define MOST_TOLD 64 /* in one visit */

static TimestampTz
time_at(int column, bool *isnull)
{
	return DatumGetTimestampTz(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull));
}

bool
pgw_store_change_is_due(const pg_uuid_t *transaction_id, TimestampTz now, TimestampTz *latest)
{
	Oid types[] = {UUIDOID, TIMESTAMPTZOID};
	Datum args[] = {UUIDPGetDatum(transaction_id), TimestampTzGetDatum(now)};
	bool none;
	bool due;

	pgw_store_notifications_begin();
	if (SPI_execute_with_args(
			"SELECT max(received_at), coalesce(bool_or(next_look_at IS NULL OR next_look_at <= $2),"
			" false) FROM pgw.notifications WHERE transaction_id = $1 AND change = 'waiting'",
			2, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for changes at the bank failed");
	*latest = time_at(1, &none);
	due = DatumGetBool(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &(bool){false}));
	pgw_statements_end();
	return !none && due;
}

static void
update(const char *command, const pg_uuid_t *transaction_id, TimestampTz a, TimestampTz b)
{
	Oid types[] = {UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum args[] = {UUIDPGetDatum(transaction_id), TimestampTzGetDatum(a), TimestampTzGetDatum(b)};
	char nulls[] = {' ', ' ', b == 0 ? 'n' : ' ', '\0'};

	pgw_store_notifications_begin();
	if (SPI_execute_with_args(command, 3, types, args, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "a change at the bank could not be marked");
	pgw_statements_end();
}

/* those that this transaction may change */
#define FREE_ONES \
	"notification_id IN (SELECT notification_id FROM pgw.notifications WHERE transaction_id = $1" \
	" AND change = 'waiting' FOR UPDATE SKIP LOCKED)"

void
pgw_store_change_seen(const pg_uuid_t *transaction_id, TimestampTz by)
{
	update("UPDATE pgw.notifications SET change = 'seen', next_look_at = NULL WHERE " FREE_ONES
		   " AND received_at <= least($2, coalesce($3, $2))",
		   transaction_id, by, 0);
}

void
pgw_store_change_later(const pg_uuid_t *transaction_id, TimestampTz now, TimestampTz when)
{
	update(
		"UPDATE pgw.notifications SET next_look_at = coalesce($3, $2 + greatest($2 - recorded_at,"
		" " SOON_S ")) WHERE " FREE_ONES,
		transaction_id, now, when);
}

int
pgw_store_changes_due(TimestampTz now, int most, pg_uuid_t *out)
{
	Oid types[] = {TIMESTAMPTZOID, INT4OID};
	Datum args[] = {TimestampTzGetDatum(now), Int32GetDatum(most)};
	int n;

	pgw_table_need("payment_transactions", AccessShareLock);
	pgw_store_notifications_begin();
	if (SPI_execute_with_args(
			"SELECT DISTINCT n.transaction_id FROM pgw.notifications n"
			" JOIN pgw.payment_transactions t ON t.transaction_id = n.transaction_id"
			" WHERE n.change = 'waiting' AND t.status = 'Completed'"
			" AND pgw.slot_is_worked(t.transaction_id)"
			" AND (coalesce(n.next_look_at, n.recorded_at + " SOON_S ") <= $1"
			/* before the clock was set back */
			" OR n.next_look_at IS NULL AND n.recorded_at > clock_timestamp()) LIMIT $2",
			2, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for changes at the bank failed");
	n = (int) SPI_processed;
	for (int i = 0; i < n; i++)
	{
		bool isnull;

		out[i] =
			*DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	pgw_statements_end();
	return n;
}

static void
read_told(HeapTuple row, MemoryContext context, PgwToldChange *t)
{
	TupleDesc desc = SPI_tuptable->tupdesc;
	char *text;
	bool isnull;

	t->notification_id = *DatumGetUUIDP(SPI_getbinval(row, desc, 1, &isnull));
	t->about = (PgwBankOp) pgw_op_parse(SPI_getvalue(row, desc, 2));
	t->says = (PgwOutcome) pgw_outcome_parse(SPI_getvalue(row, desc, 3));
	text = SPI_getvalue(row, desc, 4);
	t->operation_reference = text != NULL ? MemoryContextStrdup(context, text) : NULL;
	text = SPI_getvalue(row, desc, 5);
	t->bank_reference = text != NULL ? MemoryContextStrdup(context, text) : NULL;
	t->amount = DatumGetInt64(SPI_getbinval(row, desc, 6, &isnull));
	t->has_amount = !isnull;
	text = SPI_getvalue(row, desc, 7);
	t->currency = text != NULL ? MemoryContextStrdup(context, text) : NULL;
}

int
pgw_store_told_changes(const pg_uuid_t *transaction_id, PgwToldChange **out)
{
	Oid types[] = {UUIDOID, INT4OID};
	Datum args[] = {UUIDPGetDatum(transaction_id), Int32GetDatum(MOST_TOLD)};
	MemoryContext context = CurrentMemoryContext;
	int n;

	pgw_store_notifications_begin();
	if (SPI_execute_with_args(
			"SELECT notification_id, about, says, operation_reference, bank_reference, amount,"
			" currency FROM pgw.notifications WHERE transaction_id = $1 AND change = 'waiting'"
			" AND about IS NOT NULL"
			" ORDER BY next_look_at NULLS FIRST, notification_id LIMIT $2 FOR UPDATE SKIP LOCKED",
			2, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for what a bank has told failed");
	n = (int) SPI_processed;
	*out = n > 0 ? MemoryContextAllocZero(context, n * sizeof(PgwToldChange)) : NULL;
	for (int i = 0; i < n; i++)
		read_told(SPI_tuptable->vals[i], context, &(*out)[i]);
	pgw_statements_end();
	return n;
}

bool
pgw_store_told_failed(const pg_uuid_t *payment_id, const PgwToldChange *told)
{
	Oid types[] = {UUIDOID, TEXTOID, TEXTOID};
	Datum args[] = {UUIDPGetDatum(payment_id), CStringGetTextDatum(pgw_op_name(told->about)),
					CStringGetTextDatum(told->operation_reference)};
	bool failed;

	pgw_store_notifications_begin();
	if (SPI_execute_with_args(
			"SELECT FROM pgw.notifications WHERE payment_id = $1 AND change IS NOT NULL"
			" AND says = 'declined' AND about = $2 AND operation_reference = $3 LIMIT 1",
			3, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for what a bank has told of a failure failed");
	failed = SPI_processed > 0;
	pgw_statements_end();
	return failed;
}

void
pgw_store_change_told(const pg_uuid_t *notification_id)
{
	pgw_store_notification_is(notification_id, "change", "seen");
}
