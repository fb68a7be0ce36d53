/*
 * result_set.h - the rows of a function that returns a set
 */
#ifndef PGW_SQL_FUNCTION_RESULT_SET_H
#define PGW_SQL_FUNCTION_RESULT_SET_H

#include "postgres.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/tuplestore.h"

/*
 * A materialized result of the function's row type: the function puts its rows into it and returns
 * (Datum) 0.
 */
extern Tuplestorestate *pgw_result_set(FunctionCallInfo fcinfo, TupleDesc *desc);

#endif
