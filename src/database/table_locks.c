/*
 * table_locks.c - locks on pgw's tables: how payments go on while somebody's DDL waits for them,
 * and how DDL gets in
 *
 * Three parties lock the same tables: a caller, whose locks stay until his transaction ends; the
 * worker, which writes for him meanwhile; and DDL (ALTER TABLE, VACUUM FULL, LOCK, CREATE INDEX
 * ...), which waits for the first two and makes all who come later wait behind it.  The caller
 * waits for the worker by a latch, which the deadlock detector cannot see: a worker that queued
 * behind the DDL would close a cycle, and stop every payment.  So:
 *
 *     1. A caller takes every lock that his call needs before he enters a slot: payments,
 *        payment_transactions, transaction_events and the month's
 *        partition, each with its indexes, in this order.  While he waits for one of them he holds
 *        none (but what his transaction had
 *        before), so DDL that takes them in another order cannot deadlock with him.
 *     2. Then he is counted on these tables (PgwCover.callers), and stays so until his
 *        (sub)transaction ends.
 *     3. While somebody is counted on a table the worker holds the same locks for its session,
 *        acquired without waiting (PgwCover.held).  What it holds
 *        it can lock again in each of its transactions, whoever queues.
 *     4. A caller who is counted but not covered waits for the worker to say that it holds the
 *        locks, or that it cannot get them, because DDL
 *        has come in between.  Then he lets go of his own, waits behind the DDL, and begins anew.
 *     5. When nobody is counted any more the worker lets go, LINGER_MS later, so that callers
 *        who come one after the other need not ask each time.
 *     6. All other locks of the worker are taken without waiting; what cannot be had raises
 *        55P03, and the work is done at a later turn.
 *
 * Thus DDL gets in after the calls in flight have ended, and no caller fails because of it.
 *
 * Owns: PgwCover in the database's entry (protected by pgw_lock), this transaction's counts, the
 * worker's session locks.
 *
 * Invariants
 *     - A transaction that is counted on a table holds its lock: so the worker's lock makes
 *       nobody wait longer than the caller's does.  Hence the count ends with the subtransaction
 *       whose rollback gives the lock up.
 *     - held is set after the session's locks were acquired, and cleared, with callers = 0 under
 *       pgw_lock, before they are released.
 *     - Nobody asks LockHasWaiters(): for a lock on the fast path it follows a pointer that is
 *       not there.
 *
 * No caller waits in here beyond his call's deadline: then it is PW500 worker_busy, nothing is
 * sent.  Who has one of the tables locked from before, with a SELECT, does not wait for it behind
 * DDL that waits for him; for DDL that has it he waits like all others, with nothing but that in
 * his hands.
 *
 * What is left: a caller whose worker said nothing for COVER_WAIT_MS goes on uncovered; and a
 * transaction that had locked one of the tables otherwise before its first payment (a SELECT of an
 * auditor's), while DDL queued in between, with no other caller there.  Nobody can step back then:
 * the caller gets PW500 worker_busy after PATIENCE_MS.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/debug_points.h"
#include "core/base/error_codes.h"
#include "core/base/mutant.h"
#include "database/batch.h"
#include "database/event_partitions.h"
#include "database/relations.h"
#include "database/table_locks.h"
#include "exchange/exchange.h"
#include "exchange/exchange_shmem.h"

#define MODE RowExclusiveLock
#define TABLES 4      /* of one call */
#define MAX_LOCKS 128 /* tables and indexes of one call, or of one table in the worker */
#define LINGER_MS 20
#define PATIENCE_MS 2000 /* of a caller who cannot step back */
#define POLL_MS 10
#define COVER_WAIT_MS 1000
#define REFUSAL_RECENT_MS 5000 /* so long after the last refusal the worker counts as refused */
#define LIMIT_RECENT_MS (10 * 60 * 1000)

/* ---------------------------------------------------------------- a set of locks */

typedef struct LockSet
{
	int ntables;
	Oid tables[TABLES];
	int n;
	bool changed;         /* the worker's: the table's description has changed since */
	Oid locks[MAX_LOCKS]; /* what this process has acquired, in order */
} LockSet;

/* By name and by bounds, without locks: looked at again under them. */
static void
find_tables(LockSet *set)
{
	memset(set, 0, offsetof(LockSet, locks));
	set->tables[set->ntables++] = pgw_relation("payments");
	set->tables[set->ntables++] = pgw_relation("payment_transactions");
	set->tables[set->ntables++] = pgw_relation("transaction_events");
	set->tables[set->ntables++] = pgw_event_partition_now();
}

/* Does this process have a lock on it, at least as strong? */
static bool
holds(Oid relid, LOCKMODE weakest)
{
	LOCKTAG tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	for (LOCKMODE mode = weakest; mode <= AccessExclusiveLock; mode++)
	{
		if (pgw_lock_held_by_me(&tag, mode))
			return true;
	}
	return false;
}

static void
raise_busy(const char *reason)
{
	ereport(
		ERROR,
		(errcode(MAKE_SQLSTATE('P', 'W', '5', '0', '0')),
		 errmsg("%s", pgw_error_find("worker_busy")->message),
		 errdetail_internal("{\"code\": \"worker_busy\", \"reason\": \"%s\"}", reason),
		 errhint(
			 "Nothing was sent; the call can be repeated. See who holds or awaits locks on pgw's tables in pg_locks."),
		 errhidestmt(true), errhidecontext(true)));
}

/*
 * Acquired, or PW500 worker_busy when the deadline comes first (0: none).  lock_timeout is read
 * when the wait begins; this one may only shorten it.
 */
static void
lock_until(Oid relid, LOCKMODE mode, TimestampTz deadline)
{
	int saved = LockTimeout;
	int64 left =
		deadline == 0 ? INT_MAX : TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
	bool ours = left < INT_MAX && (saved <= 0 || left < saved) && !PGW_MUTATED(LOCK_DEADLINE);
	MemoryContext context = CurrentMemoryContext;

	if (left <= 0)
		raise_busy("a table of pgw is locked");
	PG_TRY();
	{
		if (ours)
			LockTimeout = (int) left;
		LockRelationOid(relid, mode);
	}
	PG_CATCH();
	{
		LockTimeout = saved;
		if (ours && geterrcode() == ERRCODE_LOCK_NOT_AVAILABLE)
		{
			MemoryContextSwitchTo(context);
			FlushErrorState();
			raise_busy("a table of pgw is locked");
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	LockTimeout = saved;
}

/*
 * Does somebody else have a lock that this one has to wait for?  Those who only queue do not count.
 */
static bool
is_held_against(Oid relid, LOCKMODE mode)
{
	LOCKTAG tag;
	int n;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	pfree(GetLockConflicts(&tag, mode, &n));
	return n > 0;
}

/*
 * Without waiting for who has it, or behind those who queue.  Who has a lock on the relation
 * already must go before those who wait for him: the lock manager sees to that when he asks for
 * another one, but not when he asks without waiting.  It is then granted at once, unless somebody
 * has queued in front of them whom our first lock does not stop: he is waited for, until the
 * deadline.
 */
static bool
lock_at_once(Oid relid, LOCKMODE mode, LOCKMODE before, TimestampTz deadline)
{
	if (ConditionalLockRelationOid(relid, mode))
		return true;
	if (!holds(relid, before) || (is_held_against(relid, mode) && !PGW_MUTATED(LOCK_DEADLINE)))
		return false;
	lock_until(relid, mode, deadline);
	return true;
}

static bool
try_lock(LockSet *set, Oid relid, TimestampTz deadline)
{
	if (set->n == MAX_LOCKS)
		/* an index beyond all measure: locked when it is written, as any */
		return true;
	if (!lock_at_once(relid, MODE, AccessShareLock, deadline))
		return false;
	set->locks[set->n++] = relid;
	return true;
}

static void
unlock_all(LockSet *set)
{
	while (set->n > 0)
		UnlockRelationOid(set->locks[--set->n], MODE);
}

/* One table and its indexes; InvalidOid, or the one that somebody else has. */
static Oid
try_lock_table(LockSet *set, Oid relid, TimestampTz deadline)
{
	Relation rel;
	List *indexes;
	ListCell *lc;
	Oid busy = InvalidOid;

	if (!try_lock(set, relid, deadline))
		return relid;
	rel = RelationIdGetRelation(relid);
	if (!RelationIsValid(rel))
		return InvalidOid; /* dropped before we had its lock: looked for again */
	indexes = RelationGetIndexList(rel);
	RelationClose(rel);
	foreach (lc, indexes)
	{
		if (!try_lock(set, lfirst_oid(lc), deadline))
		{
			busy = lfirst_oid(lc);
			break;
		}
	}
	list_free(indexes);
	return busy;
}

static Oid
try_lock_all(LockSet *set, TimestampTz deadline)
{
	Oid busy = InvalidOid;

	for (int i = 0; i < set->ntables && !OidIsValid(busy); i++)
		busy = try_lock_table(set, set->tables[i], deadline);
	return busy;
}

/*
 * Until whoever has it, or queues for it, is through; no longer than the deadline.  Then it is let
 * go of: there are others to be had.
 */
static void
wait_for(Oid relid, TimestampTz deadline)
{
	lock_until(relid, MODE, deadline);
	UnlockRelationOid(relid, MODE);
}

static bool
same_tables(const LockSet *a, const LockSet *b)
{
	return a->ntables == b->ntables && memcmp(a->tables, b->tables, a->ntables * sizeof(Oid)) == 0;
}

static void
lock_all(LockSet *set, TimestampTz deadline)
{
	for (;;)
	{
		LockSet now;
		Oid busy;

		find_tables(set);
		busy = try_lock_all(set, deadline);
		if (!OidIsValid(busy))
		{
			/* the locks have brought what others had changed by then */
			find_tables(&now);
			if (same_tables(set, &now))
				return;
		}
		unlock_all(set);
		if (OidIsValid(busy))
			wait_for(busy, deadline);
	}
}

void
pgw_tables_lock(TimestampTz deadline)
{
	LockSet set;

	lock_all(&set, deadline);
}

/* ---------------------------------------------------------------- callers: counted, and covered */

typedef struct Count
{
	Oid relid;
	SubTransactionId subid; /* its rollback gives the lock up */
} Count;

static Count counts[PGW_MAX_COVERS];
static int ncounts = 0;

static PgwWorkerEntry *
my_entry(void)
{
	int e = pgw_entry_find(MyDatabaseId, false);

	return e >= 0 ? &pgw_shared->entries[e] : NULL;
}

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

/* Lock held.  NULL: no room (so many months at once); such a table goes without. */
static PgwCover *
need_cover(PgwWorkerEntry *entry, Oid relid)
{
	PgwCover *c = find_cover(entry, relid);

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
	entry = my_entry();
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
look(const LockSet *set, const PgwWorkerEntry *entry, uint64 refusals)
{
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
ask(const LockSet *set, uint64 *refusals)
{
	Cover cover = NO_WORKER;
	PgwWorkerEntry *entry;

	watch_transactions();
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	entry = my_entry();
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
wait_for_cover(const LockSet *set, uint64 refusals, TimestampTz deadline)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), COVER_WAIT_MS);
	PgwWorkerEntry *entry;
	Cover cover;

	if (deadline != 0 && deadline < until)
		until = deadline;
	LWLockAcquire(pgw_lock, LW_SHARED);
	entry = my_entry();
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
still_holds(const LockSet *set)
{
	for (int i = 0; i < set->ntables; i++)
	{
		if (holds(set->tables[i], AccessShareLock))
			return true;
	}
	return false;
}

static void
pause_a_moment(void)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

void
pgw_tables_enter(TimestampTz deadline)
{
	TimestampTz patience = 0;

	if (!pgw_exchange_available() || PGW_MUTATED(CALLER_LOCKS))
		return;
	for (;;)
	{
		LockSet set;
		int counted = ncounts;
		uint64 refusals = 0;
		Cover cover;

		lock_all(&set, deadline);
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
		unlock_all(&set);
		if (!still_holds(&set))
			continue;
		if (patience == 0)
			patience = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PATIENCE_MS);
		if (GetCurrentTimestamp() >= patience ||
			(deadline != 0 && GetCurrentTimestamp() >= deadline))
			raise_busy(
				"a table of pgw that this transaction has used before is wanted by a DDL statement");
		pause_a_moment();
	}
}

/* ---------------------------------------------------------------- worker: locks in its
 * transactions */

static bool never_wait = false;

void
pgw_tables_note_refusal(Oid relid)
{
	PgwWorkerEntry *entry;
	TimestampTz now = GetCurrentTimestamp();

	if (!never_wait || !pgw_exchange_available())
		return;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	entry = my_entry();
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
pgw_tables_note_limit(void)
{
	PgwWorkerEntry *entry;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	entry = my_entry();
	if (entry != NULL)
		entry->limited_at = GetCurrentTimestamp();
	LWLockRelease(pgw_lock);
}

void
pgw_table_lock(Oid relid, LOCKMODE mode)
{
	if (!never_wait || PGW_MUTATED(NEVER_WAIT))
		LockRelationOid(relid, mode);
	else if (!lock_at_once(relid, mode, Max(mode, MODE), 0))
	{
		pgw_tables_note_refusal(relid);
		ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						errmsg("pgw: relation %u is locked; the work is done later", relid)));
	}
}

void
pgw_table_need(const char *table, LOCKMODE mode)
{
	if (never_wait)
		pgw_table_lock(pgw_relation(table), mode);
}

/* ---------------------------------------------------------------- worker: locks for its callers */

/* What this session holds for covers[i]; tables[0] is its relid. */
static LockSet session[PGW_MAX_COVERS];

static void
table_changed(Datum arg, Oid relid)
{
	for (int i = 0; i < PGW_MAX_COVERS; i++)
		session[i].changed |= relid == InvalidOid || relid == session[i].tables[0];
}

static void unlock_for_session(LockSet *set);

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
	never_wait = true;
	before_shmem_exit(unlock_at_exit, (Datum) 0);
	CacheRegisterRelcacheCallback(table_changed, (Datum) 0);
}

/*
 * Indexes that are gone for others: DROP INDEX CONCURRENTLY and REINDEX CONCURRENTLY wait for the
 * last lock on them, while callers who come in the meantime no more know of them, so that the cover
 * may never end.
 */
static void
let_go_of_dropped(LockSet *set)
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
			(void) LockRelease(&tag, MODE, true);
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
lock_for_session(LockSet *set)
{
	for (int i = 0; i < set->n; i++)
	{
		LOCKTAG tag;

		/* At once: this transaction has it. */
		SET_LOCKTAG_RELATION(tag, MyDatabaseId, set->locks[i]);
		(void) LockAcquire(&tag, MODE, true, true);
	}
}

static void
unlock_for_session(LockSet *set)
{
	while (set->n > 0)
	{
		LOCKTAG tag;

		SET_LOCKTAG_RELATION(tag, MyDatabaseId, set->locks[--set->n]);
		(void) LockRelease(&tag, MODE, true);
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
	entry = my_entry();
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
		LockSet *set = &session[w->covers[i]];
		Oid busy;

		w->got[i] = false; /* a transaction may be run twice */
		memset(set, 0, offsetof(LockSet, locks));
		/* the worker has nothing before that it could wait for */
		busy = try_lock_table(set, w->relids[i], 0);
		if (OidIsValid(busy))
		{
			unlock_all(set);
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
	entry = my_entry();
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
	entry = my_entry();
	for (int i = 0; mine(entry) && i < PGW_MAX_COVERS; i++)
	{
		PgwCover *c = &entry->covers[i];

		if (c->held && c->callers == 0)
			ms = LINGER_MS;
		else if (c->callers > 0 && !c->held && ms < 0)
			/* callers who came while there was no worker: theirs are waited for */
			ms = POLL_MS;
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
	entry = my_entry();
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
unlock_what_is_left(LockSet *set)
{
	while (set->n > 0)
	{
		LOCKTAG tag;

		SET_LOCKTAG_RELATION(tag, MyDatabaseId, set->locks[--set->n]);
		if (pgw_lock_held_by_me(&tag, MODE))
			(void) LockRelease(&tag, MODE, true);
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

/* ---------------------------------------------------------------- pgw.health() */

void
pgw_tables_status(PgwTablesStatus *out)
{
	PgwWorkerEntry *entry;
	TimestampTz now = GetCurrentTimestamp();

	memset(out, 0, sizeof(*out));
	if (!pgw_exchange_available())
		return;
	LWLockAcquire(pgw_lock, LW_SHARED);
	entry = my_entry();
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
	if (entry != NULL && entry->limited_at != 0 &&
		!TimestampDifferenceExceeds(entry->limited_at, now, LIMIT_RECENT_MS))
		out->limited_at = entry->limited_at;
	LWLockRelease(pgw_lock);
}
