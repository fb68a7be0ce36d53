/*
 * owner.c - acting as the extension's owner, whose tables the caller has no rights on
 *
 * Owns nothing.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "database/extension.h"
#include "sql_function/owner.h"

void
pgw_become_owner(Oid *caller, int *sec_context)
{
	GetUserIdAndSecContext(caller, sec_context);
	SetUserIdAndSecContext(pgw_extension_owner(), *sec_context | SECURITY_LOCAL_USERID_CHANGE);
}

void
pgw_become_caller(Oid caller, int sec_context)
{
	SetUserIdAndSecContext(caller, sec_context);
}
