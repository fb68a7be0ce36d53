/*
 * health_shard.c - pgw.health(): is this database a shard, and of what?
 *
 * Owns nothing, changes nothing.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "bank/call_permission.h"
#include "core/base/shard_slot.h"
#include "operator_api/health_shard.h"
#include "shard/home_slots.h"
#include "shard/shard_name.h"
#include "store/open_work.h"

static void
put_slots(PgwHealthReport *r, const char *name)
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
		char *which = psprintf(sets[i].which, quote_literal_cstr(name));

		pgw_health_detail(
			r, sets[i].name,
			pgw_health_read_text(psprintf(
				"SELECT coalesce(range_agg(int4range(slot, slot, '[]')), '{}')::text FROM pgw.shard_slots WHERE %s",
				which)));
	}
}

/*
 * A database that routes or reports, and has no payments, is told so: each slot is somebody else's.
 * A copy is not: it has the rows of the shard that it is a copy of.
 */
static bool
told_to_have_none(void)
{
	char *told = pgw_health_read_text(psprintf("SELECT (count(*) = %d)::text FROM pgw.shard_slots"
											   " WHERE state = 'elsewhere'",
											   PGW_SHARD_SLOTS));

	return strcmp(told, "true") == 0;
}

/*
 * That there are others is known from the slots alone, how many there are is not.  Whoever says 1
 * means it: the banks' limits are this shard's own.
 */
static bool
bank_shards_unsaid(void)
{
	return pgw_any_slot_is_worked() && !pgw_every_slot_is_worked() &&
		   strcmp(pgw_health_read_text("SELECT source FROM pg_catalog.pg_settings"
									   " WHERE name = 'pgw.bank_shards'"),
				  "default") == 0;
}

/*
 * Another shard has the slot, as far as is known here: what is open of it here is a copy's past, or
 * the remains of what has moved.  Not if somebody has said since then that this shard is lost.
 */
#define ANOTHER_HAS_IT \
	"EXISTS (SELECT FROM pgw.shard_slots s WHERE s.slot = pgw.slot_of_id(t.transaction_id) AND s.shard <> %s" \
	" AND NOT EXISTS (SELECT FROM pgw.slot_changes c WHERE c.action = 'taken over' AND c.from_shard = s.shard" \
	" AND c.recorded_at >= s.changed_at))"

/* Attempts that are open here and not this shard's to go on with: another has the slot, or none. */
static char *
open_elsewhere(const char *name, bool another_has_it)
{
	char *which = psprintf(ANOTHER_HAS_IT, quote_literal_cstr(name));

	return pgw_health_read_text(
		psprintf("SELECT count(*)::text FROM " PGW_OPEN_ATTEMPTS
				 " WHERE t.status NOT IN ('Completed', 'Failed', 'Refunded')"
				 " AND NOT pgw.slot_is_worked(t.transaction_id) AND %s%s",
				 another_has_it ? "" : "NOT ", which));
}

void
pgw_health_check_shard(PgwHealthReport *r)
{
	bool in_use = pgw_slots_in_use();
	/* no shard's name is empty */
	const char *name = pgw_shard_name() != NULL ? pgw_shard_name() : "";
	char *left = "0";
	PgwHealthStatus status = PGW_HEALTH_ERROR;
	const char *advice = NULL;

	pgw_health_detail(r, "shard_name", pgw_shard_name());
	pgw_health_detail_bool(r, "name_ignored", pgw_shard_name_ignored());
	pgw_health_detail_bool(r, "sharded", in_use);
	pgw_health_detail_number(r, "bank_shards", pgw_bank_shards());
	if (in_use)
	{
		put_slots(r, name);
		left = open_elsewhere(name, false);
		pgw_health_detail_json(r, "attempts_left_alone", left);
		pgw_health_detail_json(r, "attempts_of_other_shards", open_elsewhere(name, true));
	}
	if (in_use && !pgw_any_slot_is_worked() && !told_to_have_none())
		advice =
			"No slot is at home here under the name that this server was started with: every call is refused (PW421), and no attempt goes on. "
			"A shard needs pgw.shard_name, from outside its data directory; a copy of one is to stay so. See docs/scaling.md.";
	else if (strcmp(left, "0") != 0)
		advice =
			"Attempts are open whose slot is not at home here, nor is it known of another shard that has it: they are left alone. Adopt the slots, or take them over. See docs/scaling.md.";
	else if (pgw_shard_name_ignored())
	{
		status = PGW_HEALTH_WARNING;
		advice =
			"pgw.shard_name stands in a file of the data directory, which every copy takes along, and is ignored: set it in the environment (PGW_SHARD_NAME), "
			"on the command line or in a file elsewhere.";
	}
	else if (!in_use && pgw_shard_name() != NULL)
	{
		status = PGW_HEALTH_WARNING;
		advice =
			"This server was started as a shard, and no slot is claimed in this database: every call is taken, also of what another shard has. "
			"Claim the slots that are at home here, or tell pgw.shard_slots where they are, before there is a bank. See docs/scaling.md.";
	}
	else if (bank_shards_unsaid())
	{
		status = PGW_HEALTH_WARNING;
		advice =
			"Some slots are elsewhere, so other shards call the same banks, and each takes all that a bank takes of one: set pgw.bank_shards to how many "
			"there are, or to 1 if the banks' limits here are this shard's own. See docs/scaling.md.";
	}
	else
		status = PGW_HEALTH_OK;
	pgw_health_put(r, "shard", status, advice);
}
