/*
 * calls_in_one_statement.c - several calls of process_payment() in one statement: refused where it
 * would pay once for every column
 *
 * PostgreSQL makes of SELECT (pgw.process_payment(…)).* one call for each column of the result.
 * With one id they replay each other; with an id that is computed anew for each call
 * (gen_random_uuid(), nextval()) every column is another payment.  So a call with a volatile id
 * must stand once in its statement: anything else is PW400 when the statement is planned, before
 * anything is sent.
 *
 * Owns: the planner hook and the flag that makes it look; the executor hook and its stack of
 * running statements.  Three looks, because none of them sees everything:
 *     - the support function of the client functions is asked for each call while its query is
 *       planned, and looks at the query as it was written: there equal calls are equal, also those
 *       whose id is a subselect, which the planner tears apart;
 *     - the planner hook looks at the finished plan: there the bodies of inlined wrappers are,
 *       calls of wrappers that are not, and views that stand in it twice; a cursor that can be
 *       turned back would make its rows, and their payments, once more;
 *     - a wrapper that is not inlined and makes up the id in its body is seen when it runs: the
 *       statement around it has columns of one and the same expression that calls it, or of equal
 *       subselects that do, and a place in its body pays with one id, once, and then with another.
 *       The error undoes the first.
 *
 * Cost for statements that have nothing to do with pgw: one look at the entries of each target list
 * when they are planned, and an entry on the stack while they run.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/json_writer.h"
#include "card_guard/card_literals.h"
#include "card_guard/card_loggers.h"
#include "client_api/calls_in_one_statement.h"
#include "core/base/mutant.h"
#include "sql_function/left_out_arguments.h"
#include "sql_function/raise_error.h"
#include "sql_function/wipe_remains.h"

PG_FUNCTION_INFO_V1(pgw_call_support);

static planner_hook_type previous_hook = NULL;

/* Of the database that this backend is in; InvalidOid until a call was planned. */
static Oid support_function = InvalidOid;

/* A place that pays, in the body of a function that a statement calls once for each column. */
typedef struct Place
{
	FuncExpr *call;
	char *id;   /* of the last payment made there */
	bool again; /* not only once: the columns of one row replay each other */
} Place;

/* A statement that the executor is running; on the C stack. */
typedef struct Running
{
	const QueryDesc *query;
	struct Running *outer;
	bool back; /* a cursor that is turned back */
	bool looked;
	/* it calls a function that is not ours once for each of several columns */
	bool repeats;
	List *places; /* in the query's memory context */
} Running;

static ExecutorRun_hook_type previous_run = NULL;
static Running *running = NULL;

/* The statement being planned has a call with a volatile id. */
static bool seen = false;

static void
refuse(void)
{
	pgw_raise_invalid(
		"the payment would be made once for each column, each with another id",
		pgw_json_array_of(pgw_arg_fault(NULL, "client_request_id", "volatile_id", NULL)),
		"(...).* runs a function once for each column. Call it in FROM instead: SELECT p.* FROM pgw.process_payment(...) AS p. Nothing was sent.");
}

/* ---------------------------------------------------------------- one call */

/* Where the id, or the document with the ids, stands among the arguments; -1: nowhere. */
static int
id_position(Oid function)
{
	HeapTuple tup = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid *types;
	char **names;
	char *modes;
	int n;
	int position = -1;

	if (!HeapTupleIsValid(tup))
		return -1;
	n = get_func_arg_info(tup, &types, &names, &modes);
	for (int i = 0; i < n && names != NULL && position < 0; i++)
	{
		if (strcmp(names[i], "client_request_id") == 0 || strcmp(names[i], "requests") == 0)
			position = i;
	}
	ReleaseSysCache(tup);
	return position;
}

static bool
has_volatile_id(const FuncExpr *call)
{
	int position;
	int i = 0;
	ListCell *lc;

	if (!contain_volatile_functions((Node *) call->args))
		return false; /* nearly always, and without the catalog */
	position = id_position(call->funcid);
	foreach (lc, call->args)
	{
		Node *arg = lfirst(lc);
		int at = IsA(arg, NamedArgExpr) ? ((NamedArgExpr *) arg)->argnumber : i;

		if (at == position)
			return contain_volatile_functions(arg);
		i++;
	}
	return false; /* not even given: an error later */
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
	Oid namespace;

	if (is_ours(call) || func_volatile(call->funcid) != PROVOLATILE_VOLATILE)
		return false;
	namespace = get_namespace_oid("pgw", true);
	return OidIsValid(namespace) &&
		   call->funcresulttype == GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
												   CStringGetDatum("payment_result"),
												   ObjectIdGetDatum(namespace));
}

/* ---------------------------------------------------------------- equal calls */

/* Subqueries are planned, and looked at, by themselves. */
static bool
collect(Node *node, void *context)
{
	List **calls = context;

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
	Node *node = (Node *) PG_GETARG_POINTER(0);
	FuncExpr *simpler = NULL;

	if (IsA(node, SupportRequestSimplify))
	{
		SupportRequestSimplify *request = (SupportRequestSimplify *) node;

		support_function = fcinfo->flinfo->fn_oid;
		pgw_remains_constants(request->fcall);
		pgw_literals_check_simplified(request);
		if (has_volatile_id(request->fcall))
		{
			List *calls = NIL;

			seen = true;
			if (request->root != NULL)
				(void) query_tree_walker(request->root->parse, collect, &calls,
										 QTW_IGNORE_RT_SUBQUERIES | QTW_IGNORE_CTE_SUBQUERIES |
											 QTW_IGNORE_JOINALIASES);
			refuse_equal(calls);
			list_free(calls);
		}
		simpler = pgw_leave_out(request->fcall);
	}
	PG_RETURN_POINTER(simpler); /* NULL: it stays as it is */
}

/* ---------------------------------------------------------------- the finished plan */

/* An entry of a target list, or a field of a ROW(), that is a field of something. */
static const FieldSelect *
field_of(const Node *entry)
{
	if (entry != NULL && IsA(entry, TargetEntry))
		entry = (const Node *) ((const TargetEntry *) entry)->expr;
	return entry != NULL && IsA(entry, FieldSelect) ? (const FieldSelect *) entry : NULL;
}

/* Are two of them of one and the same expression, and is it one that counts? */
static bool
source_repeats(const List *entries, bool (*counts)(Node *source))
{
	const Node *first = NULL;
	ListCell *lc;

	foreach (lc, entries)
	{
		const FieldSelect *field = field_of(lfirst(lc));

		if (field == NULL || !counts((Node *) field->arg))
			continue;
		if (first != NULL && equal(first, field->arg))
			return true;
		first = (const Node *) field->arg;
	}
	return false;
}

static bool
is_volatile_wrapper(Node *source)
{
	return IsA(source, FuncExpr) &&
		   contain_volatile_functions((Node *) ((FuncExpr *) source)->args) &&
		   is_wrapper((FuncExpr *) source);
}

/* Columns of one and the same call of a wrapper with volatile arguments. */
static void
look_at_columns(const List *targetlist)
{
	if (source_repeats(targetlist, is_volatile_wrapper))
		refuse();
}

/* Those of a node's children that are neither left nor right. */
static List *
inner_plans(const Plan *plan)
{
	switch (nodeTag(plan))
	{
		case T_Append:
			return ((const Append *) plan)->appendplans;
		case T_MergeAppend:
			return ((const MergeAppend *) plan)->mergeplans;
		case T_SubqueryScan:
			return list_make1(((const SubqueryScan *) plan)->subplan);
		case T_CustomScan:
			return ((const CustomScan *) plan)->custom_plans;
		default:
			return NIL;
	}
}

/* A statement's plan, and the calls with a volatile id that were found in it so far. */
typedef struct Look
{
	const List *rtable;
	List *calls;
	/* one of them is made for each row that is fetched, not once for the whole scan */
	bool row;
} Look;

static void look_at_plans(const List *plans, Look *look);

/* Equal calls at different places of a plan: a view that pays stands in the statement twice. */
static void
refuse_again(const List *here, const Look *look)
{
	ListCell *lc;

	foreach (lc, here)
	{
		if (list_member(look->calls, lfirst(lc)) && !PGW_MUTATED(REPEATED_VIEW))
			pgw_raise_invalid(
				"the payment would be made more than once in one statement, each time with another id",
				pgw_json_array_of(pgw_arg_fault(NULL, "client_request_id", "volatile_id", NULL)),
				"A view that pays does so wherever it stands. Name the id in the statement, or call it once: "
				"WITH p AS MATERIALIZED (SELECT * FROM ...) SELECT ... Nothing was sent.");
	}
}

static void
look_at_calls(Plan *plan, Look *look)
{
	List *calls = NIL;

	/*
	 * What ModifyTable has as its target list is a copy of the first RETURNING list, for EXPLAIN.
	 */
	if (IsA(plan, ModifyTable))
		(void) collect((Node *) (((ModifyTable *) plan)->returningLists != NIL
									 ? linitial(((ModifyTable *) plan)->returningLists)
									 : NIL),
					   &calls);
	else
		(void) collect((Node *) plan->targetlist, &calls);
	(void) collect((Node *) plan->qual, &calls);
	if (IsA(plan, ValuesScan))
		(void) collect((Node *) ((ValuesScan *) plan)->values_lists, &calls);
	look->row |= calls != NIL;
	if (IsA(plan, FunctionScan))
		(void) collect((Node *) ((FunctionScan *) plan)->functions, &calls);
	refuse_equal(calls);
	refuse_again(calls, look);
	look->calls = list_concat(look->calls, calls);
}

/*
 * The partitions of a table, each with a copy of what is called for each row: not several places of
 * the statement, but one.
 */
static bool
is_of_one_table(const Plan *plan, const Look *look)
{
	const Bitmapset *relids = IsA(plan, Append)        ? ((const Append *) plan)->apprelids
							  : IsA(plan, MergeAppend) ? ((const MergeAppend *) plan)->apprelids
													   : NULL;
	int relid = -1;

	while ((relid = bms_next_member(relids, relid)) >= 0)
	{
		if (relid <= list_length(look->rtable) &&
			rt_fetch(relid, look->rtable)->rtekind == RTE_RELATION)
			return true;
	}
	return false;
}

static void
look_at_plan(Plan *plan, Look *look)
{
	List *inner;
	List *last = NIL;
	ListCell *lc;

	if (plan == NULL)
		return;
	look_at_columns(plan->targetlist);
	if (seen)
		look_at_calls(plan, look);
	look_at_plan(plan->lefttree, look);
	look_at_plan(plan->righttree, look);
	inner = inner_plans(plan);
	if (!is_of_one_table(plan, look))
	{
		look_at_plans(inner, look);
		return;
	}
	foreach (lc, inner)
	{
		Look own = {look->rtable, NIL, false};

		look_at_plan(lfirst(lc), &own);
		refuse_again(own.calls, look);
		look->row |= own.row;
		last = own.calls;
	}
	look->calls = list_concat(look->calls, last);
}

static void
look_at_plans(const List *plans, Look *look)
{
	ListCell *lc;

	foreach (lc, plans)
		look_at_plan(lfirst(lc), look);
}

/*
 * A cursor that can be turned back makes the rows once more, and WITH HOLD begins anew at the
 * commit: each would pay with another id.
 */
static void
refuse_scroll(int cursor_options, const Look *look)
{
	bool scrolls =
		(cursor_options & CURSOR_OPT_SCROLL) != 0 ||
		((cursor_options & CURSOR_OPT_HOLD) != 0 && (cursor_options & CURSOR_OPT_NO_SCROLL) == 0);

	if (scrolls && look->row && !PGW_MUTATED(REPEATED_FETCH))
		pgw_raise_invalid(
			"the payment would be made again when the cursor is turned back, with another id",
			pgw_json_array_of(pgw_arg_fault(NULL, "client_request_id", "volatile_id", NULL)),
			"Declare the cursor with NO SCROLL, or call the function in FROM. Nothing was sent.");
}

static PlannedStmt *
plan_and_look(Query *parse, const char *query_string, int cursor_options,
			  ParamListInfo bound_params PGW_EXPLAIN_PARAM)
{
	bool outer = seen;
	PlannedStmt *statement;
	Look look = {NIL, NIL, false};

	/*
	 * After an error the flag is stale; that costs a look, and the next statement begins with its
	 * own.
	 */
	seen = false;
	statement =
		previous_hook != NULL
			? previous_hook(parse, query_string, cursor_options, bound_params PGW_EXPLAIN)
			: standard_planner(parse, query_string, cursor_options, bound_params PGW_EXPLAIN);
	look.rtable = statement->rtable;
	look_at_plan(statement->planTree, &look);
	look_at_plans(statement->subplans, &look);
	refuse_scroll(cursor_options, &look);
	seen = outer;
	return statement;
}

/* ---------------------------------------------------------------- while it runs */

static bool plans_repeat(const List *plans, const PlannedStmt *statement);

/* Whatever stands around the call: coalesce(pay(), ...), jsonb_populate_record(..., pay()). */
static bool
may_pay(Node *source)
{
	return !(IsA(source, FuncExpr) && is_ours((FuncExpr *) source)) &&
		   contain_volatile_functions(source);
}

/* The plan of the subselect that this entry is a field of; NULL: it is of none. */
static const Plan *
subselect_of(const Node *entry, const Plan *plan, const PlannedStmt *statement)
{
	const FieldSelect *field = field_of(entry);
	const SubPlan *sub = NULL;
	ListCell *lc;

	if (field == NULL)
		return NULL;
	if (IsA(field->arg, SubPlan))
		sub = (const SubPlan *) field->arg;
	else if (IsA(field->arg, Param) && ((const Param *) field->arg)->paramkind == PARAM_EXEC)
	{
		foreach (lc, plan->initPlan)
		{
			if (list_member_int(((const SubPlan *) lfirst(lc))->setParam,
								((const Param *) field->arg)->paramid))
				sub = lfirst(lc);
		}
	}
	return sub != NULL ? list_nth(statement->subplans, sub->plan_id - 1) : NULL;
}

static List *
functions_of(const Plan *plan)
{
	return IsA(plan, FunctionScan) ? ((const FunctionScan *) plan)->functions : NIL;
}

/* As far as calls go.  The columns of a scan are numbered anew in each subselect. */
static bool
alike(const Plan *a, const Plan *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return nodeTag(a) == nodeTag(b) &&
		   (IsA(a, FunctionScan) ? equal(functions_of(a), functions_of(b))
								 : equal(a->targetlist, b->targetlist)) &&
		   alike(a->lefttree, b->lefttree) && alike(a->righttree, b->righttree);
}

static bool
plan_may_pay(const Plan *plan)
{
	return plan != NULL && (contain_volatile_functions((Node *) plan->targetlist) ||
							contain_volatile_functions((Node *) functions_of(plan)) ||
							plan_may_pay(plan->lefttree) || plan_may_pay(plan->righttree));
}

/* ((SELECT pay())).* is a subselect for each column. */
static bool
subselect_repeats(const List *entries, const Plan *plan, const PlannedStmt *statement)
{
	const Plan *first = NULL;
	ListCell *lc;

	foreach (lc, entries)
	{
		const Plan *source = subselect_of(lfirst(lc), plan, statement);

		if (source == NULL)
			continue;
		if (first != NULL && alike(first, source) && plan_may_pay(source))
			return true;
		first = source;
	}
	return false;
}

/* Where the entries stand that are looked at. */
typedef struct PlaceOfRows
{
	const Plan *plan;
	const PlannedStmt *statement;
} PlaceOfRows;

static bool
entries_repeat(const List *entries, const PlaceOfRows *at)
{
	return source_repeats(entries, may_pay) || subselect_repeats(entries, at->plan, at->statement);
}

/* ROW((pay()).*) */
static bool
row_repeats(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return (IsA(node, RowExpr) && entries_repeat(((RowExpr *) node)->args, context)) ||
		   expression_tree_walker(node, row_repeats, context);
}

static bool
plan_repeats(Plan *plan, const PlannedStmt *statement)
{
	PlaceOfRows at = {plan, statement};

	return plan != NULL &&
		   (entries_repeat(plan->targetlist, &at) || row_repeats((Node *) plan->targetlist, &at) ||
			plan_repeats(plan->lefttree, statement) || plan_repeats(plan->righttree, statement) ||
			plans_repeat(inner_plans(plan), statement));
}

static bool
plans_repeat(const List *plans, const PlannedStmt *statement)
{
	ListCell *lc;

	foreach (lc, plans)
	{
		if (plan_repeats(lfirst(lc), statement))
			return true;
	}
	return false;
}

static bool
statement_repeats(const PlannedStmt *statement)
{
	return plan_repeats(statement->planTree, statement) ||
		   plans_repeat(statement->subplans, statement);
}

static Place *
find_place(Running *r, FuncExpr *call)
{
	ListCell *lc;
	Place *place;
	MemoryContext old;

	foreach (lc, r->places)
	{
		place = lfirst(lc);
		if (equal(place->call, call))
			return place;
	}
	old = MemoryContextSwitchTo(r->query->estate->es_query_cxt);
	place = palloc0(sizeof(Place));
	place->call = copyObject(call);
	pgw_remains_constants(place->call);
	r->places = lappend(r->places, place);
	MemoryContextSwitchTo(old);
	return place;
}

static void
pays_at(Running *r, FuncExpr *call, const char *id)
{
	Place *place = find_place(r, call);

	if (place->id != NULL && strcmp(place->id, id) == 0)
	{
		place->again = true;
		return;
	}
	if (place->id != NULL && !place->again && !PGW_MUTATED(REPEATED_WRAPPER))
		pgw_raise_invalid(
			"a function that pays is run once for each column, and its payments have different ids",
			pgw_json_array_of(pgw_arg_fault(NULL, "client_request_id", "volatile_id", NULL)),
			"(...).* runs a function, and what it calls, once for each column. Call it in FROM instead: SELECT p.* FROM pay(...) AS p. "
			"What the first call did is undone with this statement.");
	place->id = MemoryContextStrdup(r->query->estate->es_query_cxt, id);
	place->again = false;
}

void
pgw_statement_calls_check(FunctionCallInfo fcinfo, const char *id)
{
	FuncExpr *call = (FuncExpr *) fcinfo->flinfo->fn_expr;

	if (call == NULL || !IsA(call, FuncExpr))
		return;
	if (running != NULL && running->back && has_volatile_id(call) && !PGW_MUTATED(REPEATED_FETCH))
		pgw_raise_invalid(
			"the payment would be made again, with another id, as the cursor is turned back",
			pgw_json_array_of(pgw_arg_fault(NULL, "client_request_id", "volatile_id", NULL)),
			"Declare the cursor with NO SCROLL, or call the function in FROM. Nothing was sent for this row.");
	for (Running *r = running; r != NULL; r = r->outer)
	{
		if (!r->looked)
			r->repeats = statement_repeats(r->query->plannedstmt);
		r->looked = true;
		if (r->repeats)
			pays_at(r, call, id);
	}
}

static void
run_and_remember(QueryDesc *query, ScanDirection direction, uint64 count PGW_RUN_ONCE_PARAM)
{
	Running r = {.query = query, .outer = running, .back = ScanDirectionIsBackward(direction)};

	running = &r;
	PG_TRY();
	{
		if (previous_run != NULL)
			previous_run(query, direction, count PGW_RUN_ONCE);
		else
			standard_ExecutorRun(query, direction, count PGW_RUN_ONCE);
	}
	PG_FINALLY();
	{
		running = r.outer;
	}
	PG_END_TRY();
}

void
pgw_statement_calls_init(void)
{
	previous_hook = planner_hook;
	planner_hook = plan_and_look;
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run_and_remember;
	pgw_loggers_beneath("planner", (void *) previous_hook);
	pgw_loggers_beneath("ExecutorRun", (void *) previous_run);
}
