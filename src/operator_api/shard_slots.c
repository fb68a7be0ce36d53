/*
 * shard_slots.c - slots in SQL: which slot has an id, and pgw.claim_slots()
 *
 * Owns nothing.  A claim is the word of a person: that no other shard has these slots cannot be
 * seen from here.
 * Locks: pgw.shard_slots against other changes of slots; and, where a claim leaves slots out, the
 * tables of payments, by the trigger that looks for records of these.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "base/json_writer.h"
#include "core/base/shard_slot.h"
#include "database/statements.h"
#include "operator_api/operator_note.h"
#include "operator_api/slot_order.h"
#include "shard/home_slots.h"
#include "shard/shard_name.h"
#include "sql_function/arguments.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"

PG_FUNCTION_INFO_V1(pgw_slot_of_1_0);
PG_FUNCTION_INFO_V1(pgw_slot_of_id_1_0);
PG_FUNCTION_INFO_V1(pgw_new_request_id_1_0);
PG_FUNCTION_INFO_V1(pgw_slot_is_worked_1_0);
PG_FUNCTION_INFO_V1(pgw_claim_slots_1_0);
PG_FUNCTION_INFO_V1(pgw_shard_name_1_0);

#define MAX_ID_CHARS 255

/* ---------------------------------------------------------------- ids */

Datum
pgw_slot_of_1_0(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(pgw_slot_of_request(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

Datum
pgw_slot_of_id_1_0(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(pgw_shard_slot_of_id(PG_GETARG_UUID_P(0)->data));
}

Datum
pgw_slot_is_worked_1_0(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(pgw_slot_is_worked(PG_GETARG_UUID_P(0)));
}

Datum
pgw_shard_name_1_0(PG_FUNCTION_ARGS)
{
	if (pgw_shard_name() == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(pgw_shard_name()));
}

Datum
pgw_new_request_id_1_0(PG_FUNCTION_ARGS)
{
	char *own = pgw_arg_text(fcinfo, "own");
	char *faults = NULL;
	char *id;
	bool isnull;
	int slot = DatumGetInt32(pgw_arg(fcinfo, "slot", &isnull));

	if (isnull)
		faults = pgw_arg_fault(faults, "slot", "required", NULL);
	else if (slot < 0 || slot >= PGW_SHARD_SLOTS)
		faults = pgw_arg_fault(faults, "slot", "out_of_range", "must be 0 to 1023");
	if (own == NULL || own[0] == '\0')
		faults = pgw_arg_fault(faults, "own", "required", "must not be empty");
	if (faults != NULL)
		pgw_raise_faults(pgw_json_array_of(faults));
	id = psprintf("s%d.%s", slot, own);
	if (pg_mbstrlen(id) > MAX_ID_CHARS)
		pgw_raise_fault("own", "too_long", "makes an id of more than 255 characters");
	PG_RETURN_TEXT_P(cstring_to_text(id));
}

/* ---------------------------------------------------------------- a claim */

/* Nobody else's, unless that one is said to be lost. */
static void
require_free(const PgwSlotOrder *o)
{
	PgwJsonWriter w;
	HeapTuple row;
	TupleDesc desc;

	pgw_slot_order_run(
		o,
		"SELECT slot::text, shard, state FROM pgw.shard_slots WHERE slot <@ $1"
		" AND ((shard <> $2 OR database IS DISTINCT FROM current_database()) AND shard IS DISTINCT FROM $3"
		" OR shard = $2 AND state = 'released')"
		" ORDER BY slot LIMIT 1",
		SPI_OK_SELECT);
	if (SPI_processed == 0)
		return;
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	pgw_json_begin(&w);
	pgw_json_put_int(&w, "slot", pg_strtoint32(SPI_getvalue(row, desc, 1)));
	pgw_json_put_string(&w, "shard", SPI_getvalue(row, desc, 2));
	pgw_json_put_string(&w, "state", SPI_getvalue(row, desc, 3));
	pgw_slot_order_refuse(
		w.text.data,
		"It belongs to the shard that DETAIL names, which may take payments for it; what was released to this one is adopted by its token. Once it is sure that this shard is destroyed, and no copy of it is left that is started under its name: pgw.claim_slots() with lost_shard and a note. See docs/scaling.md.");
}

static int64
claim(const PgwSlotOrder *o)
{
	int64 n;

	pgw_slot_order_run(o, "LOCK TABLE pgw.shard_slots IN SHARE ROW EXCLUSIVE MODE", SPI_OK_UTILITY);
	pgw_slot_order_require_slots(o);
	require_free(o);
	pgw_slot_order_record(o, o->other == NULL ? "claimed" : "taken over", false);
	pgw_changing_slots = true;
	PG_TRY();
	{
		pgw_slot_order_run(
			o,
			"INSERT INTO pgw.shard_slots (slot, shard) SELECT s, $2 FROM generate_series(0, 1023) s"
			" WHERE s <@ $1 AND NOT EXISTS (SELECT FROM pgw.shard_slots o WHERE o.slot = s)",
			SPI_OK_INSERT);
		n = (int64) SPI_processed;
		pgw_slot_order_run(
			o,
			"UPDATE pgw.shard_slots SET shard = $2, database = current_database(), state = 'home', moves_to = NULL, token = NULL, system_identifier = NULL,"
			" epoch = epoch + (shard <> $2 OR database IS DISTINCT FROM current_database())::int, changed_at = clock_timestamp()"
			" WHERE slot <@ $1 AND (shard <> $2 OR database IS DISTINCT FROM current_database() OR state <> 'home')",
			SPI_OK_UPDATE);
		n += (int64) SPI_processed;
	}
	PG_FINALLY();
	{
		pgw_changing_slots = false;
	}
	PG_END_TRY();
	return n;
}

Datum
pgw_claim_slots_1_0(PG_FUNCTION_ARGS)
{
	PgwSlotOrder o;
	char *lost_shard = pgw_arg_text(fcinfo, "lost_shard");
	char *note = pgw_arg_text(fcinfo, "note");
	char *faults = NULL;
	Oid caller;
	int sec_context;
	int64 n;

	if (lost_shard != NULL && (note == NULL || pgw_note_is_blank(note)))
		faults = pgw_arg_fault(NULL, "note", "required",
							   "must say how it is known that the shard is lost");
	pgw_slot_order_begin(&o, fcinfo, "pgw.claim_slots()", faults);
	o.other = lost_shard;
	pgw_become_owner(&caller, &sec_context);
	pgw_statements_begin();
	n = claim(&o);
	pgw_statements_end();
	pgw_become_caller(caller, sec_context);
	PG_RETURN_INT64(n);
}
