/*
 * move_slots.c - pgw.release_slots() and pgw.adopt_slots(): slots go to another shard
 *
 *      home ----> leaving ----> released -----(a copy that has replayed that)-----> home
 *            1            2                3                                    4
 *
 * 1 and 2 are release_slots(), which is called until it gives a token; 4 is adopt_slots() with that
 * token, on the copy.  Each is one transaction, so after a crash the slots are where the last one
 * that was committed has left them: until 2 they are this shard's, between 2 and 4 nobody's, and
 * then the other one's.  Never are they two shards'.
 *
 * Orderings that matter
 *     - 2 takes the lock of each slot for itself, without waiting.  Callers have it, shared, from
 *       before they write until their transaction ends, and look once more what is at home when
 *       they have it; the worker does the same for each step of an attempt.  So when 2 has the
 *       locks nobody is between his look and his end, and whoever comes later sees what 2 has
 *       written.  Then it looks for open attempts for the last time: there are no others to come.
 *     - Before that it looks for both without a lock, and takes none while anybody or anything is
 *       waited for: the worker leaves an attempt alone whose slot's lock is taken, so who asks
 *       again and again, or does not commit, would keep it from what he waits for.
 *     - The token is not given by the call that has released, but by the next one, when the release
 *       is committed and the standbys that are connected have replayed it: else one of them could
 *       be promoted without it, and would still be at home.
 *
 * Locks: pgw.shard_slots against other changes of slots; in 2 those of the slots, until its
 * transaction ends.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/debug_points.h"
#include "base/json_writer.h"
#include "core/base/mutant.h"
#include "database/statements.h"
#include "operator_api/slot_order.h"
#include "shard/home_slots.h"
#include "shard/shard_name.h"
#include "sql_function/arguments.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "store/open_work.h"

PG_FUNCTION_INFO_V1(pgw_release_slots_1_0);
PG_FUNCTION_INFO_V1(pgw_adopt_slots_1_0);

#define STANDBY_WAIT_MS 10000
#define STANDBY_POLL_MS 20

/* What release_slots() returns. */
typedef struct Released
{
	const char *state;
	char *token; /* NULL: not yet */
	int64 callers;
	int64 attempts;
	int64 standbys;
} Released;

static int64
count(const PgwSlotOrder *o, const char *sql)
{
	bool isnull;

	pgw_slot_order_run(o, sql, SPI_OK_SELECT);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* ---------------------------------------------------------------- leaving */

/* All of them are this shard's, or on their way to that other one. */
static void
require_own(const PgwSlotOrder *o)
{
	int64 others = count(
		o,
		"SELECT count(*) FROM generate_series(0, 1023) s WHERE s <@ $1 AND NOT EXISTS (SELECT FROM pgw.shard_slots o"
		" WHERE o.slot = s AND (o.shard = $2 AND o.database = current_database() AND (o.state = 'home' OR o.state = 'leaving' AND o.moves_to = $3)"
		" OR o.shard = $3 AND o.state = 'released' AND o.system_identifier = $6))");

	if (others > 0)
		pgw_slot_order_refuse(
			pgw_detail(NULL, "reason",
					   psprintf(INT64_FORMAT
								" of the slots are not at home here, or leave for another shard",
								others)),
			"pgw.shard_slots says where they are.");
}

static void
leave(const PgwSlotOrder *o)
{
	if (count(o, "SELECT count(*) FROM pgw.shard_slots WHERE slot <@ $1 AND state = 'home'") == 0)
		return;
	pgw_slot_order_record(o, "leaving", true);
	pgw_slot_order_run(
		o,
		"UPDATE pgw.shard_slots SET state = 'leaving', moves_to = $3, changed_at = clock_timestamp()"
		" WHERE slot <@ $1 AND state = 'home'",
		SPI_OK_UPDATE);
}

/* ---------------------------------------------------------------- released */

static bool
cannot_be_taken(int slot)
{
	return !pgw_slot_try_change(slot);
}

/* Of those that are leaving: how many others have. */
static int64
held_slots(const PgwSlotOrder *o, bool (*by_others)(int slot))
{
	SPITupleTable *rows;
	uint64 n;
	int64 held = 0;

	pgw_slot_order_run(o, "SELECT slot FROM pgw.shard_slots WHERE slot <@ $1 AND state = 'leaving'",
					   SPI_OK_SELECT);
	rows = SPI_tuptable;
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		bool isnull;
		int slot = DatumGetInt32(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));

		held += by_others(slot) && !PGW_MUTATED(MOVE_HELD);
	}
	return held;
}

static int64
open_attempts(const PgwSlotOrder *o)
{
	return count(
		o, "SELECT count(*) FROM " PGW_OPEN_ATTEMPTS
		   " WHERE t.status IN ('Created', 'BankUnknown', 'BankApproved', 'Saved', 'Refunding')"
		   " AND pgw.slot_of_id(t.payment_id) <@ $1");
}

/* Have callers and attempts come to their ends?  Attempts are counted last: callers make them. */
static bool
all_over(const PgwSlotOrder *o, bool (*by_others)(int slot), Released *r)
{
	r->callers = held_slots(o, by_others);
	r->attempts = open_attempts(o);
	return r->callers == 0 && r->attempts == 0;
}

static void
release(const PgwSlotOrder *o)
{
	pgw_slot_order_record(o, "released", true);
	/* one token for all of them */
	pgw_slot_order_run(
		o,
		"WITH t AS MATERIALIZED (SELECT gen_random_uuid() AS token)"
		" UPDATE pgw.shard_slots SET shard = $3, state = 'released', system_identifier = $6, moves_to = NULL, epoch = epoch + 1,"
		" token = (SELECT token FROM t), changed_at = clock_timestamp() WHERE slot <@ $1 AND state = 'leaving'",
		SPI_OK_UPDATE);
	PGW_DEBUG_POINT("slots_released");
}

/* ---------------------------------------------------------------- the token */

/* Those that are connected and have not replayed all that is in the log by now. */
static int64
standbys_behind(const PgwSlotOrder *o, XLogRecPtr lsn)
{
	return count(
		o,
		psprintf("SELECT count(*) FROM pg_stat_get_wal_senders() WHERE state <> 'backup'"
				 " AND (replay_lsn < '%X/%X'::pg_lsn OR replay_lsn IS NULL AND flush_lsn IS NULL)",
				 LSN_FORMAT_ARGS(lsn)));
}

static int64
wait_for_standbys(const PgwSlotOrder *o)
{
	XLogRecPtr lsn = GetXLogInsertRecPtr();
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STANDBY_WAIT_MS);
	int64 behind;

	XLogFlush(lsn);
	while ((behind = standbys_behind(o, lsn)) > 0 && GetCurrentTimestamp() < until)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, STANDBY_POLL_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return behind;
}

/* Of what an earlier transaction has released, by one call or by several with one token each. */
static char *
find_token(const PgwSlotOrder *o)
{
	pgw_slot_order_run(o, "SELECT DISTINCT token::text FROM pgw.shard_slots WHERE slot <@ $1",
					   SPI_OK_SELECT);
	if (SPI_processed != 1)
		pgw_slot_order_refuse(
			pgw_detail(NULL, "reason", "these slots were released by several calls"),
			"Ask for the slots of each of them: slot_changes has them.");
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* ---------------------------------------------------------------- release_slots() */

static void
move_on(const PgwSlotOrder *o, Released *r)
{
	r->state = "released";
	if (count(o, "SELECT count(*) FROM pgw.shard_slots WHERE slot <@ $1 AND state <> 'released'") ==
		0)
	{
		r->standbys = wait_for_standbys(o);
		r->token = r->standbys == 0 ? find_token(o) : NULL;
		return;
	}
	leave(o);
	if (all_over(o, pgw_slot_is_held, r) && all_over(o, cannot_be_taken, r))
		release(o);
	else
		r->state = "leaving";
	ForceSyncCommit();
}

static void
run_release(PgwSlotOrder *o, Released *r)
{
	/* its statements see what is committed when they begin, and not what was when this one began */
	if (IsolationUsesXactSnapshot())
		pgw_slot_order_refuse(pgw_detail(NULL, "reason", "the transaction is not READ COMMITTED"),
							  "Call it in a transaction of its own, READ COMMITTED.");
	pgw_slot_order_run(o, "LOCK TABLE pgw.shard_slots IN SHARE ROW EXCLUSIVE MODE", SPI_OK_UTILITY);
	pgw_slot_order_require_slots(o);
	require_own(o);
	pgw_changing_slots = true;
	PG_TRY();
	{
		move_on(o, r);
	}
	PG_FINALLY();
	{
		pgw_changing_slots = false;
	}
	PG_END_TRY();
}

Datum
pgw_release_slots_1_0(PG_FUNCTION_ARGS)
{
	PgwSlotOrder o;
	Released r = {0};
	TupleDesc desc;
	Datum values[5];
	bool nulls[5] = {false};
	Datum to_system;
	bool isnull;
	Oid caller;
	int sec_context;
	MemoryContext context = CurrentMemoryContext;

	pgw_slot_order_begin(&o, fcinfo, "pgw.release_slots()", NULL);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != lengthof(values))
		elog(ERROR, "unexpected result type of pgw.release_slots()");
	to_system = pgw_arg(fcinfo, "to_system", &isnull);
	if (!isnull)
		o.system = DatumGetInt64(to_system);
	o.other = pgw_arg_text(fcinfo, "to_shard");
	if (o.other == NULL || !pgw_shard_name_valid(o.other) || strcmp(o.other, o.shard) == 0)
		pgw_raise_fault("to_shard", o.other == NULL ? "required" : "invalid_format",
						"must be the name of another shard");
	pgw_become_owner(&caller, &sec_context);
	pgw_statements_begin();
	run_release(&o, &r);
	if (r.token != NULL)
	{
		pg_uuid_t *token = MemoryContextAlloc(context, sizeof(pg_uuid_t));

		*token = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(r.token)));
		values[1] = UUIDPGetDatum(token);
	}
	pgw_statements_end();
	pgw_become_caller(caller, sec_context);
	nulls[1] = r.token == NULL;
	values[0] = CStringGetTextDatum(r.state);
	values[2] = Int64GetDatum(r.callers);
	values[3] = Int64GetDatum(r.attempts);
	values[4] = Int64GetDatum(r.standbys);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* ---------------------------------------------------------------- adopt_slots() */

/*
 * A name is a person's word, and a row is copied with its database: of several databases that have
 * it one at most has this name in this server, and but for physical copies (which have names of
 * their own, or are one shard that fails over) no other server has this identifier.
 */
#define OFFERED " FROM pgw.shard_slots WHERE shard = $2 AND state = 'released' AND token = $3::uuid"
#define OFFERED_HERE OFFERED " AND database = current_database() AND system_identifier = $6"

static void
require_offer(const PgwSlotOrder *o)
{
	char *reason = "no slot was released to this shard with this token";

	if (count(o, "SELECT count(*)" OFFERED_HERE) > 0 || PGW_MUTATED(ADOPT_HERE))
		return;
	pgw_slot_order_run(o, "SELECT database, system_identifier::text" OFFERED " LIMIT 1",
					   SPI_OK_SELECT);
	if (SPI_processed > 0)
		reason = psprintf("they were released to database %s of the server whose "
						  "system_identifier is %s",
						  SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
						  SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	pgw_slot_order_refuse(
		pgw_detail(NULL, "reason", reason),
		"It is for a copy of the shard that has released them, which has replayed that, and whose pgw.shard_name is the one that they were released to: "
		"a physical copy, or the server that release_slots() named in to_system; and the database of the same name.");
}

static int64
adopt(const PgwSlotOrder *o)
{
	int64 n;

	pgw_slot_order_run(o, "LOCK TABLE pgw.shard_slots IN SHARE ROW EXCLUSIVE MODE", SPI_OK_UTILITY);
	require_offer(o);
	pgw_changing_slots = true;
	PG_TRY();
	{
		pgw_slot_order_run(
			o,
			"INSERT INTO pgw.slot_changes (action, slots, to_shard, note, actor)"
			" SELECT 'adopted', range_agg(int4range(slot, slot, '[]')), $2, $4, $5::jsonb" OFFERED
			" HAVING count(*) > 0",
			SPI_OK_INSERT);
		pgw_slot_order_run(
			o,
			"UPDATE pgw.shard_slots SET state = 'home', database = current_database(), token = NULL, system_identifier = NULL,"
			" changed_at = clock_timestamp() WHERE slot IN (SELECT slot" OFFERED ")",
			SPI_OK_UPDATE);
		n = (int64) SPI_processed;
	}
	PG_FINALLY();
	{
		pgw_changing_slots = false;
	}
	PG_END_TRY();
	ForceSyncCommit();
	return n;
}

Datum
pgw_adopt_slots_1_0(PG_FUNCTION_ARGS)
{
	PgwSlotOrder o;
	bool isnull;
	Datum token;
	Oid caller;
	int sec_context;
	int64 n;

	pgw_slot_order_begin(&o, fcinfo, "pgw.adopt_slots()", NULL);
	token = pgw_arg(fcinfo, "token", &isnull);
	if (isnull)
		pgw_raise_fault("token", "required", NULL);
	o.other = DatumGetCString(DirectFunctionCall1(uuid_out, token));
	pgw_become_owner(&caller, &sec_context);
	pgw_statements_begin();
	n = adopt(&o);
	pgw_statements_end();
	pgw_become_caller(caller, sec_context);
	PG_RETURN_INT64(n);
}
