/*
 * require_home.c - nothing is done for a slot that is not at home here
 *
 * Owns nothing.  What is recorded of such a slot is not answered from either: it can be older than
 * what the slot's shard has.
 */
#include "postgres.h"

#include "base/json_writer.h"
#include "core/base/mutant.h"
#include "core/base/shard_slot.h"
#include "shard/home_slots.h"
#include "shard/shard_name.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_home.h"

static const char *
hint(int slot, const char *shard)
{
	if (pgw_shard_name() == NULL)
		return pgw_shard_name_ignored()
				   ? "Nothing is at home in this database: pgw.shard_name stands in a file of the data directory, where it does not count. See docs/scaling.md."
				   : "Nothing is at home in this database: its server was started without pgw.shard_name. See docs/scaling.md.";
	if (shard != NULL)
		return psprintf("Make the same call at shard %s, with the same client_request_id. Nothing "
						"was done here.",
						shard);
	return psprintf("Make the same call at the shard that has slot %d, with the same "
					"client_request_id. Nothing was done here.",
					slot);
}

static void
require(int slot)
{
	char *shard;
	PgwJsonWriter w;

	if (pgw_slot_is_home(slot))
		return;
	shard = pgw_slot_other_shard(slot);
	pgw_json_begin(&w);
	pgw_json_put_int(&w, "slot", slot);
	pgw_json_put_string(&w, "shard", shard);
	pgw_json_put_string(&w, "this_shard", pgw_shard_name());
	pgw_raise("wrong_shard", w.text.data, hint(slot, shard));
}

void
pgw_require_home_of_request(const char *client_request_id)
{
	if (pgw_slots_in_use())
		require(pgw_slot_of_request(client_request_id));
}

void
pgw_require_home_of_id(const pg_uuid_t *id)
{
	if (pgw_slots_in_use())
		require(pgw_shard_slot_of_id(id->data));
}

static void
hold(int slot)
{
	if (PGW_MUTATED(HOME_AGAIN))
		return;
	if (!PGW_MUTATED(MOVE_HELD))
		pgw_slot_hold(slot);
	require(slot);
}

void
pgw_hold_home_of_request(const char *client_request_id)
{
	if (pgw_slots_in_use())
		hold(pgw_slot_of_request(client_request_id));
}

void
pgw_hold_home_of_id(const pg_uuid_t *id)
{
	if (pgw_slots_in_use())
		hold(pgw_shard_slot_of_id(id->data));
}
