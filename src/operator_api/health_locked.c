/*
 * health_locked.c - pgw.health(): a check that would have to wait for a lock says so instead
 *
 * Whoever looks at pgw.health() because payments stand still must not stand still as well: while
 * somebody has, or waits for, ACCESS EXCLUSIVE on a table, or a standby replays it, a check of that
 * table waits LOCK_WAIT_MS, is given up, and its rows say who is in the way.  All others are put as
 * ever.
 *
 * Owns nothing, changes nothing.  Each check runs in a subtransaction, as what it has opened when
 * it is given up must be closed.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/resowner.h"

#include "operator_api/health_locked.h"
#include "sql_function/check_access.h"

/* All checks together stay within seconds when every table is locked. */
#define LOCK_WAIT_MS 100

int
pgw_health_bound_waits(void)
{
	int nest_level = NewGUCNestLevel();

	if (LockTimeout == 0 || LockTimeout > LOCK_WAIT_MS)
		(void) set_config_option("lock_timeout", CppAsString2(LOCK_WAIT_MS), PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return nest_level;
}

void
pgw_health_unbound_waits(int nest_level)
{
	AtEOXact_GUC(true, nest_level);
}

void
pgw_health_require(Oid caller, const char *level)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		pgw_require(caller, level, NULL);
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		if (edata->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE), errmsg("pgw cannot see who may ask this"),
				 errdetail("Somebody holds or awaits a lock on pgw.access_grants (pg_locks)."),
				 errhint("pgw's owner and superusers need no grant; pgw.health_summary() reads no "
						 "table.")));
	}
	PG_END_TRY();
}

/*
 * Those who have or await the one mode that keeps readers out, on a table of pgw or a catalog, and
 * whom they wait for.  On a standby that is the startup process, for its primary.
 */
static char *
sessions_that_lock(void)
{
	return pgw_health_read_text(
		"SELECT jsonb_agg(DISTINCT jsonb_build_object('pid', l.pid, 'role', a.usename, 'process', a.backend_type, 'state', a.state,"
		" 'transaction_began', a.xact_start, 'table', l.relation::pg_catalog.regclass::text, 'granted', l.granted,"
		" 'waits_for', pg_catalog.to_jsonb(pg_catalog.pg_blocking_pids(l.pid))))::text"
		" FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
		" WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'"
		" AND l.database IN (0, (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()))"
		" AND l.relation IN (SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relnamespace IN"
		" ('pgw'::pg_catalog.regnamespace, 'pg_catalog'::pg_catalog.regnamespace))");
}

static int
last_row(const PgwHealthCheck *check)
{
	int last = 0;

	while (last + 1 < PGW_HEALTH_CHECK_ROWS && check->rows[last + 1] != NULL)
		last++;
	return last;
}

/* Rows for what the check has not put. */
static void
put_locked(PgwHealthReport *r, const PgwHealthCheck *check, int done)
{
	char *sessions = sessions_that_lock();
	int last = last_row(check);

	pgw_health_begin(r); /* anew: the check may have left half a row */
	for (int i = Min(done, last); i <= last; i++)
	{
		pgw_health_detail_list(r, "sessions", sessions);
		pgw_health_put(r, check->rows[i], PGW_HEALTH_LOCKED,
					   "This could not be looked at: a table of pgw, or a catalog, is locked. "
					   "details names the sessions that have or await the lock, and whom they wait "
					   "for; pg_terminate_backend() ends one.");
	}
}

ErrorData *
pgw_health_try(void (*run)(void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile edata = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		run(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return edata;
}

typedef struct Look
{
	PgwHealthReport *r;
	const PgwHealthCheck *check;
} Look;

static void
look(void *arg)
{
	Look *l = arg;

	l->check->look(l->r);
}

void
pgw_health_run(PgwHealthReport *r, const PgwHealthCheck *check)
{
	Look l = {.r = r, .check = check};
	int before = r->rows_put;
	ErrorData *edata = pgw_health_try(look, &l);

	if (edata == NULL)
		/* what is missed of several is counted by what was put */
		Assert(last_row(check) == 0 || r->rows_put - before == last_row(check) + 1);
	else if (edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		put_locked(r, check, r->rows_put - before);
	else
		ReThrowError(edata);
}
