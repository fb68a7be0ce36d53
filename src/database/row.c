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

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/nodeModifyTable.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "core/base/mutant.h"
#include "database/foreign_code.h"
#include "database/prepared_checks.h"
#include "database/relation_changes.h"
#include "database/relations.h"
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

static void
forget_kept(Oid relid)
{
	for (int i = 0; i < nkept; i++)
	{
		if (relid == InvalidOid || relid == kept[i].relid)
			kept[i].stale = true;
	}
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
	Assert(CheckRelationLockedByMe(r->rel, AccessShareLock, true));
	need_snapshot(r);
}

static void
open_write(PgwRel *r, Oid relid, const Bitmapset *updated, bool speculative)
{
	RangeTblEntry *rte;
	PgwCodeOnTable code;

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
	pgw_checks_open(r->rri, speculative, &code);
	r->runs_foreign_code = code.foreign;
	r->plain_updates = code.plain_updates;
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
	pgw_tell_of_relation_changes(forget_kept);
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
	{
		nkept--;
		Assert(!kept[nkept].in_use);
		close_now(&kept[nkept].rel);
	}
	pgw_row_forget_kept();
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

bool
pgw_row_is_free(const PgwRel *r)
{
	HeapTuple tuple;

	if (!r->plain_updates)
		return false;
	/* read while others may write there: the update itself finds out */
	tuple = ExecFetchSlotHeapTuple(r->found, false, NULL);
	return (tuple->t_data->t_infomask & HEAP_XMAX_INVALID) != 0;
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
pgw_row_clear(PgwRel *r)
{
	ExecClearTuple(r->slot);
	memset(r->slot->tts_isnull, true, RelationGetDescr(r->rel)->natts * sizeof(bool));
}

void
pgw_row_put(PgwRel *r, const char *column, Datum value, bool isnull)
{
	AttrNumber attnum = pgw_relation_column(r->rel, column);

	r->slot->tts_values[attnum - 1] = value;
	r->slot->tts_isnull[attnum - 1] = isnull;
}

bool
pgw_row_begin(PgwRel *r, const bool *ours, int nours)
{
	TupleDesc desc = RelationGetDescr(r->rel);
	bool update = !TTS_EMPTY(r->found);
	int guard;

	r->ours = ours;
	pgw_row_clear(r);
	if (update)
		slot_getallattrs(r->found);
	if (desc->natts == nours || PGW_MUTATED(KEEP_COLUMNS))
		return update;
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
	return update;
}

void
pgw_row_insert(PgwRel *r)
{
	int guard = pgw_foreign_begin(r->runs_foreign_code);
	HeapTuple wanted =
		r->runs_foreign_code ? pgw_foreign_triggers_begin(r->rri, CMD_INSERT, r->slot) : NULL;

	r->estate->es_output_cid = GetCurrentCommandId(true);
	AfterTriggerBeginQuery();
	ExecSimpleRelationInsert(r->rri, r->estate, r->slot);
	pgw_foreign_triggers_end(r->rri, CMD_INSERT, wanted, r->slot, r->ours,
							 ItemPointerIsValid(&r->slot->tts_tid));
	AfterTriggerEndQuery(r->estate);
	pgw_foreign_end(guard);
	CommandCounterIncrement();
}

/*
 * Do both hold the same strings to be equal?  Deterministic collations do.  A key that only an
 * index of others takes for a duplicate is found by no look into pgw's own: it is raised as what it
 * is, where a look and an insert in turn would not end.
 */
static bool
same_equality(Relation a, Relation b)
{
	for (int i = 0; i < a->rd_index->indnkeyatts; i++)
	{
		Oid x = a->rd_indcollation[i];
		Oid y = b->rd_indcollation[i];

		if (x != y && (!OidIsValid(x) || !OidIsValid(y) || !get_collation_isdeterministic(x) ||
					   !get_collation_isdeterministic(y)))
			return false;
	}
	return true;
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
			same_equality(index, chosen) &&
			equal(RelationGetIndexExpressions(index), RelationGetIndexExpressions(chosen)) &&
			equal(RelationGetIndexPredicate(index), RelationGetIndexPredicate(chosen)))
			result = lappend_oid(result, RelationGetRelid(index));
	}
	return result;
}

static bool
insert_speculative(PgwRel *r, List *same_key, List **recheck)
{
	bool conflict = false;
	uint32 token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());

	/*
	 * As ON CONFLICT DO NOTHING does it: others wait on the token, not on our transaction, until we
	 * know whether the row stays.
	 */
	table_tuple_insert_speculative(r->rel, r->slot, r->estate->es_output_cid, 0, NULL, token);
	*recheck = pgw_exec_insert_index_tuples(r->rri, r->slot, r->estate, true, &conflict, same_key);
	table_tuple_complete_speculative(r->rel, r->slot, token, !conflict);
	SpeculativeInsertionLockRelease(GetCurrentTransactionId());
	return !conflict;
}

/*
 * Of two who insert the same key at once, the index tells one of them at least.  Nothing is taken
 * back by a DELETE: a logical subscriber is sent what a transaction writes row by row, and the
 * INSERT of a key that it has stops it for good.
 */
static bool
insert_or_raise(PgwRel *r, List *same_key, List **recheck)
{
	bool conflict = false;

	table_tuple_insert(r->rel, r->slot, r->estate->es_output_cid, 0, NULL);
	*recheck = pgw_exec_insert_index_tuples(r->rri, r->slot, r->estate, true, &conflict, same_key);
	if (conflict)
		ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						errmsg("pgw: somebody else has just taken a key of \"%s\"; the work is "
							   "done later",
							   RelationGetRelationName(r->rel))));
	return true;
}

typedef bool (*InsertUnlessTaken)(PgwRel *r, List *same_key, List **recheck);

static bool
insert_unless_taken(PgwRel *r, Oid arbiter, InsertUnlessTaken insert)
{
	TriggerDesc *triggers = r->rri->ri_TrigDesc;
	List *same_key = arbiters(r, arbiter);
	List *recheck;
	bool inserted;
	int guard = pgw_foreign_begin(r->runs_foreign_code);
	HeapTuple wanted =
		r->runs_foreign_code ? pgw_foreign_triggers_begin(r->rri, CMD_INSERT, r->slot) : NULL;

	r->estate->es_output_cid = GetCurrentCommandId(true);
	AfterTriggerBeginQuery();

	if (triggers != NULL && triggers->trig_insert_before_row)
	{
		bool kept = ExecBRInsertTriggers(r->estate, r->rri, r->slot);

		/* Before the row is there: with another key it would conflict where no look finds it. */
		pgw_foreign_triggers_end(r->rri, CMD_INSERT, wanted, r->slot, r->ours, kept);
	}
	r->slot->tts_tableOid = RelationGetRelid(r->rel);
	if (r->rel->rd_att->constr != NULL)
	{
		if (r->rel->rd_att->constr->has_generated_stored)
			ExecComputeStoredGenerated(r->rri, r->estate, r->slot, CMD_INSERT);
		ExecConstraints(r->rri, r->slot, r->estate);
	}

	inserted = insert(r, same_key, &recheck);
	if (inserted)
		ExecARInsertTriggers(r->estate, r->rri, r->slot, recheck, NULL);
	list_free(recheck);
	list_free(same_key);
	AfterTriggerEndQuery(r->estate);
	pgw_foreign_end(guard);
	CommandCounterIncrement();
	return inserted;
}

bool
pgw_row_insert_speculative(PgwRel *r, Oid arbiter)
{
	return insert_unless_taken(r, arbiter, insert_speculative);
}

void
pgw_row_insert_free_key(PgwRel *r, Oid arbiter)
{
	(void) insert_unless_taken(r, arbiter, insert_or_raise);
}

/*
 * As ExecSimpleRelationUpdate() does it, but for triggers: with one BEFORE the row it locks the row
 * first, and that is a log record more.
 */
static TM_Result
update_plainly(PgwRel *r)
{
	ExprState **all_checks = pgw_check_exprs(r->rri);
	int guard = pgw_foreign_begin(r->runs_foreign_code);
	ItemPointerData tid = r->found->tts_tid;
	TM_Result result;

	CheckCmdReplicaIdentity(r->rel, CMD_UPDATE);
	r->estate->es_output_cid = GetCurrentCommandId(true);
	r->slot->tts_tableOid = RelationGetRelid(r->rel);
	pgw_check_exprs(r->rri) = pgw_checks_of_update(r->rri, r->ours, r->found, r->slot);
	if (r->rel->rd_att->constr != NULL)
		ExecConstraints(r->rri, r->slot, r->estate);
	pgw_check_exprs(r->rri) = all_checks;
	result = pgw_update_tuple(r->rri, r->estate, &tid, r->slot);
	pgw_foreign_end(guard);
	if (result == TM_Ok)
		CommandCounterIncrement();
	return result;
}

bool
pgw_row_update_free(PgwRel *r)
{
	TM_Result result;

	Assert(r->plain_updates);
	result = update_plainly(r);
	if (result != TM_Ok && result != TM_Updated && result != TM_Deleted)
		elog(ERROR, "unexpected result %d of updating a row of \"%s\"", (int) result,
			 RelationGetRelationName(r->rel));
	return result == TM_Ok;
}

/*
 * The row as it lies has met the table's CHECK constraints: the new one meets those that it could
 * break.  What a BEFORE trigger of others makes of pgw's columns is an error afterwards, and their
 * own columns are looked at in any case.
 */
static void
update_with_triggers(PgwRel *r)
{
	ExprState **all_checks = pgw_check_exprs(r->rri);
	EPQState epq;
	int guard = pgw_foreign_begin(r->runs_foreign_code);
	HeapTuple wanted =
		r->runs_foreign_code ? pgw_foreign_triggers_begin(r->rri, CMD_UPDATE, r->slot) : NULL;

	r->estate->es_output_cid = GetCurrentCommandId(true);
	pgw_eval_plan_qual_init(&epq, r->estate);
	AfterTriggerBeginQuery();
	pgw_check_exprs(r->rri) = pgw_checks_of_update(r->rri, r->ours, r->found, r->slot);
	ExecSimpleRelationUpdate(r->rri, r->estate, &epq, r->found, r->slot);
	pgw_check_exprs(r->rri) = all_checks;
	pgw_foreign_triggers_end(r->rri, CMD_UPDATE, wanted, r->slot, r->ours,
							 ItemPointerIsValid(&r->slot->tts_tid));
	AfterTriggerEndQuery(r->estate);
	pgw_foreign_end(guard);
	EvalPlanQualEnd(&epq);
	CommandCounterIncrement();
}

void
pgw_row_update(PgwRel *r)
{
	if (!r->plain_updates)
		update_with_triggers(r);
	else if (!pgw_row_update_free(r))
		elog(ERROR, "a row of \"%s\" was changed by somebody else meanwhile",
			 RelationGetRelationName(r->rel));
}

void
pgw_row_delete(PgwRel *r)
{
	EPQState epq;
	int guard = pgw_foreign_begin(r->runs_foreign_code);

	r->estate->es_output_cid = GetCurrentCommandId(true);
	pgw_eval_plan_qual_init(&epq, r->estate);
	AfterTriggerBeginQuery();
	ExecSimpleRelationDelete(r->rri, r->estate, &epq, r->found);
	AfterTriggerEndQuery(r->estate);
	EvalPlanQualEnd(&epq);
	pgw_foreign_end(guard);
	CommandCounterIncrement();
}
