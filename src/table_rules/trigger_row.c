/*
 * trigger_row.c - what a trigger of ours was called for, the columns of its rows by name, and other
 * rows beside
 *
 * Owns: the places where columns were found last.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_enum.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "table_rules/trigger_row.h"

TriggerData *
pgw_trigger_context(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("this function can only be called as a trigger")));
	return (TriggerData *) fcinfo->context;
}

/*
 * The payments' triggers ask for the same columns of wide rows again and again: where one was last
 * time is looked at first.  The names are literals, so the address tells one from another; two that
 * share a place only push each other out.  What is remembered is compared with the column's name
 * before it is used: so it serves every table, and no change of one makes it wrong.
 */
static int
column(TupleDesc desc, const char *name)
{
	static struct
	{
		const char *name;
		int attno;
	} found[512]; /* the literals of a file lie close together: each has its own place */
	int place = (int) ((uintptr_t) name % lengthof(found));
	int attno = found[place].attno;

	if (found[place].name == name && attno <= desc->natts &&
		namestrcmp(&TupleDescAttr(desc, attno - 1)->attname, name) == 0)
		return attno;
	attno = SPI_fnumber(desc, name);
	if (attno <= 0)
		elog(ERROR, "column %s is missing", name);
	found[place].name = name;
	found[place].attno = attno;
	return attno;
}

Datum
pgw_trigger_value(HeapTuple tuple, TupleDesc desc, const char *name, bool *isnull)
{
	return heap_getattr(tuple, column(desc, name), desc, isnull);
}

char *
pgw_trigger_text(HeapTuple tuple, TupleDesc desc, const char *name)
{
	bool isnull;
	Datum value = pgw_trigger_value(tuple, desc, name, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

int64
pgw_trigger_number(HeapTuple tuple, TupleDesc desc, const char *name)
{
	bool isnull;
	Datum value = pgw_trigger_value(tuple, desc, name, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

bool
pgw_trigger_bool(HeapTuple tuple, TupleDesc desc, const char *name)
{
	bool isnull;
	Datum value = pgw_trigger_value(tuple, desc, name, &isnull);

	return !isnull && DatumGetBool(value);
}

/* value: of the column, no null */
static char *
label_of(Datum value, const char *name)
{
	HeapTuple entry = SearchSysCache1(ENUMOID, value);
	char *label;

	if (!HeapTupleIsValid(entry))
		elog(ERROR, "column %s is no enum", name);
	label = pstrdup(NameStr(((Form_pg_enum) GETSTRUCT(entry))->enumlabel));
	ReleaseSysCache(entry);
	return label;
}

static bool
same_value(Form_pg_attribute att, Datum old, Datum new)
{
	TypeCacheEntry *type;

	if (datumIsEqual(old, new, att->attbyval, att->attlen))
		return true;
	type = lookup_type_cache(att->atttypid, TYPECACHE_EQ_OPR_FINFO);
	if (!OidIsValid(type->eq_opr_finfo.fn_oid))
		elog(ERROR, "column %s cannot be compared", NameStr(att->attname));
	return DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo, att->attcollation, old, new));
}

bool
pgw_trigger_same(HeapTuple old, HeapTuple new, TupleDesc desc, const char *name)
{
	int attno = column(desc, name);
	bool oldnull;
	bool newnull;
	Datum oldval = heap_getattr(old, attno, desc, &oldnull);
	Datum newval = heap_getattr(new, attno, desc, &newnull);

	if (oldnull || newnull)
		return oldnull && newnull;
	return same_value(TupleDescAttr(desc, attno - 1), oldval, newval);
}

bool
pgw_trigger_any_row(const char *sql, int nargs, Oid *types, Datum *values)
{
	bool found;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(sql, nargs, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "a rule could not look at other rows: %s", sql);
	found = SPI_processed > 0;
	SPI_finish();
	return found;
}

void
pgw_trigger_row(HeapTuple tuple, TupleDesc desc, PgwTriggerRow *row)
{
	row->desc = desc;
	row->values = palloc(desc->natts * sizeof(Datum));
	row->nulls = palloc(desc->natts * sizeof(bool));
	heap_deform_tuple(tuple, desc, row->values, row->nulls);
}

int64
pgw_trigger_row_number(const PgwTriggerRow *row, const char *name)
{
	int i = column(row->desc, name) - 1;

	return row->nulls[i] ? 0 : DatumGetInt32(row->values[i]);
}

char *
pgw_trigger_row_label(const PgwTriggerRow *row, const char *name)
{
	int i = column(row->desc, name) - 1;

	if (row->nulls[i])
		elog(ERROR, "column %s is null", name);
	return label_of(row->values[i], name);
}

bool
pgw_trigger_row_is_null(const PgwTriggerRow *row, const char *name)
{
	return row->nulls[column(row->desc, name) - 1];
}

bool
pgw_trigger_rows_same(const PgwTriggerRow *old, const PgwTriggerRow *new, const char *name)
{
	int i = column(old->desc, name) - 1;

	if (old->nulls[i] || new->nulls[i])
		return old->nulls[i] && new->nulls[i];
	return same_value(TupleDescAttr(old->desc, i), old->values[i], new->values[i]);
}
