/*
 * consumer_row.c - a row of pgw.event_consumers: who reads the events, and how far he has come
 *
 * A place in the events is a snapshot: what it shows was read.  Transactions commit in any order,
 * so no number and no time would do.
 *
 * Owns nothing.
 * Invariant: what a snapshot on record shows is what other transactions had committed.  This one
 * counts as running in it (pg_current_snapshot() shows it as over), or what it writes after it has
 * read would count as read.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "core/base/mutant.h"
#include "database/extension.h"
#include "database/table_locks.h"
#include "event_stream/consumer_row.h"
#include "exchange/event_fence.h"
#include "restore/restored_database.h"
#include "sql_function/arguments.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_version.h"

#define MAX_NAME_BYTES 63

/* So far behind now the fence is set: nearly all that happens to an attempt does so within that. */
#define FENCE_BEHIND_MS 5000
/* They follow each other no closer, and the further apart the longer one has to be kept. */
#define FENCE_SPACING_MS 250
#define FENCES_KEPT 64

#define UNIX_EPOCH_MS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (USECS_PER_DAY / INT64_C(1000)))

const char *
pgw_consumer_arg(FunctionCallInfo fcinfo)
{
	char *name = pgw_arg_text(fcinfo, "consumer");

	if (name == NULL || name[0] == '\0')
		pgw_raise_fault("consumer", "required", NULL);
	if (strlen(name) > MAX_NAME_BYTES)
		pgw_raise_fault("consumer", "too_long", "must be no longer than 63 bytes");
	return name;
}

void
pgw_consumer_may_write(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	PreventCommandIfParallelMode(function);
	/* its reads would be parties to the conflicts of those who pay, and abort them */
	if (XactIsoLevel == XACT_SERIALIZABLE)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("%s cannot be called in a SERIALIZABLE transaction", function),
						errhint("Call it in a transaction of its own, at READ COMMITTED.")));
	pgw_require_version();
	/* the worker's: it waits for nobody */
	pgw_table_need("event_consumers", RowExclusiveLock);
	pgw_table_need("late_events", RowExclusiveLock);
	pgw_table_need("transaction_events", AccessShareLock);
	pgw_table_need("payment_transactions", AccessShareLock);
}

uint64
pgw_consumer_execute(const char *sql, int nargs, Oid *types, Datum *args, const char *nulls,
					 int expected)
{
	int code = SPI_execute_with_args(sql, nargs, types, args, nulls, false, 0);

	if (code != expected)
		elog(ERROR, "a statement about readers of events failed: %s", SPI_result_code_string(code));
	return SPI_processed;
}

/* ---- whose it is ---- */

void
pgw_consumer_require_level(Oid caller, const char *merchant)
{
	Oid types[2] = {TEXTOID, OIDOID};
	Datum args[2] = {CStringGetTextDatum(merchant), ObjectIdGetDatum(caller)};

	if (superuser_arg(caller) || has_privs_of_role(caller, pgw_extension_owner()))
		return;
	if (pgw_consumer_execute(
			"SELECT FROM pgw.access_grants g WHERE g.level IN ('operator', 'auditor')"
			" AND g.merchant IN ('', $1) AND pg_has_role($2, g.role::oid, 'USAGE') LIMIT 1",
			2, types, args, NULL, SPI_OK_SELECT) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 merchant[0] == '\0'
					 ? errmsg("permission denied for the events of all merchants")
					 : errmsg("permission denied for events of merchant \"%s\"", merchant),
				 errhint("Operators and auditors of %s may read them: see pgw.grant_access().",
						 merchant[0] == '\0' ? "all merchants" : "the merchant")));
}

static void
require_role(Oid caller, Oid role, const char *name)
{
	if (superuser_arg(caller) || has_privs_of_role(caller, pgw_extension_owner()) ||
		has_privs_of_role(caller, role))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for consumer \"%s\" of events", name),
			 errhint("It belongs to the role that has created it, and to members of that.")));
}

/* ---- the row ---- */

static Datum
column(int i, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i, isnull);
}

static void
require_placed(const char *name, bool here)
{
	if (here && !pgw_is_restored())
		return;
	pgw_raise(
		"event_consumer_displaced", pgw_detail(NULL, "consumer", name),
		"Transactions are counted anew where a database was restored or copied: once it has been resumed, pgw.move_event_consumer() says from when on the consumer reads. See docs/events.md.");
}

void
pgw_consumer_get(const char *name, Oid caller, bool placed, PgwConsumer *out)
{
	Oid types[3] = {TEXTOID, INT8OID, OIDOID};
	Datum args[3] = {CStringGetTextDatum(name), Int64GetDatum((int64) GetSystemIdentifier()),
					 ObjectIdGetDatum(MyDatabaseId)};
	bool isnull;
	bool here;

	if (pgw_consumer_execute(
			"SELECT c.merchant, c.role::oid, c.since, c.seen, c.read_up_to, c.batch, c.reading, c.reading_at,"
			" c.position_id, c.position_step, coalesce((SELECT max(f) FROM unnest(c.fences) f), 0),"
			" coalesce((SELECT min(f) FROM unnest(c.fences) f), 0), c.system_identifier = $2 AND c.database_oid = $3"
			" AND c.resumptions = (SELECT count(*) FROM pgw.resumptions r WHERE r.taken_over IS NOT NULL)"
			" FROM pgw.event_consumers c WHERE c.consumer = $1",
			3, types, args, NULL, SPI_OK_SELECT) == 0)
		pgw_raise("event_consumer_not_found", pgw_detail(NULL, "consumer", name),
				  "pgw.create_event_consumer() makes one. A dump holds none.");
	memset(out, 0, sizeof(*out));
	out->name = name;
	out->merchant = TextDatumGetCString(column(1, &isnull));
	require_role(caller, DatumGetObjectId(column(2, &isnull)), name);
	out->since = DatumGetTimestampTz(column(3, &isnull));
	out->has_since = !isnull;
	out->seen = column(4, &isnull);
	out->read_up_to = DatumGetTimestampTz(column(5, &isnull));
	out->batch = *DatumGetUUIDP(column(6, &isnull));
	out->reading = column(7, &isnull);
	out->has_reading = !isnull;
	out->reading_at = DatumGetTimestampTz(column(8, &isnull));
	out->position_id = *DatumGetUUIDP(column(9, &isnull));
	out->position_step = DatumGetInt32(column(10, &isnull));
	out->newest_fence = DatumGetInt64(column(11, &isnull));
	out->oldest_fence = DatumGetInt64(column(12, &isnull));
	here = DatumGetBool(column(13, &isnull));
	pgw_consumer_require_level(caller, out->merchant);
	if (placed)
		require_placed(name, here);
}

/* ---- a place ---- */

Datum
pgw_consumer_snapshot(void)
{
	bool isnull;

	(void) pgw_consumer_execute(
		PGW_MUTATED(OWN_EVENTS_READ)
			? "SELECT pg_current_snapshot()"
			: "SELECT CASE WHEN pg_visible_in_snapshot(pg_current_xact_id_if_assigned(), s)"
			  " THEN format('%s:%s:%s', pg_snapshot_xmin(s), pg_snapshot_xmax(s),"
			  " (SELECT string_agg(x::text, ',' ORDER BY x) FROM (SELECT pg_snapshot_xip(s)"
			  " UNION SELECT pg_current_xact_id_if_assigned()) q (x)))::pg_snapshot ELSE s END"
			  " FROM pg_current_snapshot() s",
		0, NULL, NULL, NULL, SPI_OK_SELECT);
	return column(1, &isnull);
}

bool
pgw_consumer_new_fence(const PgwConsumer *c, int64 *fence, FullTransactionId *next)
{
	int64 now = GetCurrentTimestamp() / 1000 + UNIX_EPOCH_MS;
	int64 spacing = Max(FENCE_SPACING_MS, (c->newest_fence - c->oldest_fence) / FENCES_KEPT);

	*fence = now - FENCE_BEHIND_MS;
	if (*fence < c->newest_fence + spacing || !pgw_event_fence_raise((uint64) *fence))
		return false;
	/* only now: whoever has no id yet will see the fence (database/late_events.c) */
	*next = ReadNextFullTransactionId();
	return true;
}
