/*
 * slot_order.c - what somebody asks for of slots, and the statements that carry it out
 *
 * Owns nothing.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/json_writer.h"
#include "operator_api/operator_note.h"
#include "operator_api/slot_order.h"
#include "shard/shard_name.h"
#include "sql_function/arguments.h"
#include "sql_function/calling_actor.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_version.h"

#define MAX_NOTE_CHARS 1000

void
pgw_slot_order_begin(PgwSlotOrder *o, FunctionCallInfo fcinfo, const char *function, char *faults)
{
	PgwCallerSays says;
	bool isnull;

	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	PreventCommandIfParallelMode(function);
	memset(o, 0, sizeof(*o));
	memset(&says, 0, sizeof(says));
	o->slots = pgw_arg(fcinfo, "slots", &isnull);
	o->has_slots = !isnull;
	o->note = pgw_arg_text(fcinfo, "note");
	if (o->note != NULL)
		faults = pgw_note_faults(faults, o->note, MAX_NOTE_CHARS);
	faults = pgw_operator_options(faults, fcinfo, &says);
	if (faults != NULL)
		pgw_raise_faults(pgw_json_array_of(faults));
	pgw_actor_calling(&o->actor, GetUserId(), &says, NULL);
	pgw_require_version();
	o->shard = pgw_shard_name();
	if (o->shard == NULL)
		pgw_raise_saying(
			"operation_not_allowed", "this server has no pgw.shard_name, so no slot can be its own",
			pgw_detail(NULL, "reason", "this server has no pgw.shard_name"),
			pgw_shard_name_ignored()
				? "pgw.shard_name stands in a file of the data directory, where it does not count: set it elsewhere, and restart the server. See docs/scaling.md."
				: "Start the server with pgw.shard_name, from outside of its data directory: PGW_SHARD_NAME in its environment, for one. See docs/scaling.md.");
	o->system = (int64) GetSystemIdentifier();
}

void
pgw_slot_order_refuse(const char *members, const char *hint)
{
	pgw_raise_saying("operation_not_allowed", "the slots cannot be moved so", members, hint);
}

void
pgw_slot_order_run(const PgwSlotOrder *o, const char *sql, int expected)
{
	Oid types[6] = {INT4MULTIRANGEOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID};
	Datum args[6] = {o->slots, CStringGetTextDatum(o->shard)};
	char nulls[7] = "      ";
	int rc;

	if (!o->has_slots)
		nulls[0] = 'n';
	if (o->other != NULL)
		args[2] = CStringGetTextDatum(o->other);
	else
		nulls[2] = 'n';
	if (o->note != NULL)
		args[3] = CStringGetTextDatum(o->note);
	else
		nulls[3] = 'n';
	args[4] = CStringGetTextDatum(pgw_actor_json(&o->actor));
	args[5] = Int64GetDatum(o->system);
	rc = SPI_execute_with_args(sql, 6, types, args, nulls, false, 0);
	if (rc != expected)
		elog(ERROR, "an order about slots failed: %s", SPI_result_code_string(rc));
}

void
pgw_slot_order_require_slots(const PgwSlotOrder *o)
{
	pgw_slot_order_run(
		o,
		"SELECT WHERE $1 <@ '{[0,1023]}'::pg_catalog.int4multirange AND NOT pg_catalog.isempty($1)",
		SPI_OK_SELECT);
	if (SPI_processed == 0)
		pgw_raise_fault("slots", o->has_slots ? "out_of_range" : "required",
						"must be ranges within 0 to 1023, and not empty");
}

void
pgw_slot_order_record(const PgwSlotOrder *o, const char *action, bool away)
{
	pgw_slot_order_run(
		o,
		psprintf("INSERT INTO pgw.slot_changes (action, slots, from_shard, to_shard, note, actor)"
				 " VALUES (%s, $1, %s, $4, $5::jsonb)",
				 quote_literal_cstr(action), away ? "$2, $3" : "$3, $2"),
		SPI_OK_INSERT);
}
