/*
 * row.c - one row at a time through the executor, without MVCC reads
 *
 * Owns: opened relations with their executor state, for the time of one change, or between
 * pgw_row_keep() and pgw_row_close_kept().  What is kept is given up when the relation's
 * description changes.
 * Locks: RowExclusiveLock on a table that is changed, AccessShareLock on one that is read, both
 * until the transaction ends; row locks as an UPDATE of non-key columns takes them, so foreign keys
 * of users' tables (KEY SHARE) never wait for pgw.  The worker does not wait for a table's lock:
 * table_locks.c.
 * Invariant: every change is followed by CommandCounterIncrement(), so that the next step of the
 * same call can change the same row again.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/nodeModifyTable.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "core/base/mutant.h"
#include "database/foreign_code.h"
#include "database/row.h"
#include "database/table_locks.h"

/* A table that stays open for writing. */
typedef struct PgwKept
{
	Oid relid;
	bool speculative;
	bool in_use; /* a row of it is being written */
	bool stale;  /* its description has changed since */
	PgwRel rel;
} PgwKept;

#define MAX_KEPT 8

static PgwKept kept[MAX_KEPT];
static int nkept = 0;
static MemoryContext keep_context = NULL; /* NULL: nothing is kept */
static ResourceOwner keep_owner;

/*
 * A table's CHECK constraints and the predicates of its partial indexes, prepared once for the life
 * of the process: the executor would parse them again for each row that is written.
 */
typedef struct PgwExprs
{
	Oid relid; /* InvalidOid: void */
	MemoryContext context;
	ExprState **checks;
	int npredicates;
	Oid *indexes;
	ExprState **predicates;
	bool runs_foreign_code; /* a row that is written runs code of others */
} PgwExprs;

#define MAX_EXPRS 8

static PgwExprs exprs[MAX_EXPRS];

static void
relation_changed(Datum arg, Oid relid)
{
	for (int i = 0; i < nkept; i++)
	{
		if (relid == InvalidOid || relid == kept[i].relid)
			kept[i].stale = true;
	}
	for (int i = 0; i < MAX_EXPRS; i++)
	{
		if (relid == InvalidOid || relid == exprs[i].relid)
			exprs[i].relid = InvalidOid; /* its memory goes once the place is used again */
	}
}

static void
watch_relations(void)
{
	static bool registered = false;

	if (registered)
		return;
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	registered = true;
}

static void
prepare_exprs(PgwExprs *e, ResultRelInfo *rri)
{
	Relation rel = rri->ri_RelationDesc;
	TupleConstr *constr = RelationGetDescr(rel)->constr;
	MemoryContext old;

	/*
	 * a relation that is open at this moment may still have them, but none is after the transaction
	 */
	if (e->context != NULL)
		MemoryContextSetParent(e->context, TopTransactionContext);
	e->context = AllocSetContextCreate(TopMemoryContext, "pgw constraints", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(e->context);
	e->checks = palloc0(sizeof(ExprState *) * Max(constr != NULL ? constr->num_check : 0, 1));
	for (int i = 0; constr != NULL && i < constr->num_check; i++)
		e->checks[i] = ExecInitExpr(expression_planner(stringToNode(constr->check[i].ccbin)), NULL);
	e->npredicates = 0;
	e->indexes = palloc(sizeof(Oid) * Max(rri->ri_NumIndices, 1));
	e->predicates = palloc(sizeof(ExprState *) * Max(rri->ri_NumIndices, 1));
	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		List *predicate = rri->ri_IndexRelationInfo[i]->ii_Predicate;

		if (predicate == NIL)
			continue;
		e->indexes[e->npredicates] = RelationGetRelid(rri->ri_IndexRelationDescs[i]);
		e->predicates[e->npredicates++] =
			ExecInitQual((List *) expression_planner((Expr *) copyObject(predicate)), NULL);
	}
	MemoryContextSwitchTo(old);
	e->runs_foreign_code = pgw_foreign_code(rri);
	e->relid = RelationGetRelid(rel);
}

/*
 * Give the prepared expressions to a relation that has just been opened for writing; its lock keeps
 * its description as it is.  Does a row that is written run code of others?
 */
static bool
lend_exprs(ResultRelInfo *rri)
{
	Oid relid = RelationGetRelid(rri->ri_RelationDesc);
	PgwExprs *e = NULL;

	watch_relations();
	for (int i = 0; i < MAX_EXPRS && (e == NULL || e->relid != relid); i++)
	{
		if (exprs[i].relid == relid || (exprs[i].relid == InvalidOid && e == NULL))
			e = &exprs[i];
	}
	if (e == NULL)
		return pgw_foreign_code(rri); /* no place: the executor does it */
	if (e->relid != relid)
		prepare_exprs(e, rri);
	pgw_check_exprs(rri) = e->checks;
	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		for (int j = 0; j < e->npredicates; j++)
		{
			if (e->indexes[j] == RelationGetRelid(rri->ri_IndexRelationDescs[i]))
				rri->ri_IndexRelationInfo[i]->ii_PredicateState = e->predicates[j];
		}
	}
	return e->runs_foreign_code;
}

static void
open_common(PgwRel *r, Oid relid, LOCKMODE lockmode)
{
	memset(r, 0, sizeof(*r));
	if (lockmode != NoLock)
		pgw_table_lock(relid, lockmode);
	r->locked = lockmode == NoLock;
	r->rel = table_open(relid, NoLock);
	r->found = table_slot_create(r->rel, NULL);
}

/* The worker may come without one; triggers and constraints want it. */
static void
need_snapshot(PgwRel *r)
{
	if (!ActiveSnapshotSet())
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		r->pushed = true;
	}
}

void
pgw_row_open_read(PgwRel *r, Oid relid)
{
	open_common(r, relid, AccessShareLock);
	need_snapshot(r);
}

void
pgw_row_open_locked(PgwRel *r, Oid relid)
{
	open_common(r, relid, NoLock);
	need_snapshot(r);
}

static void
open_write(PgwRel *r, Oid relid, const Bitmapset *updated, bool speculative)
{
	RangeTblEntry *rte;

	open_common(r, relid, RowExclusiveLock);
	r->estate = CreateExecutorState();

	rte = makeNode(RangeTblEntry);
	rte->rtekind = RTE_RELATION;
	rte->relid = relid;
	rte->relkind = r->rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	pgw_init_range_table(r->estate, rte, bms_copy(updated));

	r->rri = makeNode(ResultRelInfo);
	InitResultRelInfo(r->rri, r->rel, 1, NULL, 0);

	/* From here AfterTriggerEndQuery finds it, and ExecCloseResultRelations closes its indexes. */
	r->estate->es_opened_result_relations = lappend(r->estate->es_opened_result_relations, r->rri);
	ExecOpenIndices(r->rri, speculative);
	r->runs_foreign_code = lend_exprs(r->rri);
	r->slot = table_slot_create(r->rel, NULL);
}

/* Not in a subtransaction or a nested statement: what is opened there has to be closed there. */
static bool
keeping(void)
{
	return keep_context != NULL && CurrentResourceOwner == keep_owner;
}

/* One that is open already. */
static PgwKept *
find_kept(Oid relid, bool speculative)
{
	if (!keeping())
		return NULL;
	for (int i = 0; i < nkept; i++)
	{
		if (kept[i].relid == relid && kept[i].speculative >= speculative && !kept[i].stale &&
			!kept[i].in_use)
			return &kept[i];
	}
	return NULL;
}

static PgwKept *
keep(PgwRel *r, Oid relid, bool speculative)
{
	if (!keeping() || nkept == MAX_KEPT)
		return NULL;
	kept[nkept] = (PgwKept){.relid = relid, .speculative = speculative, .rel = *r};
	return &kept[nkept++];
}

void
pgw_row_open_write(PgwRel *r, Oid relid, const Bitmapset *updated, bool speculative)
{
	PgwKept *k = find_kept(relid, speculative);

	if (k != NULL)
		*r = k->rel;
	else
	{
		MemoryContext old = MemoryContextSwitchTo(keeping() ? keep_context : CurrentMemoryContext);

		open_write(r, relid, updated, speculative);
		MemoryContextSwitchTo(old);
		k = keep(r, relid, speculative);
	}
	r->kept = k;
	if (k != NULL)
		k->in_use = true;
	need_snapshot(r);
	r->estate->es_snapshot = GetActiveSnapshot();
	r->estate->es_output_cid = GetCurrentCommandId(true);
}

static void
close_now(PgwRel *r)
{
	if (r->slot != NULL)
		ExecDropSingleTupleTableSlot(r->slot);
	ExecDropSingleTupleTableSlot(r->found);
	if (r->estate != NULL)
	{
		ExecCloseResultRelations(r->estate);
		ExecResetTupleTable(r->estate->es_tupleTable, false);
		FreeExecutorState(r->estate);
	}
	table_close(r->rel, NoLock);
}

void
pgw_row_close(PgwRel *r)
{
	if (r->kept != NULL)
	{
		ExecClearTuple(r->slot);
		ExecClearTuple(r->found);
		ResetPerTupleExprContext(r->estate);
		r->kept->in_use = false;
	}
	else
		close_now(r);
	if (r->pushed)
		PopActiveSnapshot();
	memset(r, 0, sizeof(*r));
}

bool
pgw_row_keep(MemoryContext context)
{
	if (keep_context != NULL)
		return false;
	watch_relations();
	nkept = 0;
	keep_context = context;
	keep_owner = CurrentResourceOwner;
	return true;
}

void
pgw_row_forget_kept(void)
{
	keep_context = NULL;
	nkept = 0;
}

void
pgw_row_close_kept(void)
{
	while (nkept > 0)
		close_now(&kept[--nkept].rel);
	pgw_row_forget_kept();
}

static void
build_keys(Relation index, const Datum *keys, int nkeys, ScanKeyData *skeys)
{
	for (int i = 0; i < nkeys; i++)
	{
		Oid optype = index->rd_opcintype[i];
		Oid op = get_opfamily_member(index->rd_opfamily[i], optype, optype, BTEqualStrategyNumber);

		if (!OidIsValid(op))
			elog(ERROR, "index \"%s\" has no equality operator for column %d",
				 RelationGetRelationName(index), i + 1);
		ScanKeyEntryInitialize(&skeys[i], 0, i + 1, BTEqualStrategyNumber, InvalidOid,
							   index->rd_indcollation[i], get_opcode(op), keys[i]);
	}
}

PgwFind
pgw_row_find(PgwRel *r, Oid indexoid, const Datum *keys, int nkeys, int attempts,
			 TransactionId *xid, uint32 *token)
{
	Relation index = index_open(indexoid, r->locked ? NoLock : AccessShareLock);
	ScanKeyData skeys[INDEX_MAX_KEYS];
	PgwFind result = PGW_FIND_NONE;

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

bool
pgw_row_lock(PgwRel *r, bool wait, bool *busy)
{
	ItemPointerData tid = r->found->tts_tid;
	TM_FailureData tmfd;
	TM_Result result;

	*busy = false;
	result =
		table_tuple_lock(r->rel, &tid, GetActiveSnapshot(), r->found, GetCurrentCommandId(false),
						 LockTupleNoKeyExclusive, wait ? LockWaitBlock : LockWaitSkip,
						 TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &tmfd);
	switch (result)
	{
		case TM_Ok:
			ExecMaterializeSlot(r->found);
			return true;
		case TM_WouldBlock:
			*busy = true;
			return false;
		case TM_Deleted:
			return false;
		default:
			elog(ERROR, "unexpected result %d of locking a row of \"%s\"", (int) result,
				 RelationGetRelationName(r->rel));
	}
	return false;
}

static Datum
default_of(PgwRel *r, int attnum, bool *isnull)
{
	Node *expr = build_column_default(r->rel, attnum);

	*isnull = true;
	if (expr == NULL)
		return (Datum) 0;
	return ExecEvalExprSwitchContext(ExecInitExpr(expression_planner((Expr *) expr), NULL),
									 GetPerTupleExprContext(r->estate), isnull);
}

void
pgw_row_begin(PgwRel *r, const bool *ours, int nours)
{
	TupleDesc desc = RelationGetDescr(r->rel);
	bool update = !TTS_EMPTY(r->found);
	int guard;

	ExecClearTuple(r->slot);
	memset(r->slot->tts_isnull, true, desc->natts * sizeof(bool));
	if (desc->natts == nours || PGW_MUTATED(KEEP_COLUMNS))
		return;
	if (update)
		slot_getallattrs(r->found);
	guard = pgw_foreign_begin(r->runs_foreign_code && !update);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (ours[i] || att->attisdropped)
			continue;
		if (update)
		{
			r->slot->tts_values[i] = r->found->tts_values[i];
			r->slot->tts_isnull[i] = r->found->tts_isnull[i];
		}
		else if (att->attgenerated == '\0')
			r->slot->tts_values[i] = default_of(r, i + 1, &r->slot->tts_isnull[i]);
	}
	pgw_foreign_end(guard);
}

void
pgw_row_check_type(Relation rel, AttrNumber attnum, const char *column, Oid wanted)
{
	Oid type = attnum != InvalidAttrNumber
				   ? TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid
				   : InvalidOid;

	if (attnum == InvalidAttrNumber)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("table pgw.%s has no column \"%s\"", RelationGetRelationName(rel), column),
			 errhint(
				 "pgw's own columns must stay as CREATE EXTENSION has made them: see docs/ddl.md. Nothing is lost meanwhile.")));
	if (OidIsValid(wanted) && type != wanted)
		ereport(
			ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of table pgw.%s has type %s instead of %s", column,
					RelationGetRelationName(rel), format_type_be(type), format_type_be(wanted)),
			 errhint(
				 "pgw's own columns must stay as CREATE EXTENSION has made them: see docs/ddl.md. Nothing is lost meanwhile.")));
}

void
pgw_row_insert(PgwRel *r)
{
	int guard = pgw_foreign_begin(r->runs_foreign_code);

	r->estate->es_output_cid = GetCurrentCommandId(true);
	AfterTriggerBeginQuery();
	ExecSimpleRelationInsert(r->rri, r->estate, r->slot);
	AfterTriggerEndQuery(r->estate);
	pgw_foreign_end(guard);
	CommandCounterIncrement();
}

/*
 * The indexes that hold the same key as this one, itself included.  While REINDEX CONCURRENTLY runs
 * there are two: a duplicate that only the other one noticed would be raised as 23505 instead of
 * being replayed.
 */
static List *
arbiters(const PgwRel *r, Oid arbiter)
{
	const ResultRelInfo *rri = r->rri;
	Relation chosen = NULL;
	List *result = NIL;

	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		if (RelationGetRelid(rri->ri_IndexRelationDescs[i]) == arbiter)
			chosen = rri->ri_IndexRelationDescs[i];
	}
	if (chosen == NULL)
		elog(ERROR, "index %u is none of \"%s\"", arbiter, RelationGetRelationName(r->rel));
	if (PGW_MUTATED(ONE_ARBITER))
		return list_make1_oid(arbiter);
	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		Relation index = rri->ri_IndexRelationDescs[i];
		Form_pg_index form = index->rd_index;

		if (form->indisunique && form->indimmediate &&
			form->indnkeyatts == chosen->rd_index->indnkeyatts &&
			memcmp(form->indkey.values, chosen->rd_index->indkey.values,
				   form->indnkeyatts * sizeof(int16)) == 0 &&
			equal(RelationGetIndexExpressions(index), RelationGetIndexExpressions(chosen)) &&
			equal(RelationGetIndexPredicate(index), RelationGetIndexPredicate(chosen)))
			result = lappend_oid(result, RelationGetRelid(index));
	}
	return result;
}

bool
pgw_row_insert_speculative(PgwRel *r, Oid arbiter)
{
	TriggerDesc *triggers = r->rri->ri_TrigDesc;
	List *same_key = arbiters(r, arbiter);
	List *recheck;
	uint32 token;
	bool conflict = false;
	int guard = pgw_foreign_begin(r->runs_foreign_code);

	r->estate->es_output_cid = GetCurrentCommandId(true);
	AfterTriggerBeginQuery();

	if (triggers != NULL && triggers->trig_insert_before_row &&
		!ExecBRInsertTriggers(r->estate, r->rri, r->slot))
		elog(ERROR, "a trigger suppressed a row of \"%s\"", RelationGetRelationName(r->rel));
	r->slot->tts_tableOid = RelationGetRelid(r->rel);
	if (r->rel->rd_att->constr != NULL)
	{
		if (r->rel->rd_att->constr->has_generated_stored)
			ExecComputeStoredGenerated(r->rri, r->estate, r->slot, CMD_INSERT);
		ExecConstraints(r->rri, r->slot, r->estate);
	}

	/*
	 * As ON CONFLICT DO NOTHING does it: others wait on the token, not on our transaction, until we
	 * know whether the row stays.
	 */
	token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
	table_tuple_insert_speculative(r->rel, r->slot, r->estate->es_output_cid, 0, NULL, token);
	recheck = pgw_exec_insert_index_tuples(r->rri, r->slot, r->estate, true, &conflict, same_key);
	table_tuple_complete_speculative(r->rel, r->slot, token, !conflict);
	SpeculativeInsertionLockRelease(GetCurrentTransactionId());

	if (!conflict)
		ExecARInsertTriggers(r->estate, r->rri, r->slot, recheck, NULL);
	list_free(recheck);
	list_free(same_key);
	AfterTriggerEndQuery(r->estate);
	pgw_foreign_end(guard);
	CommandCounterIncrement();
	return !conflict;
}

void
pgw_row_update(PgwRel *r)
{
	EPQState epq;
	int guard = pgw_foreign_begin(r->runs_foreign_code);

	r->estate->es_output_cid = GetCurrentCommandId(true);
	pgw_eval_plan_qual_init(&epq, r->estate);
	AfterTriggerBeginQuery();
	ExecSimpleRelationUpdate(r->rri, r->estate, &epq, r->found, r->slot);
	AfterTriggerEndQuery(r->estate);
	pgw_foreign_end(guard);
	EvalPlanQualEnd(&epq);
	CommandCounterIncrement();
}

Datum
pgw_row_from_string(Oid type, const char *value)
{
	if (type == TEXTOID || type == VARCHAROID)
		return CStringGetTextDatum(value);
	if (get_typtype(type) == TYPTYPE_ENUM)
	{
		Oid label = GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid, ObjectIdGetDatum(type),
									CStringGetDatum(value));

		if (!OidIsValid(label))
			elog(ERROR, "enum type %s has no label \"%s\"", format_type_be(type), value);
		return ObjectIdGetDatum(label);
	}
	{
		Oid input;
		Oid ioparam;

		getTypeInputInfo(type, &input, &ioparam);
		return OidInputFunctionCall(input, unconstify(char *, value), ioparam, -1);
	}
}

char *
pgw_row_to_string(Oid type, Datum value)
{
	Oid output;
	bool is_varlena;

	if (type == TEXTOID || type == VARCHAROID)
		return TextDatumGetCString(value);
	getTypeOutputInfo(type, &output, &is_varlena);
	return OidOutputFunctionCall(output, value);
}
