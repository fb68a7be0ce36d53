/*
 * left_out_arguments.c - arguments that a call does not carry, because they are what is always
 * meant where nothing is said
 *
 * Most calls of process_payment() give four of its eighteen arguments, and the parser writes the
 * declared defaults of the others behind them.  The executor prepares each of them by itself
 * whenever a call in FROM begins, which is a tenth of what a repeated call costs.  So the planner
 * takes those out that are what is said here, from the end on, and pgw_arg() puts them back in.
 * What the declaration says is not asked for: a default that somebody has changed is a constant
 * that is not the one of here, and stays in the call.
 *
 * Owns: what is meant where nothing is said.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/syscache.h"

#include "sql_function/left_out_arguments.h"

/* All others are NULL. */
static const struct
{
	const char *name;
	Oid type;
	const char *value;
} meant[] = {
	{"capture", TEXTOID, "immediate"}, {"merchant", TEXTOID, "default"},
	{"metadata", JSONBOID, "{}"},      {"bank_fields", JSONBOID, "{}"},
	{"options", JSONBOID, "{}"},
};

static int
find_meant(const char *name)
{
	for (int i = 0; i < lengthof(meant); i++)
	{
		if (strcmp(meant[i].name, name) == 0)
			return i;
	}
	return -1;
}

Datum
pgw_left_out_value(const char *name, bool *isnull)
{
	int i = find_meant(name);

	*isnull = i < 0;
	if (i < 0)
		return (Datum) 0;
	return meant[i].type == JSONBOID
			   ? DirectFunctionCall1(jsonb_in, CStringGetDatum(meant[i].value))
			   : CStringGetTextDatum(meant[i].value);
}

static bool
is_meant(const char *name, const Const *given)
{
	int i = find_meant(name);

	if (!IsA(given, Const))
		return false;
	if (i < 0 || given->constisnull)
		return i < 0 && given->constisnull;
	if (given->consttype != meant[i].type)
		return false;
	if (meant[i].type == JSONBOID)
	{
		Jsonb *j = DatumGetJsonbP(given->constvalue);

		return JB_ROOT_IS_OBJECT(j) && JB_ROOT_COUNT(j) == 0;
	}
	return strcmp(TextDatumGetCString(given->constvalue), meant[i].value) == 0;
}

/* Only a function that reads its arguments by pgw_arg() can do without. */
static bool
reads_by_name(Form_pg_proc proc)
{
	return proc->prolang == ClanguageId && proc->pronamespace == get_namespace_oid("pgw", true);
}

static int
count_carried(const FuncExpr *call, HeapTuple tuple)
{
	Oid *types;
	char **names;
	char *modes;
	int n = get_func_arg_info(tuple, &types, &names, &modes);
	int carried = list_length(call->args);

	if (names == NULL || n < carried)
		return carried;
	while (carried > 0 && is_meant(names[carried - 1], list_nth(call->args, carried - 1)))
		carried--;
	return carried;
}

FuncExpr *
pgw_leave_out(const FuncExpr *call)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));
	int carried = list_length(call->args);
	FuncExpr *shorter;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	if (reads_by_name((Form_pg_proc) GETSTRUCT(tuple)))
		carried = count_carried(call, tuple);
	ReleaseSysCache(tuple);
	if (carried == list_length(call->args))
		return NULL;
	shorter = makeNode(FuncExpr);
	*shorter = *call;
	shorter->args = list_truncate(list_copy(call->args), carried);
	return shorter;
}
