/*
 * statements.c - SQL statements of the process's own, in the transaction that runs
 *
 * Owns nothing.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "utils/snapmgr.h"

#include "database/statements.h"

void
pgw_statements_begin(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
pgw_statements_end(void)
{
	PopActiveSnapshot();
	SPI_finish();
}
