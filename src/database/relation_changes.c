/*
 * relation_changes.c - who is told that a relation has changed
 *
 * Several files remember something of a relation, so that it is not looked up for each row.  The
 * server has few places for functions that it tells of changes, and keeps them until the process
 * ends; so one of pgw's is told, and passes it on.
 *
 * Owns: the list of those that are told, and that of what is remembered of one relation each; both
 * only grow.
 * Locks: none.
 */
#include "postgres.h"

#include "utils/inval.h"

#include "database/relation_changes.h"

#define MAX_TOLD 8

static PgwRelationChanged told[MAX_TOLD];
static int ntold = 0;

static PgwRemembered *all_remembered = NULL;

static void
tell(Datum arg, Oid relid)
{
	for (int i = 0; i < ntold; i++)
		told[i](relid);
}

void
pgw_tell_of_relation_changes(PgwRelationChanged changed)
{
	for (int i = 0; i < ntold; i++)
	{
		if (told[i] == changed)
			return;
	}
	if (ntold == MAX_TOLD)
		elog(ERROR, "more than %d functions want to be told of changed relations", MAX_TOLD);
	if (ntold == 0)
		CacheRegisterRelcacheCallback(tell, (Datum) 0);
	told[ntold++] = changed;
}

static void
void_remembered(Oid relid)
{
	for (PgwRemembered *r = all_remembered; r != NULL; r = r->next)
	{
		if (relid == InvalidOid || relid == r->relid)
			r->relid = InvalidOid;
	}
}

void
pgw_remembered_is_voided(PgwRemembered *r)
{
	if (r->known)
		return;
	pgw_tell_of_relation_changes(void_remembered);
	r->next = all_remembered;
	r->known = true;
	all_remembered = r;
}
