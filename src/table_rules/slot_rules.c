/*
 * slot_rules.c - what pgw.shard_slots keeps by itself, whoever writes it
 *
 * Owns nothing.  Rows come by INSERT (a claim, a restored dump) and are changed by pgw's functions
 * alone: a row that is deleted by hand would make every slot a home, if it was the last.
 */
#include "postgres.h"

#include "replication/logicalworker.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "base/error_detail.h"
#include "shard/home_slots.h"
#include "table_rules/trigger_row.h"

PG_FUNCTION_INFO_V1(pgw_keep_slots);
PG_FUNCTION_INFO_V1(pgw_slots_changed);

/* BEFORE UPDATE, DELETE or TRUNCATE.  A subscriber has what its publisher has. */
Datum
pgw_keep_slots(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = pgw_trigger_context(fcinfo);
	bool update = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event);

	if (!(update && (pgw_changing_slots || IsLogicalWorker())))
		ereport(ERROR,
				(errcode(ERRCODE_PGW_RULE),
				 errmsg("rows of pgw.shard_slots stay, and are changed by pgw's functions alone"),
				 errdetail_internal("%s", pgw_error_detail("operation_not_allowed", NULL)),
				 errhint("pgw.claim_slots() makes slots at home here. See docs/scaling.md.")));
	return PointerGetDatum(trigdata->tg_newtuple);
}

/*
 * AFTER each row: what processes know of the table is void from the commit on, also on standbys.
 * A row, not a statement, as a subscription has none.
 */
Datum
pgw_slots_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = pgw_trigger_context(fcinfo);

	CacheInvalidateRelcache(trigdata->tg_relation);
	return PointerGetDatum(NULL);
}
