/*
 * table_description.h - where the columns of a table of pgw's are, and the indexes of its keys
 */
#ifndef PGW_DATABASE_TABLE_DESCRIPTION_H
#define PGW_DATABASE_TABLE_DESCRIPTION_H

#include "postgres.h"
#include "access/attnum.h"
#include "access/htup_details.h"

#include "database/relation_changes.h"

#define PGW_DESCRIBED_COLUMNS 80
#define PGW_DESCRIBED_KEYS 2

/* A column that has to be there, of this type; InvalidOid: of any. */
typedef struct PgwWantedColumn
{
	const char *name;
	Oid type;
} PgwWantedColumn;

/* A key that has to be there: a unique index on these columns and no others. */
typedef struct PgwWantedKey
{
	const char *columns[2];
	int n;
	const char *on; /* as an error says it */
} PgwWantedKey;

/* What a table has to have, in the order in which its description numbers it. */
typedef struct PgwWantedTable
{
	const char *what; /* the table, as an error says it */
	const PgwWantedColumn *columns;
	int ncolumns;
	const PgwWantedKey *keys;
	int nkeys;
} PgwWantedTable;

/*
 * Whoever reads or writes the table keeps one such variable, zeroed at first, for as long as the
 * process lives.  It holds numbers and oids only.  It is one relation's, and void after any change
 * of that, so that DROP and CREATE EXTENSION in one session work.
 */
typedef struct PgwTableDescription
{
	PgwRemembered of;
	AttrNumber attnums[PGW_DESCRIBED_COLUMNS];
	Oid types[PGW_DESCRIBED_COLUMNS];
	/* [attnum - 1]: one of the wanted columns; the others are somebody else's, or dropped */
	bool ours[MaxHeapAttributeNumber];
	Oid keys[PGW_DESCRIBED_KEYS]; /* their indexes */
} PgwTableDescription;

/*
 * Describe this relation anew, which is to be done when d->of.relid is another one.  ERROR when a
 * column or key is not there, or a column is of another type: then d is as it was.
 */
extern void pgw_table_describe(PgwTableDescription *d, Oid relid, const PgwWantedTable *wanted);

#endif
