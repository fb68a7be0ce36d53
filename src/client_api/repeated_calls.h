/*
 * repeated_calls.h - refuses statements that would pay once for every column
 */
#ifndef PGW_CLIENT_API_REPEATED_CALLS_H
#define PGW_CLIENT_API_REPEATED_CALLS_H

#include "postgres.h"
#include "fmgr.h"

extern void pgw_repeats_init(void); /* _PG_init */

/*
 * PW400 when the statement around this call would pay once for each column.  Before anything is
 * written.
 */
extern void pgw_repeats_check(FunctionCallInfo fcinfo, const char *id);

#endif
