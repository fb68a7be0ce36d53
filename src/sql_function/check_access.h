/*
 * check_access.h - who may do what (pgw.access_grants)
 *
 * Levels: "client" (pay), "operator", "auditor", "monitor".  "auditor" asks for reading only, and
 * every level but "monitor" may read; "monitor" asks for what is of no payment, which every level
 * may see.  merchant NULL: at least one merchant.  caller is the immediate caller: GetUserId() on
 * entry, before the code acts as the extension's owner.
 */
#ifndef PGW_SQL_FUNCTION_CHECK_ACCESS_H
#define PGW_SQL_FUNCTION_CHECK_ACCESS_H

#include "postgres.h"

extern bool pgw_caller_may(Oid caller, const char *level, const char *merchant);

/* The same, but raises 42501 with a hint that names pgw.grant_access. */
extern void pgw_require(Oid caller, const char *level, const char *merchant);

/* For what is of no single merchant: a level for all of them.  what: "pgw.rebind_attempts()" */
extern void pgw_require_of_all_merchants(Oid caller, const char *level, const char *what);

#endif
