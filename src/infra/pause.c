/*
 * pause.c - whether the worker may begin anything new: it is told not to, or this database is a copy
 *
 * A dump, a template copy or an upgraded cluster holds attempts that the original may have finished since, or still works on.  To go on with
 * them unasked could pay twice, so the worker stays paused until pgw.resume_after_restore() (interface/resume.c).  The tables alone tell:
 *
 *	pgw.restore_pending			has a row: a statement has loaded attempts.  pgw itself inserts them one by one without statements, so the
 *								statement trigger fires for a restore only, into whatever database: also into the one that was dumped,
 *								where the identities below are equal
 *	pgw.payment_transactions	each attempt bears the system identifier and the database oid of where it was recorded.  Another one on
 *								the oldest or the newest: a copy (CREATE DATABASE TEMPLATE, pg_upgrade).  The oldest stays what it is
 *								whatever is added later, so new payments do not end the pause.
 *	pgw.resumptions				has a row for the present identity: somebody has decided about the foreign ones
 *
 * A restore commits table by table under a running worker, so the look is repeated in the transaction of every scan: attempts that the scan
 * sees came with a mark that the later look sees.  Besides, no row of another identity is ever worked on (vote.c).
 * A physical copy has the same identity and the same rows as the original, as a promoted standby has: only pgw.worker_mode can stop that.
 *
 * Owns: pgw.worker_mode, and the worker's knowledge of all this (process-local).  Backends read what it last told the exchange.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "core/mutant.h"
#include "infra/exchange.h"
#include "infra/pause.h"
#include "infra/table_locks.h"

typedef enum WorkerMode
{
	WORKER_MODE_ON = 0,
	WORKER_MODE_PAUSED
} WorkerMode;

static int	worker_mode = WORKER_MODE_ON;

static const struct config_enum_entry worker_modes[] = {
	{"on", WORKER_MODE_ON, false},
	{"paused", WORKER_MODE_PAUSED, false},
	{NULL, 0, false}
};

static bool checked = false;
static bool restored = false;
static PgwPause told = PGW_PAUSE_UNKNOWN;

void
pgw_pause_init(void)
{
	DefineCustomEnumVariable("pgw.worker_mode",
							 "Whether the workers of this cluster call banks.",
							 "Start a physical copy of a cluster with \"paused\": it cannot be told from the original.",
							 &worker_mode, WORKER_MODE_ON, worker_modes, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

bool
pgw_pause_is_restored(void)
{
	static SPIPlanPtr plan = NULL;
	Datum		args[2] = {Int64GetDatum((int64) GetSystemIdentifier()), ObjectIdGetDatum(MyDatabaseId)};
	bool		isnull;
	bool		result;

	pgw_table_need("restore_pending", AccessShareLock);
	pgw_table_need("resumptions", AccessShareLock);
	pgw_table_need("payment_transactions", AccessShareLock);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (plan == NULL)
	{
		Oid			types[2] = {INT8OID, OIDOID};
		SPIPlanPtr	fresh = SPI_prepare("SELECT EXISTS (SELECT FROM pgw.restore_pending)"
										" OR (NOT EXISTS (SELECT FROM pgw.resumptions r WHERE r.system_identifier = $1 AND r.database_oid = $2)"
										" AND EXISTS (SELECT FROM"
										" ((SELECT system_identifier, database_oid FROM pgw.payment_transactions ORDER BY transaction_id LIMIT 1)"
										" UNION ALL"
										" (SELECT system_identifier, database_oid FROM pgw.payment_transactions ORDER BY transaction_id DESC LIMIT 1)) t"
										" WHERE t.system_identifier <> $1 OR t.database_oid <> $2))", 2, types);

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

const char *
pgw_pause_hint(PgwPause pause)
{
	switch (pause)
	{
		case PGW_PAUSE_RESTORED:
			return "This database was restored or copied. Once it is sure that the original makes no more payments: "
				"SELECT pgw.resume_after_restore(). See docs/restore.md.";
		case PGW_PAUSE_MODE:
			return "Set pgw.worker_mode to \"on\" and reload the configuration.";
		case PGW_PAUSE_NONE:
		case PGW_PAUSE_UNKNOWN:
			break;
	}
	return "The pause is over: call again.";
}

/* ---------------------------------------------------------------- worker */

void
pgw_pause_check(void)
{
	restored = pgw_pause_is_restored() && !PGW_MUTATED(RESTORED_PAUSE);
	checked = true;
}

PgwPause
pgw_pause(void)
{
	if (!checked)
		return PGW_PAUSE_UNKNOWN;
	if (restored)
		return PGW_PAUSE_RESTORED;
	return worker_mode == WORKER_MODE_PAUSED ? PGW_PAUSE_MODE : PGW_PAUSE_NONE;
}

void
pgw_pause_tell(void)
{
	PgwPause	now = pgw_pause();
	PgwPause	before = told;

	if (now == PGW_PAUSE_UNKNOWN || now == before)
		return;
	pgw_exchange_set_paused(now);	/* at the first time also over what an earlier worker has left */
	told = now;
	if (now != PGW_PAUSE_NONE)
		ereport(LOG,
				(errmsg("pgw: worker paused for database %u", MyDatabaseId),
				 errhint("%s", pgw_pause_hint(now))));
	else if (before != PGW_PAUSE_UNKNOWN)
		ereport(LOG, (errmsg("pgw: worker goes on for database %u", MyDatabaseId)));
}
