/*
 * prepared_checks.c - a table's CHECK constraints and what the executor knows of its indexes,
 * prepared once for the life of the process
 *
 * Owns: the prepared expressions of the tables that are written most recently.  They are given up
 * when the description of the relation or of one of its indexes changes.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "core/base/mutant.h"
#include "database/foreign_code.h"
#include "database/prepared_checks.h"
#include "database/relation_changes.h"

/*
 * The columns that a CHECK constraint tells of.  None: it has to be looked at whatever changes, as
 * a row may be there that has never met it (NOT VALID), or as its functions may say another thing
 * now.
 */
typedef struct PgwCheckColumns
{
	int n;
	AttrNumber *attnums;
} PgwCheckColumns;

/* What the executor would find out about an index each time that the table is opened. */
typedef struct PgwPreparedIndex
{
	Oid relid;
	IndexInfo *info; /* copied for each use; its ii_PredicateState is prepared */
} PgwPreparedIndex;

/*
 * What is prepared of one table: the executor would parse it again for each row that is written.
 */
typedef struct PgwExprs
{
	Oid relid; /* InvalidOid: void */
	MemoryContext context;
	int nchecks;
	ExprState **checks;
	PgwCheckColumns *columns;
	ExprState **of_update; /* pgw_checks_of_update() */
	int nindexes;
	PgwPreparedIndex *indexes;
	PgwCodeOnTable code;
} PgwExprs;

#define MAX_EXPRS 8

static PgwExprs exprs[MAX_EXPRS];

static bool
is_of_table(const PgwExprs *e, Oid relid)
{
	if (relid == InvalidOid || relid == e->relid)
		return true;
	for (int i = 0; i < e->nindexes; i++)
	{
		if (relid == e->indexes[i].relid)
			return true;
	}
	return false;
}

static void
forget_table(Oid relid)
{
	for (int i = 0; i < MAX_EXPRS; i++)
	{
		if (OidIsValid(exprs[i].relid) && is_of_table(&exprs[i], relid))
			exprs[i].relid = InvalidOid; /* its memory goes once the place is used again */
	}
}

static PgwCheckColumns
columns_of(const ConstrCheck *check, Node *expr)
{
	PgwCheckColumns columns = {0};
	Bitmapset *used = NULL;
	int member = -1;

	pull_varattnos(expr, 1, &used);
	if (!check->ccvalid || contain_mutable_functions(expr))
		return columns;
	columns.attnums = palloc(sizeof(AttrNumber) * Max(bms_num_members(used), 1));
	while ((member = bms_next_member(used, member)) >= 0)
	{
		AttrNumber attnum = (AttrNumber) (member + FirstLowInvalidHeapAttributeNumber);

		/* the whole row, or a system column */
		if (attnum <= 0)
			return (PgwCheckColumns){0};
		columns.attnums[columns.n++] = attnum;
	}
	return columns;
}

static void
prepare_checks(PgwExprs *e, Relation rel)
{
	const TupleConstr *constr = RelationGetDescr(rel)->constr;
	int n = constr != NULL ? constr->num_check : 0;

	e->nchecks = n;
	e->checks = palloc(sizeof(ExprState *) * Max(n, 1));
	e->of_update = palloc(sizeof(ExprState *) * Max(n, 1));
	e->columns = palloc(sizeof(PgwCheckColumns) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		const ConstrCheck *check = &constr->check[i];
		Node *expr = pgw_expand_generated(stringToNode(check->ccbin), rel);

		e->columns[i] = columns_of(check, expr);
		e->checks[i] = pgw_check_is_enforced(check)
						   ? ExecInitExpr(expression_planner((Expr *) expr), NULL)
						   : NULL;
	}
}

static void
prepare_indexes(PgwExprs *e, const ResultRelInfo *rri)
{
	e->nindexes = 0;
	e->indexes = palloc(sizeof(PgwPreparedIndex) * Max(rri->ri_NumIndices, 1));
	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		Relation index = rri->ri_IndexRelationDescs[i];
		IndexInfo *info = BuildIndexInfo(index);

		if (info->ii_Unique && info->ii_ExclusionOps == NULL)
			BuildSpeculativeIndexInfo(index, info);
		if (info->ii_Predicate != NIL)
			info->ii_PredicateState = ExecInitQual(
				(List *) expression_planner((Expr *) copyObject(info->ii_Predicate)), NULL);
		e->indexes[e->nindexes++] = (PgwPreparedIndex){RelationGetRelid(index), info};
	}
}

static PgwCodeOnTable
code_on(const ResultRelInfo *rri)
{
	return (PgwCodeOnTable){.foreign = pgw_foreign_code(rri),
							.plain_updates = pgw_foreign_plain_updates(rri)};
}

static void
prepare_exprs(PgwExprs *e, ResultRelInfo *rri)
{
	Relation rel = rri->ri_RelationDesc;
	MemoryContext old;

	pgw_tell_of_relation_changes(forget_table);

	/*
	 * a relation that is open at this moment may still have them, but none is after the transaction
	 */
	if (e->context != NULL)
		MemoryContextSetParent(e->context, TopTransactionContext);
	e->context = AllocSetContextCreate(TopMemoryContext, "pgw constraints", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(e->context);
	prepare_checks(e, rel);
	prepare_indexes(e, rri);
	MemoryContextSwitchTo(old);
	e->code = code_on(rri);
	e->relid = RelationGetRelid(rel);
}

static IndexInfo *
copy_prepared(const PgwExprs *e, Relation index)
{
	for (int i = 0; i < e->nindexes; i++)
	{
		IndexInfo *copy;

		if (e->indexes[i].relid != RelationGetRelid(index))
			continue;
		copy = palloc(sizeof(IndexInfo));
		*copy = *e->indexes[i].info;
		/* it changes while CREATE INDEX CONCURRENTLY makes it: an entry left out is never made up
		 * for */
		copy->ii_ReadyForInserts = index->rd_index->indisready;
		copy->ii_Context = CurrentMemoryContext;
		return copy;
	}
	return NULL;
}

/* ExecOpenIndices(), but for what is known of the indexes already. */
static void
open_indexes(const PgwExprs *e, ResultRelInfo *rri, bool speculative)
{
	List *indexes = RelationGetIndexList(rri->ri_RelationDesc);
	int n = list_length(indexes);

	rri->ri_NumIndices = n;
	rri->ri_IndexRelationDescs = palloc(sizeof(Relation) * Max(n, 1));
	rri->ri_IndexRelationInfo = palloc(sizeof(IndexInfo *) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		Relation index = index_open(list_nth_oid(indexes, i), RowExclusiveLock);
		IndexInfo *info = copy_prepared(e, index);

		if (info == NULL)
		{
			info = BuildIndexInfo(index);
			if (speculative && info->ii_Unique && info->ii_ExclusionOps == NULL)
				BuildSpeculativeIndexInfo(index, info);
		}
		rri->ri_IndexRelationDescs[i] = index;
		rri->ri_IndexRelationInfo[i] = info;
	}
	list_free(indexes);
}

void
pgw_checks_open(ResultRelInfo *rri, bool speculative, PgwCodeOnTable *code)
{
	Oid relid = RelationGetRelid(rri->ri_RelationDesc);
	PgwExprs *e = NULL;

	for (int i = 0; i < MAX_EXPRS && (e == NULL || e->relid != relid); i++)
	{
		if (exprs[i].relid == relid || (exprs[i].relid == InvalidOid && e == NULL))
			e = &exprs[i];
	}
	if (e != NULL && e->relid == relid)
		open_indexes(e, rri, speculative);
	else
		ExecOpenIndices(rri, speculative);
	if (e == NULL)
	{
		*code = code_on(rri); /* no place: the executor does it */
		return;
	}
	/* also where the indexes' locks have brought what others have changed since */
	if (e->relid != relid)
		prepare_exprs(e, rri);
	pgw_check_exprs(rri) = e->checks;
	for (int i = 0; i < rri->ri_NumIndices; i++)
	{
		for (int j = 0; j < e->nindexes; j++)
		{
			if (e->indexes[j].relid == RelationGetRelid(rri->ri_IndexRelationDescs[i]))
				rri->ri_IndexRelationInfo[i]->ii_PredicateState =
					e->indexes[j].info->ii_PredicateState;
		}
	}
	*code = e->code;
}

static bool
is_as_before(TupleDesc desc, AttrNumber attnum, const TupleTableSlot *old,
			 const TupleTableSlot *new)
{
	int i = attnum - 1;
	Form_pg_attribute att = TupleDescAttr(desc, i);

	if (old->tts_isnull[i] || new->tts_isnull[i])
		return old->tts_isnull[i] && new->tts_isnull[i];
	return old->tts_values[i] == new->tts_values[i] ||
		   (!att->attbyval &&
			datum_image_eq(old->tts_values[i], new->tts_values[i], att->attbyval, att->attlen));
}

/* Can the update break what the constraint has said of the row so far? */
static bool
can_break(const PgwCheckColumns *columns, TupleDesc desc, const bool *ours,
		  const TupleTableSlot *old, const TupleTableSlot *new)
{
	if (columns->n == 0)
		return true;
	for (int i = 0; i < columns->n; i++)
	{
		AttrNumber attnum = columns->attnums[i];

		if (!ours[attnum - 1] || !is_as_before(desc, attnum, old, new))
			return true;
	}
	return false;
}

ExprState **
pgw_checks_of_update(ResultRelInfo *rri, const bool *ours, const TupleTableSlot *old,
					 const TupleTableSlot *new)
{
	ExprState **all = pgw_check_exprs(rri);
	TupleDesc desc = RelationGetDescr(rri->ri_RelationDesc);
	PgwExprs *e = NULL;

	/* what was lent, and is not void since */
	for (int i = 0; i < MAX_EXPRS && e == NULL; i++)
	{
		if (exprs[i].relid == RelationGetRelid(rri->ri_RelationDesc) && exprs[i].checks == all)
			e = &exprs[i];
	}
	if (e == NULL || ours == NULL)
		return all;
	for (int i = 0; i < e->nchecks; i++)
	{
		bool needed =
			!PGW_MUTATED(UPDATE_CHECKS) && can_break(&e->columns[i], desc, ours, old, new);

		/* the executor takes NULL for a constraint that is true */
		e->of_update[i] = needed ? e->checks[i] : NULL;
	}
	return e->of_update;
}
