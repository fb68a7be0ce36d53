/*
 * wipe_remains.h - card data that the server has of a call: overwritten before its memory is given
 * back
 */
#ifndef PGW_SQL_FUNCTION_WIPE_REMAINS_H
#define PGW_SQL_FUNCTION_WIPE_REMAINS_H

#include "postgres.h"
#include "fmgr.h"
#include "nodes/primnodes.h"

/* A copy of ours in the current memory context; s may be NULL.  It must not be freed by itself. */
extern void pgw_remains_copy(const char *s);

/*
 * Constants among a call's arguments, which are what its bound parameters have become when its plan
 * was made for their values.
 */
extern void pgw_remains_constants(const FuncExpr *call);

/*
 * What the statement that calls us was given: the parameters of its portal, and the constants of
 * its plan. Once for each plan that runs.
 */
extern void pgw_remains_call(FunctionCallInfo fcinfo);

#endif
