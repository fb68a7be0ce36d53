/*
 * argument_sources.c - where the value of an argument comes from, as the query is written
 *
 * Owns nothing.  An expression is followed down to what it is made of: literals, or something that
 * is not in the text (parameters, columns of tables, volatile functions).  Columns of subqueries,
 * VALUES, CTEs, functions in FROM and the columns that RETURNING shows are followed to the
 * expressions behind them. Functions that compute their result from their arguments alone pass the
 * arguments' sources on.  In doubt a value counts as coming from elsewhere: a payment must not be
 * refused for what only looks like a literal; the look at run time (card_refusals.c) is for the
 * rest. Works on trees before planning, because the planner makes constants of bound parameters.
 *
 * Columns can stand on one another in such a way that the number of ways doubles with each level,
 * and this look comes before anybody's rights are checked.  So there is an end to it: after
 * MAX_STEPS, MAX_DEPTH or MAX_LITERALS nobody can say where the value comes from, and the caller
 * refuses the call. That is far from anything that binds its values.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "card_guard/argument_sources.h"
#include "core/base/mutant.h"
#include "core/card/card_text.h"

#define FROM_LITERAL 1
#define FROM_ELSEWHERE 2
/* A VALUES list of as many bound rows as a statement can have parameters needs a tenth of it. */
#define MAX_STEPS 1000000
#define MAX_DEPTH 1000
#define MAX_LITERALS (1024 * 1024)

/* A column of a CTE that is being followed: a recursive one comes back to it. */
typedef struct Followed
{
	const CommonTableExpr *cte;
	int column;
	const struct Followed *outer;
} Followed;

typedef struct Look
{
	const PgwScope *scope;
	const Followed *followed;
	StringInfo literals; /* the text of all literals, one after the other */
	bool literal_way;    /* one of the ways is made of literals alone */
	int bits;
	int depth;
	int64 steps;
	bool gave_up;
	/* so many functions and operators around: their arguments are not the value */
	int inside;
} Look;

static int sources(Node *node, const PgwScope *scope, Look *look);

/* Before each piece of work: may it still be done?  When not, what it would find does not matter.
 */
static bool
may_go_on(Look *look, int64 steps)
{
	CHECK_FOR_INTERRUPTS();
	look->steps += steps;
	if (look->steps > MAX_STEPS)
		look->gave_up = true;
	return !look->gave_up;
}

/* ---------------------------------------------------------------- parts of an expression */

static bool
collect(Node *node, void *context)
{
	Look *look = context;

	/* What it finds is added to what its siblings have. */
	look->bits |= sources(node, look->scope, look);
	return false;
}

static int
of_children(Node *node, const PgwScope *scope, Look *look)
{
	const PgwScope *scope_before = look->scope;
	int bits_before = look->bits;
	int bits;

	look->scope = scope;
	look->bits = 0;
	look->inside++;
	(void) expression_tree_walker(node, collect, look);
	look->inside--;
	bits = look->bits;
	look->scope = scope_before;
	look->bits = bits_before;
	return bits;
}

/* One of several values that the whole may have. */
static int
way(Node *node, const PgwScope *scope, Look *look)
{
	int bits = sources(node, scope, look);

	if (bits == FROM_LITERAL && look->inside == 0)
		look->literal_way = true;
	return bits;
}

static int
of_ways(const List *nodes, const PgwScope *scope, Look *look)
{
	int bits = 0;
	ListCell *lc;

	foreach (lc, nodes)
		bits |= way(lfirst(lc), scope, look);
	return bits;
}

static int
of_const(const Const *c, Look *look)
{
	Oid output;
	bool varlena;
	char *text;
	int bits;

	if (c->constisnull)
		return 0;
	getTypeOutputInfo(c->consttype, &output, &varlena);
	text = OidOutputFunctionCall(output, c->constvalue);
	if (strlen(text) > (size_t) (MAX_LITERALS - look->literals->len))
		look->gave_up = true;
	else
		appendStringInfoString(look->literals, text);
	bits = text[0] != '\0' ? FROM_LITERAL : 0;
	explicit_bzero(text, strlen(text));
	pfree(text);
	return bits;
}

/* Is its result something else than a computation on its arguments? */
static bool
looks_elsewhere(Oid function)
{
	if (function == F_CURRENT_SETTING_TEXT || function == F_CURRENT_SETTING_TEXT_BOOL)
		return true;
	switch (func_volatile(function))
	{
		case PROVOLATILE_IMMUTABLE:
			return false;
		case PROVOLATILE_STABLE:
			/* the server's own depend on settings of output: concat(), format(), to_char() … */
			return function >= FirstNormalObjectId;
		default:
			return true;
	}
}

static int
of_function(const FuncExpr *f, const PgwScope *scope, Look *look)
{
	int bits;

	/* A cast's further arguments are a length and the like. */
	if (f->args != NIL &&
		(f->funcformat == COERCE_EXPLICIT_CAST || f->funcformat == COERCE_IMPLICIT_CAST))
		return sources(linitial(f->args), scope, look);
	bits = of_children((Node *) f, scope, look);
	if (looks_elsewhere(f->funcid))
		return FROM_ELSEWHERE;
	return f->args == NIL ? FROM_LITERAL : bits;
}

static int
of_case(const CaseExpr *c, const PgwScope *scope, Look *look)
{
	int bits = way((Node *) c->defresult, scope, look);
	ListCell *lc;

	foreach (lc, c->args)
		bits |= way((Node *) ((CaseWhen *) lfirst(lc))->result, scope, look);
	return bits;
}

/* ---------------------------------------------------------------- columns */

/* A column of a query's result; 0: the whole row. */
static int
of_output(const Query *query, const List *targetlist, int column, const PgwScope *outer, Look *look)
{
	PgwScope scope = {
		.query = query, .outer = outer, .returning = query->commandType != CMD_SELECT};
	int bits = 0;
	ListCell *lc;

	if (!may_go_on(look, list_length(query->rtable) + list_length(targetlist)))
		return FROM_ELSEWHERE;
	if (query->setOperations != NULL)
	{
		/* The branches of UNION and its like are subqueries in the range table. */
		foreach (lc, query->rtable)
		{
			RangeTblEntry *rte = lfirst(lc);

			if (rte->rtekind != RTE_SUBQUERY)
				continue;
			bits |= of_output(rte->subquery, rte->subquery->targetList, column, &scope, look);
		}
		return bits;
	}
	foreach (lc, targetlist)
	{
		TargetEntry *entry = lfirst(lc);

		if (!entry->resjunk && (column == 0 || entry->resno == column))
			bits |= way((Node *) entry->expr, &scope, look);
	}
	return bits;
}

static int
of_values(const RangeTblEntry *rte, int column, const PgwScope *scope, Look *look)
{
	int bits = 0;
	ListCell *lc;

	if (!may_go_on(look, list_length(rte->values_lists)))
		return FROM_ELSEWHERE;
	foreach (lc, rte->values_lists)
	{
		List *row = lfirst(lc);

		if (column <= 0)
			bits |= of_ways(row, scope, look);
		else if (column <= list_length(row))
			bits |= way(list_nth(row, column - 1), scope, look);
	}
	return bits;
}

/* The scope is the one in which the CTE is defined. */
static int
of_cte_column(const CommonTableExpr *cte, int column, const PgwScope *scope, Look *look)
{
	const Query *query = (Query *) cte->ctequery;
	Followed here = {.cte = cte, .column = column, .outer = look->followed};
	int bits;

	if (!IsA(query, Query))
		return FROM_ELSEWHERE;

	/* A recursive CTE: what it adds to its own column is no way of its own. */
	for (const Followed *f = look->followed; f != NULL; f = f->outer)
	{
		if (f->cte == cte && f->column == column)
			return FROM_ELSEWHERE;
	}
	look->followed = &here;
	bits = of_output(query,
					 query->commandType == CMD_SELECT ? query->targetList : query->returningList,
					 column, scope, look);
	look->followed = here.outer;
	return bits;
}

static int
of_cte(const RangeTblEntry *rte, int column, const PgwScope *scope, Look *look)
{
	ListCell *lc;

	for (Index up = rte->ctelevelsup; up > 0 && scope != NULL; up--)
		scope = scope->outer;
	if (scope == NULL || !may_go_on(look, list_length(scope->query->cteList)))
		return FROM_ELSEWHERE;
	foreach (lc, scope->query->cteList)
	{
		CommonTableExpr *cte = lfirst(lc);

		if (strcmp(cte->ctename, rte->ctename) == 0)
			return of_cte_column(cte, column, scope, look);
	}
	return FROM_ELSEWHERE;
}

/* A column as a list of columns to be written has it; 0: it is not among them. */
static int
of_column(const List *columns, int column, const PgwScope *scope, Look *look)
{
	ListCell *lc;

	if (!may_go_on(look, list_length(columns)))
		return FROM_ELSEWHERE;
	foreach (lc, columns)
	{
		TargetEntry *entry = lfirst(lc);

		if (!entry->resjunk && entry->resno == column)
			return way((Node *) entry->expr, scope, look);
	}
	return 0;
}

/* A column of the row that the query has written: RETURNING. */
static int
of_written(const PgwScope *scope, int column, Look *look)
{
	const Query *query = scope->query;
	int bits = 0;
	ListCell *lc;

	if (query->commandType == CMD_INSERT || query->commandType == CMD_UPDATE)
		bits = of_column(query->targetList, column, scope, look);
	if (query->onConflict != NULL)
		bits |= of_column(query->onConflict->onConflictSet, column, scope, look);
	foreach (lc, query->mergeActionList)
		bits |= of_column(lfirst_node(MergeAction, lc)->targetList, column, scope, look);
	return bits != 0 ? bits : FROM_ELSEWHERE; /* a default of the table's, or as it was */
}

static int
of_relation(const Var *var, const PgwScope *scope, Look *look)
{
	const OnConflictExpr *conflict = scope->query->onConflict;
	int bits = 0;

	if (scope->returning && var->varno == scope->query->resultRelation && !pgw_is_old_row(var))
		return of_written(scope, var->varattno, look);
	if (conflict != NULL && var->varno == conflict->exclRelIndex)
		bits = of_column(scope->query->targetList, var->varattno, scope, look);
	return bits != 0 ? bits : FROM_ELSEWHERE;
}

/* XMLTABLE and JSON_TABLE: their document, or the default of the column. */
static int
of_table_function(const TableFunc *function, int column, const PgwScope *scope, Look *look)
{
	int bits = of_children((Node *) function, scope, look);

	if (column >= 1 && column <= list_length(function->coldefexprs))
		bits |= way(list_nth(function->coldefexprs, column - 1), scope, look);
	return bits;
}

/* SET (a, b) = (SELECT …): the subquery is an entry of its own among the columns. */
static int
of_param(const Param *param, const PgwScope *scope, Look *look)
{
	ListCell *lc;

	if (param->paramkind != PARAM_MULTIEXPR || scope == NULL ||
		!may_go_on(look, list_length(scope->query->targetList)))
		return FROM_ELSEWHERE;
	foreach (lc, scope->query->targetList)
	{
		SubLink *link = (SubLink *) ((TargetEntry *) lfirst(lc))->expr;
		Query *query;

		if (!IsA(link, SubLink) || link->subLinkType != MULTIEXPR_SUBLINK ||
			link->subLinkId != param->paramid >> 16)
			continue;
		query = (Query *) link->subselect;
		return of_output(query, query->targetList, param->paramid & 0xFFFF, scope, look);
	}
	return FROM_ELSEWHERE;
}

static int
of_var(const Var *var, const PgwScope *scope, Look *look)
{
	RangeTblEntry *rte;

	for (Index up = var->varlevelsup; up > 0 && scope != NULL; up--)
		scope = scope->outer;
	if (scope == NULL || var->varno < 1 || var->varno > list_length(scope->query->rtable) ||
		var->varattno < 0)
		return FROM_ELSEWHERE;
	rte = list_nth(scope->query->rtable, var->varno - 1);
	switch (rte->rtekind)
	{
		case RTE_SUBQUERY:
			return of_output(rte->subquery, rte->subquery->targetList, var->varattno, scope, look);
		case RTE_VALUES:
			return of_values(rte, var->varattno, scope, look);
		case RTE_CTE:
			return of_cte(rte, var->varattno, scope, look);
		case RTE_FUNCTION:
			return of_children((Node *) rte->functions, scope, look);
		case RTE_JOIN:
			if (var->varattno == 0 || var->varattno > list_length(rte->joinaliasvars))
				return FROM_ELSEWHERE;
			return sources(list_nth(rte->joinaliasvars, var->varattno - 1), scope, look);
		case RTE_TABLEFUNC:
			return of_table_function(rte->tablefunc, var->varattno, scope, look);
		case RTE_RELATION:
			return of_relation(var, scope, look);
		default:
			if (var->varattno < 1 || var->varattno > list_length(pgw_group_expressions(rte)))
				return FROM_ELSEWHERE;
			return sources(list_nth(pgw_group_expressions(rte), var->varattno - 1), scope, look);
	}
}

static int
of_sublink(const SubLink *link, const PgwScope *scope, Look *look)
{
	Query *query = (Query *) link->subselect;

	if (!IsA(query, Query) ||
		(link->subLinkType != EXPR_SUBLINK && link->subLinkType != ARRAY_SUBLINK))
		return FROM_ELSEWHERE;
	return of_output(query, query->targetList, 1, scope, look);
}

/* ---------------------------------------------------------------- the whole */

static int
by_kind(Node *node, const PgwScope *scope, Look *look)
{
	switch (nodeTag(node))
	{
		case T_Const:
			return of_const((Const *) node, look);
		case T_Var:
			return of_var((Var *) node, scope, look);
		case T_FuncExpr:
			return of_function((FuncExpr *) node, scope, look);
		case T_SubLink:
			return of_sublink((SubLink *) node, scope, look);
		case T_CoalesceExpr:
			return of_ways(((CoalesceExpr *) node)->args, scope, look);
		case T_MinMaxExpr:
			return of_ways(((MinMaxExpr *) node)->args, scope, look);
		case T_CaseExpr:
			return of_case((CaseExpr *) node, scope, look);
		case T_NullIfExpr:
			return sources(linitial(((NullIfExpr *) node)->args), scope, look);
		case T_NamedArgExpr:
			return sources((Node *) ((NamedArgExpr *) node)->arg, scope, look);
		case T_RelabelType:
			return sources((Node *) ((RelabelType *) node)->arg, scope, look);
		case T_CoerceViaIO:
			return sources((Node *) ((CoerceViaIO *) node)->arg, scope, look);
		case T_CoerceToDomain:
			return sources((Node *) ((CoerceToDomain *) node)->arg, scope, look);
		case T_CollateExpr:
			return sources((Node *) ((CollateExpr *) node)->arg, scope, look);
		case T_SubscriptingRef:
			return sources((Node *) ((SubscriptingRef *) node)->refexpr, scope, look);
		case T_Param:
			return of_param((Param *) node, scope, look);
		case T_SQLValueFunction:
		case T_CaseTestExpr:
		case T_SetToDefault:
		case T_CurrentOfExpr:
		case T_NextValueExpr:
		case T_Query:
			return FROM_ELSEWHERE;
		default:
			return of_children(node, scope, look);
	}
}

static int
sources(Node *node, const PgwScope *scope, Look *look)
{
	int bits;

	if (node == NULL)
		return 0;
	if (look->depth >= MAX_DEPTH)
		look->gave_up = true;
	if (!may_go_on(look, 1))
		return FROM_ELSEWHERE;
	look->depth++;
	bits = by_kind(node, scope, look);
	look->depth--;
	return bits;
}

PgwValueSource
pgw_value_source(Node *expr, const PgwScope *scope)
{
	StringInfoData literals;
	Look look = {.literals = &literals};
	PgwValueSource source = PGW_VALUE_FROM_ELSEWHERE;

	initStringInfo(&literals);
	(void) way(expr, scope, &look);
	if (look.literal_way || pgw_text_may_have_card_number(literals.data, literals.len))
		source = PGW_VALUE_IN_TEXT;
	else if (look.gave_up && !PGW_MUTATED(LITERAL_BUDGET))
		source = PGW_VALUE_TOO_FAR;
	explicit_bzero(literals.data, literals.maxlen);
	pfree(literals.data);
	return source;
}
