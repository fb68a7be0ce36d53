/*
 * check_access.c - who may do what (pgw.access_grants)
 *
 * EXECUTE privileges keep strangers out; this keeps a caller to its merchants.  The table is read
 * with SnapshotSelf, which SSI does not track, so that a SERIALIZABLE caller gains no read-write
 * dependency.  A grant's merchant is '' where it is for all of them.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "database/extension.h"
#include "sql_function/check_access.h"

/* no merchant has this name, so only a grant without a merchant allows it */
#define EVERY_MERCHANT ""

static bool
has_grant(Oid caller, const char *level, const char *merchant)
{
	Oid relid = get_relname_relid("access_grants", get_namespace_oid("pgw", false));
	bool figures = strcmp(level, "monitor") == 0;
	bool reading = strcmp(level, "auditor") == 0;
	bool found = false;
	Relation rel;
	TableScanDesc scan;
	TupleTableSlot *slot;
	AttrNumber role_no;
	AttrNumber level_no;
	AttrNumber merchant_no;

	if (!OidIsValid(relid))
		return false;
	role_no = get_attnum(relid, "role");
	level_no = get_attnum(relid, "level");
	merchant_no = get_attnum(relid, "merchant");
	if (role_no <= 0 || level_no <= 0 || merchant_no <= 0)
		elog(ERROR, "pgw.access_grants has lost a column");

	rel = table_open(relid, AccessShareLock);
	slot = table_slot_create(rel, NULL);
	scan = pgw_table_beginscan(rel, SnapshotSelf);
	while (!found && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool isnull;
		Datum value;
		char *granted;

		CHECK_FOR_INTERRUPTS();
		value = slot_getattr(slot, level_no, &isnull);
		if (isnull)
			continue;
		granted = TextDatumGetCString(value);
		if (reading ? strcmp(granted, "monitor") == 0 : !figures && strcmp(granted, level) != 0)
			continue;
		value = slot_getattr(slot, merchant_no, &isnull);
		if (isnull)
			continue;
		granted = TextDatumGetCString(value);
		if (merchant != NULL && granted[0] != '\0' && strcmp(granted, merchant) != 0)
			continue;
		value = slot_getattr(slot, role_no, &isnull);
		found = !isnull && has_privs_of_role(caller, DatumGetObjectId(value));
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return found;
}

bool
pgw_caller_may(Oid caller, const char *level, const char *merchant)
{
	if (superuser_arg(caller) || caller == pgw_extension_owner())
		return true;
	return has_grant(caller, level, merchant);
}

/* As the argument of a pgw.grant_access() that a hint writes out. */
static char *
role_literal(Oid caller)
{
	char *role = GetUserNameFromId(caller, true);

	return quote_literal_cstr(role ? quote_identifier(role) : "role");
}

void
pgw_require(Oid caller, const char *level, const char *merchant)
{
	if (pgw_caller_may(caller, level, merchant))
		return;
	if (merchant != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for payments of merchant \"%s\"", merchant),
				 errhint("The owner of pgw can allow it: SELECT pgw.grant_access(%s, %s, %s).",
						 role_literal(caller), quote_literal_cstr(level),
						 quote_literal_cstr(merchant))));
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for pgw"),
					errhint("The owner of pgw can allow it: SELECT pgw.grant_access(%s, %s).",
							role_literal(caller), quote_literal_cstr(level))));
}

void
pgw_require_of_all_merchants(Oid caller, const char *level, const char *what)
{
	if (pgw_caller_may(caller, level, EVERY_MERCHANT))
		return;
	ereport(
		ERROR,
		(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for %s", what),
		 errhint(
			 "It is for the owner of pgw, and for the level %s of all merchants, which the owner can give: SELECT pgw.grant_access(%s, %s).",
			 level, role_literal(caller), quote_literal_cstr(level))));
}
