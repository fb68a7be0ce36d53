/*
 * before_statement.c - what was wrong with pgw's own objects before the present utility statement
 *
 * The event trigger pgw_keep_baseline runs when a statement is done, and refuses what that
 * statement has broken.  What was broken before (while the event trigger was off, say) is not the
 * statement's doing: it neither gets the blame nor is it in the way of others or of the repair.
 * The catalogs still have the rows of before, visible to a snapshot that ends where the statement
 * began; nothing has to be looked at in advance.
 *
 * Owns: where the present statement began (process-local).
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/proc.h"
#include "utils/datum.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "ddl/before_statement.h"

PG_FUNCTION_INFO_V1(pgw_baseline_faults_before);

static PgwStatement present = {InvalidLocalTransactionId, InvalidCommandId};

PgwStatement
pgw_statement_begin(void)
{
	PgwStatement outer = present;

	present.transaction =
		IsTransactionState() ? (LocalTransactionId) pgw_my_lxid() : InvalidLocalTransactionId;
	present.command = IsTransactionState() ? GetCurrentCommandId(false) : InvalidCommandId;
	return outer;
}

void
pgw_statement_end(PgwStatement outer)
{
	present = outer;
}

/*
 * The rows of pgw.baseline_faults() as they were when the present statement began.  NULL: nobody
 * can tell, because the library is not preloaded, or because the statement has committed meanwhile
 * (DROP INDEX CONCURRENTLY).
 */
Datum
pgw_baseline_faults_before(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi_context;
	Datum result;
	bool isnull;

	if (present.transaction == InvalidLocalTransactionId ||
		present.transaction != (LocalTransactionId) pgw_my_lxid())
		PG_RETURN_NULL();

	PushCopiedSnapshot(GetActiveSnapshot());
	GetActiveSnapshot()->curcid = present.command;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	/* read only: with the active snapshot, and not with a new one */
	if (SPI_execute("SELECT coalesce(pg_catalog.jsonb_agg(f), '[]') FROM pgw.baseline_faults() f",
					true, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "the baseline could not be compared");
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	spi_context = MemoryContextSwitchTo(context);
	result = datumCopy(result, false, -1);
	MemoryContextSwitchTo(spi_context);
	SPI_finish();
	PopActiveSnapshot();
	PG_RETURN_DATUM(result);
}
