/*
 * alert_state.c - the tables' part of alerts: counted causes, and attempts that have been in a
 * state for too long
 *
 * Owns: nothing.  Locks: those of plain statements, which the worker takes beforehand, without
 * waiting.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "database/statements.h"
#include "database/table_locks.h"
#include "observe/alert_state.h"
#include "store/open_work.h"

#define AGED_MAX_PER_STATE 250

bool
pgw_alert_count(const char *kind, const char *subject, const char *bank, const char *transaction_id,
				const char *message, int count, TimestampTz now, TimestampTz told_before)
{
	Oid types[8] = {TEXTOID, TEXTOID,        TEXTOID,        TEXTOID,
					TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID};
	Datum args[8] = {CStringGetTextDatum(kind),        CStringGetTextDatum(subject),
					 CStringGetTextDatum(bank),        CStringGetTextDatum(transaction_id),
					 CStringGetTextDatum(message),     TimestampTzGetDatum(now),
					 TimestampTzGetDatum(told_before), Int32GetDatum(count)};
	bool isnull;
	bool tell;

	pgw_table_need("alert_state", RowExclusiveLock);
	pgw_statements_begin();
	if (SPI_execute_with_args(
			"INSERT INTO pgw.alert_state AS s (kind, subject, bank, transaction_id, message, first_at, last_at, told_at, count, told)"
			" VALUES ($1, $2, nullif($3, ''), nullif($4, '')::uuid, $5, $6, $6, $6, $8, 1)"
			" ON CONFLICT (kind, subject) DO UPDATE SET last_at = $6, message = $5, count = s.count + $8,"
			" told_at = CASE WHEN s.told_at <= $7 THEN $6 ELSE s.told_at END,"
			" told = s.told + (s.told_at <= $7)::int"
			" RETURNING told_at = $6",
			8, types, args, NULL, false, 0) != SPI_OK_INSERT_RETURNING ||
		SPI_processed != 1)
		elog(ERROR, "an alert could not be counted");
	tell = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	pgw_statements_end();
	return tell;
}

int
pgw_alert_aged_attempts(TimestampTz in_doubt, TimestampTz pending, TimestampTz refunding,
						TimestampTz undecided, TimestampTz review, PgwAgedAttempt **out)
{
	Oid types[5] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum args[5] = {TimestampTzGetDatum(in_doubt), TimestampTzGetDatum(refunding),
					 TimestampTzGetDatum(undecided), TimestampTzGetDatum(review),
					 TimestampTzGetDatum(pending)};
	MemoryContext context = CurrentMemoryContext;
	int n;

	*out = NULL;
	pgw_table_need("payment_transactions", AccessShareLock);
	pgw_table_need("open_work", AccessShareLock);
	pgw_table_need("open_work_mark", AccessShareLock);
	pgw_statements_begin();

	/*
	 * Doubt, give-back and indecision count from the first step, the capture after a commit from
	 * its first request; a review from the last one, which put it there.
	 */
	/* So many of each state, so that a heap of reviews hides nothing else. */
	if (SPI_execute_with_args(
			"SELECT transaction_id, correlation_id, status, bank, since, pending FROM ("
			"SELECT t.transaction_id, t.correlation_id, t.status::text, t.bank,"
			" CASE t.status WHEN 'RequiresManualReview' THEN t.updated_at WHEN 'Refunding' THEN coalesce(t.abandoned_at, t.created_at)"
			" WHEN 'Saved' THEN t.capture_key_used_at"
			" ELSE t.created_at END AS since, p.pending,"
			" row_number() OVER (PARTITION BY t.status, p.pending ORDER BY t.created_at) AS n"
			" FROM " PGW_OPEN_ATTEMPTS
			" CROSS JOIN LATERAL (SELECT t.status = 'BankUnknown' AND coalesce(t.error_code, '') = 'bank_pending' AS pending) p"
			" WHERE t.status = 'BankUnknown' AND t.created_at < CASE WHEN p.pending THEN $5 ELSE $1 END"
			" OR t.status = 'Saved' AND t.kind = 'payment' AND t.capture_key_used_at < $1 AND t.accepted_at IS NULL"
			" OR t.status = 'Refunding' AND coalesce(t.abandoned_at, t.created_at) < $2 AND t.accepted_at IS NULL"
			" OR t.status = 'BankApproved' AND t.created_at < $3 AND t.abandoned_at IS NULL"
			" OR t.status = 'RequiresManualReview' AND t.updated_at < $4"
			") aged WHERE n <= " CppAsString2(AGED_MAX_PER_STATE) " ORDER BY since",
			5, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for aged attempts failed");
	n = (int) SPI_processed;
	if (n > 0)
		*out = MemoryContextAllocZero(context, n * sizeof(PgwAgedAttempt));
	for (int i = 0; i < n; i++)
	{
		PgwAgedAttempt *a = &(*out)[i];
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		char *bank = SPI_getvalue(row, desc, 4);
		bool isnull;

		memcpy(&a->transaction_id, DatumGetUUIDP(SPI_getbinval(row, desc, 1, &isnull)), UUID_LEN);
		memcpy(&a->correlation_id, DatumGetUUIDP(SPI_getbinval(row, desc, 2, &isnull)), UUID_LEN);
		a->status = pgw_state_parse(SPI_getvalue(row, desc, 3));
		a->bank = bank != NULL ? MemoryContextStrdup(context, bank) : NULL;
		a->since = DatumGetTimestampTz(SPI_getbinval(row, desc, 5, &isnull));
		a->pending = DatumGetBool(SPI_getbinval(row, desc, 6, &isnull));
	}
	pgw_statements_end();
	return n;
}

int
pgw_alert_odd_notifications(PgwOddNotification **out)
{
	MemoryContext context = CurrentMemoryContext;
	int n;

	*out = NULL;
	pgw_table_need("notifications", RowExclusiveLock);
	pgw_statements_begin();
	if (SPI_execute(
			"UPDATE pgw.notifications SET alerted = true WHERE notification_id IN ("
			"SELECT notification_id FROM pgw.notifications WHERE amounts <> 'equal' AND NOT"
			" alerted AND transaction_id IS NOT NULL ORDER BY notification_id LIMIT " CppAsString2(
				AGED_MAX_PER_STATE) " FOR UPDATE SKIP LOCKED)"
									" RETURNING transaction_id, bank, amounts",
			false, 0) != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "the look for odd notifications failed");
	n = (int) SPI_processed;
	if (n > 0)
		*out = MemoryContextAllocZero(context, n * sizeof(PgwOddNotification));
	for (int i = 0; i < n; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;

		(*out)[i].transaction_id = *DatumGetUUIDP(SPI_getbinval(row, desc, 1, &isnull));
		(*out)[i].bank = MemoryContextStrdup(context, SPI_getvalue(row, desc, 2));
		(*out)[i].amounts = MemoryContextStrdup(context, SPI_getvalue(row, desc, 3));
	}
	pgw_statements_end();
	return n;
}
