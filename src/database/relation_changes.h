/*
 * relation_changes.h - who is told that a relation has changed
 */
#ifndef PGW_DATABASE_RELATION_CHANGES_H
#define PGW_DATABASE_RELATION_CHANGES_H

#include "postgres.h"

/*
 * Is called when this relation has been altered, dropped or otherwise changed, for InvalidOid: any
 * of them may have.  That is at any moment in which this process takes a lock or looks into a
 * catalog, also outside of a transaction: the function must not look up, allocate or raise
 * anything.  It only notes that what is remembered of the relation is void.
 */
typedef void (*PgwRelationChanged)(Oid relid);

/*
 * From now on, for as long as the process lives, this function is told.  Whoever remembers
 * something of a relation asks before he looks it up; a function that is told already is not told
 * twice.
 */
extern void pgw_tell_of_relation_changes(PgwRelationChanged changed);

/*
 * What is remembered of one relation begins with this, zeroed at first, and lives as long as the
 * process.
 */
typedef struct PgwRemembered
{
	Oid relid; /* whose it is; InvalidOid: nothing is remembered, or it is void by now */
	/* of relation_changes.c */
	struct PgwRemembered *next;
	bool known;
} PgwRemembered;

/* From now on r->relid becomes InvalidOid when that relation changes.  Before anything is looked
 * up. */
extern void pgw_remembered_is_voided(PgwRemembered *r);

#endif
