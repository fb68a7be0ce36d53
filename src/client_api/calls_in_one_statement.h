/*
 * calls_in_one_statement.h - several calls of process_payment() in one statement: refused where it
 * would pay once for every column
 */
#ifndef PGW_CLIENT_API_CALLS_IN_ONE_STATEMENT_H
#define PGW_CLIENT_API_CALLS_IN_ONE_STATEMENT_H

#include "postgres.h"
#include "fmgr.h"

extern void pgw_statement_calls_init(void); /* _PG_init */

/*
 * PW400 when the statement around this call would pay once for each column.  Before anything is
 * written.
 */
extern void pgw_statement_calls_check(FunctionCallInfo fcinfo, const char *id);

#endif
