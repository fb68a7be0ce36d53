/*
 * lock_refusals.c - what pgw.health() is told of locks on pgw's tables: which lock the worker could
 * not have, and what it holds for callers
 *
 * Owns: the times of refusals and of reached limits in the database's entry (protected by
 * pgw_lock).
 */
#include "postgres.h"

#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "database/lock_refusals.h"
#include "database/table_locks_internal.h"
#include "exchange/exchange_shmem.h"

#define REFUSAL_RECENT_MS 5000 /* so long after the last refusal the worker counts as refused */
#define LIMIT_RECENT_MS (10 * 60 * 1000)

void
pgw_tables_note_refusal(Oid relid)
{
	PgwWorkerEntry *entry;
	TimestampTz now = GetCurrentTimestamp();

	if (!pgw_waits_for_no_lock || !pgw_exchange_available())
		return;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	entry = pgw_lock_entry();
	if (entry != NULL)
	{
		if (entry->refused_at == 0 ||
			TimestampDifferenceExceeds(entry->refused_at, now, REFUSAL_RECENT_MS))
		{
			entry->refused_since = now;
			entry->refused_table = InvalidOid;
		}
		entry->refused_at = now;
		if (OidIsValid(relid))
			entry->refused_table = relid;
	}
	LWLockRelease(pgw_lock);
}

void
pgw_tables_refusal_is_over(void)
{
	PgwWorkerEntry *entry;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	entry = pgw_lock_entry();
	if (entry != NULL)
	{
		entry->refused_at = entry->refused_since = 0;
		entry->refused_table = InvalidOid;
	}
	LWLockRelease(pgw_lock);
}

void
pgw_tables_note_kept_out(Oid relid)
{
	PgwWorkerEntry *entry;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	entry = pgw_lock_entry();
	if (entry != NULL && !OidIsValid(relid))
		entry->kept_out_since = 0;
	else if (entry != NULL)
	{
		if (entry->kept_out_since == 0)
			entry->kept_out_since = GetCurrentTimestamp();
		entry->kept_out_of = relid;
	}
	LWLockRelease(pgw_lock);
}

void
pgw_tables_note_limit(void)
{
	PgwWorkerEntry *entry;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	entry = pgw_lock_entry();
	if (entry != NULL)
		entry->limited_at = GetCurrentTimestamp();
	LWLockRelease(pgw_lock);
}

void
pgw_tables_status(PgwTablesStatus *out)
{
	PgwWorkerEntry *entry;
	TimestampTz now = GetCurrentTimestamp();

	memset(out, 0, sizeof(*out));
	if (!pgw_exchange_available())
		return;
	LWLockAcquire(pgw_lock, LW_SHARED);
	entry = pgw_lock_entry();
	for (int i = 0; entry != NULL && i < PGW_MAX_COVERS; i++)
	{
		out->covered += entry->covers[i].held;
		out->callers = Max(out->callers, entry->covers[i].callers);
	}
	if (entry != NULL && entry->refused_at != 0 &&
		!TimestampDifferenceExceeds(entry->refused_at, now, REFUSAL_RECENT_MS))
	{
		out->refused_table = entry->refused_table;
		out->refused_since = entry->refused_since;
	}
	if (entry != NULL && entry->kept_out_since != 0)
	{
		out->kept_out_of = entry->kept_out_of;
		out->kept_out_since = entry->kept_out_since;
	}
	if (entry != NULL && entry->limited_at != 0 &&
		!TimestampDifferenceExceeds(entry->limited_at, now, LIMIT_RECENT_MS))
		out->limited_at = entry->limited_at;
	LWLockRelease(pgw_lock);
}
