/*
 * raise_error.h - errors to callers: SQLSTATE, message, DETAIL and HINT from the list in
 * core/base/error_codes.h
 *
 * The statement and its context never go to the log with them: they may hold card data.
 */
#ifndef PGW_SQL_FUNCTION_RAISE_ERROR_H
#define PGW_SQL_FUNCTION_RAISE_ERROR_H

#include "postgres.h"

/*
 * DETAIL has one of two shapes (docs/errors.md): with PW400 an array of {"field", "code",
 * "message"}; else an object that begins with {"code", "class", "http_status", "retryable"}, as a
 * row of payment_result would say it.
 */

/*
 * Raise error_code, which is no PW400.  members: further ones of DETAIL, JSON text without braces,
 * or NULL; hint may be NULL.
 */
_Noreturn extern void pgw_raise(const char *error_code, const char *members, const char *hint);

/* The same, where the code's own message is about something else; message NULL: that one. */
_Noreturn extern void pgw_raise_saying(const char *error_code, const char *message,
									   const char *members, const char *hint);

/* PW400 with this array. */
_Noreturn extern void pgw_raise_faults(const char *faults);

/* PW400 with one fault.  message NULL: the code's own text. */
_Noreturn extern void pgw_raise_fault(const char *field, const char *code, const char *message);

/* The same with words of one's own. */
_Noreturn extern void pgw_raise_invalid(const char *primary, const char *faults, const char *hint);

/* A fault as JSON, to be put into an array; before: the ones so far, or NULL. */
extern char *pgw_arg_fault(const char *before, const char *field, const char *code,
						   const char *message);

/*
 * Append "name": "value" as JSON, with a comma before it if the string is not empty. NULL value:
 * null.
 */
extern char *pgw_detail(const char *before, const char *name, const char *value);

#endif
