/*
 * home_slots.c - which slots are at home in this database
 *
 * Owns: what this process knows of pgw.shard_slots.  A trigger of the table tells all processes, on
 * standbys too, of each change (table_rules/slot_rules.c); what is known is then void, from the
 * moment on in which the change is committed and before its locks are released.
 * Locks: that of the table, for the time that it is read; and one for each slot, shared by those
 * who act for it, until their transactions end, and taken alone by who moves it.
 * Invariant: what is answered was read, or would have been read the same, after the last lock that
 * the caller has taken: so whoever asks again under a lock that changes of slots wait for has an
 * answer that stays.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "commands/dbcommands.h"
#include "executor/tuptable.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "core/base/shard_slot.h"
#include "database/relation_changes.h"
#include "database/relations.h"
#include "database/table_locks.h"
#include "shard/home_slots.h"
#include "shard/shard_name.h"

#define TABLE "shard_slots"

typedef enum Place
{
	ELSEWHERE = 0, /* or nobody knows */
	HOME,
	LEAVING
} Place;

bool pgw_changing_slots = false;

static struct
{
	PgwRemembered of;
	bool whole; /* an error has not ended the reading */
	bool in_use;
	bool any_worked;
	bool every_worked;
	uint8 place[PGW_SHARD_SLOTS];
} known;

/* ---------------------------------------------------------------- reading the table */

typedef struct Row
{
	int slot;
	char *shard;
	char *state;
	char *database; /* "": none */
} Row;

/* false: stop. */
typedef bool (*RowFunction)(const Row *row, void *arg);

/*
 * As it is committed now, or as this transaction has changed it, whatever its own snapshot shows.
 * By a snapshot of one moment: who looks at each row as it comes (SnapshotSelf) can miss one that
 * is changed meanwhile in both of its versions, and to miss all of them is to be no shard at all.
 * A SERIALIZABLE transaction gets a predicate lock on the table by that; no payment writes it.
 */
static void
each_row(Oid relid, RowFunction function, void *arg)
{
	Relation rel;
	TupleTableSlot *slot;
	Snapshot now;
	TableScanDesc scan;
	AttrNumber columns[4];
	bool more = true;

	/* as if each function that comes here did it: no latest snapshot can be had there */
	PreventCommandIfParallelMode("a function of pgw");
	rel = table_open(relid, NoLock);
	slot = table_slot_create(rel, NULL);
	now = RegisterSnapshot(GetLatestSnapshot());
	scan = pgw_table_beginscan(rel, now);
	columns[0] = pgw_relation_column(rel, "slot");
	columns[1] = pgw_relation_column(rel, "shard");
	columns[2] = pgw_relation_column(rel, "state");
	columns[3] = pgw_relation_column(rel, "database");
	while (more && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool isnull; /* none of the first three can be */
		Datum database = slot_getattr(slot, columns[3], &isnull);
		char *name = isnull ? pstrdup("") : TextDatumGetCString(database);
		Row row = {DatumGetInt32(slot_getattr(slot, columns[0], &isnull)),
				   TextDatumGetCString(slot_getattr(slot, columns[1], &isnull)),
				   TextDatumGetCString(slot_getattr(slot, columns[2], &isnull)), name};

		more = function(&row, arg);
		pfree(row.shard);
		pfree(row.state);
		pfree(row.database);
		PGW_DEBUG_POINT("slot_read");
	}
	table_endscan(scan);
	UnregisterSnapshot(now);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
}

/*
 * Of a copy in the same server (CREATE DATABASE ... TEMPLATE, a restored dump) the rows name the
 * original.
 */
static Place
place_of(const Row *row, const char *database)
{
	const char *here = pgw_shard_name();

	if (here == NULL || strcmp(row->shard, here) != 0 || strcmp(row->database, database) != 0)
		return ELSEWHERE;
	return strcmp(row->state, "home") == 0      ? HOME
		   : strcmp(row->state, "leaving") == 0 ? LEAVING
												: ELSEWHERE;
}

static bool
learn(const Row *row, void *arg)
{
	known.in_use = true;
	known.place[row->slot] = place_of(row, arg);
	return true;
}

static void
read_table(Oid relid)
{
	char *database = get_database_name(MyDatabaseId);

	known.whole = known.in_use = known.any_worked = false;
	known.every_worked = true;
	memset(known.place, ELSEWHERE, sizeof(known.place));
	/* what changes from here on makes it void again */
	known.of.relid = relid;
	each_row(relid, learn, database);
	pfree(database);
	for (int i = 0; i < PGW_SHARD_SLOTS; i++)
	{
		known.any_worked |= known.place[i] != ELSEWHERE;
		known.every_worked &= known.place[i] != ELSEWHERE;
	}
	known.whole = true;
}

/*
 * The table's lock, until it is read: the oid under it.  InvalidOid: this version of the extension
 * has no such table.
 */
static Oid
lock_table(void)
{
	for (;;)
	{
		Oid relid = pgw_relation_or_none(TABLE);

		if (!OidIsValid(relid))
			return relid;
		pgw_table_lock(relid, AccessShareLock);
		if (relid == pgw_relation_or_none(TABLE))
			return relid;
		UnlockRelationOid(relid, AccessShareLock);
	}
}

/* Is anything said of slots here?  What is known is then what is committed. */
static bool
look(void)
{
	AcceptInvalidationMessages();
	while (!OidIsValid(known.of.relid) || !known.whole)
	{
		Oid relid;

		pgw_remembered_is_voided(&known.of);
		relid = lock_table();
		if (!OidIsValid(relid))
			return false;
		read_table(relid);
		UnlockRelationOid(relid, AccessShareLock);
	}
	return known.in_use;
}

/* ---------------------------------------------------------------- held slots */

/* A lock of its own for each slot, by the table that they stand in. */
static LOCKTAG
lock_of(int slot)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, known.of.relid, slot, 0);
	return tag;
}

static bool
lock_slot(int slot, LOCKMODE mode, bool wait)
{
	LOCKTAG tag = lock_of(slot);

	return LockAcquire(&tag, mode, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

void
pgw_slot_hold(int slot)
{
	if (look())
		(void) lock_slot(slot, AccessShareLock, true);
}

bool
pgw_slot_hold_worked(const pg_uuid_t *id, bool *busy)
{
	*busy = look() && !lock_slot(pgw_shard_slot_of_id(id->data), AccessShareLock, false);
	/* asked under the lock */
	return !*busy && pgw_slot_is_worked(id);
}

bool
pgw_slot_is_held(int slot)
{
	LOCKTAG tag;
	int holders;

	if (!look())
		return false;
	tag = lock_of(slot);
	pfree(GetLockConflicts(&tag, AccessExclusiveLock, &holders));
	return holders > 0;
}

bool
pgw_slot_try_change(int slot)
{
	return look() && lock_slot(slot, AccessExclusiveLock, false);
}

/* ---------------------------------------------------------------- what is asked */

int
pgw_slot_of_request(const char *client_request_id)
{
	int len = (int) strlen(client_request_id);
	const char *utf8 =
		pg_server_to_any(client_request_id, len, PG_UTF8); /* the same, in most databases */

	return pgw_shard_slot_of_request(utf8, utf8 == client_request_id ? (size_t) len : strlen(utf8));
}

bool
pgw_slots_in_use(void)
{
	return look();
}

bool
pgw_slot_is_home(int slot)
{
	return !look() || known.place[slot] == HOME || PGW_MUTATED(HOME_GUARD);
}

bool
pgw_slot_is_worked(const pg_uuid_t *id)
{
	return !look() || known.place[pgw_shard_slot_of_id(id->data)] != ELSEWHERE ||
		   PGW_MUTATED(HOME_WORKER);
}

void
pgw_slots_forget(void)
{
	known.whole = false;
}

bool
pgw_any_slot_is_worked(void)
{
	return !look() || known.any_worked;
}

bool
pgw_every_slot_is_worked(void)
{
	return !look() || known.every_worked;
}

typedef struct Search
{
	int slot;
	char *shard;
} Search;

static bool
find(const Row *row, void *arg)
{
	Search *s = arg;

	if (row->slot != s->slot)
		return true;
	pfree(s->shard);
	s->shard = pstrdup(row->shard);
	return false;
}

char *
pgw_slot_other_shard(int slot)
{
	Search s = {.slot = slot, .shard = pstrdup("")};
	Oid relid = lock_table();

	if (!OidIsValid(relid))
		return NULL;
	each_row(relid, find, &s);
	UnlockRelationOid(relid, AccessShareLock);
	if (s.shard[0] == '\0' || (pgw_shard_name() != NULL && strcmp(s.shard, pgw_shard_name()) == 0))
		return NULL;
	return s.shard;
}
