/*
 * shard_slots.c - slots in SQL: which slot has an id, and pgw.claim_slots()
 *
 * Owns nothing.  A claim is the word of a person: that no other shard has these slots cannot be
 * seen from here.
 * Locks: pgw.shard_slots against other changes of slots; and, where a claim leaves slots out, the
 * tables of payments, by the trigger that looks for records of these.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "base/json_writer.h"
#include "core/base/shard_slot.h"
#include "database/statements.h"
#include "operator_api/operator_note.h"
#include "shard/home_slots.h"
#include "shard/shard_name.h"
#include "sql_function/arguments.h"
#include "sql_function/calling_actor.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_version.h"

PG_FUNCTION_INFO_V1(pgw_slot_of_1_0);
PG_FUNCTION_INFO_V1(pgw_slot_of_id_1_0);
PG_FUNCTION_INFO_V1(pgw_new_request_id_1_0);
PG_FUNCTION_INFO_V1(pgw_slot_is_worked_1_0);
PG_FUNCTION_INFO_V1(pgw_claim_slots_1_0);

#define MAX_NOTE_CHARS 1000
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

typedef struct Claim
{
	Datum slots; /* int4multirange */
	Oid slots_type;
	const char *shard; /* whose they become: this one */
	char *note;
	char *lost_shard; /* whose they were, as that one is lost; NULL: nobody's */
	PgwActor actor;
} Claim;

static void
get_claim(FunctionCallInfo fcinfo, Claim *c)
{
	PgwCallerSays says;
	char *faults = NULL;
	bool isnull;

	memset(&says, 0, sizeof(says));
	c->slots = pgw_arg(fcinfo, "slots", &isnull);
	c->slots_type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	c->note = pgw_arg_text(fcinfo, "note");
	c->lost_shard = pgw_arg_text(fcinfo, "lost_shard");
	if (isnull)
		faults = pgw_arg_fault(faults, "slots", "required", NULL);
	if (c->note != NULL)
		faults = pgw_note_faults(faults, c->note, MAX_NOTE_CHARS);
	if (c->lost_shard != NULL && (c->note == NULL || pgw_note_is_blank(c->note)))
		faults = pgw_arg_fault(faults, "note", "required",
							   "must say how it is known that the shard is lost");
	faults = pgw_operator_options(faults, fcinfo, &says);
	if (faults != NULL)
		pgw_raise_faults(pgw_json_array_of(faults));
	pgw_actor_calling(&c->actor, GetUserId(), &says, NULL);
	c->shard = pgw_shard_name();
	if (c->shard == NULL)
		pgw_raise("operation_not_allowed",
				  pgw_detail(NULL, "reason", "this server has no pgw.shard_name"),
				  pgw_shard_name_ignored()
					  ? "pgw.shard_name stands in a file of the data directory, where it does not "
						"count: set it elsewhere, and restart the server. See docs/scaling.md."
					  : "Start the server with pgw.shard_name. See docs/scaling.md.");
}

/* The arguments of each statement: the slots, this shard, the lost one, the note, who. */
static void
run(const Claim *c, const char *sql, int expected)
{
	Oid types[5] = {c->slots_type, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum args[5] = {c->slots, CStringGetTextDatum(c->shard)};
	char nulls[6] = "     ";
	int rc;

	nulls[2] = c->lost_shard == NULL ? 'n' : ' ';
	args[2] = c->lost_shard != NULL ? CStringGetTextDatum(c->lost_shard) : (Datum) 0;
	nulls[3] = c->note == NULL ? 'n' : ' ';
	args[3] = c->note != NULL ? CStringGetTextDatum(c->note) : (Datum) 0;
	args[4] = CStringGetTextDatum(pgw_actor_json(&c->actor));
	rc = SPI_execute_with_args(sql, 5, types, args, nulls, false, 0);
	if (rc != expected)
		elog(ERROR, "claiming slots failed: %s", SPI_result_code_string(rc));
}

static void
require_slots(const Claim *c)
{
	run(c,
		"SELECT WHERE $1 <@ '{[0,1023]}'::pg_catalog.int4multirange AND NOT pg_catalog.isempty($1)",
		SPI_OK_SELECT);
	if (SPI_processed == 0)
		pgw_raise_fault("slots", "out_of_range", "must be ranges within 0 to 1023, and not empty");
}

/* Nobody else's, unless that one is said to be lost. */
static void
require_free(const Claim *c)
{
	PgwJsonWriter w;
	HeapTuple row;
	TupleDesc desc;

	run(c,
		"SELECT slot::text, shard, state FROM pgw.shard_slots WHERE slot <@ $1"
		" AND (shard <> $2 AND shard IS DISTINCT FROM $3 OR shard = $2 AND state = 'released')"
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
	pgw_raise(
		"operation_not_allowed", w.text.data,
		"It belongs to the shard that DETAIL names, which may take payments for it. Once it is sure that this shard is destroyed, and no copy of it is left that is started under its name: pgw.claim_slots() with lost_shard and a note. See docs/scaling.md.");
}

static int64
claim(const Claim *c)
{
	int64 n;

	run(c, "LOCK TABLE pgw.shard_slots IN SHARE ROW EXCLUSIVE MODE", SPI_OK_UTILITY);
	require_slots(c);
	require_free(c);
	pgw_changing_slots = true;
	PG_TRY();
	{
		/* first, as the rows that follow must not be claimed twice */
		run(c,
			"INSERT INTO pgw.slot_changes (action, slots, from_shard, to_shard, note, actor)"
			" VALUES (CASE WHEN $3 IS NULL THEN 'claimed' ELSE 'taken over' END, $1, $3, $2, $4, $5::jsonb)",
			SPI_OK_INSERT);
		run(c,
			"INSERT INTO pgw.shard_slots (slot, shard) SELECT s, $2 FROM generate_series(0, 1023) s"
			" WHERE s <@ $1 AND NOT EXISTS (SELECT FROM pgw.shard_slots o WHERE o.slot = s)",
			SPI_OK_INSERT);
		n = (int64) SPI_processed;
		run(c,
			"UPDATE pgw.shard_slots SET shard = $2, state = 'home', changed_at = clock_timestamp()"
			" WHERE slot <@ $1 AND (shard <> $2 OR state <> 'home')",
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
	Claim c;
	Oid caller;
	int sec_context;
	int64 n;

	PreventCommandIfReadOnly("pgw.claim_slots()");
	PreventCommandDuringRecovery("pgw.claim_slots()");
	PreventCommandIfParallelMode("pgw.claim_slots()");
	get_claim(fcinfo, &c);
	pgw_require_version();
	pgw_become_owner(&caller, &sec_context);
	pgw_statements_begin();
	n = claim(&c);
	pgw_statements_end();
	pgw_become_caller(caller, sec_context);
	PG_RETURN_INT64(n);
}
