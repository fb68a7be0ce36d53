/*
 * capture_reference.c - the bank's id of a payment's capture
 *
 * Locks: those of a plain SELECT.  A capture that is done changes no more; one that is only
 * accepted may still fail, and then its id names nothing that could be refunded.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "database/statements.h"
#include "database/table_locks.h"
#include "store/capture_reference.h"

char *
pgw_store_capture_reference(const pg_uuid_t *payment_id)
{
	Oid types[] = {UUIDOID};
	Datum args[] = {UUIDPGetDatum(payment_id)};
	MemoryContext context = CurrentMemoryContext;
	char *reference = NULL;

	pgw_table_need("payment_transactions", AccessShareLock);
	pgw_statements_begin();
	if (SPI_execute_with_args(
			"SELECT bank_reference FROM pgw.payment_transactions WHERE payment_id = $1"
			" AND kind = 'capture' AND status = 'Completed' LIMIT 2",
			1, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the look for a capture failed");
	if (SPI_processed == 1)
		reference = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (reference != NULL)
		reference = MemoryContextStrdup(context, reference);
	pgw_statements_end();
	return reference;
}
