/*
 * trigger_row.h - what a trigger of ours was called for, and the columns of its rows by name
 */
#ifndef PGW_TABLE_RULES_TRIGGER_ROW_H
#define PGW_TABLE_RULES_TRIGGER_ROW_H

#include "postgres.h"
#include "access/htup.h"
#include "access/tupdesc.h"
#include "commands/trigger.h"
#include "fmgr.h"

/* SQLSTATE of a row that is not valid, and of a change that the rules refuse. */
#define ERRCODE_PGW_VALIDATION MAKE_SQLSTATE('P', 'W', '4', '0', '0')
#define ERRCODE_PGW_RULE MAKE_SQLSTATE('P', 'W', '4', '2', '2')

/* Raises when the function was not called as a trigger. */
extern TriggerData *pgw_trigger_context(FunctionCallInfo fcinfo);

extern Datum pgw_trigger_value(HeapTuple tuple, TupleDesc desc, const char *name, bool *isnull);
/* NULL: SQL NULL */
extern char *pgw_trigger_text(HeapTuple tuple, TupleDesc desc, const char *name);
/* an int4 column; SQL NULL is 0 */
extern int64 pgw_trigger_number(HeapTuple tuple, TupleDesc desc, const char *name);
/* SQL NULL is false */
extern bool pgw_trigger_bool(HeapTuple tuple, TupleDesc desc, const char *name);

/* Is the column the same in both, by the equality of its type?  Two nulls are. */
extern bool pgw_trigger_same(HeapTuple old, HeapTuple new, TupleDesc desc, const char *name);

/*
 * Does this query give a row?  It sees what the statement that the trigger is called for has done
 * to the rows before this one, too.
 */
extern bool pgw_trigger_any_row(const char *sql, int nargs, Oid *types, Datum *values);

/*
 * A row taken apart once, for who asks for many columns of a wide one: to find one column is to go
 * through those before it.
 */
typedef struct PgwTriggerRow
{
	TupleDesc desc;
	Datum *values;
	bool *nulls;
} PgwTriggerRow;

extern void pgw_trigger_row(HeapTuple tuple, TupleDesc desc, PgwTriggerRow *row);
extern int64 pgw_trigger_row_number(const PgwTriggerRow *row, const char *name);
/* of an enum, which must not be null */
extern char *pgw_trigger_row_label(const PgwTriggerRow *row, const char *name);
extern bool pgw_trigger_row_is_null(const PgwTriggerRow *row, const char *name);
extern bool pgw_trigger_rows_same(const PgwTriggerRow *old, const PgwTriggerRow *new,
								  const char *name);

#endif
