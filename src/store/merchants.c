/*
 * merchants.c - the merchants that may take payments
 *
 * Owns: the place of the merchant that this session has found last.
 * Locks: AccessShareLock on the table and on its index, until the transaction ends.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "database/find_row.h"
#include "database/relation_changes.h"
#include "database/relations.h"
#include "database/row.h"
#include "store/merchants.h"

/*
 * Most sessions pay for one merchant: where his row lies is looked at before it is looked for.  It
 * is taken from there only as long as it is the latest version, and his.
 */
typedef struct Known
{
	PgwRemembered of; /* the table */
	AttrNumber merchant;
	AttrNumber enabled; /* InvalidAttrNumber: there is no such column */
	ItemPointerData place;
} Known;

static Known known;

static void
know_columns(Oid relid)
{
	if (known.of.relid == relid)
		return;
	pgw_remembered_is_voided(&known.of);
	known.merchant = get_attnum(relid, "merchant");
	known.enabled = get_attnum(relid, "enabled");
	ItemPointerSetInvalid(&known.place);
	known.of.relid = relid;
}

/* r->found := his row, if it is the one that was found last. */
static bool
find_where_it_was(PgwRel *r, text *name)
{
	bool isnull;
	Datum found;

	if (!pgw_row_fetch_from(r, &known.place))
		return false;
	found = slot_getattr(r->found, known.merchant, &isnull);
	return !isnull && DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, found,
														   PointerGetDatum(name)));
}

static bool
find_by_name(PgwRel *r, Oid relid, text *name)
{
	static PgwIndexByColumns by_name = {.columns = {"merchant"}, .n = 1, .unique = true};
	Oid index = pgw_relation_index(relid, &by_name);
	Datum key = PointerGetDatum(name);

	if (!OidIsValid(index))
		elog(ERROR, "table pgw.merchants has no unique index on (merchant)");
	if (pgw_row_find(r, index, &key, 1, PGW_FIND_THOROUGH, NULL, NULL) != PGW_FIND_ROW)
		return false;
	known.place = r->found->tts_tid;
	return true;
}

bool
pgw_store_merchant(const char *name, bool *enabled)
{
	Oid relid = pgw_relation("merchants");
	text *key = cstring_to_text(name);
	PgwRel r;
	bool found;

	pgw_row_open_read(&r, relid);
	know_columns(relid); /* under the table's lock: nothing of it changes from here on */
	found = find_where_it_was(&r, key) || find_by_name(&r, relid, key);
	*enabled = found;
	if (found && known.enabled != InvalidAttrNumber)
	{
		bool isnull;
		Datum d = slot_getattr(r.found, known.enabled, &isnull);

		*enabled = !isnull && DatumGetBool(d);
	}
	pgw_row_close(&r);
	return found;
}
