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
 *        payment_transactions, transaction_events and the month's partition (and open_work, where
 *        he inserts an attempt by himself and waits for no worker), each with its indexes, in
 *        this order.  While he waits for one of them he holds none (but what his
 *        transaction had before), so DDL that takes them in another order cannot deadlock with
 *        him.
 *     2. Then he is counted on these tables (PgwCover.callers), and stays so until his
 *        (sub)transaction ends.
 *     3. While somebody is counted on a table the worker holds the same locks for its session,
 *        acquired without waiting (PgwCover.held).  What it holds it can lock again in each of
 *        its transactions, whoever queues.
 *     4. A caller who is counted but not covered waits for the worker to say that it holds the
 *        locks, or that it cannot get them, because DDL has come in between.  Then he lets go of
 *        his own, waits behind the DDL, and begins anew.
 *     5. When nobody is counted any more the worker lets go, LINGER_MS later, so that callers
 *        who come one after the other need not ask each time.
 *     6. All other locks of the worker are taken without waiting; what cannot be had raises
 *        55P03, and the work is done at a later turn.
 *
 * Thus DDL gets in after the calls in flight have ended, and no caller fails because of it.
 *
 * Rules 1 and 6 are kept by this file, 2 and 4 by caller_locks.c, 3 and 5 by worker_locks.c.  What
 * pgw.health() is told of all that is in lock_refusals.c.
 *
 * Owns: whether this process waits for locks.  PgwCover in the database's entry, protected by
 * pgw_lock, belongs to caller_locks.c and worker_locks.c.
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

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/error_detail.h"
#include "base/json_writer.h"
#include "core/base/error_codes.h"
#include "core/base/mutant.h"
#include "database/event_partitions.h"
#include "database/lock_refusals.h"
#include "database/relations.h"
#include "database/table_locks.h"
#include "database/table_locks_internal.h"
#include "database/wait_limit.h"
#include "exchange/exchange_shmem.h"

bool pgw_waits_for_no_lock = false;

PgwWorkerEntry *
pgw_lock_entry(void)
{
	int e;

	Assert(LWLockHeldByMe(pgw_lock));
	e = pgw_entry_find(MyDatabaseId, false);
	return e >= 0 ? &pgw_shared->entries[e] : NULL;
}

/* ---- a set of locks ---- */

/* By name and by bounds, without locks: looked at again under them. */
static void
find_tables(PgwLockSet *set, bool open_work)
{
	memset(set, 0, offsetof(PgwLockSet, locks));
	set->tables[set->ntables++] = pgw_relation("payments");
	set->tables[set->ntables++] = pgw_relation("payment_transactions");
	set->tables[set->ntables++] = pgw_relation("transaction_events");
	set->tables[set->ntables++] = pgw_event_partition_now();
	if (open_work)
		set->tables[set->ntables++] = pgw_relation("open_work");
}

bool
pgw_lock_is_held(Oid relid, LOCKMODE weakest)
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

static char *
busy_detail(const char *reason)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_put_string(&w, "reason", reason);
	return pgw_error_detail("worker_busy", w.text.data);
}

void
pgw_table_raise_busy(const char *reason)
{
	ereport(
		ERROR,
		(errcode(MAKE_SQLSTATE('P', 'W', '5', '0', '0')),
		 errmsg("a lock that somebody else has kept the call waiting until its time was up"),
		 errdetail_internal("%s", busy_detail(reason)),
		 errhint(
			 "Nothing was sent; the call can be repeated. See who holds or awaits locks on pgw's tables in pg_locks."),
		 errhidestmt(true), errhidecontext(true)));
}

/* Acquired, or PW500 worker_busy when the deadline comes first (0: none). */
static void
lock_until(Oid relid, LOCKMODE mode, TimestampTz deadline)
{
	PgwWaitLimit limit;
	MemoryContext context = CurrentMemoryContext;

	if (deadline != 0 && GetCurrentTimestamp() >= deadline)
		pgw_table_raise_busy("a table of pgw is locked");
	pgw_wait_limit_begin(&limit, deadline);
	PG_TRY();
	{
		LockRelationOid(relid, mode);
	}
	PG_CATCH();
	{
		pgw_wait_limit_end(&limit);
		if (pgw_wait_limit_reached(&limit))
		{
			MemoryContextSwitchTo(context);
			FlushErrorState();
			pgw_table_raise_busy("a table of pgw is locked");
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	pgw_wait_limit_end(&limit);
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
	if (!pgw_lock_is_held(relid, before) ||
		(is_held_against(relid, mode) && !PGW_MUTATED(LOCK_DEADLINE)))
		return false;
	lock_until(relid, mode, deadline);
	return true;
}

static bool
try_lock(PgwLockSet *set, Oid relid, TimestampTz deadline)
{
	if (set->n == PGW_MAX_LOCKS)
		/* an index beyond all measure: locked when it is written, as any */
		return true;
	if (!lock_at_once(relid, PGW_WRITE_LOCK, AccessShareLock, deadline))
		return false;
	set->locks[set->n++] = relid;
	return true;
}

void
pgw_lock_set_unlock(PgwLockSet *set)
{
	while (set->n > 0)
		UnlockRelationOid(set->locks[--set->n], PGW_WRITE_LOCK);
}

Oid
pgw_lock_set_try_table(PgwLockSet *set, Oid relid, TimestampTz deadline)
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
try_lock_all(PgwLockSet *set, TimestampTz deadline)
{
	Oid busy = InvalidOid;

	for (int i = 0; i < set->ntables && !OidIsValid(busy); i++)
		busy = pgw_lock_set_try_table(set, set->tables[i], deadline);
	return busy;
}

/*
 * Until whoever has it, or queues for it, is through; no longer than the deadline.  Then it is let
 * go of: there are others to be had.
 */
static void
wait_for(Oid relid, TimestampTz deadline)
{
	lock_until(relid, PGW_WRITE_LOCK, deadline);
	UnlockRelationOid(relid, PGW_WRITE_LOCK);
}

static bool
same_tables(const PgwLockSet *a, const PgwLockSet *b)
{
	return a->ntables == b->ntables && memcmp(a->tables, b->tables, a->ntables * sizeof(Oid)) == 0;
}

void
pgw_lock_set_all(PgwLockSet *set, bool open_work, TimestampTz deadline)
{
	for (;;)
	{
		PgwLockSet now;
		Oid busy;

		find_tables(set, open_work);
		busy = try_lock_all(set, deadline);
		if (!OidIsValid(busy))
		{
			/* the locks have brought what others had changed by then */
			find_tables(&now, open_work);
			if (same_tables(set, &now))
				return;
		}
		pgw_lock_set_unlock(set);
		if (OidIsValid(busy))
			wait_for(busy, deadline);
	}
}

void
pgw_tables_lock(TimestampTz deadline)
{
	PgwLockSet set;

	pgw_lock_set_all(&set, true, deadline);
}

/* ---- one lock ---- */

void
pgw_table_lock(Oid relid, LOCKMODE mode)
{
	if (!pgw_waits_for_no_lock || PGW_MUTATED(NEVER_WAIT))
		LockRelationOid(relid, mode);
	else if (!lock_at_once(relid, mode, Max(mode, PGW_WRITE_LOCK), 0))
	{
		pgw_tables_note_refusal(relid);
		ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						errmsg("pgw: relation %u is locked; the work is done later", relid)));
	}
}

void
pgw_table_need(const char *table, LOCKMODE mode)
{
	if (pgw_waits_for_no_lock)
		pgw_table_lock(pgw_relation(table), mode);
}
