/*
 * find_row.c - rows by an index, without MVCC reads
 *
 * A dirty snapshot sees the latest committed version and this transaction's own, whatever the
 * caller's snapshot sees, and leaves no predicate lock.
 *
 * Owns: the equality functions of the indexes that were used last; void when the index changes.
 * Locks: AccessShareLock on the index, until the transaction ends, unless the caller has it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "database/find_row.h"
#include "database/relation_changes.h"
#include "database/row.h"

#define MAX_EQUALITIES 12
#define MAX_COLUMNS 3

typedef struct Equality
{
	PgwRemembered of; /* the index */
	FmgrInfo functions[MAX_COLUMNS];
} Equality;

static Equality equalities[MAX_EQUALITIES];

static void
look_up_equality(Relation index, Equality *e)
{
	Oid relid = RelationGetRelid(index);
	int n = Min(index->rd_rel->relnatts, MAX_COLUMNS);

	pgw_remembered_is_voided(&e->of);
	e->of.relid = InvalidOid;
	for (int i = 0; i < Min(n, IndexRelationGetNumberOfKeyAttributes(index)); i++)
	{
		Oid optype = index->rd_opcintype[i];
		Oid op = get_opfamily_member(index->rd_opfamily[i], optype, optype, BTEqualStrategyNumber);

		if (!OidIsValid(op))
			elog(ERROR, "index \"%s\" has no equality operator for column %d",
				 RelationGetRelationName(index), i + 1);
		fmgr_info_cxt(get_opcode(op), &e->functions[i], TopMemoryContext);
	}
	e->of.relid = relid;
}

static Equality *
equality_of(Relation index)
{
	static int next = 0;
	Equality *e;

	for (int i = 0; i < MAX_EQUALITIES; i++)
	{
		if (equalities[i].of.relid == RelationGetRelid(index))
			return &equalities[i];
	}
	e = &equalities[next];
	next = (next + 1) % MAX_EQUALITIES;
	look_up_equality(index, e);
	return e;
}

static void
build_keys(Relation index, const Datum *keys, int nkeys, ScanKeyData *skeys)
{
	Equality *e = equality_of(index);

	Assert(nkeys <= MAX_COLUMNS);
	for (int i = 0; i < nkeys; i++)
		ScanKeyEntryInitializeWithInfo(&skeys[i], 0, i + 1, BTEqualStrategyNumber, InvalidOid,
									   index->rd_indcollation[i], &e->functions[i], keys[i]);
}

PgwFind
pgw_row_find(PgwRel *r, Oid indexoid, const Datum *keys, int nkeys, int attempts,
			 TransactionId *xid, uint32 *token)
{
	Relation index = index_open(indexoid, r->locked ? NoLock : AccessShareLock);
	ScanKeyData skeys[INDEX_MAX_KEYS];
	PgwFind result = PGW_FIND_NONE;

	Assert(!r->locked || CheckRelationLockedByMe(index, AccessShareLock, true));
	build_keys(index, keys, nkeys, skeys);

	/*
	 * A scan with a dirty snapshot can miss a row whose old version dies and whose new version
	 * appears behind the scan.  It cannot do so twice in a row but by a rare chance; nobody depends
	 * on "none" for safety: the unique index decides.
	 */
	for (int attempt = 0; attempt < attempts && result != PGW_FIND_ROW; attempt++)
	{
		SnapshotData dirty;
		IndexScanDesc scan;

		result = PGW_FIND_NONE;
		InitDirtySnapshot(dirty);
		scan = pgw_index_beginscan(r->rel, index, &dirty, nkeys);
		index_rescan(scan, skeys, nkeys, NULL, 0);
		while (index_getnext_slot(scan, ForwardScanDirection, r->found))
		{
			if (TransactionIdIsValid(dirty.xmin))
			{
				/*
				 * Another transaction's insert or new version, uncommitted: remember it, a
				 * committed version may follow.
				 */
				if (xid != NULL)
					*xid = dirty.xmin;
				if (token != NULL)
					*token = dirty.speculativeToken;
				result = PGW_FIND_IN_PROGRESS;
				continue;
			}

			/* Committed or own.  An update in progress elsewhere (xmax) has not happened yet. */
			ExecMaterializeSlot(r->found);
			result = PGW_FIND_ROW;
			break;
		}
		index_endscan(scan);
	}
	index_close(index, NoLock);
	if (result != PGW_FIND_ROW)
		ExecClearTuple(r->found);
	return result;
}

bool
pgw_row_fetch(PgwRel *r, ItemPointer tid)
{
	return table_tuple_fetch_row_version(r->rel, tid, SnapshotSelf, r->found);
}

bool
pgw_row_fetch_from(PgwRel *r, const ItemPointerData *place)
{
	ItemPointerData tid;

	if (!ItemPointerIsValid(place) ||
		ItemPointerGetBlockNumber(place) >= RelationGetNumberOfBlocks(r->rel))
		return false;
	ItemPointerCopy(place, &tid);
	return pgw_row_fetch(r, &tid);
}

void
pgw_row_each(PgwRel *r, Oid indexoid, const Datum *keys, int nkeys, PgwRowCallback callback,
			 void *arg)
{
	Relation index = index_open(indexoid, AccessShareLock);
	ScanKeyData skeys[INDEX_MAX_KEYS];
	SnapshotData dirty;
	IndexScanDesc scan;

	build_keys(index, keys, nkeys, skeys);
	InitDirtySnapshot(dirty);
	scan = pgw_index_beginscan(r->rel, index, &dirty, nkeys);
	index_rescan(scan, skeys, nkeys, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, r->found))
	{
		if (!TransactionIdIsValid(dirty.xmin))
			callback(r, arg);
	}
	index_endscan(scan);
	index_close(index, NoLock);
	ExecClearTuple(r->found);
}

uint32
pgw_row_count(PgwRel *r, Oid indexoid, const Datum *keys, int nkeys, uint32 most, uint32 *look,
			  PgwRowTest test, void *arg)
{
	Relation index = index_open(indexoid, AccessShareLock);
	ScanKeyData skeys[INDEX_MAX_KEYS];
	SnapshotData dirty;
	IndexScanDesc scan;
	uint32 n = 0;

	build_keys(index, keys, nkeys, skeys);
	InitDirtySnapshot(dirty);
	scan = pgw_index_beginscan(r->rel, index, &dirty, nkeys);
	index_rescan(scan, skeys, nkeys, NULL, 0);
	while (n<most && * look> 0 && index_getnext_slot(scan, ForwardScanDirection, r->found))
	{
		CHECK_FOR_INTERRUPTS();
		(*look)--;
		if (test == NULL || test(r->found, arg))
			n++;
	}
	index_endscan(scan);
	index_close(index, NoLock);
	ExecClearTuple(r->found);
	return n;
}
