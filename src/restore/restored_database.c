/*
 * restored_database.c - is this database a copy, whose original may work on the same payments?
 *
 * A dump, a template copy or an upgraded cluster holds attempts that the original may have finished
 * since, or still works on.  To go on with them unasked could pay twice, so the worker stays paused
 * until pgw.resume_after_restore() (operator_api/resume_after_restore.c).  The tables alone tell:
 *
 * pgw.restore_pending has a row: a statement has loaded records of payments.  pgw itself inserts
 * them one by one without statements, so the statement triggers fire for a restore only, into
 * whatever database: also into the one that was dumped, where the identities below are equal.  Or a
 * subscription has brought attempts of another database.
 *
 * pgw.payment_transactions: each attempt bears the system identifier and the database oid of where
 * it was recorded.  Another one on the oldest or the newest: a copy (CREATE DATABASE TEMPLATE,
 * pg_upgrade).  The oldest stays what it is whatever is added later, so new payments do not end the
 * pause.
 *
 * pgw.resumptions has a row for the present identity: somebody has decided about those of other
 * databases.  Without taken_over nobody has: there was nothing to decide about an incident, as
 * there were no attempts.
 *
 * pgw.state names an incident: the data directory may be a copy (copied_cluster.c).  It becomes a
 * mark in restore_pending as soon as a worker or a resumption looks, so that the tables alone
 * decide from then on, here, on standbys and in dumps.
 *
 * A restore commits table by table under a running worker, so the look is repeated in the
 * transaction of every scan: attempts that the scan sees came with a mark that the later look sees.
 * Besides, no row of another identity is ever worked on (caller_committed.c). A mark of an incident
 * that is in pgw.resumptions is over: a look that began before a resumption may still write it
 * afterwards.
 *
 * Owns: the marks in pgw.restore_pending, and the record in pgw.resumptions that there was nothing
 * to decide about.  Process-local: whether this database has been told of its incident.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "database/statements.h"
#include "database/table_locks.h"
#include "restore/copied_cluster.h"
#include "restore/restored_database.h"

/* ---------------------------------------------------------------- incidents */

/* $1, $2: where we are; $3: the incident; $4: what to write. */
#define NARGS 4
static Oid incident_types[NARGS] = {INT8OID, OIDOID, UUIDOID, TEXTOID};

static uint64
execute(const char *sql, const PgwCopy *copy, bool read_only, int expected)
{
	Datum args[NARGS] = {Int64GetDatum((int64) GetSystemIdentifier()),
						 ObjectIdGetDatum(MyDatabaseId), UUIDPGetDatum(&copy->incident),
						 CStringGetTextDatum(pgw_copy_reason_name(copy->reason))};

	if (SPI_execute_with_args(sql, NARGS, incident_types, args, NULL, read_only, 0) != expected)
		elog(ERROR, "the look for copies failed");
	return SPI_processed;
}

/*
 * Has this database been told of the incident?  A worker asks at every scan, so what is committed
 * is remembered: resumptions are append-only, and the incident is the same until the server's end.
 * What this transaction has written itself may yet be rolled back.
 */
static bool
known(const PgwCopy *copy)
{
	static bool resumed = false;

	if (resumed)
		return true;
	resumed =
		!TransactionIdIsValid(GetTopTransactionIdIfAny()) &&
		execute(
			"SELECT FROM pgw.resumptions WHERE system_identifier = $1 AND database_oid = $2 AND incident_id = $3",
			copy, true, SPI_OK_SELECT) > 0;
	return resumed ||
		   execute(
			   "SELECT FROM pgw.resumptions WHERE system_identifier = $1 AND database_oid = $2 AND incident_id = $3"
			   " UNION ALL SELECT FROM pgw.restore_pending WHERE incident_id = $3",
			   copy, true, SPI_OK_SELECT) > 0;
}

/*
 * Without an attempt there is nothing to decide about, and what comes later is this database's own.
 */
static void
put_on_record(const PgwCopy *copy)
{
	(void) execute(
		"INSERT INTO pgw.resumptions (system_identifier, database_oid, actor, taken_over, note, incident_id)"
		" VALUES ($1, $2, jsonb_build_object('session_user', current_user), NULL, 'no payments yet: ' || $4, $3)",
		copy, false, SPI_OK_INSERT);
}

/*
 * Also later than what the original's clock has put into the rows: what is submitted from now on is
 * this database's own.
 */
static void
mark(const PgwCopy *copy)
{
	(void) execute(
		"INSERT INTO pgw.restore_pending (noticed_at, incident_id, reason)"
		" SELECT greatest(clock_timestamp(), max(created_at) + interval '1 microsecond'), $3, $4 FROM pgw.payment_transactions"
		" WHERE status NOT IN ('Completed', 'Failed', 'Refunded')",
		copy, false, SPI_OK_INSERT);
}

static bool
has_attempts(const PgwCopy *copy)
{
	return execute("SELECT FROM pgw.payment_transactions LIMIT 1", copy, true, SPI_OK_SELECT) > 0;
}

void
pgw_restored_notice(void)
{
	const PgwCopy *copy = pgw_copy();

	if (copy == NULL || copy->reason == PGW_COPY_NONE)
		return;
	pgw_statements_begin();
	if (!known(copy))
	{
		if (has_attempts(copy))
			mark(copy);
		else
			put_on_record(copy);
	}
	pgw_statements_end();
}

bool
pgw_restored_is_unnoticed(void)
{
	const PgwCopy *copy = pgw_copy();
	bool unnoticed;

	if (copy == NULL || copy->reason == PGW_COPY_NONE)
		return false;
	pgw_statements_begin();
	unnoticed = !known(copy) && has_attempts(copy);
	pgw_statements_end();
	return unnoticed;
}

void
pgw_restored_created(void)
{
	const PgwCopy *copy = pgw_copy();

	if (!creating_extension || copy == NULL || copy->reason == PGW_COPY_NONE)
		return;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	put_on_record(copy);
	SPI_finish();
}

/* ---------------------------------------------------------------- restored or copied? */

bool
pgw_is_restored(void)
{
	static SPIPlanPtr plan = NULL;
	Datum args[2] = {Int64GetDatum((int64) GetSystemIdentifier()), ObjectIdGetDatum(MyDatabaseId)};
	bool isnull;
	bool result;

	pgw_table_need("restore_pending", AccessShareLock);
	pgw_table_need("resumptions", AccessShareLock);
	pgw_table_need("payment_transactions", AccessShareLock);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (plan == NULL)
	{
		Oid types[2] = {INT8OID, OIDOID};
		SPIPlanPtr fresh = SPI_prepare(
			"SELECT EXISTS (SELECT FROM pgw.restore_pending p WHERE " PGW_RESTORED_MARK_COUNTS(
				"p", "$1",
				"$2") ")"
					  " OR (NOT EXISTS (SELECT FROM pgw.resumptions r WHERE r.system_identifier = $1 AND r.database_oid = $2"
					  " AND r.taken_over IS NOT NULL)"
					  " AND EXISTS (SELECT FROM"
					  " ((SELECT system_identifier, database_oid FROM pgw.payment_transactions ORDER BY transaction_id LIMIT 1)"
					  " UNION ALL"
					  " (SELECT system_identifier, database_oid FROM pgw.payment_transactions ORDER BY transaction_id DESC LIMIT 1)) t"
					  " WHERE t.system_identifier <> $1 OR t.database_oid <> $2))",
			2, types);

		if (fresh == NULL || SPI_keepplan(fresh) != 0)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		plan = fresh;
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_execute_plan(plan, args, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "the look for restored attempts failed");
	result = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	PopActiveSnapshot();
	SPI_finish();
	return result;
}
