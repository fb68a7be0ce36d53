/*
 * table_description.c - where the columns of a table of pgw's are, and the indexes of its keys
 *
 * Columns are found by their names, never by their number or place: somebody may have added,
 * dropped or altered some.
 *
 * Owns: what is remembered in the callers' PgwTableDescription.
 * Locks: none; whoever opens the table has its lock (row.c).
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "database/relations.h"
#include "database/table_description.h"

/* ERROR unless the column is there and of this type or a domain over it (InvalidOid: of any); its
 * type. */
static Oid
check_column(Relation rel, AttrNumber attnum, const PgwWantedColumn *wanted)
{
	Oid type = attnum != InvalidAttrNumber
				   ? TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid
				   : InvalidOid;

	if (attnum == InvalidAttrNumber)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("table pgw.%s has no column \"%s\"", RelationGetRelationName(rel),
					wanted->name),
			 errhint(
				 "pgw's own columns must stay as CREATE EXTENSION has made them: see docs/ddl.md. Nothing is lost meanwhile.")));
	if (OidIsValid(wanted->type) && getBaseType(type) != wanted->type)
		ereport(
			ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of table pgw.%s has type %s instead of %s", wanted->name,
					RelationGetRelationName(rel), format_type_be(type),
					format_type_be(wanted->type)),
			 errhint(
				 "pgw's own columns must stay as CREATE EXTENSION has made them: see docs/ddl.md. Nothing is lost meanwhile.")));
	return type;
}

static void
find_columns(PgwTableDescription *d, Oid relid, const PgwWantedTable *wanted)
{
	Relation rel = RelationIdGetRelation(relid);

	if (!RelationIsValid(rel))
		elog(ERROR, "%s is gone", wanted->what);
	for (int i = 0; i < wanted->ncolumns; i++)
	{
		d->attnums[i] = get_attnum(relid, wanted->columns[i].name);
		d->types[i] = check_column(rel, d->attnums[i], &wanted->columns[i]);
		d->ours[d->attnums[i] - 1] = true;
	}
	RelationClose(rel);
}

static void
find_keys(PgwTableDescription *d, Oid relid, const PgwWantedTable *wanted)
{
	for (int i = 0; i < wanted->nkeys; i++)
	{
		const PgwWantedKey *key = &wanted->keys[i];

		d->keys[i] = pgw_relation_find_index(relid, key->columns, key->n, true);
		if (!OidIsValid(d->keys[i]))
			elog(ERROR, "%s has no unique index on %s", wanted->what, key->on);
	}
}

void
pgw_table_describe(PgwTableDescription *d, Oid relid, const PgwWantedTable *wanted)
{
	PgwTableDescription fresh = {0};

	Assert(wanted->ncolumns <= PGW_DESCRIBED_COLUMNS && wanted->nkeys <= PGW_DESCRIBED_KEYS);
	pgw_remembered_is_voided(&d->of);
	find_columns(&fresh, relid, wanted);
	find_keys(&fresh, relid, wanted);

	/* Only now: the look-ups above can have processed invalidations. */
	fresh.of = d->of;
	fresh.of.relid = relid;
	*d = fresh;
}
