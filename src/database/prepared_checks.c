/*
 * prepared_checks.c - a table's CHECK constraints and the predicates of its partial indexes,
 * prepared once for the life of the process
 *
 * Owns: the prepared expressions of the tables that are written most recently.  They are given up
 * when the relation's description changes.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/xact.h"
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
	int npredicates;
	Oid *indexes;
	ExprState **predicates;
	bool runs_foreign_code; /* a row that is written runs code of others */
} PgwExprs;

#define MAX_EXPRS 8

static PgwExprs exprs[MAX_EXPRS];

static void
forget_table(Oid relid)
{
	for (int i = 0; i < MAX_EXPRS; i++)
	{
		if (relid == InvalidOid || relid == exprs[i].relid)
			exprs[i].relid = InvalidOid; /* its memory goes once the place is used again */
	}
}

static PgwCheckColumns
columns_of(const ConstrCheck *check)
{
	Node *expr = stringToNode(check->ccbin);
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
prepare_checks(PgwExprs *e, const TupleConstr *constr)
{
	int n = constr != NULL ? constr->num_check : 0;

	e->nchecks = n;
	e->checks = palloc(sizeof(ExprState *) * Max(n, 1));
	e->of_update = palloc(sizeof(ExprState *) * Max(n, 1));
	e->columns = palloc(sizeof(PgwCheckColumns) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		e->checks[i] = ExecInitExpr(expression_planner(stringToNode(constr->check[i].ccbin)), NULL);
		e->columns[i] = columns_of(&constr->check[i]);
	}
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
	prepare_checks(e, RelationGetDescr(rel)->constr);
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

bool
pgw_checks_lend(ResultRelInfo *rri)
{
	Oid relid = RelationGetRelid(rri->ri_RelationDesc);
	PgwExprs *e = NULL;

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
