/*
 * raise.c - errors to callers
 *
 * Owns nothing.  Invariant: what is raised is sanitized: texts come from core/errors.h, values only from the caller's own arguments
 * that are not secret.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/json.h"

#include "core/errors.h"
#include "interface/raise.h"

static int
sqlstate_of(const char *s)
{
	return MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4]);
}

void
pgw_raise(const char *error_code, const char *members, const char *hint)
{
	const PgwErrorInfo *info = pgw_error_find(error_code);
	StringInfoData detail;

	if (info == NULL)
		info = pgw_error_find("internal_error");
	initStringInfo(&detail);
	appendStringInfoString(&detail, "{\"code\": ");
	escape_json(&detail, info->code);
	if (members != NULL && members[0] != '\0')
		appendStringInfo(&detail, ", %s", members);
	appendStringInfoChar(&detail, '}');
	ereport(ERROR,
			(errcode(sqlstate_of(info->sqlstate)),
			 errmsg("%s", info->message),
			 errdetail_internal("%s", detail.data),
			 hint != NULL ? errhint("%s", hint) : 0,
			 errhidestmt(true),
			 errhidecontext(true)));
}

void
pgw_raise_faults(const char *faults)
{
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE('P', 'W', '4', '0', '0')),
			 errmsg("the request is not valid"),
			 errdetail_internal("%s", faults),
			 errhidestmt(true),
			 errhidecontext(true)));
}

char *
pgw_detail(const char *before, const char *name, const char *value)
{
	StringInfoData s;

	initStringInfo(&s);
	if (before != NULL && before[0] != '\0')
		appendStringInfo(&s, "%s, ", before);
	escape_json(&s, name);
	appendStringInfoString(&s, ": ");
	if (value != NULL)
		escape_json(&s, value);
	else
		appendStringInfoString(&s, "null");
	return s.data;
}
