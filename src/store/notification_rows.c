/*
 * notification_rows.c - what the rows of pgw.notifications have in common, whatever waits in them
 *
 * Owns nothing.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "database/statements.h"
#include "database/table_locks.h"
#include "store/notification_rows.h"

void
pgw_store_notifications_begin(void)
{
	pgw_table_need("notifications", RowExclusiveLock);
	pgw_statements_begin();
}

void
pgw_store_notification_is(const pg_uuid_t *notification_id, const char *column, const char *becomes)
{
	Oid types[] = {UUIDOID, TEXTOID};
	Datum args[] = {UUIDPGetDatum(notification_id), CStringGetTextDatum(becomes)};
	char *command =
		psprintf("UPDATE pgw.notifications SET %s = $2 WHERE notification_id = $1", column);

	pgw_store_notifications_begin();
	if (SPI_execute_with_args(command, 2, types, args, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "a notification's %s could not be marked", column);
	pgw_statements_end();
	pfree(command);
}
