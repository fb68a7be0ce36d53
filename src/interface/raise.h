/*
 * raise.h - errors to callers: SQLSTATE, message, DETAIL and HINT from the list in core/errors.h
 *
 * The statement and its context never go to the log with them: they may hold card data.
 */
#ifndef PGW_INTERFACE_RAISE_H
#define PGW_INTERFACE_RAISE_H

#include "postgres.h"

/* Raise error_code; DETAIL is {"code": ..., then members}.  members: JSON text without braces, or NULL; hint may be NULL. */
extern void pgw_raise(const char *error_code, const char *members, const char *hint) pg_attribute_noreturn();

/* PW400 with the array of faults as DETAIL. */
extern void pgw_raise_faults(const char *faults) pg_attribute_noreturn();

/* Append "name": "value" as JSON, with a comma before it if the string is not empty. NULL value: null. */
extern char *pgw_detail(const char *before, const char *name, const char *value);

#endif
