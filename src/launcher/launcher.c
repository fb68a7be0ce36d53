/*
 * launcher.c - the process that keeps one worker in each database that has the extension
 *
 * Owns: the static background worker 'pgw launcher' and the registration of the dynamic ones, 'pgw
 * worker'.  It is connected to no database, so it cannot see which ones have the extension: it
 * starts a worker in each one that it does not know, and a worker that finds no extension says so
 * and leaves.  pgw_lock protects the entries; known[] and handles[] are the launcher's own.
 *
 * What it must survive:
 *     - CREATE EXTENSION, committed or not: it asks for a look after the commit
 *       (ddl/extension_created.c); a probe that came too early does not count;
 *     - CREATE DATABASE from a template that has it, a restore: a new oid in pg_database is
 *       probed (at once after the command, else within 10 s);
 *     - DROP, RENAME, SET TABLESPACE, a copy: no worker is started while the entry is held
 *       (utility_hook.c);
 *     - a worker that ends: again after 1 s, then 2, 4 ... 60 s; from the start again after a
 *       minute of health;
 *     - max_worker_processes used up: one LOG line a minute, tried again every 5 s;
 *     - its own end: the postmaster restarts it after 1 s, workers stay, and the entries tell it
 *       which ones run;
 *     - standby: the postmaster starts it only when recovery has finished.
 *
 * Workers are never restarted by the postmaster (BGW_NEVER_RESTART): only the launcher knows
 * whether the database still is there.
 * Invariant: at most MAX_STARTING workers are starting, so that probes of many databases leave room
 * for others.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/database_worker.h"
#include "exchange/exchange_shmem.h"
#include "launcher/launcher.h"

#define MAX_STARTING 4
#define SCAN_INTERVAL_MS 10000
#define REGISTER_RETRY_MS 5000
#define COMPLAIN_INTERVAL_MS 60000
#define ADOPTED_START_MS \
	15000 /* a start that an earlier launcher began must have attached by then */

/* Databases that were looked at and have no extension. Sorted by oid as pg_database is re-read. */
typedef struct PgwKnown
{
	Oid *oids;
	int n;
	int room;
} PgwKnown;

typedef struct PgwHandle
{
	Oid dboid;
	BackgroundWorkerHandle *handle; /* NULL: none, or begun by an earlier launcher */
} PgwHandle;

static PgwKnown known;
static PgwHandle handles[PGW_MAX_DATABASES]; /* by entry */
static TimestampTz complained_at = 0;

/* ---------------------------------------------------------------- databases without the extension
 */

static int
compare_oids(const void *a, const void *b)
{
	Oid x = *(const Oid *) a;
	Oid y = *(const Oid *) b;

	return (x > y) - (x < y);
}

static bool
known_without(Oid dboid)
{
	return known.n > 0 && bsearch(&dboid, known.oids, known.n, sizeof(Oid), compare_oids) != NULL;
}

static void
remember_without(Oid dboid)
{
	if (known_without(dboid))
		return;
	if (known.n == known.room)
	{
		known.room = (known.room == 0) ? 64 : known.room * 2;
		known.oids = known.oids ? repalloc(known.oids, known.room * sizeof(Oid))
								: MemoryContextAlloc(TopMemoryContext, known.room * sizeof(Oid));
	}
	known.oids[known.n++] = dboid;
	qsort(known.oids, known.n, sizeof(Oid), compare_oids);
}

static bool
contains(const Oid *oids, int n, Oid dboid)
{
	for (int i = 0; i < n; i++)
	{
		if (oids[i] == dboid)
			return true;
	}
	return false;
}

/* The connectable databases, in the caller's memory context. */
static Oid *
read_databases(int *n)
{
	MemoryContext caller = CurrentMemoryContext;
	int room = 64;
	Oid *oids = palloc(room * sizeof(Oid));
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;

	*n = 0;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		/* -2: a DROP DATABASE was interrupted, nobody can connect any more */
		if (!database->datallowconn || database->datconnlimit == -2)
			continue;
		if (*n == room)
		{
			room *= 2;
			oids = repalloc(oids, room * sizeof(Oid));
		}
		oids[(*n)++] = database->oid;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	pgstat_report_stat(true);
	MemoryContextSwitchTo(caller);
	return oids;
}

/* Make the entries match pg_database. */
static void
scan_databases(void)
{
	MemoryContext work =
		AllocSetContextCreate(CurrentMemoryContext, "pgw launcher scan", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(work);
	int n;
	int kept = 0;
	bool full = false;
	Oid *oids = read_databases(&n);

	for (int i = 0; i < known.n; i++)
	{
		if (contains(oids, n, known.oids[i]))
			known.oids[kept++] = known.oids[i];
	}
	known.n = kept;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	for (int e = 0; e < PGW_MAX_DATABASES; e++)
	{
		PgwWorkerEntry *entry = &pgw_shared->entries[e];

		if (entry->dboid == InvalidOid || contains(oids, n, entry->dboid))
			continue;
		entry->check = false;
		(void) pgw_entry_forget(e);
	}
	for (int i = 0; i < n; i++)
	{
		if (!known_without(oids[i]) && pgw_entry_find(oids[i], true) < 0)
			full = true; /* the others get their turn when a probe has found nothing */
	}
	LWLockRelease(pgw_lock);
	if (full)
		ereport(DEBUG1,
				(errmsg_internal("pgw: more than %d databases to look at", PGW_MAX_DATABASES)));

	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
}

/* ---------------------------------------------------------------- workers */

/*
 * Bring entries up to date with the ends that the postmaster reports, and forget databases without
 * the extension. Returns whether any was.
 */
static bool
reap(void)
{
	bool forgot = false;

	for (int e = 0; e < PGW_MAX_DATABASES; e++)
	{
		PgwWorkerEntry *entry = &pgw_shared->entries[e];
		bool stopped = false;
		Oid none = InvalidOid;
		pid_t pid;

		if (handles[e].handle && GetBackgroundWorkerPid(handles[e].handle, &pid) == BGWH_STOPPED)
		{
			pfree(handles[e].handle);
			handles[e].handle = NULL;
			stopped = true;
		}

		LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
		if (stopped && entry->dboid == handles[e].dboid)
		{
			if (entry->state == PGW_ENTRY_STARTING)
				pgw_entry_died(entry);
			if (entry->state == PGW_ENTRY_DOWN)
				entry->pid = 0;
		}
		if (entry->state == PGW_ENTRY_STARTING && handles[e].handle == NULL &&
			TimestampDifferenceExceeds(entry->since, GetCurrentTimestamp(), ADOPTED_START_MS))
			pgw_entry_died(entry);
		if (entry->state == PGW_ENTRY_NO_EXTENSION)
		{
			if (entry->check)
			{
				entry->next_start = 0;
				pgw_entry_set_state(entry, PGW_ENTRY_DOWN);
			}
			else if (handles[e].handle == NULL)
			{
				none = entry->dboid;
				forgot |= pgw_entry_forget(e);
			}
		}
		LWLockRelease(pgw_lock);
		if (OidIsValid(none))
			remember_without(none);
	}
	return forgot;
}

static void
could_not_start(int e, Oid dboid)
{
	TimestampTz now;
	PgwWorkerEntry *entry = &pgw_shared->entries[e];

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	now = GetCurrentTimestamp();
	if (entry->dboid == dboid && entry->state == PGW_ENTRY_STARTING)
	{
		pgw_entry_set_state(entry, PGW_ENTRY_DOWN);
		entry->next_start = TimestampTzPlusMilliseconds(now, REGISTER_RETRY_MS);
		now = entry->since; /* not later than the failure: callers are refused meanwhile */
	}
	pgw_shared->register_failed_at = now;
	LWLockRelease(pgw_lock);

	if (complained_at == 0 || TimestampDifferenceExceeds(complained_at, now, COMPLAIN_INTERVAL_MS))
	{
		complained_at = now;
		ereport(
			LOG,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("pgw: no background worker slot is free for database %u", dboid),
			 errhint(
				 "Increase max_worker_processes (now %d): one for the pgw launcher, one for each database that has pgw.",
				 max_worker_processes)));
	}
}

/* Start what is due. Returns how long to sleep at most until the next one is, in milliseconds. */
static long
start_due(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long sleep = SCAN_INTERVAL_MS;
	int starting = 0;

	LWLockAcquire(pgw_lock, LW_SHARED);
	for (int e = 0; e < PGW_MAX_DATABASES; e++)
		starting += pgw_shared->entries[e].state == PGW_ENTRY_STARTING;
	LWLockRelease(pgw_lock);

	for (int e = 0; e < PGW_MAX_DATABASES; e++)
	{
		PgwWorkerEntry *entry = &pgw_shared->entries[e];
		Oid dboid = InvalidOid;

		if (handles[e].handle != NULL)
			continue; /* the last one has not gone yet: we are told when it has */

		LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
		if (entry->state == PGW_ENTRY_DOWN && entry->holds == 0)
		{
			if (entry->next_start > now)
				sleep = Min(sleep, TimestampDifferenceMilliseconds(now, entry->next_start) + 1);
			else if (starting < MAX_STARTING)
			{
				dboid = entry->dboid;
				starting++;
				entry->check = false;
				entry->pid = 0;
				pgw_entry_set_state(entry, PGW_ENTRY_STARTING);
			}
		}
		LWLockRelease(pgw_lock);

		if (OidIsValid(dboid))
		{
			handles[e].dboid = dboid;
			handles[e].handle = pgw_register_worker(dboid, "pgw worker", "pgw_worker_main");
			if (handles[e].handle == NULL)
				could_not_start(e, dboid);
		}
	}
	return sleep;
}

/* ---------------------------------------------------------------- the process */

static void
launcher_at_exit(int code, Datum arg)
{
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	pgw_shared->launcher_procno = PGW_NO_PROC;
	pgw_shared->launcher_pid = 0;
	LWLockRelease(pgw_lock);
}

static bool
take_poke(void)
{
	bool poked;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	poked = pgw_shared->launcher_poked;
	pgw_shared->launcher_poked = false;
	LWLockRelease(pgw_lock);
	return poked;
}

void
pgw_launcher_main(Datum arg)
{
	TimestampTz scanned_at = 0;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	before_shmem_exit(launcher_at_exit, (Datum) 0);
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	pgw_shared->launcher_procno = pgw_my_procno();
	pgw_shared->launcher_pid = MyProcPid;
	LWLockRelease(pgw_lock);
	pgstat_report_activity(STATE_IDLE, NULL);

	for (;;)
	{
		bool forgot;
		long sleep;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		forgot = reap();
		if (take_poke() || forgot || scanned_at == 0 ||
			TimestampDifferenceExceeds(scanned_at, GetCurrentTimestamp(), SCAN_INTERVAL_MS))
		{
			scan_databases();
			scanned_at = GetCurrentTimestamp();
			LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
			pgw_shared->launcher_scanned = true;
			LWLockRelease(pgw_lock);
		}
		sleep = start_due();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, sleep,
						 PG_WAIT_EXTENSION);
	}
}

void
pgw_launcher_init(void)
{
	BackgroundWorker worker;

	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "pgw", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "pgw_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "pgw launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "pgw launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}
