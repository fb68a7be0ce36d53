/*
 * repeats.c - refuses statements that would pay once for every column
 *
 * PostgreSQL makes of SELECT (pgw.process_payment(…)).* one call for each column of the result.  With one id they replay each other; with an id
 * that is computed anew for each call (gen_random_uuid(), nextval()) every column is another payment.  So a call with a volatile id must stand
 * once in its statement: anything else is PW400 when the statement is planned, before anything is sent.
 *
 * Owns: the planner hook, and the flag that makes it look.  Two looks, because neither sees everything:
 *	- the support function of the client functions is asked for each call while its query is planned, and looks at the query as it was
 *	  written: there equal calls are equal, also those whose id is a subselect, which the planner tears apart;
 *	- the hook looks at the finished plan: there the bodies of inlined wrappers are, and (in target lists) calls of wrappers that are not.
 * A wrapper in another language that makes up the id by itself cannot be seen through; docs/drivers.md says so.
 *
 * Cost for statements that have nothing to do with pgw: one look at the entries of each target list.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "funcapi.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "core/mutant.h"
#include "interface/interface.h"
#include "interface/raise.h"

PG_FUNCTION_INFO_V1(pgw_call_support);

static planner_hook_type previous_hook = NULL;

/* Of the database that this backend is in; InvalidOid until a call was planned. */
static Oid	support_function = InvalidOid;

/* The statement being planned has a call with a volatile id. */
static bool seen = false;

static void
refuse(void)
{
	pgw_raise_invalid("the payment would be made once for each column, each with another id",
					  psprintf("[%s]", pgw_arg_fault(NULL, "client_request_id", "volatile_id", NULL)),
					  "(...).* runs a function once for each column. Call it in FROM instead: SELECT p.* FROM pgw.process_payment(...) AS p. Nothing was sent.");
}

/* ---------------------------------------------------------------- one call */

/* Where the id stands among the arguments; -1: nowhere. */
static int
id_position(Oid function)
{
	HeapTuple	tup = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid		   *types;
	char	  **names;
	char	   *modes;
	int			n;
	int			position = -1;

	if (!HeapTupleIsValid(tup))
		return -1;
	n = get_func_arg_info(tup, &types, &names, &modes);
	for (int i = 0; i < n && names != NULL && position < 0; i++)
	{
		if (strcmp(names[i], "client_request_id") == 0)
			position = i;
	}
	ReleaseSysCache(tup);
	return position;
}

static bool
has_volatile_id(const FuncExpr *call)
{
	int			position;
	int			i = 0;
	ListCell   *lc;

	if (!contain_volatile_functions((Node *) call->args))
		return false;			/* nearly always, and without the catalog */
	position = id_position(call->funcid);
	foreach(lc, call->args)
	{
		Node	   *arg = lfirst(lc);
		int			at = IsA(arg, NamedArgExpr) ? ((NamedArgExpr *) arg)->argnumber : i;

		if (at == position)
			return contain_volatile_functions(arg);
		i++;
	}
	return false;				/* not even given: an error later */
}

static bool
is_ours(const FuncExpr *call)
{
	return OidIsValid(support_function) && get_func_support(call->funcid) == support_function;
}

/* A function of somebody else's with the result of ours. */
static bool
is_wrapper(const FuncExpr *call)
{
	Oid			namespace;

	if (is_ours(call) || func_volatile(call->funcid) != PROVOLATILE_VOLATILE)
		return false;
	namespace = get_namespace_oid("pgw", true);
	return OidIsValid(namespace) && call->funcresulttype ==
		GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("payment_result"), ObjectIdGetDatum(namespace));
}

/* ---------------------------------------------------------------- equal calls */

/* Subqueries are planned, and looked at, by themselves. */
static bool
collect(Node *node, List **calls)
{
	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, FuncExpr) && is_ours((FuncExpr *) node) && has_volatile_id((FuncExpr *) node))
		*calls = lappend(*calls, node);
	return expression_tree_walker(node, collect, calls);
}

/* equal() does not look at where in the text a call stands. */
static void
refuse_equal(const List *calls)
{
	for (int i = 0; i < list_length(calls); i++)
	{
		for (int j = i + 1; j < list_length(calls); j++)
		{
			if (equal(list_nth(calls, i), list_nth(calls, j)) && !PGW_MUTATED(REPEATED_CALL))
				refuse();
		}
	}
}

Datum
pgw_call_support(PG_FUNCTION_ARGS)
{
	Node	   *node = (Node *) PG_GETARG_POINTER(0);

	if (IsA(node, SupportRequestSimplify))
	{
		SupportRequestSimplify *request = (SupportRequestSimplify *) node;

		support_function = fcinfo->flinfo->fn_oid;
		if (has_volatile_id(request->fcall))
		{
			List	   *calls = NIL;

			seen = true;
			if (request->root != NULL)
				(void) query_tree_walker(request->root->parse, collect, &calls,
										 QTW_IGNORE_RT_SUBQUERIES | QTW_IGNORE_CTE_SUBQUERIES | QTW_IGNORE_JOINALIASES);
			refuse_equal(calls);
			list_free(calls);
		}
	}
	PG_RETURN_POINTER(NULL);	/* there is no simpler form */
}

/* ---------------------------------------------------------------- the finished plan */

/* Columns of one and the same call of a wrapper with volatile arguments. */
static void
look_at_columns(const List *targetlist)
{
	const FuncExpr *first = NULL;
	ListCell   *lc;

	foreach(lc, targetlist)
	{
		FieldSelect *column = (FieldSelect *) ((TargetEntry *) lfirst(lc))->expr;
		FuncExpr   *call;

		if (column == NULL || !IsA(column, FieldSelect) || !IsA(column->arg, FuncExpr))
			continue;
		call = (FuncExpr *) column->arg;
		if (first != NULL && equal(first, call) && contain_volatile_functions((Node *) call->args) && is_wrapper(call))
			refuse();
		first = call;
	}
}

static void look_at_plans(const List *plans);

static void
look_at_plan(Plan *plan)
{
	List	   *calls = NIL;

	if (plan == NULL)
		return;
	look_at_columns(plan->targetlist);
	if (seen)
	{
		/* What ModifyTable has as its target list is a copy of the first RETURNING list, for EXPLAIN. */
		(void) collect((Node *) (IsA(plan, ModifyTable) ? NIL : plan->targetlist), &calls);
		(void) collect((Node *) plan->qual, &calls);
		if (IsA(plan, ValuesScan))
			(void) collect((Node *) ((ValuesScan *) plan)->values_lists, &calls);
		if (IsA(plan, FunctionScan))
			(void) collect((Node *) ((FunctionScan *) plan)->functions, &calls);
		refuse_equal(calls);
		list_free(calls);
		if (IsA(plan, ModifyTable) && ((ModifyTable *) plan)->returningLists != NIL)
		{
			calls = NIL;
			(void) collect(linitial(((ModifyTable *) plan)->returningLists), &calls);
			refuse_equal(calls);
		}
	}
	look_at_plan(plan->lefttree);
	look_at_plan(plan->righttree);
	if (IsA(plan, Append))
		look_at_plans(((Append *) plan)->appendplans);
	else if (IsA(plan, MergeAppend))
		look_at_plans(((MergeAppend *) plan)->mergeplans);
	else if (IsA(plan, SubqueryScan))
		look_at_plan(((SubqueryScan *) plan)->subplan);
	else if (IsA(plan, CustomScan))
		look_at_plans(((CustomScan *) plan)->custom_plans);
}

static void
look_at_plans(const List *plans)
{
	ListCell   *lc;

	foreach(lc, plans)
		look_at_plan(lfirst(lc));
}

static PlannedStmt *
plan_and_look(Query *parse, const char *query_string, int cursor_options, ParamListInfo bound_params)
{
	bool		outer = seen;
	PlannedStmt *statement;

	/* After an error the flag is stale; that costs a look, and the next statement begins with its own. */
	seen = false;
	statement = previous_hook != NULL ? previous_hook(parse, query_string, cursor_options, bound_params) :
		standard_planner(parse, query_string, cursor_options, bound_params);
	look_at_plan(statement->planTree);
	look_at_plans(statement->subplans);
	seen = outer;
	return statement;
}

void
pgw_repeats_init(void)
{
	previous_hook = planner_hook;
	planner_hook = plan_and_look;
}
