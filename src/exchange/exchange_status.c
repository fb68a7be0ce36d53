/*
 * exchange_status.c - what the exchange tells people: pgw.health(), pgw.metrics, and why there is
 * no worker
 *
 * Owns nothing.  Locks: pgw_lock, shared, for each look.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/syncrep.h"
#include "storage/proc.h"
#include "utils/timestamp.h"

#include "exchange/exchange_shmem.h"
#include "exchange/exchange_status.h"

static const char *
paused_name(PgwPause paused)
{
	return paused == PGW_PAUSE_NONE       ? "running"
		   : paused == PGW_PAUSE_DRAINING ? "draining"
										  : "paused";
}

static const char *
state_name(const PgwWorkerEntry *entry)
{
	switch (entry->state)
	{
		case PGW_ENTRY_UNUSED:
			return "none";
		case PGW_ENTRY_DOWN:
			return entry->holds > 0 ? "stepping aside" : "down";
		case PGW_ENTRY_STARTING:
			return "starting";
		case PGW_ENTRY_RUNNING:
			return entry->holds > 0 ? "stepping aside" : paused_name(entry->paused);
		case PGW_ENTRY_NO_EXTENSION:
			return "no extension";
	}
	return "none";
}

/* With the lock held: the entry's process is there.  What it waits for is read as it is. */
static void
read_progress(PgwWorkerEntry *entry, PgwExchangeStatus *out)
{
	const PGPROC *proc;

	pgw_progress_read(&entry->progress, &out->progress);
	if (entry->state != PGW_ENTRY_RUNNING ||
		!TimestampDifferenceExceeds(Max(out->progress.turned_at, entry->since),
									GetCurrentTimestamp(), PGW_TURN_LATE_MS))
		return;
	proc = &ProcGlobal->allProcs[entry->procno];
	out->worker_late = true;
	out->waits_for = pgstat_get_wait_event(*(const volatile uint32 *) &proc->wait_event_info);
	out->waits_for_standby = proc->syncRepState == SYNC_REP_WAITING;
}

void
pgw_exchange_status(Oid dboid, PgwExchangeStatus *out)
{
	int e;

	memset(out, 0, sizeof(*out));
	out->worker_state = "none";
	out->preloaded = pgw_exchange_available();
	if (!out->preloaded)
		return;

	LWLockAcquire(pgw_lock, LW_SHARED);
	out->launcher_pid = pgw_shared->launcher_pid;
	out->launcher_looked = pgw_shared->launcher_scanned;
	out->slots_total = pgw_max_waiting;
	e = pgw_entry_find(dboid, false);
	if (e >= 0)
	{
		PgwWorkerEntry *entry = &pgw_shared->entries[e];

		out->worker_pid = (entry->state == PGW_ENTRY_RUNNING) ? entry->pid : 0;
		out->worker_state = state_name(entry);
		out->worker_since = entry->since;
		out->worker_failures = entry->failures;
		out->paused = entry->paused;
		read_progress(entry, out);
	}
	for (int i = 0; i < pgw_max_waiting; i++)
	{
		const PgwSlotHeader *header = &pgw_shared->slots[i];

		out->slots_used += header->state != PGW_SLOT_FREE;
		if (e >= 0 && header->entry == e)
		{
			out->slots_requested += header->state == PGW_SLOT_REQUESTED;
			out->slots_taken += header->state == PGW_SLOT_TAKEN;
		}
	}
	LWLockRelease(pgw_lock);
}

int
pgw_exchange_databases(Oid *out, int max)
{
	int n = 0;

	if (!pgw_exchange_available())
		return 0;
	LWLockAcquire(pgw_lock, LW_SHARED);
	for (int i = 0; i < PGW_MAX_DATABASES && n < max; i++)
	{
		if (pgw_shared->entries[i].state != PGW_ENTRY_UNUSED)
			out[n++] = pgw_shared->entries[i].dboid;
	}
	LWLockRelease(pgw_lock);
	return n;
}

/* ---------------------------------------------------------------- why there is no worker */

/* Lock held, or a copy. "in 12 s". */
static char *
when(const PgwWorkerEntry *entry)
{
	TimestampTz now = GetCurrentTimestamp();

	return entry->next_start <= now
			   ? pstrdup("now")
			   : psprintf("in %ld s",
						  TimestampDifferenceMilliseconds(now, entry->next_start) / 1000 + 1);
}

static char *
why_down(const PgwWorkerEntry *entry)
{
	const char *times = entry->failures > 1 ? psprintf(", %d times in a row", entry->failures) : "";

	switch (entry->end)
	{
		case PGW_WORKER_END_NONE:
			return pstrdup("No worker was started in this database yet: one is started now.");
		case PGW_WORKER_END_TERMINATED:
			return psprintf(
				"The worker was terminated by a signal (SIGTERM, pg_terminate_backend). It is started again %s.",
				when(entry));
		case PGW_WORKER_END_BY_ITSELF:
			return psprintf("The worker has stepped aside, and is started again %s.", when(entry));
		case PGW_WORKER_END_FAILED:
			break;
	}
	return psprintf(
		"The worker has ended with an error%s: see the server's log. It is started again %s; longer each time, until one has run for a minute.",
		times, when(entry));
}

char *
pgw_exchange_absence(Oid dboid)
{
	PgwWorkerEntry entry = {.state = PGW_ENTRY_UNUSED};
	bool launcher;
	TimestampTz refused_at;
	int e;

	if (!pgw_exchange_available())
		return pstrdup(
			"Add pgw to shared_preload_libraries in postgresql.conf and restart the server.");
	if (RecoveryInProgress())
		return pstrdup(
			"This server is a standby: ask its primary, where the worker is. One is started here when it is promoted.");
	LWLockAcquire(pgw_lock, LW_SHARED);
	launcher = pgw_shared->launcher_pid != 0;
	refused_at = pgw_shared->register_failed_at;
	e = pgw_entry_find(dboid, false);
	if (e >= 0)
		memcpy(&entry, &pgw_shared->entries[e], offsetof(PgwWorkerEntry, ring));
	LWLockRelease(pgw_lock);

	if (!launcher)
		return pstrdup(
			"The pgw launcher is not running: it is started again within seconds, or max_worker_processes left no room for it; see the server's log.");
	switch (entry.state)
	{
		case PGW_ENTRY_UNUSED:
			return psprintf(
				"pgw's launcher does not know this database: it looks every ten seconds, and has room for %d databases with pgw.",
				PGW_MAX_DATABASES);
		case PGW_ENTRY_NO_EXTENSION:
			return pstrdup(
				"A worker was here and found no extension: one is started when CREATE EXTENSION is committed.");
		case PGW_ENTRY_STARTING:
			return pstrdup("A worker is being started: try again.");
		case PGW_ENTRY_RUNNING:
			return pstrdup("A worker is running by now: try again.");
		case PGW_ENTRY_DOWN:
			break;
	}
	if (entry.holds > 0)
		return pstrdup(
			"DROP, ALTER or CREATE DATABASE wants the database empty; the worker comes back when that is over.");
	if (refused_at != 0 && entry.since <= refused_at)
		return psprintf(
			"No background worker slot is free: raise max_worker_processes (now %d; one for the pgw launcher, one for each database that has pgw) "
			"and restart the server.",
			max_worker_processes);
	return why_down(&entry);
}
