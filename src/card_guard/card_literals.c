/*
 * card_literals.c - refuses card data that stands in the text of a statement
 *
 * A statement's text reaches the log with the first error, pg_stat_activity, and through PL/pgSQL's
 * EXECUTE the CONTEXT of every error.  So a call of pgw.process_payment() whose card number, CVV or
 * holder stands in the text (argument_sources.c) is refused by what the call is, as early as the
 * server lets us see it:
 *     - when a statement has been analyzed: top-level statements, PREPARE, EXECUTE of strings,
 *       cursors, bodies of SQL functions when they are created;
 *     - before it is planned, with its views, rules and defaults in place;
 *     - when the call is simplified, for inlined functions and expressions outside of queries
 *       (COPY's defaults, CHECK, arguments of CALL);
 *     - EXECUTE of a prepared statement, whose literals become parameters; and the text of DO,
 *       CREATE FUNCTION and all other utility statements, whose bodies nobody analyzes before they
 *       run: these hold a call and a card number, in plain sight.
 * All of it comes before the checks of permissions, of READ ONLY transactions and before any wait
 * of ours, so that no other error shows the text.  What the server finds before it has analyzed a
 * statement (syntax, types) is kept out of the log by log_redaction.c. While the planner is at it,
 * settings that would log the parameters are refused too: before the server logs that it executes.
 *
 * Owns: the hooks.  Cost for statements that have nothing to do with pgw: a walk through their
 * tree, and a look-up of each function that is not the server's.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/prepare.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "card_guard/argument_sources.h"
#include "card_guard/card_calls.h"
#include "card_guard/card_literals.h"
#include "card_guard/card_loggers.h"
#include "card_guard/card_refusals.h"
#include "card_guard/log_redaction.h"
#include "core/base/mutant.h"
#include "core/card/card_text.h"
#include "core/card/token_object.h"
#include "sql_function/raise_error.h"

static post_parse_analyze_hook_type previous_analyze = NULL;
static planner_hook_type previous_planner = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/* The token is card data where it is an object. */
static const char *const card_fields[] = {"card_number", "card_cvv", "card_holder", "token"};

#define TOKEN_FIELD 3
#define SEARCH_STEP (1024 * 1024)
#define SEARCH_OVERLAP 8192

/* The arguments of one call that hold card data; NULL: not given. */
typedef struct CardArgs
{
	Node *arg[lengthof(card_fields)];
} CardArgs;

typedef struct Walk
{
	const PgwScope *scope;
	bool literals; /* look for them; else only at what the server logs */
	bool settings;
	ParamListInfo params; /* what is bound, as far as it is known */
} Walk;

/* ---------------------------------------------------------------- one call */

/* The place of each field among the function's arguments; -1: it has none. */
static void
find_places(HeapTuple tuple, int *places)
{
	Oid *types;
	char **names;
	char *modes;
	int n = get_func_arg_info(tuple, &types, &names, &modes);

	for (size_t i = 0; i < lengthof(card_fields); i++)
	{
		places[i] = -1;
		for (int at = 0; at < n && names != NULL; at++)
		{
			if (strcmp(names[at], card_fields[i]) == 0)
				places[i] = at;
		}
	}
}

static bool
find_card_args(const FuncExpr *call, CardArgs *found)
{
	HeapTuple tuple;
	Form_pg_proc proc;
	Oid namespace;
	int places[lengthof(card_fields)];
	bool ours;
	int position = 0;
	ListCell *lc;

	memset(found, 0, sizeof(*found));
	if (call->funcid < FirstNormalObjectId)
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));
	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	namespace = strcmp(NameStr(proc->proname), "process_payment") == 0
					? get_namespace_oid("pgw", true)
					: InvalidOid;
	ours = OidIsValid(namespace) && proc->pronamespace == namespace;
	if (ours)
		find_places(tuple, places);
	ReleaseSysCache(tuple);
	if (!ours)
		return false;

	foreach (lc, call->args)
	{
		Node *arg = lfirst(lc);
		int at = IsA(arg, NamedArgExpr) ? ((NamedArgExpr *) arg)->argnumber : position;

		for (size_t i = 0; i < lengthof(card_fields); i++)
		{
			if (at == places[i])
				found->arg[i] = arg;
		}
		position++;
	}
	return true;
}

static bool
is_null(Node *arg)
{
	if (arg != NULL && IsA(arg, NamedArgExpr))
		arg = (Node *) ((NamedArgExpr *) arg)->arg;
	return arg == NULL || (IsA(arg, Const) && ((Const *) arg)->constisnull);
}

/* Without what only names or casts it. */
static Node *
stripped(Node *expr)
{
	while (expr != NULL)
	{
		if (IsA(expr, NamedArgExpr))
			expr = (Node *) ((NamedArgExpr *) expr)->arg;
		else if (IsA(expr, RelabelType))
			expr = (Node *) ((RelabelType *) expr)->arg;
		else
			break;
	}
	return expr;
}

static bool
value_is_object(Oid type, Datum value)
{
	char *given;
	bool object;

	if (type != TEXTOID && type != VARCHAROID && type != UNKNOWNOID)
		return false;
	given = type == UNKNOWNOID ? pstrdup(DatumGetCString(value)) : TextDatumGetCString(value);
	object = pgw_token_is_object(given);
	explicit_bzero(given, strlen(given));
	pfree(given);
	return object;
}

/* A literal whose value is a JSON object. */
static bool
is_object_literal(Node *expr)
{
	expr = stripped(expr);
	return expr != NULL && IsA(expr, Const) && !((Const *) expr)->constisnull &&
		   value_is_object(((Const *) expr)->consttype, ((Const *) expr)->constvalue);
}

/* ... or a parameter that is one this time. */
static bool
is_bound_object(Node *expr, ParamListInfo params)
{
	const Param *param = (Param *) (expr = stripped(expr));
	const ParamExternData *bound;

	if (expr == NULL || params == NULL || params->paramFetch != NULL || !IsA(expr, Param) ||
		param->paramkind != PARAM_EXTERN || param->paramid > params->numParams)
		return false;
	bound = &params->params[param->paramid - 1];
	return !bound->isnull && value_is_object(bound->ptype, bound->value);
}

/* Adds a fault when the expression's value stands in the text, or may do so. */
static char *
add_fault(char *faults, const char *field, Node *expr, const PgwScope *scope)
{
	if (field == card_fields[TOKEN_FIELD] && !is_object_literal(expr))
		return faults;
	switch (pgw_value_source(expr, scope))
	{
		case PGW_VALUE_FROM_ELSEWHERE:
			return faults;
		case PGW_VALUE_IN_TEXT:
			return pgw_arg_fault(faults, field, "card_literal", NULL);
		case PGW_VALUE_TOO_FAR:
			return pgw_arg_fault(
				faults, field, "card_literal",
				"too many expressions lie between the call and this value to see that it is no literal: bind the value itself");
	}
	return faults;
}

static void
refuse_literals(const CardArgs *args, const PgwScope *scope)
{
	char *faults = NULL;

	for (size_t i = 0; i < lengthof(card_fields); i++)
	{
		if (!is_null(args->arg[i]))
			faults = add_fault(faults, card_fields[i], args->arg[i], scope);
	}
	if (faults != NULL && !PGW_MUTATED(CARD_LITERAL))
		pgw_cards_refuse_literal(faults);
}

static bool
walk(Node *node, void *context)
{
	const Walk *w = context;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		const Query *query = (Query *) node;
		PgwScope scope = {.query = query, .outer = w->scope};
		Walk inner = {
			.scope = &scope, .literals = w->literals, .settings = w->settings, .params = w->params};

		if (query_tree_walker((Query *) node, walk, &inner, 0))
			return true;

		/* Once more, because there the columns of the target have another meaning. */
		scope.returning = true;
		return walk((Node *) query->returningList, &inner);
	}
	if (IsA(node, FuncExpr))
	{
		CardArgs args;

		if (find_card_args((FuncExpr *) node, &args))
		{
			if (w->literals)
				refuse_literals(&args, w->scope);
			if (w->settings && !(is_null(args.arg[0]) && is_null(args.arg[1])))
				pgw_cards_refuse_logging(!is_null(args.arg[0]) ? card_fields[0] : card_fields[1]);
			else if (w->settings && is_bound_object(args.arg[TOKEN_FIELD], w->params))
				pgw_cards_refuse_logging(card_fields[TOKEN_FIELD]);
		}
	}
	return expression_tree_walker(node, walk, context);
}

/* ---------------------------------------------------------------- analyzed */

/* The query, or expression, inside a utility statement that has been analyzed together with it. */
static Node *
inside(Node *stmt)
{
	if (stmt == NULL)
		return NULL;
	switch (nodeTag(stmt))
	{
		case T_ExplainStmt:
			return ((ExplainStmt *) stmt)->query;
		case T_DeclareCursorStmt:
			return ((DeclareCursorStmt *) stmt)->query;
		case T_CreateTableAsStmt:
			return ((CreateTableAsStmt *) stmt)->query;
		case T_CallStmt:
			return (Node *) ((CallStmt *) stmt)->funcexpr;
		default:
			return NULL;
	}
}

static void
analyzed(ParseState *pstate, Query *query, PgwJumbleState *jstate)
{
	if (pgw_log_redaction_learn_database() && pgw_cards_reject_literals())
	{
		Walk w = {.literals = true};
		Node *node = (Node *) query;

		while (node != NULL && IsA(node, Query) && ((Query *) node)->commandType == CMD_UTILITY)
			node = inside(((Query *) node)->utilityStmt);
		(void) walk(node, &w);
	}
	if (previous_analyze != NULL)
		previous_analyze(pstate, query, jstate);
}

/* ---------------------------------------------------------------- planned */

static PlannedStmt *
planned(Query *parse, const char *query_string, int cursor_options,
		ParamListInfo bound_params PGW_EXPLAIN_PARAM)
{
	Walk w = {.literals = pgw_cards_reject_literals(), .settings = true, .params = bound_params};

	(void) walk((Node *) parse, &w);
	return previous_planner != NULL
			   ? previous_planner(parse, query_string, cursor_options, bound_params PGW_EXPLAIN)
			   : standard_planner(parse, query_string, cursor_options, bound_params PGW_EXPLAIN);
}

void
pgw_literals_check_simplified(const SupportRequestSimplify *request)
{
	CardArgs args;
	char *faults = NULL;

	/* With bound parameters their values are constants here, and cannot be told from literals. */
	if (!pgw_cards_reject_literals() ||
		(request->root != NULL && request->root->glob->boundParams != NULL))
		return;
	if (!find_card_args(request->fcall, &args))
		return;
	for (size_t i = 0; i < lengthof(card_fields); i++)
	{
		if (!is_null(args.arg[i]) && IsA(args.arg[i], Const))
			faults = add_fault(faults, card_fields[i], args.arg[i], NULL);
	}
	if (faults != NULL && !PGW_MUTATED(CARD_LITERAL))
		pgw_cards_refuse_literal(faults);
}

/* ---------------------------------------------------------------- utility statements */

typedef struct Numbers
{
	Bitmapset *params; /* the numbers of the parameters in an argument */
} Numbers;

static bool
collect_params(Node *node, void *context)
{
	Numbers *numbers = context;

	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN)
		numbers->params = bms_add_member(numbers->params, ((Param *) node)->paramid);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, collect_params, context, 0);
	return expression_tree_walker(node, collect_params, context);
}

/* Of the calls in a prepared statement: which parameters hold which of the fields. */
static bool
collect_fields(Node *node, void *context)
{
	Numbers *fields = context; /* one for each field */
	CardArgs args;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, collect_fields, context, 0);
	if (IsA(node, FuncExpr) && find_card_args((FuncExpr *) node, &args))
	{
		for (size_t i = 0; i < lengthof(card_fields); i++)
			(void) collect_params(args.arg[i], &fields[i]);
	}
	return expression_tree_walker(node, collect_fields, context);
}

typedef struct RawCalls
{
	int places[lengthof(card_fields)];
	Numbers fields[lengthof(card_fields)];
} RawCalls;

static bool
collect_raw_params(Node *node, void *context)
{
	Numbers *numbers = context;

	if (node == NULL)
		return false;
	if (IsA(node, ParamRef))
		numbers->params = bms_add_member(numbers->params, ((ParamRef *) node)->number);
	return raw_expression_tree_walker(node, collect_raw_params, context);
}

/* The same as collect_fields(), of a statement that has not been analyzed. */
static bool
collect_raw_fields(Node *node, void *context)
{
	RawCalls *calls = context;
	int position = 0;
	ListCell *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, FuncCall) ||
		strcmp(strVal(llast(((FuncCall *) node)->funcname)), "process_payment") != 0)
		return raw_expression_tree_walker(node, collect_raw_fields, context);
	foreach (lc, ((FuncCall *) node)->args)
	{
		Node *arg = lfirst(lc);
		const char *name = IsA(arg, NamedArgExpr) ? ((NamedArgExpr *) arg)->name : NULL;

		for (size_t i = 0; i < lengthof(card_fields); i++)
		{
			if (name != NULL ? strcmp(name, card_fields[i]) == 0 : position == calls->places[i])
				(void) collect_raw_params(arg, &calls->fields[i]);
		}
		position++;
	}
	return raw_expression_tree_walker(node, collect_raw_fields, context);
}

/*
 * A prepared statement loses its tree when it could not be analyzed again after a change of the
 * schema, and gets it back only while it is executed.  What the parser made of it is always there.
 */
static void
fields_of_raw(const RawStmt *raw, Numbers *fields)
{
	Oid namespace = get_namespace_oid("pgw", true);
	CatCList *candidates = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum("process_payment"));
	RawCalls calls = {.places = {-1, -1, -1, -1}};

	for (int i = 0; i < candidates->n_members; i++)
	{
		HeapTuple tuple = &candidates->members[i]->tuple;

		if (((Form_pg_proc) GETSTRUCT(tuple))->pronamespace == namespace)
			find_places(tuple, calls.places);
	}
	ReleaseSysCacheList(candidates);
	(void) collect_raw_fields(raw->stmt, &calls);
	memcpy(fields, calls.fields, sizeof(calls.fields));
}

/* EXECUTE name(literals). */
static void
check_execute(const ExecuteStmt *stmt, const char *text)
{
	PreparedStatement *prepared = FetchPreparedStatement(stmt->name, false);
	Numbers fields[lengthof(card_fields)] = {0};
	char *faults = NULL;
	int n = 0;
	ListCell *lc;

	if (prepared == NULL || stmt->params == NIL)
		return;
	if (prepared->plansource->query_list != NIL)
		(void) collect_fields((Node *) prepared->plansource->query_list, fields);
	else if (prepared->plansource->raw_parse_tree != NULL)
		fields_of_raw(prepared->plansource->raw_parse_tree, fields);
	foreach (lc, stmt->params)
	{
		n++;
		for (size_t i = 0; i < lengthof(card_fields); i++)
		{
			ParseState *pstate;
			Node *expr;

			if (!bms_is_member(n, fields[i].params))
				continue;
			pstate = make_parsestate(NULL);
			pstate->p_sourcetext = text;
			expr = transformExpr(pstate, copyObject(lfirst(lc)), EXPR_KIND_EXECUTE_PARAMETER);
			free_parsestate(pstate);
			faults = add_fault(faults, card_fields[i], expr, NULL);
		}
	}
	if (faults != NULL && !PGW_MUTATED(CARD_LITERAL))
		pgw_cards_refuse_literal(faults);
}

/*
 * The same as pgw_text_may_have_card_number(), of a text that may be as long as a statement, and in
 * steps between which it can be cancelled.  They overlap by more than a number takes in the worst
 * disguise, and neither begins nor ends within a word, or a part of an id could look like a number.
 */
static bool
may_have_card_number(const char *text, size_t len)
{
	size_t from = 0;

	while (len - from > SEARCH_STEP + SEARCH_OVERLAP)
	{
		size_t to = from + SEARCH_STEP + SEARCH_OVERLAP;
		size_t next = from + SEARCH_STEP;

		CHECK_FOR_INTERRUPTS();
		while (to > next + SEARCH_OVERLAP / 2 && text[to - 1] != ' ' && text[to - 1] != '\n')
			to--;
		if (pgw_text_may_have_card_number(text + from, to - from))
			return true;
		while (next > from + SEARCH_STEP / 2 && text[next - 1] != ' ' && text[next - 1] != '\n')
			next--;
		from = next;
	}
	CHECK_FOR_INTERRUPTS();
	return pgw_text_may_have_card_number(text + from, len - from);
}

/* One statement of a text that may hold several. */
static void
check_text(const PlannedStmt *pstmt, const char *text)
{
	int start = pstmt->stmt_location > 0 ? pstmt->stmt_location : 0;
	size_t len = strlen(text + start);

	if (pstmt->stmt_len > 0 && (size_t) pstmt->stmt_len < len)
		len = pstmt->stmt_len;
	if (pgw_find_call(text + start, len) != NULL && may_have_card_number(text + start, len) &&
		!PGW_MUTATED(CARD_LITERAL))
		pgw_cards_refuse_literal(pgw_arg_fault(NULL, card_fields[0], "card_literal", NULL));
}

static void
run_utility(PlannedStmt *pstmt, const char *text, bool read_only_tree,
			ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
			DestReceiver *dest, QueryCompletion *qc)
{
	if (IsTransactionState() && pgw_log_redaction_learn_database() && pgw_cards_reject_literals() &&
		text != NULL)
	{
		Node *stmt = pstmt->utilityStmt;
		Node *query;

		while ((query = inside(stmt)) != NULL && IsA(query, Query) &&
			   ((Query *) query)->commandType == CMD_UTILITY)
			stmt = ((Query *) query)->utilityStmt;
		Assert(stmt != NULL); /* what CMD_UTILITY means */
		if (IsA(stmt, ExecuteStmt))
			check_execute((ExecuteStmt *) stmt, text);
		check_text(pstmt, text);
	}
	if (previous_utility != NULL)
		previous_utility(pstmt, text, read_only_tree, context, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, text, read_only_tree, context, params, env, dest, qc);
}

void
pgw_literals_init(void)
{
	previous_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = analyzed;
	previous_planner = planner_hook;
	planner_hook = planned;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = run_utility;
	pgw_loggers_beneath("post_parse_analyze", (void *) previous_analyze);
	pgw_loggers_beneath("planner", (void *) previous_planner);
	pgw_loggers_beneath("ProcessUtility", (void *) previous_utility);
}
