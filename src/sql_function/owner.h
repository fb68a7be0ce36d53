/*
 * owner.h - acting as the extension's owner, whose tables the caller has no rights on
 */
#ifndef PGW_SQL_FUNCTION_OWNER_H
#define PGW_SQL_FUNCTION_OWNER_H

#include "postgres.h"

/*
 * Act as the owner, and remember in *caller and *sec_context who called: privileges of the caller
 * are checked before this.
 */
extern void pgw_become_owner(Oid *caller, int *sec_context);

/* The normal way back.  After an error PostgreSQL restores the user by itself. */
extern void pgw_become_caller(Oid caller, int sec_context);

#endif
