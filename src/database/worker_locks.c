/*
 * worker_locks.c - the locks that the worker holds for callers who wait for it
 *
 * The third and the fifth rule of table_locks.c, which says why.
 *
 * Owns: this session's locks, and PgwCover.held (protected by pgw_lock).
 * Locks: RowExclusiveLock on tables and their indexes for the session, never waited for.
 * Invariant: held is set after the session's locks were acquired, and cleared, with callers = 0
 * under pgw_lock, before they are released.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "database/batch.h"
#include "database/lock_refusals.h"
#include "database/relation_changes.h"
#include "database/table_locks_internal.h"
#include "database/worker_locks.h"
#include "exchange/exchange_shmem.h"

#define LINGER_MS 20

/* What this session holds for covers[i]; tables[0] is its relid. */
static PgwLockSet session[PGW_MAX_COVERS];

static void
table_changed(Oid relid)
{
	for (int i = 0; i < PGW_MAX_COVERS; i++)
		session[i].changed |= relid == InvalidOid || relid == session[i].tables[0];
}

static void unlock_for_session(PgwLockSet *set);

/*
 * The server releases a session's locks when a transaction is aborted, and an idle process has
 * none: what is on the fast path goes with it, what is not would stay with its PGPROC, and the next
 * worker that has that one would find "already held".
 */
static void
unlock_at_exit(int code, Datum arg)
{
	for (int i = 0; i < PGW_MAX_COVERS; i++)
		unlock_for_session(&session[i]);
}

void
pgw_tables_never_wait(void)
{
	pgw_waits_for_no_lock = true;
	before_shmem_exit(unlock_at_exit, (Datum) 0);
	pgw_tell_of_relation_changes(table_changed);
}

/*
 * Indexes that are gone for others: DROP INDEX CONCURRENTLY and REINDEX CONCURRENTLY wait for the
 * last lock on them, while callers who come in the meantime no more know of them, so that the cover
 * may never end.
 */
static void
let_go_of_dropped(PgwLockSet *set)
{
	Relation rel = RelationIdGetRelation(set->tables[0]);
	List *indexes = RelationIsValid(rel) ? RelationGetIndexList(rel) : NIL;
	int kept = 1;

	if (RelationIsValid(rel))
		RelationClose(rel);
	for (int i = 1; i < set->n; i++)
	{
		LOCKTAG tag;

		SET_LOCKTAG_RELATION(tag, MyDatabaseId, set->locks[i]);
		if (list_member_oid(indexes, set->locks[i]))
			set->locks[kept++] = set->locks[i];
		else
			(void) LockRelease(&tag, PGW_WRITE_LOCK, true);
	}
	set->n = kept;
	set->changed = false;
}

static void
look_for_dropped(void *arg)
{
	for (int i = 0; i < PGW_MAX_COVERS; i++)
	{
		if (session[i].changed && session[i].n > 0)
			let_go_of_dropped(&session[i]);
	}
}

static bool
any_changed(void)
{
	for (int i = 0; i < PGW_MAX_COVERS; i++)
	{
		if (session[i].changed && session[i].n > 0)
			return true;
	}
	return false;
}

static void
lock_for_session(PgwLockSet *set)
{
	for (int i = 0; i < set->n; i++)
	{
		LOCKTAG tag;

		/* At once: this transaction has it. */
		SET_LOCKTAG_RELATION(tag, MyDatabaseId, set->locks[i]);
		Assert(pgw_lock_held_by_me(&tag, PGW_WRITE_LOCK));
		(void) LockAcquire(&tag, PGW_WRITE_LOCK, true, true);
	}
}

static void
unlock_for_session(PgwLockSet *set)
{
	while (set->n > 0)
	{
		LOCKTAG tag;

		SET_LOCKTAG_RELATION(tag, MyDatabaseId, set->locks[--set->n]);
		(void) LockRelease(&tag, PGW_WRITE_LOCK, true);
	}
	set->ntables = 0;
}

static bool
mine(const PgwWorkerEntry *entry)
{
	return entry != NULL && entry->state == PGW_ENTRY_RUNNING && entry->pid == MyProcPid;
}

typedef struct Wanted
{
	int n;
	int covers[PGW_MAX_COVERS];
	Oid relids[PGW_MAX_COVERS];
	bool got[PGW_MAX_COVERS];
} Wanted;

/* Which are to be had, and which to be let go of: those are no cover any more from here on. */
static void
look_at_covers(Wanted *wanted, Wanted *over)
{
	TimestampTz now = GetCurrentTimestamp();
	PgwWorkerEntry *entry;

	wanted->n = over->n = 0;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	entry = pgw_lock_entry();
	for (int i = 0; mine(entry) && i < PGW_MAX_COVERS; i++)
	{
		PgwCover *c = &entry->covers[i];
		Wanted *list = NULL;

		if (c->callers > 0 && !c->held)
			list = wanted;
		else if (c->callers == 0 && c->held &&
				 now >= TimestampTzPlusMilliseconds(c->idle_since, LINGER_MS))
		{
			c->held = false;
			list = over;
		}
		if (list == NULL)
			continue;
		list->covers[list->n] = i;
		list->relids[list->n] = c->relid;
		list->got[list->n++] = false;
	}
	LWLockRelease(pgw_lock);
}

static void
acquire(void *arg)
{
	Wanted *w = arg;

	for (int i = 0; i < w->n; i++)
	{
		PgwLockSet *set = &session[w->covers[i]];
		Oid busy;

		w->got[i] = false; /* a transaction may be run twice */
		memset(set, 0, offsetof(PgwLockSet, locks));
		/* the worker has nothing before that it could wait for */
		busy = pgw_lock_set_try_table(set, w->relids[i], 0);
		if (OidIsValid(busy))
		{
			pgw_lock_set_unlock(set);
			pgw_tables_note_refusal(busy);
			continue;
		}
		set->tables[set->ntables++] = w->relids[i];
		lock_for_session(set);
		w->got[i] = true;
	}
}

void
pgw_tables_turn(void)
{
	Wanted wanted;
	Wanted over;
	PgwWorkerEntry *entry;

	Assert(pgw_waits_for_no_lock && !IsTransactionState());
	if (any_changed())
		(void) pgw_batch_transaction(look_for_dropped, NULL, false, NULL);
	look_at_covers(&wanted, &over);
	for (int i = 0; i < over.n; i++)
		unlock_for_session(&session[over.covers[i]]);
	if (wanted.n == 0)
		return;

	if (pgw_batch_transaction(acquire, &wanted, false, NULL) != PGW_BATCH_DONE)
		memset(wanted.got, 0, sizeof(wanted.got));
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	entry = pgw_lock_entry();
	for (int i = 0; mine(entry) && i < wanted.n; i++)
	{
		PgwCover *c = &entry->covers[wanted.covers[i]];

		/*
		 * it may be another table's by now: its callers have left, and others have taken the place
		 */
		if (wanted.got[i] && c->relid == wanted.relids[i])
		{
			c->held = true;
			if (c->callers == 0)
				c->idle_since = GetCurrentTimestamp();
		}
		else
		{
			entry->cover_refusals++;
			wanted.got[i] = false;
		}
	}
	LWLockRelease(pgw_lock);
	for (int i = 0; i < wanted.n; i++)
	{
		if (!wanted.got[i])
			unlock_for_session(&session[wanted.covers[i]]);
	}
	if (entry != NULL)
		ConditionVariableBroadcast(&entry->covered);
}

long
pgw_tables_timeout_ms(void)
{
	PgwWorkerEntry *entry;
	long ms = -1;

	LWLockAcquire(pgw_lock, LW_SHARED);
	entry = pgw_lock_entry();
	for (int i = 0; mine(entry) && i < PGW_MAX_COVERS; i++)
	{
		PgwCover *c = &entry->covers[i];

		if (c->held && c->callers == 0)
			ms = LINGER_MS;
		else if (c->callers > 0 && !c->held && ms < 0)
			/* callers who came while there was no worker: theirs are waited for */
			ms = PGW_LOCK_POLL_MS;
	}
	LWLockRelease(pgw_lock);
	return ms;
}

/* Nothing is covered any more. */
static void
forget_covers(void)
{
	PgwWorkerEntry *entry;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	entry = pgw_lock_entry();
	for (int i = 0; mine(entry) && i < PGW_MAX_COVERS; i++)
		entry->covers[i].held = false;
	LWLockRelease(pgw_lock);
}

void
pgw_tables_let_go(void)
{
	forget_covers();
	for (int i = 0; i < PGW_MAX_COVERS; i++)
		unlock_for_session(&session[i]);
}

/*
 * What an abort has not taken, because there was no transaction any more to be aborted, is given up
 * here: else nobody would ever.
 */
static void
unlock_what_is_left(PgwLockSet *set)
{
	while (set->n > 0)
	{
		LOCKTAG tag;

		SET_LOCKTAG_RELATION(tag, MyDatabaseId, set->locks[--set->n]);
		if (pgw_lock_held_by_me(&tag, PGW_WRITE_LOCK))
			(void) LockRelease(&tag, PGW_WRITE_LOCK, true);
	}
	set->ntables = 0;
}

void
pgw_tables_lost(void)
{
	Assert(!IsTransactionState());
	if (pgw_exchange_available())
		forget_covers();
	for (int i = 0; i < PGW_MAX_COVERS; i++)
		unlock_what_is_left(&session[i]);
}
