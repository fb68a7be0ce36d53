/*
 * worker_entries.c - one entry per database: its worker, and what others wish of it
 *
 * Owns: the state of the entries (diagram in worker_entries.h), and holds.  pgw_lock protects all
 * of it.  Who changes what: the launcher DOWN -> STARTING and back, and forgets entries; the worker
 * attaches and detaches itself; utility_hook.c counts holds and drops; any backend may create an
 * entry (DOWN), which asks the launcher to look.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/timestamp.h"

#include "exchange/exchange_shmem.h"
#include "exchange/slots_internal.h"
#include "exchange/worker_entries.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_LONGEST_MS 60000
#define HEALTHY_AFTER_MS 60000
#define SOON_MS 5000 /* a worker due within this long counts as running */
#define SLOTS_LACK_MS (60 * 1000)
#define FIRST_LOOK_MS \
	10000 /* so long after its start a server may not have found its databases yet */

static int attached = -1;                         /* worker: index of my entry */
static volatile sig_atomic_t told_to_end = false; /* ... it was sent SIGTERM */

void
pgw_entries_init(void)
{
	pgw_shared->created_at = GetCurrentTimestamp();
	pgw_shared->launcher_procno = PGW_NO_PROC;
	for (int i = 0; i < PGW_MAX_DATABASES; i++)
	{
		pgw_shared->entries[i].procno = PGW_NO_PROC;
		pgw_shared->entries[i].queue_head = pgw_shared->entries[i].queue_tail = PGW_NO_SLOT;
		ConditionVariableInit(&pgw_shared->entries[i].covered);
		pgw_progress_init(&pgw_shared->entries[i].progress);
		pgw_submit_pause_init(&pgw_shared->entries[i].submit_pause);
		pgw_event_fence_init(&pgw_shared->entries[i].event_fence);
	}
}

int
pgw_entry_worker(int entry)
{
	const PgwWorkerEntry *e = &pgw_shared->entries[entry];

	PGW_ASSERT_LOCKED();
	return e->state == PGW_ENTRY_RUNNING ? e->procno : PGW_NO_PROC;
}

void
pgw_wake_worker(int entry)
{
	pgw_wake_procno(pgw_entry_worker(entry));
}

void
pgw_wake_launcher(void)
{
	PGW_ASSERT_LOCKED_FOR_WRITING();
	pgw_shared->launcher_poked = true;
	pgw_wake_procno(pgw_shared->launcher_procno);
}

void
pgw_entry_set_state(PgwWorkerEntry *entry, PgwEntryState state)
{
	PGW_ASSERT_LOCKED_FOR_WRITING();
	entry->state = state;
	entry->since = GetCurrentTimestamp();
	if (state != PGW_ENTRY_RUNNING)
	{
		entry->procno = PGW_NO_PROC;
		pgw_ask_first_wipe((int) (entry - pgw_shared->entries));
	}
}

int
pgw_entry_find(Oid dboid, bool create)
{
	int unused = -1;

	PGW_ASSERT_LOCKED();
	for (int i = 0; i < PGW_MAX_DATABASES; i++)
	{
		if (pgw_shared->entries[i].dboid == dboid)
			return i;
		if (unused < 0 && pgw_shared->entries[i].dboid == InvalidOid)
			unused = i;
	}
	if (!create || unused < 0)
		return -1;

	PGW_ASSERT_LOCKED_FOR_WRITING();
	pgw_shared->nentries++;
	pgw_shared->entries[unused].dboid = dboid;
	pgw_progress_begin(&pgw_shared->entries[unused].progress);
	pgw_event_fence_init(&pgw_shared->entries[unused].event_fence);
	pgw_entry_set_state(&pgw_shared->entries[unused], PGW_ENTRY_DOWN);
	return unused;
}

/* An entry is its database's for as long as that has the extension. */
int
pgw_entry_mine(void)
{
	static int entry = -1;

	if (entry >= 0 && pgw_shared->entries[entry].dboid == MyDatabaseId)
		return entry;
	LWLockAcquire(pgw_lock, LW_SHARED);
	entry = pgw_entry_find(MyDatabaseId, false);
	LWLockRelease(pgw_lock);
	return entry;
}

bool
pgw_entry_forget(int entry)
{
	PgwWorkerEntry *e = &pgw_shared->entries[entry];

	PGW_ASSERT_LOCKED_FOR_WRITING();
	if (e->state == PGW_ENTRY_RUNNING || e->state == PGW_ENTRY_STARTING || e->slots > 0 ||
		e->holds > 0 || e->dropping > 0 || e->check)
		return false;
	if (e->dboid != InvalidOid)
		pgw_shared->nentries--;
	pgw_ask_first_wipe(entry);
	memset(e, 0, offsetof(PgwWorkerEntry, ring));
	e->procno = PGW_NO_PROC;
	e->queue_head = e->queue_tail = PGW_NO_SLOT;
	return true;
}

/*
 * A worker that stood aside comes back at once, one that somebody has terminated after 1 s, as that
 * is no failure of its own; others after 1 s, 2 s ... 60 s, from the start again after a minute of
 * health.
 */
static void
down(PgwWorkerEntry *entry, PgwWorkerEnd end)
{
	TimestampTz now = GetCurrentTimestamp();
	long delay = 0;

	PGW_ASSERT_LOCKED_FOR_WRITING();
	if (entry->holds == 0)
	{
		if (entry->state == PGW_ENTRY_RUNNING &&
			TimestampDifferenceExceeds(entry->since, now, HEALTHY_AFTER_MS))
			entry->failures = 0;
		if (end == PGW_WORKER_END_TERMINATED)
			delay = BACKOFF_FIRST_MS;
		else
		{
			delay = Min((long) BACKOFF_FIRST_MS << Min(entry->failures, 10), BACKOFF_LONGEST_MS);
			entry->failures++;
		}
	}
	entry->next_start = TimestampTzPlusMilliseconds(now, delay);
	entry->end = end;
	pgw_entry_set_state(entry, PGW_ENTRY_DOWN);
}

void
pgw_entry_died(PgwWorkerEntry *entry)
{
	down(entry, PGW_WORKER_END_FAILED);
}

/* ---------------------------------------------------------------- the worker's side */

int
pgw_entry_attached(void)
{
	return attached;
}

void
pgw_exchange_told_to_end(void)
{
	told_to_end = true;
}

static void
detach(int code, Datum arg)
{
	int left = attached;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	if (attached >= 0)
	{
		PgwWorkerEntry *entry = &pgw_shared->entries[attached];

		pgw_slots_release_taken(attached);
		if (entry->dropping > 0)
			pgw_slots_fail(attached, "extension_dropped", false);
		if (entry->state == PGW_ENTRY_RUNNING)
			down(entry, told_to_end ? PGW_WORKER_END_TERMINATED
						: code == 0 ? PGW_WORKER_END_BY_ITSELF
									: PGW_WORKER_END_FAILED);
		for (int i = 0; i < PGW_MAX_COVERS; i++)
			entry->covers[i].held = false; /* they go with the process */
		attached = -1;
	}
	pgw_wake_launcher();
	LWLockRelease(pgw_lock);
	if (left >= 0)
		ConditionVariableBroadcast(&pgw_shared->entries[left].covered);
}

bool
pgw_exchange_attach(void)
{
	int e;
	bool ok = false;

	if (!pgw_exchange_available())
		return false;
	before_shmem_exit(detach, (Datum) 0);

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	e = pgw_entry_find(MyDatabaseId, true);
	if (e >= 0 && pgw_shared->entries[e].state != PGW_ENTRY_RUNNING)
	{
		PgwWorkerEntry *entry = &pgw_shared->entries[e];

		entry->pid = MyProcPid;
		if (entry->holds > 0)
			down(entry, PGW_WORKER_END_BY_ITSELF);
		else
		{
			pgw_entry_set_state(entry, PGW_ENTRY_RUNNING);
			entry->procno = pgw_my_procno();
			entry->check = false;
			entry->ring_count = 0;
			entry->rescan = true; /* what was signalled before is for the scan to find */
			attached = e;
			ok = true;
		}
		/* one fewer is starting: the launcher may start the next one, and need not look for more */
		pgw_wake_procno(pgw_shared->launcher_procno);
	}
	LWLockRelease(pgw_lock);
	return ok;
}

void
pgw_exchange_mark_no_extension(void)
{
	int e;

	if (!pgw_exchange_available())
		return;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	e = pgw_entry_find(MyDatabaseId, false);
	if (e >= 0 && (attached == e || pgw_shared->entries[e].state != PGW_ENTRY_RUNNING))
	{
		PgwWorkerEntry *entry = &pgw_shared->entries[e];

		pgw_slots_fail(e, "extension_dropped", attached == e);
		entry->pid = MyProcPid;
		entry->failures = 0;
		entry->paused = PGW_PAUSE_NONE;
		pgw_entry_set_state(entry, PGW_ENTRY_NO_EXTENSION);
	}
	pgw_wake_launcher();
	LWLockRelease(pgw_lock);
}

void
pgw_exchange_set_paused(PgwPause pause)
{
	if (attached < 0)
		return;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	pgw_shared->entries[attached].paused = pause;
	if (pgw_pause_refuses(pause))
		pgw_slots_fail(attached, "worker_paused", false);
	if (pause != PGW_PAUSE_NONE && pause != PGW_PAUSE_DRAINING)
		pgw_ask_first_wipe(attached);
	LWLockRelease(pgw_lock);
}

PgwEntryWish
pgw_exchange_wish(void)
{
	PgwEntryWish wish = PGW_WISH_RUN;

	if (attached >= 0)
	{
		LWLockAcquire(pgw_lock, LW_SHARED);
		if (pgw_shared->entries[attached].holds > 0)
			wish = PGW_WISH_STEP_ASIDE;
		LWLockRelease(pgw_lock);
	}
	return wish;
}

bool
pgw_exchange_dropping(void)
{
	bool dropping = false;

	if (attached >= 0)
	{
		LWLockAcquire(pgw_lock, LW_SHARED);
		dropping = pgw_shared->entries[attached].dropping > 0;
		LWLockRelease(pgw_lock);
	}
	return dropping;
}

/* ---------------------------------------------------------------- the others' side */

bool
pgw_exchange_worker_running(Oid dboid)
{
	bool running = false;
	int e;

	if (!pgw_exchange_available())
		return false;
	LWLockAcquire(pgw_lock, LW_SHARED);
	e = pgw_entry_find(dboid, false);
	if (e >= 0)
	{
		const PgwWorkerEntry *entry = &pgw_shared->entries[e];
		TimestampTz soon = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), SOON_MS);

		/*
		 * DOWN counts only while there is a launcher to change it, and a background worker slot as
		 * far as we know
		 */
		running = entry->state == PGW_ENTRY_RUNNING || entry->state == PGW_ENTRY_STARTING ||
				  (entry->check && pgw_shared->launcher_procno != PGW_NO_PROC) ||
				  (entry->state == PGW_ENTRY_DOWN && pgw_shared->launcher_procno != PGW_NO_PROC &&
				   entry->since > pgw_shared->register_failed_at &&
				   (entry->holds > 0 || entry->next_start <= soon));
	}
	else if (!pgw_shared->launcher_scanned)
		running = !TimestampDifferenceExceeds(pgw_shared->created_at, GetCurrentTimestamp(),
											  FIRST_LOOK_MS);
	LWLockRelease(pgw_lock);
	return running;
}

bool
pgw_exchange_lacks_slots(void)
{
	TimestampTz failed_at;

	LWLockAcquire(pgw_lock, LW_SHARED);
	failed_at = pgw_shared->register_failed_at;
	LWLockRelease(pgw_lock);
	return failed_at != 0 &&
		   !TimestampDifferenceExceeds(failed_at, GetCurrentTimestamp(), SLOTS_LACK_MS);
}

PgwPause
pgw_exchange_paused(Oid dboid)
{
	PgwPause paused = PGW_PAUSE_NONE;
	int e;

	if (!pgw_exchange_available())
		return PGW_PAUSE_NONE;
	LWLockAcquire(pgw_lock, LW_SHARED);
	e = pgw_entry_find(dboid, false);
	if (e >= 0)
		paused = pgw_shared->entries[e].paused;
	LWLockRelease(pgw_lock);
	return paused;
}

/* ---------------------------------------------------------------- utility_hook.c's side */

/*
 * Without an entry there is no worker and, until the launcher looks again, none coming: nothing to
 * hold.  (A probe that happens to be there leaves by itself, and the server waits 5 s for it.)
 */
bool
pgw_entry_hold(Oid dboid)
{
	int e;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	e = pgw_entry_find(dboid, false);
	if (e >= 0)
	{
		pgw_shared->entries[e].holds++;
		pgw_wake_worker(e);
	}
	LWLockRelease(pgw_lock);
	return e >= 0;
}

void
pgw_entry_unhold(Oid dboid, bool gone)
{
	int e;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	e = pgw_entry_find(dboid, false);
	if (e >= 0 && pgw_shared->entries[e].holds > 0)
	{
		pgw_shared->entries[e].holds--;
		pgw_shared->entries[e].next_start = 0;
		if (gone)
			(void) pgw_entry_forget(e);
	}
	pgw_wake_launcher();
	LWLockRelease(pgw_lock);
}

bool
pgw_entry_empty(Oid dboid)
{
	int e;
	int pid = 0;
	bool empty = true;

	LWLockAcquire(pgw_lock, LW_SHARED);
	e = pgw_entry_find(dboid, false);
	if (e >= 0)
	{
		pid = pgw_shared->entries[e].pid;
		empty = pgw_shared->entries[e].state != PGW_ENTRY_RUNNING &&
				pgw_shared->entries[e].state != PGW_ENTRY_STARTING;
	}
	LWLockRelease(pgw_lock);
	return empty && (pid == 0 || BackendPidGetProc(pid) == NULL);
}

bool
pgw_entry_drop_begin(Oid dboid)
{
	int e;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	e = pgw_entry_find(dboid, false);
	if (e >= 0)
	{
		pgw_shared->entries[e].dropping++;
		pgw_slots_fail(e, "extension_dropped", false);
		pgw_wake_worker(e); /* for those that it has taken */
	}
	LWLockRelease(pgw_lock);
	return e >= 0;
}

void
pgw_entry_drop_end(Oid dboid)
{
	int e;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	e = pgw_entry_find(dboid, false);
	if (e >= 0 && pgw_shared->entries[e].dropping > 0)
	{
		pgw_shared->entries[e].dropping--;
		pgw_shared->entries[e].rescan = true;
		pgw_wake_worker(e);
	}
	LWLockRelease(pgw_lock);
}
