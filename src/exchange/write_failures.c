/*
 * write_failures.c - writes that fail one after the other, for whatever reason, as long as it is
 * not the caller's
 *
 * What keeps pgw from writing (a publication, somebody's rule, trigger or constraint, a read-only
 * default, a privilege that was taken away, a full disk) ends in callers' backends, of which the
 * worker sees nothing, or in the worker, of which callers see nothing.  So both leave it here.
 *
 * Owns: PgwWriteFailures in the database's entry (protected by pgw_lock), and PgwShared.failing, by
 * which a write that succeeds learns whether there is anything to forget.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "exchange/exchange_shmem.h"
#include "exchange/write_failures.h"

static PgwWriteFailures *
mine(void)
{
	int e;

	PGW_ASSERT_LOCKED();
	e = pgw_entry_find(MyDatabaseId, false);
	return e < 0 ? NULL : pgw_shared->entries[e].write_failures;
}

static void
set_failing(PgwWriteKind kind, bool failing)
{
	uint32 bit = (uint32) 1 << kind;
	uint32 before = pg_atomic_read_u32(&pgw_shared->failing);

	PGW_ASSERT_LOCKED_FOR_WRITING();
	pg_atomic_write_u32(&pgw_shared->failing, failing ? before | bit : before & ~bit);
}

void
pgw_write_failed(PgwWriteKind kind, int sqlstate)
{
	PgwWriteFailures *f;

	if (pgw_shared == NULL)
		return;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	f = mine();
	if (f != NULL)
	{
		f += kind;
		f->last = GetCurrentTimestamp();
		if (f->n == 0)
			f->since = f->last;
		f->n++;
		f->sqlstate = sqlstate;
		set_failing(kind, true);
	}
	LWLockRelease(pgw_lock);
}

void
pgw_write_succeeded(PgwWriteKind kind)
{
	PgwWriteFailures *f;
	bool others = false;

	if (pgw_shared == NULL ||
		(pg_atomic_read_u32(&pgw_shared->failing) & ((uint32) 1 << kind)) == 0)
		return;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	f = mine();
	if (f != NULL)
		memset(&f[kind], 0, sizeof(f[kind]));
	for (int i = 0; i < PGW_MAX_DATABASES; i++)
		others |= pgw_shared->entries[i].write_failures[kind].n > 0;
	set_failing(kind, others);
	LWLockRelease(pgw_lock);
}

void
pgw_write_failures(PgwWriteFailures out[PGW_WRITE_KINDS])
{
	const PgwWriteFailures *f;

	memset(out, 0, sizeof(*out) * PGW_WRITE_KINDS);
	if (pgw_shared == NULL)
		return;
	LWLockAcquire(pgw_lock, LW_SHARED);
	f = mine();
	if (f != NULL)
		memcpy(out, f, sizeof(*out) * PGW_WRITE_KINDS);
	LWLockRelease(pgw_lock);
}
