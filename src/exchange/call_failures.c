/*
 * call_failures.c - calls of clients that fail one after the other, for whatever reason, as long as
 * it is not theirs
 *
 * What keeps callers from writing (a publication, somebody's rule or constraint, a read-only
 * default, a privilege that was taken away) ends in their own backends, and the worker sees nothing
 * of it.  So they leave it here.
 *
 * Owns: PgwCallFailures in the database's entry (protected by pgw_lock), and PgwShared.failing, by
 * which a call that succeeds learns whether there is anything to forget.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "exchange/call_failures.h"
#include "exchange/exchange_shmem.h"

static PgwCallFailures *
mine(void)
{
	int e;

	PGW_ASSERT_LOCKED();
	e = pgw_entry_find(MyDatabaseId, false);
	return e < 0 ? NULL : &pgw_shared->entries[e].call_failures;
}

void
pgw_call_failed(int sqlstate)
{
	PgwCallFailures *f;

	if (pgw_shared == NULL)
		return;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	f = mine();
	if (f != NULL)
	{
		f->last = GetCurrentTimestamp();
		if (f->n == 0)
			f->since = f->last;
		f->n++;
		f->sqlstate = sqlstate;
		pg_atomic_write_u32(&pgw_shared->failing, 1);
	}
	LWLockRelease(pgw_lock);
}

void
pgw_call_succeeded(void)
{
	PgwCallFailures *f;
	bool others = false;

	if (pgw_shared == NULL || pg_atomic_read_u32(&pgw_shared->failing) == 0)
		return;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	f = mine();
	if (f != NULL)
		memset(f, 0, sizeof(*f));
	for (int i = 0; i < PGW_MAX_DATABASES; i++)
		others |= pgw_shared->entries[i].call_failures.n > 0;
	pg_atomic_write_u32(&pgw_shared->failing, others);
	LWLockRelease(pgw_lock);
}

void
pgw_call_failures(PgwCallFailures *out)
{
	const PgwCallFailures *f;

	memset(out, 0, sizeof(*out));
	if (pgw_shared == NULL)
		return;
	LWLockAcquire(pgw_lock, LW_SHARED);
	f = mine();
	if (f != NULL)
		*out = *f;
	LWLockRelease(pgw_lock);
}
