/*
 * forget_notifications.c - notifications that no bank repeats any more go
 *
 * Owns: pgw.notifications_max_age.
 *
 * A row's age is that of its id, a UUIDv7 of when it was recorded, so the primary key finds the
 * oldest.  The table has no partitions: that a notification is taken once is a unique key, which
 * would have to hold the partitions' column, and then the same one would be taken once in each.
 *
 * Locks: those of a DELETE by rows that nobody holds.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/base/uuid7.h"
#include "database/statements.h"
#include "database/table_locks.h"
#include "store/forget_notifications.h"

#define DAY_S (24 * 60 * 60)

static int max_age = 90 * DAY_S;

void
pgw_forget_notifications_init(void)
{
	DefineCustomIntVariable(
		"pgw.notifications_max_age", "How long the row of a notification is kept.", NULL, &max_age,
		90 * DAY_S, DAY_S, 3650 * DAY_S, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

uint64
pgw_store_forget_notifications(TimestampTz now, int most)
{
	Oid types[2] = {UUIDOID, INT4OID};
	TimestampTz before = TimestampTzPlusMilliseconds(now, -(int64) max_age * 1000);
	pg_uuid_t first_kept = {0};
	uint64 n;
	Datum args[2] = {UUIDPGetDatum(&first_kept), Int32GetDatum(most)};

	pgw_table_need("notifications", RowExclusiveLock);
	pgw_uuid7_first_of((uint64) (timestamptz_to_time_t(before)) * 1000, first_kept.data);
	pgw_statements_begin();
	if (SPI_execute_with_args(
			"DELETE FROM pgw.notifications WHERE notification_id IN (SELECT notification_id"
			" FROM pgw.notifications WHERE notification_id < $1 ORDER BY notification_id LIMIT $2"
			" FOR UPDATE SKIP LOCKED)",
			2, types, args, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "old notifications could not be deleted");
	n = SPI_processed;
	pgw_statements_end();
	return n;
}
