/*
 * arguments.h - the arguments of a client function, by name
 */
#ifndef PGW_SQL_FUNCTION_ARGUMENTS_H
#define PGW_SQL_FUNCTION_ARGUMENTS_H

#include "postgres.h"
#include "fmgr.h"
#include "utils/timestamp.h"

#include "core/request/validate.h"

/*
 * The named argument; *isnull also when the function has no such argument (an older SQL
 * definition).
 */
extern Datum pgw_arg(FunctionCallInfo fcinfo, const char *name, bool *isnull);
extern char *pgw_arg_text(FunctionCallInfo fcinfo, const char *name); /* NULL: SQL NULL */

/*
 * A numeric as minor units. Numeric and not bigint, because drivers cut a float to what the
 * parameter's type is: 49.90 would be 49.
 */
extern PgwAmountFault pgw_arg_amount(FunctionCallInfo fcinfo, const char *name, bool *isnull,
									 int64 *amount);
/* as text; NULL: SQL NULL */
extern char *pgw_arg_json(FunctionCallInfo fcinfo, const char *name);

/*
 * Before anything can raise: card data that the server holds for this call is overwritten when it
 * is given back (wipe_remains.h).
 */
extern void pgw_args_note_secrets(FunctionCallInfo fcinfo);

extern void pgw_args_read(FunctionCallInfo fcinfo, bool is_submit, PgwPaymentArgs *args);

/*
 * Overwrite the copies of card data that pgw_args_read() made, now: as soon as the worker has them.
 */
extern void pgw_args_wipe(PgwPaymentArgs *args);

extern TimestampTz pgw_deadline(int64 timeout_ms);

#endif
