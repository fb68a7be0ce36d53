/*
 * extension.c - the extension as an object of the database: is it there, and whose is it?
 *
 * Owns: where its row of pg_extension was found last.  The row is read each time, because no
 * message tells of a change of that catalog; but there first, which is a tenth of an index's work.
 * Locks: AccessShareLock on pg_extension for a look, and on the extension object, conditionally, so
 * that the worker never stands in the way of DROP EXTENSION.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "database/extension.h"
#include "database/relations.h"

static bool
is_pgw(HeapTuple tuple)
{
	return strcmp(NameStr(((Form_pg_extension) GETSTRUCT(tuple))->extname), "pgw") == 0;
}

static void
read_row(Relation rel, HeapTuple tuple, Oid *oid, char **version)
{
	bool isnull;

	if (oid != NULL)
		*oid = ((Form_pg_extension) GETSTRUCT(tuple))->oid;
	if (version != NULL)
		*version = TextDatumGetCString(
			heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull));
}

/* By its place; false: another row lies there now, or none, or one that is not valid any more. */
static bool
look_at_place(Relation rel, const ItemPointerData *place, Oid *oid, char **version)
{
	HeapTupleData tuple = {.t_self = *place};
	Snapshot snapshot;
	Buffer buffer;
	bool found;

	if (!ItemPointerIsValid(place) ||
		ItemPointerGetBlockNumber(place) >= RelationGetNumberOfBlocks(rel))
		return false;
	snapshot = RegisterSnapshot(GetCatalogSnapshot(ExtensionRelationId));
	found = heap_fetch(rel, snapshot, &tuple, &buffer, false);
	if (found)
	{
		found = is_pgw(&tuple);
		if (found)
			read_row(rel, &tuple, oid, version);
		ReleaseBuffer(buffer);
	}
	UnregisterSnapshot(snapshot);
	return found;
}

static bool
look_by_name(Relation rel, ItemPointerData *place, Oid *oid, char **version)
{
	SysScanDesc scan;
	HeapTuple tuple;
	ScanKeyData key;
	bool found;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("pgw"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		read_row(rel, tuple, oid, version);
		*place = tuple->t_self;
	}
	systable_endscan(scan);
	return found;
}

bool
pgw_extension_look(Oid *oid, char **version)
{
	static ItemPointerData place;
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	bool found =
		look_at_place(rel, &place, oid, version) || look_by_name(rel, &place, oid, version);

	table_close(rel, AccessShareLock);
	return found;
}

bool
pgw_extension_lock(bool *busy)
{
	Oid oid;
	Oid now;
	LOCKTAG tag;

	*busy = false;
	if (!pgw_extension_look(&oid, NULL))
		return false;

	/*
	 * DROP and ALTER EXTENSION hold AccessExclusiveLock on the object; waiting for them could close
	 * a cycle nobody detects.
	 */
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, oid, 0);
	if (LockAcquire(&tag, AccessShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		*busy = true;
		return true;
	}

	/* It may have gone between the look and the lock. */
	AcceptInvalidationMessages();
	InvalidateCatalogSnapshot();
	if (pgw_extension_look(&now, NULL) && now == oid)
		return true;
	LockRelease(&tag, AccessShareLock, false);
	return false;
}

Oid
pgw_extension_owner(void)
{
	Oid relid = pgw_relation("payments");
	HeapTuple tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tup))->relowner;
	ReleaseSysCache(tup);
	return owner;
}
