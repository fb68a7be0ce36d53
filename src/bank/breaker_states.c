/*
 * breaker_states.c - circuit breakers as the worker leaves them to the next one: pgw.bank_states
 *
 * Owns: nothing.
 * Locks: those of plain statements, which the worker takes beforehand, without waiting.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bank/breaker_states.h"
#include "database/statements.h"
#include "database/table_locks.h"

static char *
copy_of(HeapTuple row, TupleDesc desc, int column, MemoryContext context)
{
	char *value = SPI_getvalue(row, desc, column);

	return value == NULL ? NULL : MemoryContextStrdup(context, value);
}

int
pgw_breaker_states_read(PgwSavedBreaker **out)
{
	MemoryContext context = CurrentMemoryContext;
	int n;

	pgw_table_need("bank_states", AccessShareLock);
	pgw_statements_begin();
	if (SPI_execute(
			"SELECT bank, operation_group, state, failures, openings, opened_at, cooldown_from FROM pgw.bank_states",
			true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the banks' states could not be read");
	n = (int) SPI_processed;
	*out = MemoryContextAllocZero(context, Max(n, 1) * sizeof(PgwSavedBreaker));
	for (int i = 0; i < n; i++)
	{
		PgwSavedBreaker *s = &(*out)[i];
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;

		s->bank = copy_of(row, desc, 1, context);
		s->operation_group = copy_of(row, desc, 2, context);
		s->state = copy_of(row, desc, 3, context);
		s->failures = DatumGetInt32(SPI_getbinval(row, desc, 4, &isnull));
		s->openings = DatumGetInt32(SPI_getbinval(row, desc, 5, &isnull));
		s->opened_at = DatumGetTimestampTz(SPI_getbinval(row, desc, 6, &isnull));
		if (isnull)
			s->opened_at = 0;
		s->cooldown_from = DatumGetTimestampTz(SPI_getbinval(row, desc, 7, &isnull));
		if (isnull)
			s->cooldown_from = 0;
	}
	pgw_statements_end();
	return n;
}

void
pgw_breaker_states_save(const PgwSavedBreaker *s)
{
	Oid types[7] = {TEXTOID, TEXTOID, TEXTOID, INT4OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum args[7] = {CStringGetTextDatum(s->bank),         CStringGetTextDatum(s->operation_group),
					 CStringGetTextDatum(s->state),        Int32GetDatum(s->failures),
					 Int32GetDatum(s->openings),           TimestampTzGetDatum(s->opened_at),
					 TimestampTzGetDatum(s->cooldown_from)};
	char nulls[8] = "       ";

	if (s->opened_at == 0)
		nulls[5] = 'n';
	if (s->cooldown_from == 0)
		nulls[6] = 'n';
	pgw_table_need("bank_states", RowExclusiveLock);
	pgw_statements_begin();
	if (SPI_execute_with_args(
			"INSERT INTO pgw.bank_states AS s (bank, operation_group, state, failures, openings, opened_at, cooldown_from)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (bank, operation_group) DO UPDATE SET state = EXCLUDED.state,"
			" failures = EXCLUDED.failures, openings = EXCLUDED.openings, opened_at = EXCLUDED.opened_at,"
			" cooldown_from = EXCLUDED.cooldown_from, changed_at = clock_timestamp()",
			7, types, args, nulls, false, 0) < 0)
		elog(ERROR, "a bank's state could not be saved");
	pgw_statements_end();
}

void
pgw_breaker_states_forget(TimestampTz before)
{
	Oid types[1] = {TIMESTAMPTZOID};
	Datum args[1] = {TimestampTzGetDatum(before)};

	pgw_table_need("bank_states", RowExclusiveLock);
	pgw_table_need("banks", AccessShareLock);
	pgw_statements_begin();
	if (SPI_execute_with_args(
			"DELETE FROM pgw.bank_states s WHERE s.changed_at < $1 AND NOT EXISTS (SELECT FROM pgw.banks b WHERE b.name = s.bank)",
			1, types, args, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "the states of former banks could not be forgotten");
	pgw_statements_end();
}
