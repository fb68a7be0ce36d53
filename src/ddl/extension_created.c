/*
 * extension_created.c - the last statement of CREATE EXTENSION's script: refuses what cannot work,
 * and asks the launcher for a worker
 *
 * Owns nothing that outlives the transaction.  The launcher is asked after the commit, and never
 * for an extension that was rolled back; pgw_lock protects the entry by which it is asked.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lwlock.h"

#include "ddl/extension_created.h"
#include "exchange/exchange_shmem.h"
#include "restore/restored_database.h"

PG_FUNCTION_INFO_V1(pgw_extension_created);

static bool created_pending = false;

void
pgw_ask_for_worker(void)
{
	int e;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	e = pgw_entry_find(MyDatabaseId, true);
	if (e >= 0 && pgw_shared->entries[e].state != PGW_ENTRY_RUNNING)
	{
		pgw_shared->entries[e].check = true;
		pgw_shared->entries[e].failures = 0;
		pgw_shared->entries[e].next_start = 0;
	}
	pgw_wake_launcher();
	LWLockRelease(pgw_lock);
	if (e < 0)
		ereport(LOG, (errmsg("pgw: no room for another database with the extension (at most %d)",
							 PGW_MAX_DATABASES)));
}

static void
created_at_xact_end(XactEvent event, void *arg)
{
	if (!created_pending)
		return;
	if (event == XACT_EVENT_COMMIT)
		pgw_ask_for_worker();
	/* PREPAREd, it is asked for by whoever commits that (utility_hook.c) */
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_ABORT)
		created_pending = false;
}

/*
 * The extension's script calls this last: after the commit the launcher looks at this database at
 * once.
 */
Datum
pgw_extension_created(PG_FUNCTION_ARGS)
{
	static bool registered = false;

	/*
	 * Banks speak UTF-8: in another encoding their answers, stored as they came, would make rows
	 * that cannot be read and dumps that cannot be restored, and what such a database cannot
	 * represent would have to be lost or disguised.
	 */
	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("pgw needs a database with encoding UTF8"),
			 errdetail("This database has encoding %s. Banks send and expect UTF-8.",
					   GetDatabaseEncodingName()),
			 errhint(
				 "Make one with CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C', or a UTF-8 locale; pg_dump and "
				 "pg_restore convert what is in this one.")));

	if (pgw_exchange_available())
	{
		if (!registered)
			RegisterXactCallback(created_at_xact_end, NULL);
		registered = true;
		created_pending = true;
		pgw_restored_created();
	}
	PG_RETURN_VOID();
}
