/*
 * relations.h - tables, indexes and columns of pgw's by name, and an index by its columns
 */
#ifndef PGW_DATABASE_RELATIONS_H
#define PGW_DATABASE_RELATIONS_H

#include "postgres.h"
#include "access/attnum.h"
#include "utils/relcache.h"

#include "database/relation_changes.h"

/*
 * The table or index of this name in schema pgw; ERROR when there is none.  It is not locked, so it
 * may be gone, or be another one, as soon as a lock is taken: then ask again.
 */
extern Oid pgw_relation(const char *name);
extern Oid pgw_relation_or_none(const char *name); /* InvalidOid when there is none */

/* A column of a table of pgw's that is open, looked for each time; ERROR when there is none. */
extern AttrNumber pgw_relation_column(Relation rel, const char *name);

/*
 * An index that is told by its columns: it begins with these, in this order.  unique: it has no
 * others, and is unique and checked at once; and not partial, unless it is told by where, too.
 * where: it is partial, and its predicate is about these columns and no others; about one that is a
 * boolean: that this is true.  The caller keeps one such variable for as long as the process lives;
 * what was found is remembered in it.
 */
typedef struct PgwIndexByColumns
{
	const char *columns[3];
	int n;
	const char *where[2];
	int nwhere;
	bool unique;
	/* of relations.c */
	PgwRemembered of;
	Oid index;
} PgwIndexByColumns;

extern Oid pgw_relation_index(Oid relid, PgwIndexByColumns *wanted); /* InvalidOid: none */
/* the same, looked for each time */
extern Oid pgw_relation_find_index(Oid relid, const char *const *columns, int n, bool unique);

#endif
