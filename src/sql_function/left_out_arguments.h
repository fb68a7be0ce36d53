/*
 * left_out_arguments.h - arguments that a call does not carry, because they are what is always
 * meant where nothing is said
 */
#ifndef PGW_SQL_FUNCTION_LEFT_OUT_ARGUMENTS_H
#define PGW_SQL_FUNCTION_LEFT_OUT_ARGUMENTS_H

#include "postgres.h"
#include "nodes/primnodes.h"

/*
 * The value of an argument with this name that a call leaves out; it is made in the present memory
 * context, and never changed.
 */
extern Datum pgw_left_out_value(const char *name, bool *isnull);

/* The call without those at its end that can be left out; NULL: it has none such. */
extern FuncExpr *pgw_leave_out(const FuncExpr *call);

#endif
