/*
 * told_disputes.c - what notifications have said of disputes and is not recorded yet, and
 * pgw.disputes
 *
 * The endpoint's transaction inserts notifications, and only the worker changes them from then on.
 * Rows of pgw.disputes are the worker's alone: it has the row of the charge's attempt locked, and
 * that of the payment.
 *
 * Locks: notifications that somebody else has locked (they are being purged) are passed over, and a
 * dispute that somebody has locked is an error, after which the attempt is visited again.  So the
 * worker waits for nobody, who may be waiting for a notification that it has locked.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/new_id.h"
#include "database/statements.h"
#include "database/table_locks.h"
#include "store/notification_rows.h"
#include "store/told_disputes.h"

#define MOST_PER_ATTEMPT 100

static void
begin(void)
{
	pgw_table_need("notifications", RowExclusiveLock);
	pgw_table_need("disputes", RowExclusiveLock);
	pgw_statements_begin();
}

/* ---------------------------------------------------------------- what was said, as JSON */

static void
put_money(PgwJsonWriter *w, const char *name, const char *currency_name, const PgwSaidMoney *m)
{
	if (!m->there)
		return;
	pgw_json_put_int(w, name, m->amount);
	pgw_json_put_string(w, currency_name, m->currency);
}

char *
pgw_store_said_dispute_text(const PgwSaidDispute *said)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_begin_object(&w, NULL);
	pgw_json_begin_array(&w, "steps");
	for (int i = 0; i < PGW_NDISPUTE_STEPS; i++)
	{
		if ((said->steps & PGW_DISPUTE_BIT(i)) != 0)
			pgw_json_put_string(&w, NULL, pgw_dispute_step_name((PgwDisputeStep) i));
	}
	pgw_json_end_array(&w);
	if (said->id[0] != '\0')
		pgw_json_put_string(&w, "id", said->id);
	put_money(&w, "amount", "currency", &said->amount);
	put_money(&w, "moved_amount", "moved_currency", &said->moved);
	put_money(&w, "fee_amount", "fee_currency", &said->fee);
	if (said->moved_unreadable)
		pgw_json_put_bool(&w, "moved_unreadable", true);
	if (said->moved_backwards)
		pgw_json_put_bool(&w, "moved_backwards", true);
	if (said->deadline != 0)
		pgw_json_put_int(&w, "deadline", said->deadline);
	if (said->reason[0] != '\0')
		pgw_json_put_string(&w, "reason", said->reason);
	pgw_json_end_object(&w);
	return w.text.data;
}

/* Names of steps, as an array of texts or of JSON, both of which are read as comma and name. */
static unsigned
steps_of(ArrayType *names)
{
	Datum *elements;
	bool *nulls;
	int n;
	unsigned steps = 0;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		int step = nulls[i] ? -1 : pgw_dispute_step_parse(TextDatumGetCString(elements[i]));

		if (step >= 0)
			steps |= PGW_DISPUTE_BIT(step);
	}
	return steps;
}

static Datum
names_of(unsigned steps)
{
	Datum names[PGW_NDISPUTE_STEPS];
	int n = 0;

	for (int i = 0; i < PGW_NDISPUTE_STEPS; i++)
	{
		if ((steps & PGW_DISPUTE_BIT(i)) != 0)
			names[n++] = CStringGetTextDatum(pgw_dispute_step_name((PgwDisputeStep) i));
	}
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* ---------------------------------------------------------------- notifications */

static void
text_at(HeapTuple row, TupleDesc desc, int column, char *dst, size_t size)
{
	char *text = SPI_getvalue(row, desc, column);

	strlcpy(dst, text != NULL ? text : "", size);
}

static int64
number_at(HeapTuple row, TupleDesc desc, int column, bool *there)
{
	bool isnull;
	Datum d = SPI_getbinval(row, desc, column, &isnull);

	if (there != NULL)
		*there = !isnull;
	return isnull ? 0 : DatumGetInt64(d);
}

static void
money_at(HeapTuple row, TupleDesc desc, int column, PgwSaidMoney *m)
{
	m->amount = number_at(row, desc, column, &m->there);
	text_at(row, desc, column + 1, m->currency, sizeof(m->currency));
}

static void
read_told(HeapTuple row, TupleDesc desc, MemoryContext context, PgwToldDispute *d)
{
	bool isnull;

	d->notification_id = *DatumGetUUIDP(SPI_getbinval(row, desc, 1, &isnull));
	d->bank = MemoryContextStrdup(context, SPI_getvalue(row, desc, 2));
	d->said.steps = steps_of(DatumGetArrayTypeP(SPI_getbinval(row, desc, 3, &isnull)));
	text_at(row, desc, 4, d->said.id, sizeof(d->said.id));
	money_at(row, desc, 5, &d->said.amount);
	money_at(row, desc, 7, &d->said.moved);
	money_at(row, desc, 9, &d->said.fee);
	d->said.moved_backwards = DatumGetBool(SPI_getbinval(row, desc, 11, &isnull));
	d->said.moved_unreadable = DatumGetBool(SPI_getbinval(row, desc, 12, &isnull));
	d->said.deadline = number_at(row, desc, 13, NULL);
	text_at(row, desc, 14, d->said.reason, sizeof(d->said.reason));
}

int
pgw_store_told_disputes(const pg_uuid_t *transaction_id, PgwToldDispute **out)
{
	Oid types[] = {UUIDOID, INT4OID};
	Datum args[] = {UUIDPGetDatum(transaction_id), Int32GetDatum(MOST_PER_ATTEMPT)};
	MemoryContext context = CurrentMemoryContext;
	int n;

	begin();
	if (SPI_execute_with_args(
			"SELECT notification_id, bank, ARRAY(SELECT jsonb_array_elements_text(dispute_says->"
			"'steps')), dispute_says->>'id', (dispute_says->>'amount')::bigint,"
			" dispute_says->>'currency', (dispute_says->>'moved_amount')::bigint,"
			" dispute_says->>'moved_currency', (dispute_says->>'fee_amount')::bigint,"
			" dispute_says->>'fee_currency', dispute_says ? 'moved_backwards', dispute_says ? 'moved_unreadable',"
			" (dispute_says->>'deadline')::bigint, dispute_says->>'reason'"
			" FROM pgw.notifications WHERE transaction_id = $1 AND dispute = 'waiting'"
			" ORDER BY notification_id LIMIT $2 FOR UPDATE SKIP LOCKED",
			2, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for disputes failed");
	n = (int) SPI_processed;
	*out = n > 0 ? MemoryContextAllocZero(context, n * sizeof(PgwToldDispute)) : NULL;
	for (int i = 0; i < n; i++)
		read_told(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, context, &(*out)[i]);
	pgw_statements_end();
	return n;
}

bool
pgw_store_any_told_dispute(const pg_uuid_t *transaction_id)
{
	Oid types[] = {UUIDOID};
	Datum args[] = {UUIDPGetDatum(transaction_id)};
	bool any;

	begin();
	if (SPI_execute_with_args("SELECT FROM pgw.notifications WHERE transaction_id = $1 AND dispute"
							  " = 'waiting' LIMIT 1",
							  1, types, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "the look for disputes failed");
	any = SPI_processed > 0;
	pgw_statements_end();
	return any;
}

void
pgw_store_told_dispute_is(const pg_uuid_t *notification_id, const char *becomes)
{
	pgw_store_notification_is(notification_id, "dispute", becomes);
}

int
pgw_store_disputes_due(TimestampTz before, int most, pg_uuid_t *after, pg_uuid_t *out)
{
	Oid types[] = {TIMESTAMPTZOID, INT4OID, UUIDOID};
	Datum args[] = {TimestampTzGetDatum(before), Int32GetDatum(most), UUIDPGetDatum(after)};
	bool isnull;
	int n;

	pgw_table_need("payment_transactions", AccessShareLock);
	begin();
	if (SPI_execute_with_args(
			"SELECT DISTINCT n.transaction_id FROM pgw.notifications n"
			" JOIN pgw.payment_transactions t ON t.transaction_id = n.transaction_id"
			" WHERE n.dispute = 'waiting' AND t.status = 'Completed'"
			" AND pgw.slot_is_worked(t.transaction_id)"
			/* what came before the clock was set back is not of the future */
			" AND (n.recorded_at < $1 OR n.recorded_at > clock_timestamp())"
			" AND n.transaction_id > $3 ORDER BY 1 LIMIT $2",
			3, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for disputes failed");
	n = (int) SPI_processed;
	for (int i = 0; i < n; i++)
		out[i] =
			*DatumGetUUIDP(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	if (n == most)
		*after = out[n - 1];
	else
		memset(after, 0, sizeof(*after));
	pgw_statements_end();
	return n;
}

int
pgw_store_odd_disputes(TimestampTz before, int most, PgwOddDispute **out)
{
	Oid types[] = {TIMESTAMPTZOID, INT4OID};
	Datum args[] = {TimestampTzGetDatum(before), Int32GetDatum(most)};
	MemoryContext context = CurrentMemoryContext;
	int n;

	*out = NULL;
	begin();
	if (SPI_execute_with_args(
			"UPDATE pgw.notifications SET alerted = true WHERE notification_id IN ("
			"SELECT notification_id FROM pgw.notifications WHERE dispute IN ('waiting', 'unclear')"
			" AND NOT alerted AND (dispute = 'unclear' OR recorded_at < $1)"
			" ORDER BY notification_id LIMIT $2 FOR UPDATE SKIP LOCKED)"
			" RETURNING bank, coalesce(dispute_says->>'id', ''), transaction_id, dispute ="
			" 'waiting'",
			2, types, args, NULL, false, 0) != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "the look for odd disputes failed");
	n = (int) SPI_processed;
	if (n > 0)
		*out = MemoryContextAllocZero(context, n * sizeof(PgwOddDispute));
	for (int i = 0; i < n; i++)
	{
		PgwOddDispute *d = &(*out)[i];
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		Datum id = SPI_getbinval(row, desc, 3, &isnull);

		d->bank = MemoryContextStrdup(context, SPI_getvalue(row, desc, 1));
		d->bank_dispute_id = MemoryContextStrdup(context, SPI_getvalue(row, desc, 2));
		d->has_transaction = !isnull;
		if (!isnull)
			d->transaction_id = *DatumGetUUIDP(id);
		d->waiting = DatumGetBool(SPI_getbinval(row, desc, 4, &isnull));
	}
	pgw_statements_end();
	return n;
}

/* ---------------------------------------------------------------- disputes */

bool
pgw_store_dispute(const char *bank_dispute_id, PgwDisputeRow *row)
{
	Oid types[] = {TEXTOID, TEXTOID};
	Datum args[] = {CStringGetTextDatum(row->account), CStringGetTextDatum(bank_dispute_id)};
	bool mine = true;

	begin();
	if (SPI_execute_with_args(
			"SELECT dispute_id, payment_id, steps, withdrawn_amount, reinstated_amount, unclear"
			" FROM pgw.disputes WHERE account = $1 AND bank_dispute_id = $2 FOR UPDATE NOWAIT",
			2, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for a dispute failed");
	memset(&row->state, 0, sizeof(row->state));
	row->is_new = SPI_processed == 0;
	if (row->is_new)
		pgw_new_id(&row->dispute_id);
	else
	{
		HeapTuple tuple = SPI_tuptable->vals[0];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;

		row->dispute_id = *DatumGetUUIDP(SPI_getbinval(tuple, desc, 1, &isnull));
		mine = memcmp(DatumGetUUIDP(SPI_getbinval(tuple, desc, 2, &isnull)), &row->payment_id,
					  UUID_LEN) == 0;
		row->state.steps = steps_of(DatumGetArrayTypeP(SPI_getbinval(tuple, desc, 3, &isnull)));
		row->state.withdrawn = number_at(tuple, desc, 4, NULL);
		row->state.reinstated = number_at(tuple, desc, 5, NULL);
		row->state.unclear = DatumGetBool(SPI_getbinval(tuple, desc, 6, &isnull));
	}
	pgw_statements_end();
	return mine;
}

bool
pgw_store_dispute_attempt(const char *account, const char *bank_dispute_id,
						  pg_uuid_t *transaction_id)
{
	Oid types[] = {TEXTOID, TEXTOID};
	Datum args[] = {CStringGetTextDatum(account), CStringGetTextDatum(bank_dispute_id)};
	bool found;

	begin();
	if (SPI_execute_with_args(
			"SELECT transaction_id FROM pgw.disputes WHERE account OPERATOR(pg_catalog.=) $1"
			" AND bank_dispute_id OPERATOR(pg_catalog.=) $2",
			2, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for a dispute failed");
	found = SPI_processed > 0;
	if (found)
		*transaction_id = *DatumGetUUIDP(
			SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &(bool){false}));
	pgw_statements_end();
	return found;
}

static Datum
money_or_null(const PgwSaidMoney *m, char *amount_null, char *currency_null, Datum *currency)
{
	*amount_null = *currency_null = m->there ? ' ' : 'n';
	*currency = m->there ? CStringGetTextDatum(m->currency) : (Datum) 0;
	return Int64GetDatum(m->amount);
}

/* What a later notification does not say stays as an earlier one has said it. */
void
pgw_store_put_dispute(const PgwDisputeRow *row, const PgwSaidDispute *said)
{
	Oid types[] = {UUIDOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID,        TEXTOID,     UUIDOID,
				   UUIDOID, TEXTOID, TEXTOID, INT8OID, INT8OID,        BOOLOID,     INT8OID,
				   TEXTOID, INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTARRAYOID};
	char nulls[] = "                    "; /* one for each */
	Datum args[lengthof(types)];

	StaticAssertStmt(lengthof(nulls) == lengthof(types) + 1, "a null for each");
	args[0] = UUIDPGetDatum(&row->dispute_id);
	args[1] = CStringGetTextDatum(row->account);
	args[2] = CStringGetTextDatum(said->id);
	args[3] = CStringGetTextDatum(row->bank);
	args[4] = BoolGetDatum(row->livemode);
	args[5] = CStringGetTextDatum(row->merchant);
	args[6] = UUIDPGetDatum(&row->payment_id);
	args[7] = UUIDPGetDatum(&row->transaction_id);
	args[8] = CStringGetTextDatum(pgw_dispute_status(&row->state));
	args[9] = CStringGetTextDatum(row->currency);
	args[10] = Int64GetDatum(row->state.withdrawn);
	args[11] = Int64GetDatum(row->state.reinstated);
	args[12] = BoolGetDatum(row->state.unclear);
	args[13] = money_or_null(&said->amount, &nulls[13], &nulls[14], &args[14]);
	args[15] = money_or_null(&said->fee, &nulls[15], &nulls[16], &args[16]);
	args[17] = CStringGetTextDatum(said->reason);
	nulls[17] = said->reason[0] != '\0' ? ' ' : 'n';
	args[18] = TimestampTzGetDatum(time_t_to_timestamptz((pg_time_t) said->deadline));
	nulls[18] = said->deadline != 0 ? ' ' : 'n';
	args[19] = names_of(row->state.steps);
	begin();
	if (SPI_execute_with_args(
			row->is_new
				? "INSERT INTO pgw.disputes (dispute_id, account, bank_dispute_id, bank, livemode,"
				  " merchant, payment_id, transaction_id, status, currency, withdrawn_amount,"
				  " reinstated_amount, unclear, said_amount, said_currency, fee_amount,"
				  " fee_currency, reason, deadline, steps) VALUES ($1, $2, $3, $4, $5, $6, $7, $8,"
				  " $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"
				: "UPDATE pgw.disputes SET status = $9, withdrawn_amount = $11, reinstated_amount"
				  " = $12, unclear = $13, said_amount = coalesce($14, said_amount), said_currency ="
				  " coalesce($15, said_currency), fee_amount = coalesce($16, fee_amount),"
				  " fee_currency = coalesce($17, fee_currency), reason = coalesce($18, reason),"
				  " deadline = coalesce($19, deadline), steps = $20, updated_at ="
				  " clock_timestamp() WHERE dispute_id = $1",
			lengthof(types), types, args, nulls, false,
			0) != (row->is_new ? SPI_OK_INSERT : SPI_OK_UPDATE))
		elog(ERROR, "a dispute could not be written");
	pgw_statements_end();
}

bool
pgw_store_dispute_takes_unknown(const pg_uuid_t *payment_id)
{
	Oid types[] = {UUIDOID};
	Datum args[] = {UUIDPGetDatum(payment_id)};
	bool unknown = false;

	begin();
	if (SPI_execute_with_args("SELECT steps, withdrawn_amount FROM pgw.disputes"
							  " WHERE payment_id = $1 AND unclear",
							  1, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for disputes failed");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		PgwDispute d = {.unclear = true};

		d.steps = steps_of(DatumGetArrayTypeP(SPI_getbinval(row, desc, 1, &isnull)));
		d.withdrawn = number_at(row, desc, 2, NULL);
		unknown |= pgw_dispute_takes_unknown(&d);
	}
	pgw_statements_end();
	return unknown;
}

int64
pgw_store_disputed(const pg_uuid_t *payment_id)
{
	Oid types[] = {UUIDOID};
	Datum args[] = {UUIDPGetDatum(payment_id)};
	int64 taken;

	begin();
	if (SPI_execute_with_args(
			"SELECT coalesce(sum(greatest(withdrawn_amount - reinstated_amount, 0)), 0)::bigint"
			" FROM pgw.disputes WHERE payment_id = $1",
			1, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for disputes failed");
	taken = number_at(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, NULL);
	pgw_statements_end();
	return taken;
}
