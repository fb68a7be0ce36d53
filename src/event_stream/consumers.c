/*
 * consumers.c - who reads the events: pgw.create_event_consumer(), pgw.move_event_consumer(),
 * pgw.drop_event_consumer()
 *
 * Owns: which rows pgw.event_consumers has, and where each begins.
 * Locks: SHARE ROW EXCLUSIVE on pgw.event_consumers: whoever begins a batch, and then deletes of
 * pgw.late_events what he takes for unneeded, has committed before, or sees the new row.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "utils/xid8.h"

#include "base/clock.h"
#include "base/new_id.h"
#include "core/base/characters.h"
#include "database/extension.h"
#include "event_stream/consumer_row.h"
#include "restore/restored_database.h"
#include "sql_function/arguments.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"

PG_FUNCTION_INFO_V1(pgw_create_event_consumer_1_0);
PG_FUNCTION_INFO_V1(pgw_move_event_consumer_1_0);
PG_FUNCTION_INFO_V1(pgw_drop_event_consumer_1_0);

#define OWN_NAMES "pgw."
#define LONGEST_ALERT_MS (INT64_C(3650) * 24 * 60 * 60 * 1000)
#define SETTLE_MS 5000
#define SETTLE_POLL_MS 10

/*
 * Until those who had an id before the fence stood are over: of what they have written nothing is
 * listed, so the first to read it would look through all events.  It does if they take longer.
 * Whoever has written before in this transaction would wait for himself.
 */
static void
let_settle(FullTransactionId next)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), SETTLE_MS);
	Oid types[1] = {XID8OID};
	Datum args[1] = {FullTransactionIdGetDatum(next)};

	if (TransactionIdIsValid(GetTopTransactionIdIfAny()) || IsolationUsesXactSnapshot())
		return;
	while (GetCurrentTimestamp() < until &&
		   pgw_consumer_execute("SELECT WHERE pg_snapshot_xmin(pg_current_snapshot()) >= $1", 1,
								types, args, NULL, SPI_OK_SELECT) == 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, SETTLE_POLL_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Where a consumer begins, as parameters 1 to 9 of a statement. */
#define NPLACE 9

typedef struct Place
{
	Oid types[NPLACE];
	Datum args[NPLACE];
	char nulls[NPLACE + 1];
} Place;

static Datum
nothing_seen(void)
{
	bool isnull;

	(void) pgw_consumer_execute("SELECT '1:1:'::pg_snapshot", 0, NULL, NULL, NULL, SPI_OK_SELECT);
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
}

/* Without since: with what is committed from now on. */
static void
find_place(FunctionCallInfo fcinfo, const char *name, Place *p)
{
	static const Oid types[NPLACE] = {TEXTOID, PG_SNAPSHOTOID, TIMESTAMPTZOID, UUIDOID, INT8OID,
									  OIDOID,  INT8OID,        XID8OID,        BOOLOID};
	PgwConsumer none = {0};
	pg_uuid_t *batch = palloc(sizeof(pg_uuid_t));
	FullTransactionId next = InvalidFullTransactionId;
	int64 fence = 0;
	bool has_fence;
	bool no_since;
	Datum since = pgw_arg(fcinfo, "since", &no_since);

	if (pgw_is_restored())
		pgw_raise("event_consumer_displaced", pgw_detail(NULL, "consumer", name),
				  "This database was restored or copied: call pgw.resume_after_restore() first.");
	has_fence = pgw_consumer_new_fence(&none, &fence, &next);
	if (has_fence && no_since)
		let_settle(next);
	pgw_new_id(batch);
	memcpy(p->types, types, sizeof(types));
	p->args[0] = CStringGetTextDatum(name);
	p->args[1] = no_since ? pgw_consumer_snapshot() : nothing_seen();
	p->args[2] = since;
	p->args[3] = UUIDPGetDatum(batch);
	p->args[4] = Int64GetDatum((int64) GetSystemIdentifier());
	p->args[5] = ObjectIdGetDatum(MyDatabaseId);
	p->args[6] = Int64GetDatum(fence);
	p->args[7] = FullTransactionIdGetDatum(next);
	p->args[8] = BoolGetDatum(has_fence);
	memset(p->nulls, ' ', NPLACE);
	p->nulls[NPLACE] = '\0';
	if (no_since)
		p->nulls[2] = 'n';
}

#define PLACE_COLUMNS \
	"seen, since, batch, system_identifier, database_oid, fences, fence_txids, resumptions, read_up_to, reading, reading_at," \
	" position_id, position_step"
/*
 * The consumer of webhooks is made in transactions that have an id, so nobody waits for who is
 * under way, and reads within a limit (batch.c), which a look through all events would not keep,
 * ever.  Of what is under way it finds only what is of attempts from shortly before.
 */
#define PLACE_VALUES \
	"$2, $3, $4, $5, $6," \
	" CASE WHEN $1 = 'pgw.webhooks' THEN ARRAY[$7 - 300000] ELSE '{}' END || CASE WHEN $9 THEN ARRAY[$7] ELSE '{}' END," \
	" CASE WHEN $1 = 'pgw.webhooks' THEN ARRAY['0'::xid8] ELSE '{}' END || CASE WHEN $9 THEN ARRAY[$8] ELSE '{}' END," \
	" (SELECT count(*) FROM pgw.resumptions r WHERE r.taken_over IS NOT NULL), clock_timestamp(), NULL, NULL," \
	" '00000000-0000-0000-0000-000000000000', 0"

static void
lock_consumers(void)
{
	(void) pgw_consumer_execute("LOCK TABLE pgw.event_consumers IN SHARE ROW EXCLUSIVE MODE", 0,
								NULL, NULL, NULL, SPI_OK_UTILITY);
}

static void
begin(const char *function, Oid *caller, int *sec_context)
{
	pgw_consumer_may_write(function);
	pgw_become_owner(caller, sec_context);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	lock_consumers();
}

static void
check_merchant(const char *merchant)
{
	Oid types[1] = {TEXTOID};
	Datum args[1] = {CStringGetTextDatum(merchant)};

	if (pgw_consumer_execute("SELECT FROM pgw.merchants m WHERE m.merchant = $1", 1, types, args,
							 NULL, SPI_OK_SELECT) == 0)
		pgw_raise("unknown_merchant", pgw_detail(NULL, "merchant", merchant), NULL);
}

static bool
exists(const char *name)
{
	Oid types[1] = {TEXTOID};
	Datum args[1] = {CStringGetTextDatum(name)};

	return pgw_consumer_execute("SELECT FROM pgw.event_consumers c WHERE c.consumer = $1", 1, types,
								args, NULL, SPI_OK_SELECT) > 0;
}

/* Names that pgw uses itself are its owner's. */
static void
check_new_name(const char *name)
{
	if (pgw_has_control(name, ""))
		pgw_raise_fault("consumer", "invalid_format", "must not contain control characters");
	if (strncmp(name, OWN_NAMES, strlen(OWN_NAMES)) == 0 && !superuser() &&
		!has_privs_of_role(GetUserId(), pgw_extension_owner()))
		pgw_raise_fault("consumer", "invalid_format",
						"begins with \"" OWN_NAMES "\", as consumers of pgw's own do");
}

static void
check_alert_after(Datum alert_after)
{
	int64 ms = pgw_interval_ms(alert_after);

	if (ms < 0 || ms > LONGEST_ALERT_MS)
		pgw_raise_fault("alert_after", "out_of_range", "must be between 0 and 3650 days");
}

Datum
pgw_create_event_consumer_1_0(PG_FUNCTION_ARGS)
{
	const char *name = pgw_consumer_arg(fcinfo);
	char *merchant = pgw_arg_text(fcinfo, "merchant");
	bool isnull;
	Datum alert_after = pgw_arg(fcinfo, "alert_after", &isnull);
	Place p;
	Oid types[NPLACE + 3];
	Datum args[NPLACE + 3];
	char nulls[NPLACE + 4];
	Oid caller;
	int sec_context;

	if (isnull)
		pgw_raise_fault("alert_after", "required", NULL);
	check_new_name(name);
	check_alert_after(alert_after);
	begin("pgw.create_event_consumer()", &caller, &sec_context);
	pgw_consumer_require_level(caller, merchant != NULL ? merchant : "");
	if (merchant != NULL)
		check_merchant(merchant);
	if (exists(name))
		pgw_raise(
			"event_consumer_exists", pgw_detail(NULL, "consumer", name),
			"pgw.move_event_consumer() says from when on it reads; pgw.drop_event_consumer() ends it.");
	find_place(fcinfo, name, &p);
	memcpy(types, p.types, sizeof(p.types));
	memcpy(args, p.args, sizeof(p.args));
	memcpy(nulls, p.nulls, NPLACE);
	types[NPLACE] = TEXTOID;
	args[NPLACE] = CStringGetTextDatum(merchant != NULL ? merchant : "");
	types[NPLACE + 1] = OIDOID;
	args[NPLACE + 1] = ObjectIdGetDatum(caller);
	types[NPLACE + 2] = INTERVALOID;
	args[NPLACE + 2] = alert_after;
	nulls[NPLACE] = nulls[NPLACE + 1] = nulls[NPLACE + 2] = ' ';
	nulls[NPLACE + 3] = '\0';
	(void) pgw_consumer_execute(
		"INSERT INTO pgw.event_consumers (consumer, merchant, role, alert_after, " PLACE_COLUMNS ")"
		" VALUES ($1, $10, $11::regrole, $12, " PLACE_VALUES ")",
		NPLACE + 3, types, args, nulls, SPI_OK_INSERT);
	SPI_finish();
	pgw_become_caller(caller, sec_context);
	PG_RETURN_VOID();
}

Datum
pgw_move_event_consumer_1_0(PG_FUNCTION_ARGS)
{
	const char *name = pgw_consumer_arg(fcinfo);
	PgwConsumer c;
	Place p;
	Oid caller;
	int sec_context;

	begin("pgw.move_event_consumer()", &caller, &sec_context);
	pgw_consumer_get(name, caller, false, &c);
	find_place(fcinfo, name, &p);
	(void) pgw_consumer_execute("UPDATE pgw.event_consumers SET (" PLACE_COLUMNS
								") = (" PLACE_VALUES ") WHERE consumer = $1",
								NPLACE, p.types, p.args, p.nulls, SPI_OK_UPDATE);
	SPI_finish();
	pgw_become_caller(caller, sec_context);
	PG_RETURN_VOID();
}

/* false: there is none. */
Datum
pgw_drop_event_consumer_1_0(PG_FUNCTION_ARGS)
{
	const char *name = pgw_consumer_arg(fcinfo);
	Oid types[1] = {TEXTOID};
	Datum args[1];
	Oid caller;
	int sec_context;
	bool found;

	begin("pgw.drop_event_consumer()", &caller, &sec_context);
	found = exists(name);
	if (found)
	{
		PgwConsumer c;

		pgw_consumer_get(name, caller, false, &c);
		args[0] = CStringGetTextDatum(name);
		(void) pgw_consumer_execute("DELETE FROM pgw.event_consumers WHERE consumer = $1", 1, types,
									args, NULL, SPI_OK_DELETE);
		/* nobody needs them; what is listed later goes with the worker's housekeeping */
		(void) pgw_consumer_execute(
			"DELETE FROM pgw.late_events WHERE NOT EXISTS (SELECT FROM pgw.event_consumers)", 0,
			NULL, NULL, NULL, SPI_OK_DELETE);
	}
	SPI_finish();
	pgw_become_caller(caller, sec_context);
	PG_RETURN_BOOL(found);
}
