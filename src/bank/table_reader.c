/*
 * table_reader.c - a table of the configuration, read row by row as it stands now
 *
 * The scan uses SnapshotSelf: it sees what is committed now plus this transaction's own changes,
 * and leaves no SIREAD lock.
 *
 * Owns: nothing.
 * Locks: none; whoever opens a table holds its lock.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "bank/table_reader.h"
#include "base/clock.h"
#include "base/compat.h"
#include "database/relations.h"

Datum
pgw_reader_column(PgwReader *r, const char *name, bool *isnull)
{
	return slot_getattr(r->slot, pgw_relation_column(r->rel, name), isnull);
}

char *
pgw_reader_text(PgwReader *r, const char *name)
{
	bool isnull;
	Datum d = pgw_reader_column(r, name, &isnull);

	return isnull ? NULL : TextDatumGetCString(d);
}

int
pgw_reader_int(PgwReader *r, const char *name)
{
	bool isnull;
	Datum d = pgw_reader_column(r, name, &isnull);

	return isnull ? 0 : DatumGetInt32(d);
}

int
pgw_reader_interval_ms(PgwReader *r, const char *name, int otherwise)
{
	bool isnull;
	Datum d = pgw_reader_column(r, name, &isnull);

	return isnull ? otherwise : (int) Max(1, Min(pgw_interval_ms(d), 86400000));
}

char **
pgw_reader_text_array(PgwReader *r, const char *name)
{
	bool isnull;
	Datum d = pgw_reader_column(r, name, &isnull);
	Datum *elems;
	bool *nulls;
	int n;
	int out = 0;
	char **result;

	if (isnull)
		return NULL;
	deconstruct_array(DatumGetArrayTypeP(d), TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, &n);
	result = palloc0((n + 1) * sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			result[out++] = TextDatumGetCString(elems[i]);
	}
	return result;
}

char *
pgw_reader_jsonb(PgwReader *r, const char *name)
{
	bool isnull;
	Datum d = pgw_reader_column(r, name, &isnull);
	Jsonb *jb;

	if (isnull)
		return NULL;
	jb = DatumGetJsonbP(d);
	return JsonbToCString(NULL, &jb->root, VARSIZE(jb));
}

char *
pgw_reader_jsonb_member(PgwReader *r, const char *name, const char *member)
{
	bool isnull;
	Datum d = pgw_reader_column(r, name, &isnull);
	Jsonb *jb;
	JsonbValue v;

	if (isnull)
		return NULL;
	jb = DatumGetJsonbP(d);
	if (!JB_ROOT_IS_OBJECT(jb) ||
		getKeyJsonValueFromContainer(&jb->root, member, strlen(member), &v) == NULL ||
		v.type != jbvString)
		return NULL;
	return pnstrdup(v.val.string.val, v.val.string.len);
}

void
pgw_reader_open(PgwReader *r, Oid relid)
{
	r->rel = table_open(relid, NoLock);
	Assert(CheckRelationLockedByMe(r->rel, AccessShareLock, true));
	r->slot = table_slot_create(r->rel, NULL);
	r->scan = pgw_table_beginscan(r->rel, SnapshotSelf);
}

bool
pgw_reader_next(PgwReader *r)
{
	return table_scan_getnextslot(r->scan, ForwardScanDirection, r->slot);
}

void
pgw_reader_close(PgwReader *r)
{
	table_endscan(r->scan);
	ExecDropSingleTupleTableSlot(r->slot);
	table_close(r->rel, NoLock);
}
