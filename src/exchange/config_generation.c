/*
 * config_generation.c - a number that grows with every change of the banks and connectors
 *
 * Owns: generation and changing in shared memory.  Both are atomic; pgw_lock is taken only to find
 * the worker that is to be woken.  And a lock that has no object, by which prepared transactions
 * are known that have changed the configuration.
 */
#include "postgres.h"

#include "catalog/pg_extension.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "exchange/config_generation.h"
#include "exchange/exchange_shmem.h"

uint64
pgw_exchange_generation(void)
{
	return pgw_exchange_available() ? pg_atomic_read_u64(&pgw_shared->generation) : 0;
}

void
pgw_exchange_begin_config_change(void)
{
	if (pgw_exchange_available())
		pg_atomic_fetch_add_u32(&pgw_shared->changing, 1);
}

void
pgw_exchange_end_config_change(void)
{
	if (pgw_exchange_available())
		pg_atomic_fetch_sub_u32(&pgw_shared->changing, 1);
}

bool
pgw_exchange_config_is_changing(void)
{
	return pgw_exchange_available() && pg_atomic_read_u32(&pgw_shared->changing) > 0;
}

static void
set_mark(LOCKTAG *tag)
{
	/* no extension has this oid */
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, ExtensionRelationId, InvalidOid, 1);
}

void
pgw_exchange_mark_prepared_change(void)
{
	LOCKTAG tag;

	set_mark(&tag);
	(void) LockAcquire(&tag, ShareLock, false, false);
}

bool
pgw_exchange_prepared_change(void)
{
	LOCKTAG tag;

	set_mark(&tag);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, ExclusiveLock, true);
	return false;
}

void
pgw_exchange_bump_generation(void)
{
	int e;

	if (!pgw_exchange_available())
		return;
	pg_atomic_fetch_add_u64(&pgw_shared->generation, 1);
	LWLockAcquire(pgw_lock, LW_SHARED);
	e = pgw_entry_find(MyDatabaseId, false);
	if (e >= 0)
		pgw_wake_worker(e);
	LWLockRelease(pgw_lock);
}
