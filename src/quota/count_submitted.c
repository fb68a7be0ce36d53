/*
 * count_submitted.c - how many submitted payments of a merchant or of a role wait to be sent
 *
 * In a caller's transaction: so without an MVCC read, by the index of what waits.  What other
 * transactions have inserted and not committed counts, or one transaction could hold any number.
 * What waits at a bank that pgw.banks has no more does not.
 *
 * A merchant's rows are a part of the index, so no more are read than count.  A role's are not:
 * among all that wait no more than twice the quota, and no more than a million if that is more, are
 * looked at, so that no caller reads ten million rows that others have left.  What is behind them
 * is not counted.
 *
 * Owns: nothing.  Locks: AccessShareLock on the table and the index.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "bank/bank_config.h"
#include "base/compat.h"
#include "core/state/state_machine.h"
#include "database/column_values.h"
#include "database/find_row.h"
#include "database/relations.h"
#include "database/row.h"
#include "quota/count_submitted.h"

#define LOOK_AT_LEAST 1000000

typedef struct Wanted
{
	AttrNumber role_no;
	const char *role;
	size_t len;
} Wanted;

static bool
is_of_role(TupleTableSlot *slot, void *arg)
{
	const Wanted *w = arg;
	bool isnull;
	text *value = (text *) DatumGetPointer(slot_getattr(slot, w->role_no, &isnull));

	/*
	 * A name is too short to be compressed or stored elsewhere.  Nothing is allocated: there may be
	 * a million of them.
	 */
	return !isnull && VARSIZE_ANY_EXHDR(value) == w->len &&
		   memcmp(VARDATA_ANY(value), w->role, w->len) == 0;
}

uint32
pgw_count_submitted(const char *merchant, const char *role, uint32 most)
{
	Oid relid = pgw_relation("open_work");
	static PgwIndexByColumns of_waiting = {.columns = {"bank", "kind", "merchant"},
										   .n = 3,
										   .where = {"next_step_at", "begun"},
										   .nwhere = 2};
	Oid index = pgw_relation_index(relid, &of_waiting);
	Wanted wanted = {get_attnum(relid, "submitted_by"), role, role != NULL ? strlen(role) : 0};
	Datum keys[3];
	PgwRel r;
	PgwBank *bank;
	uint32 n = 0;
	uint32 look = Max(most, most > LOOK_AT_LEAST / 2 ? most * 2 : LOOK_AT_LEAST);

	if (!OidIsValid(index) || wanted.role_no == InvalidAttrNumber)
		return 0; /* somebody has taken it away: no reason to refuse a payment */
	keys[1] = pgw_row_from_string(get_atttype(relid, get_attnum(relid, "kind")),
								  pgw_kind_name(PGW_KIND_PAYMENT));
	keys[2] = merchant != NULL ? CStringGetTextDatum(merchant) : (Datum) 0;
	pgw_row_open_read(&r, relid);
	for (int i = 0; n < most && look > 0 && (bank = pgw_config_nth(i)) != NULL; i++)
	{
		keys[0] = CStringGetTextDatum(bank->name);
		n += pgw_row_count(&r, index, keys, merchant != NULL ? 3 : 2, most - n, &look,
						   role != NULL ? is_of_role : NULL, &wanted);
	}
	pgw_row_close(&r);
	return n;
}
