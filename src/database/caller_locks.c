/*
 * caller_locks.c - a caller who will wait for the worker: counted on the tables, and covered by it
 *
 * The second and the fourth rule of table_locks.c, which says why.
 *
 * Owns: this transaction's counts, and PgwCover.callers (protected by pgw_lock).
 * Locks: pgw_lock for moments.  It waits, by a condition variable that can be interrupted, for the
 * worker's yes or no, no longer than COVER_WAIT_MS.
 * Invariant: a transaction that is counted on a table holds its lock; so the count ends with the
 * subtransaction whose rollback gives the lock up.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "database/caller_locks.h"
#include "database/table_locks.h"
#include "database/table_locks_internal.h"
#include "exchange/exchange_shmem.h"

#define PATIENCE_MS 2000 /* of a caller who cannot step back */
#define COVER_WAIT_MS 1000

typedef struct Count
{
	Oid relid;
	SubTransactionId subid; /* its rollback gives the lock up */
} Count;

static Count counts[PGW_MAX_COVERS];
static int ncounts = 0;

static PgwCover *
find_cover(PgwWorkerEntry *entry, Oid relid)
{
	for (int i = 0; i < PGW_MAX_COVERS; i++)
	{
		if (entry->covers[i].relid == relid)
			return &entry->covers[i];
	}
	return NULL;
}

/* pgw_lock held.  NULL: no room (so many months at once); such a table goes without. */
static PgwCover *
need_cover(PgwWorkerEntry *entry, Oid relid)
{
	PgwCover *c = find_cover(entry, relid);

	Assert(LWLockHeldByMeInMode(pgw_lock, LW_EXCLUSIVE));
	for (int i = 0; i < PGW_MAX_COVERS && c == NULL; i++)
	{
		if (entry->covers[i].callers == 0 && !entry->covers[i].held)
		{
			c = &entry->covers[i];
			c->relid = relid;
		}
	}
	return c;
}

/*
 * Give up the counts from this one on, if they are of the subtransaction or of those in it;
 * InvalidSubTransactionId: of any.
 */
static void
leave(int first, SubTransactionId subid)
{
	PgwWorkerEntry *entry;
	bool idle = false;
	int kept = 0;

	if (ncounts <= first)
		return;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	entry = pgw_lock_entry();
	for (int i = 0; i < ncounts; i++)
	{
		PgwCover *c = entry != NULL ? find_cover(entry, counts[i].relid) : NULL;

		if (i < first || counts[i].subid < subid)
		{
			counts[kept++] = counts[i];
			continue;
		}
		if (c == NULL)
			continue; /* its database was dropped */
		Assert(c->callers > 0);
		if (--c->callers == 0)
		{
			c->idle_since = GetCurrentTimestamp();
			idle |= c->held;
		}
	}
	ncounts = kept;
	if (idle)
		pgw_wake_worker((int) (entry - pgw_shared->entries));
	LWLockRelease(pgw_lock);
}

static void
leave_at_xact_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_ABORT:
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE: /* the locks stay, but nobody waits for the worker any more */
			leave(0, InvalidSubTransactionId);
			break;
		default:
			break;
	}
}

static void
leave_at_subxact_end(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid,
					 void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		leave(0, mySubid);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = 0; i < ncounts; i++)
		{
			if (counts[i].subid == mySubid)
				counts[i].subid = parentSubid;
		}
	}
}

static void
leave_at_exit(int code, Datum arg)
{
	leave(0, InvalidSubTransactionId);
}

static void
watch_transactions(void)
{
	static bool registered = false;

	if (registered)
		return;
	before_shmem_exit(leave_at_exit, (Datum) 0);
	RegisterXactCallback(leave_at_xact_end, NULL);
	RegisterSubXactCallback(leave_at_subxact_end, NULL);
	registered = true;
}

static bool
is_counted(Oid relid)
{
	for (int i = 0; i < ncounts; i++)
	{
		if (counts[i].relid == relid)
			return true;
	}
	return false;
}

typedef enum Cover
{
	COVERED,
	NOT_YET,
	REFUSED,
	NO_WORKER
} Cover;

/* pgw_lock held. */
static Cover
look(const PgwLockSet *set, const PgwWorkerEntry *entry, uint64 refusals)
{
	Assert(LWLockHeldByMe(pgw_lock));
	/*
	 * none is there to wait for: the slot says what comes of that; the next one begins with these
	 * locks
	 */
	if (entry->state != PGW_ENTRY_RUNNING || entry->holds > 0 || entry->dropping > 0)
		return NO_WORKER;
	for (int i = 0; i < set->ntables; i++)
	{
		const PgwCover *c = find_cover(unconstify(PgwWorkerEntry *, entry), set->tables[i]);

		if (c != NULL && c->callers > 0 && !c->held)
			return entry->cover_refusals != refusals ? REFUSED : NOT_YET;
	}
	return COVERED;
}

/* Count this transaction on the tables, and look whether the worker has them already. */
static Cover
ask(const PgwLockSet *set, uint64 *refusals)
{
	Cover cover = NO_WORKER;
	PgwWorkerEntry *entry;

	for (int i = 0; i < set->ntables; i++)
		Assert(set->n == PGW_MAX_LOCKS || pgw_lock_is_held(set->tables[i], PGW_WRITE_LOCK));
	watch_transactions();
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	entry = pgw_lock_entry();
	if (entry != NULL)
	{
		for (int i = 0; i < set->ntables; i++)
		{
			PgwCover *c = is_counted(set->tables[i]) || ncounts == PGW_MAX_COVERS
							  ? NULL
							  : need_cover(entry, set->tables[i]);

			if (c == NULL)
				continue;
			c->callers++;
			counts[ncounts++] = (Count){set->tables[i], GetCurrentSubTransactionId()};
		}
		*refusals = entry->cover_refusals;
		cover = look(set, entry, *refusals);
		if (cover == NOT_YET)
			pgw_wake_worker((int) (entry - pgw_shared->entries));
	}
	LWLockRelease(pgw_lock);
	return cover;
}

/*
 * The worker says yes or no at its next turn.  One that says nothing for long (stopped, or waiting
 * for its disk) is not waited for here: a replay needs none, and the others wait in a slot, where
 * their time-out takes the request back.
 */
static Cover
wait_for_cover(const PgwLockSet *set, uint64 refusals, TimestampTz deadline)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), COVER_WAIT_MS);
	PgwWorkerEntry *entry;
	Cover cover;

	if (deadline != 0 && deadline < until)
		until = deadline;
	LWLockAcquire(pgw_lock, LW_SHARED);
	entry = pgw_lock_entry();
	LWLockRelease(pgw_lock);
	if (entry == NULL)
		return NO_WORKER;
	for (;;)
	{
		LWLockAcquire(pgw_lock, LW_SHARED);
		cover = look(set, entry, refusals);
		LWLockRelease(pgw_lock);
		if (cover != NOT_YET || GetCurrentTimestamp() >= until)
			break;
		(void) ConditionVariableTimedSleep(&entry->covered, 100, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return cover;
}

/* Does this transaction have one of the locks from before, so that it cannot step back? */
static bool
still_holds(const PgwLockSet *set)
{
	for (int i = 0; i < set->ntables; i++)
	{
		if (pgw_lock_is_held(set->tables[i], AccessShareLock))
			return true;
	}
	return false;
}

static void
pause_a_moment(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, PGW_LOCK_POLL_MS,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

void
pgw_tables_enter(TimestampTz deadline)
{
	TimestampTz patience = 0;

	Assert(IsTransactionState());
	if (!pgw_exchange_available() || PGW_MUTATED(CALLER_LOCKS))
		return;
	for (;;)
	{
		PgwLockSet set;
		int counted = ncounts;
		uint64 refusals = 0;
		Cover cover;

		pgw_lock_set_all(&set, false, deadline);
		PGW_DEBUG_POINT("tables_locked");
		cover = ask(&set, &refusals);
		if (cover == NOT_YET)
			cover = wait_for_cover(&set, refusals, deadline);
		if (cover != REFUSED)
			return;

		/*
		 * DDL is in between: step back, so that it can go first.  Only from what this call has
		 * taken; the count goes before the lock.
		 */
		leave(counted, InvalidSubTransactionId);
		pgw_lock_set_unlock(&set);
		if (!still_holds(&set))
			continue;
		if (patience == 0)
			patience = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PATIENCE_MS);
		if (GetCurrentTimestamp() >= patience ||
			(deadline != 0 && GetCurrentTimestamp() >= deadline))
			pgw_table_raise_busy(
				"a table of pgw that this transaction has used before is wanted by a DDL statement");
		pause_a_moment();
	}
}
