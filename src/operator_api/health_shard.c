/*
 * health_shard.c - pgw.health(): is this database a shard, and of what?
 *
 * Owns nothing, changes nothing.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "bank/call_permission.h"
#include "operator_api/health_shard.h"
#include "shard/home_slots.h"
#include "shard/shard_name.h"
#include "store/open_work.h"

static void
put_slots(PgwHealthReport *r)
{
	static const struct
	{
		const char *name;
		const char *which;
	} sets[] = {
		{"at_home", "shard = %s AND database = current_database() AND state = 'home'"},
		{"leaving", "shard = %s AND database = current_database() AND state = 'leaving'"},
		{"elsewhere",
		 "shard <> %s OR database IS DISTINCT FROM current_database() OR state NOT IN ('home', 'leaving')"}};

	for (int i = 0; i < lengthof(sets); i++)
	{
		/* no shard's name is empty */
		const char *name = pgw_shard_name() != NULL ? pgw_shard_name() : "";
		char *which = psprintf(sets[i].which, quote_literal_cstr(name));

		pgw_health_detail(
			r, sets[i].name,
			pgw_health_read_text(psprintf(
				"SELECT coalesce(range_agg(int4range(slot, slot, '[]')), '{}')::text FROM pgw.shard_slots WHERE %s",
				which)));
	}
}

void
pgw_health_check_shard(PgwHealthReport *r)
{
	bool in_use = pgw_slots_in_use();
	bool none = in_use && !pgw_any_slot_is_worked();
	char *left = NULL;

	pgw_health_detail(r, "shard_name", pgw_shard_name());
	pgw_health_detail_bool(r, "name_ignored", pgw_shard_name_ignored());
	pgw_health_detail_bool(r, "sharded", in_use);
	pgw_health_detail_number(r, "bank_shards", pgw_bank_shards());
	if (in_use)
	{
		put_slots(r);
		left = pgw_health_read_text("SELECT count(*)::text FROM " PGW_OPEN_ATTEMPTS
									" WHERE t.status NOT IN ('Completed', 'Failed', 'Refunded')"
									" AND NOT pgw.slot_is_worked(t.transaction_id)");
		pgw_health_detail_json(r, "attempts_left_alone", left);
	}
	pgw_health_put(
		r, "shard",
		none || (left != NULL && strcmp(left, "0") != 0) ? PGW_HEALTH_ERROR
		: pgw_shard_name_ignored()                       ? PGW_HEALTH_WARNING
														 : PGW_HEALTH_OK,
		none
			? "No slot is at home here under the name that this server was started with: every call is refused (PW421), and no attempt goes on. "
			  "A shard needs pgw.shard_name, from outside its data directory; a copy of one is to stay so. See docs/scaling.md."
		: left != NULL && strcmp(left, "0") != 0
			? "Attempts are open whose slot is not at home here, and are left alone: the shard that has it goes on with them. If none does, see docs/scaling.md."
			: "pgw.shard_name stands in a file of the data directory, which every copy takes along, and is ignored: set it in the environment (PGW_SHARD_NAME), "
			  "on the command line or in a file elsewhere.");
}
