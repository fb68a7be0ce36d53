/*
 * said_by_bank.c - notifications that are a bank's word on an attempt
 *
 * The endpoint's transaction inserts them, and only the worker changes them from then on, with the
 * attempt's row locked.
 *
 * Locks: rows that somebody else has locked (they are being purged) are passed over, so that the
 * worker waits for nobody; what was passed over still waits.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "database/statements.h"
#include "store/notification_rows.h"
#include "store/said_by_bank.h"

#define MOST_PER_ATTEMPT 64

bool
pgw_store_captured_by_charge(const PgwAttempt *attempt)
{
	return attempt->kind == PGW_KIND_PAYMENT &&
		   pgw_charge_is_captured(attempt->capture, attempt->submitted);
}

/* A reversal of what is captured is a refund, and may be called so later. */
static bool
is_called(const char *otherwise, PgwBankOp about)
{
	return strcmp(otherwise, pgw_op_name(about)) == 0 ||
		   (about == PGW_OP_REFUND && strcmp(otherwise, pgw_op_name(PGW_OP_REVERSE)) == 0);
}

const char *
pgw_store_evidence_key(const PgwAttempt *attempt, PgwBankOp about)
{
	const char *otherwise = attempt->refund_operation; /* NULL: as it was asked for */

	if (about == PGW_OP_CHARGE)
		return attempt->kind == PGW_KIND_PAYMENT ? attempt->own_request.key : NULL;
	if (attempt->kind == PGW_KIND_PAYMENT && about == PGW_OP_CAPTURE)
		return pgw_store_captured_by_charge(attempt) ? attempt->own_request.key
													 : attempt->capture_request.key;
	if (otherwise != NULL ? !is_called(otherwise, about) : pgw_operation_op(attempt->kind) != about)
		return NULL;
	return attempt->kind == PGW_KIND_PAYMENT ? attempt->refund_request.key
											 : attempt->own_request.key;
}

static char *
text_at(HeapTuple row, TupleDesc desc, int column, MemoryContext context)
{
	char *text = SPI_getvalue(row, desc, column);

	return text != NULL ? MemoryContextStrdup(context, text) : NULL;
}

static void
read_row(HeapTuple row, TupleDesc desc, MemoryContext context, PgwEvidence *e)
{
	bool isnull;
	char *state = SPI_getvalue(row, desc, 5);

	e->notification_id = *DatumGetUUIDP(SPI_getbinval(row, desc, 1, &isnull));
	e->about = (PgwBankOp) pgw_op_parse(SPI_getvalue(row, desc, 2));
	e->says = (PgwOutcome) pgw_outcome_parse(SPI_getvalue(row, desc, 3));
	e->request_key = text_at(row, desc, 4, context);
	e->waiting = strcmp(state, "waiting") == 0;
	e->bank_reference = text_at(row, desc, 6, context);
	e->amount = DatumGetInt64(SPI_getbinval(row, desc, 7, &isnull));
	e->has_amount = !isnull;
	e->currency = text_at(row, desc, 8, context);
	e->bank = text_at(row, desc, 9, context);
	e->identity = text_at(row, desc, 10, context);
	/* of one that stands there and is none, nothing else is kept */
	e->amount_unreadable = SPI_getvalue(row, desc, 11)[0] == 't';
	e->proved_twice = SPI_getvalue(row, desc, 12)[0] == 't';
	e->time = text_at(row, desc, 13, context);
	e->operation_reference = text_at(row, desc, 14, context);
}

int
pgw_store_evidence(const pg_uuid_t *transaction_id, PgwEvidence **out)
{
	Oid types[] = {UUIDOID, INT4OID};
	Datum args[] = {UUIDPGetDatum(transaction_id), Int32GetDatum(MOST_PER_ATTEMPT)};
	MemoryContext context = CurrentMemoryContext;
	int n;

	pgw_store_notifications_begin();
	if (SPI_execute_with_args(
			"SELECT notification_id, about, says, request_key, evidence, bank_reference, amount,"
			" currency, bank, identity, coalesce(amounts = 'unreadable', false),"
			" coalesce(proof = 'both', false), bank_time, operation_reference"
			" FROM pgw.notifications WHERE transaction_id = $1 AND evidence IS NOT NULL"
			" ORDER BY evidence = 'waiting' DESC, notification_id LIMIT $2 FOR UPDATE SKIP LOCKED",
			2, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for evidence failed");
	n = (int) SPI_processed;
	*out = n > 0 ? MemoryContextAllocZero(context, n * sizeof(PgwEvidence)) : NULL;
	for (int i = 0; i < n; i++)
		read_row(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, context, &(*out)[i]);
	pgw_statements_end();
	return n;
}

void
pgw_store_evidence_is(const pg_uuid_t *notification_id, const char *becomes)
{
	pgw_store_notification_is(notification_id, "evidence", becomes);
}

void
pgw_store_evidence_used(const pg_uuid_t *notification_id)
{
	Oid types[] = {UUIDOID};
	Datum args[] = {UUIDPGetDatum(notification_id)};

	pgw_store_notifications_begin();
	if (SPI_execute_with_args(
			"UPDATE pgw.notifications SET evidence = 'used' WHERE notification_id IN ("
			"SELECT notification_id FROM pgw.notifications WHERE notification_id = $1"
			" AND evidence = 'waiting' FOR UPDATE SKIP LOCKED)",
			1, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "evidence could not be marked");
	pgw_statements_end();
}

int
pgw_store_evidence_waiting(TimestampTz before, int most, pg_uuid_t *out)
{
	Oid types[] = {TIMESTAMPTZOID, INT4OID};
	Datum args[] = {TimestampTzGetDatum(before), Int32GetDatum(most)};
	bool isnull;
	int n;

	pgw_store_notifications_begin();
	/*
	 * Those of other shards' slots wait there, and would be in the way.
	 * The newest first: the oldest may wait for a person; what came before the clock was set back
	 * is not of the future
	 */
	if (SPI_execute_with_args("SELECT transaction_id FROM pgw.notifications WHERE evidence ="
							  " 'waiting' AND pgw.slot_is_worked(transaction_id)"
							  " AND (recorded_at < $1 OR recorded_at > clock_timestamp())"
							  " ORDER BY notification_id DESC LIMIT $2",
							  2, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for evidence failed");
	n = (int) SPI_processed;
	for (int i = 0; i < n; i++)
		out[i] =
			*DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	pgw_statements_end();
	return n;
}
