/*
 * merchants.c - the merchants that may take payments
 *
 * Owns: nothing.
 * Locks: AccessShareLock on the table and on its index, until the transaction ends.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "database/find_row.h"
#include "database/relations.h"
#include "database/row.h"
#include "store/merchants.h"

bool
pgw_store_merchant(const char *name, bool *enabled)
{
	static PgwIndexByColumns by_name = {.columns = {"merchant"}, .n = 1, .unique = true};
	Oid relid = pgw_relation("merchants");
	Oid index = pgw_relation_index(relid, &by_name);
	AttrNumber att = get_attnum(relid, "enabled");
	Datum key = CStringGetTextDatum(name);
	PgwRel r;
	bool found;

	if (!OidIsValid(index))
		elog(ERROR, "table pgw.merchants has no unique index on (merchant)");
	pgw_row_open_read(&r, relid);
	found = pgw_row_find(&r, index, &key, 1, PGW_FIND_THOROUGH, NULL, NULL) == PGW_FIND_ROW;
	*enabled = found;
	if (found && att != InvalidAttrNumber)
	{
		bool isnull;
		Datum d = slot_getattr(r.found, att, &isnull);

		*enabled = !isnull && DatumGetBool(d);
	}
	pgw_row_close(&r);
	return found;
}
