/*
 * prepared_checks.c - a table's CHECK constraints and the predicates of its partial indexes,
 * prepared once for the life of the process
 *
 * Owns: the prepared expressions of the tables that are written most recently.  They are given up
 * when the relation's description changes.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "database/foreign_code.h"
#include "database/prepared_checks.h"
#include "database/relation_changes.h"

/*
 * What is prepared of one table: the executor would parse it again for each row that is written.
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
forget_table(Oid relid)
{
	for (int i = 0; i < MAX_EXPRS; i++)
	{
		if (relid == InvalidOid || relid == exprs[i].relid)
			exprs[i].relid = InvalidOid; /* its memory goes once the place is used again */
	}
}

static void
prepare_exprs(PgwExprs *e, ResultRelInfo *rri)
{
	Relation rel = rri->ri_RelationDesc;
	TupleConstr *constr = RelationGetDescr(rel)->constr;
	MemoryContext old;

	pgw_tell_of_relation_changes(forget_table);

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
