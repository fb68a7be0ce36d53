/*
 * record_rules.c - the rules of the record tables, whoever writes: legal edges, immutable identity,
 * append-only events
 *
 * Owns nothing.  The rules judge from OLD and NEW alone, without a read, so that SSI sees nothing.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "postmaster/bgworker.h"
#include "replication/logicalworker.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"

#include "base/error_detail.h"
#include "base/json_writer.h"
#include "core/state/state_machine.h"
#include "core/state/steps.h"
#include "sql_function/purging.h"
#include "sql_function/raise_error.h"
#include "table_rules/trigger_row.h"

PG_FUNCTION_INFO_V1(pgw_refuse_change);
PG_FUNCTION_INFO_V1(pgw_enforce_transition);
PG_FUNCTION_INFO_V1(pgw_keep_mark);

/*
 * pgw.purge_test_data() takes this row away, and it is a test payment's: its own statement, not one
 * of code that others have put onto the table.  A row that does not say so itself is one of an
 * attempt's that does.
 */
static bool
is_purged(TriggerData *trigdata)
{
	TupleDesc desc = RelationGetDescr(trigdata->tg_relation);

	return pgw_purging_test_data && TRIGGER_FIRED_BY_DELETE(trigdata->tg_event) &&
		   TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) &&
		   DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0)) == 1 &&
		   (SPI_fnumber(desc, "livemode") == SPI_ERROR_NOATTRIBUTE ||
			!pgw_trigger_bool(trigdata->tg_trigtuple, desc, "livemode"));
}

/*
 * BEFORE DELETE, UPDATE or TRUNCATE: never.  (DROP and DETACH are the owner's, and test data goes
 * by pgw.purge_test_data().)
 */
Datum
pgw_refuse_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = pgw_trigger_context(fcinfo);
	const char *verb = "changed";

	if (is_purged(trigdata))
		return PointerGetDatum(trigdata->tg_trigtuple);
	if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		verb = "deleted";
	else if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
		verb = "truncated";
	ereport(ERROR, (errcode(ERRCODE_PGW_RULE),
					errmsg("rows of pgw.%s cannot be %s",
						   RelationGetRelationName(trigdata->tg_relation), verb),
					errdetail_internal("%s", pgw_error_detail("operation_not_allowed", NULL)),
					errhint("Records of payments stay; this holds for every role.")));
}

/*
 * BEFORE INSERT or UPDATE of the mark: by pgw's worker, or by the trigger that lists what a restore
 * has loaded.  Whoever else raised it would say of open attempts that they are over, and the next
 * worker would never look at them.  A publisher's mark says what is listed there, not here: it is
 * left out, and the subscription, of all tables perhaps, goes on.
 */
Datum
pgw_keep_mark(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = pgw_trigger_context(fcinfo);
	bool by_worker =
		MyBgworkerEntry != NULL && strcmp(MyBgworkerEntry->bgw_library_name, "pgw") == 0;
	bool by_trigger = DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0)) > 1;

	if (!by_worker && !by_trigger && IsLogicalWorker())
		return PointerGetDatum(NULL);
	if (!by_worker && !by_trigger)
		ereport(ERROR,
				(errcode(ERRCODE_PGW_RULE), errmsg("pgw.open_work_mark is moved by pgw alone"),
				 errdetail_internal("%s", pgw_error_detail("operation_not_allowed", NULL)),
				 errhint("To have all attempts looked at again, delete its row and call "
						 "pgw.run_recovery().")));
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple
																	   : trigdata->tg_trigtuple);
}

static char *
step_detail(PgwState from, PgwState to, int64 steps)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_put_string(&w, "from", pgw_state_name(from));
	pgw_json_put_string(&w, "to", pgw_state_name(to));
	pgw_json_put_int(&w, "steps", steps);
	return pgw_error_detail("operation_not_allowed", w.text.data);
}

/* So many events more: can they have led from one state to the other? */
static void
check_steps(PgwKind kind, PgwState from, PgwState to, int64 steps)
{
	if (steps < 0 || (from != to && steps == 0))
		ereport(
			ERROR,
			(errcode(ERRCODE_PGW_RULE),
			 errmsg("step_order of a payment transaction must grow with every change of its state"),
			 errdetail_internal("%s", step_detail(from, to, steps))));
	if (!pgw_steps_lead(kind, from, to, steps))
		ereport(ERROR, (errcode(ERRCODE_PGW_RULE),
						errmsg("a transaction of kind %s cannot go from %s to %s",
							   pgw_kind_name(kind), pgw_state_name(from), pgw_state_name(to)),
						errdetail_internal("%s", step_detail(from, to, steps))));
}

/*
 * BEFORE UPDATE ON payment_transactions FOR EACH ROW: identity stays, steps only grow, states
 * change along legal edges.
 */
Datum
pgw_enforce_transition(PG_FUNCTION_ARGS)
{
	static const char *const identity[] = {
		"transaction_id", "client_request_id", "merchant", "kind",   "amount", "currency",
		"capture",        "final_capture",     "livemode", "reason", "origin", "created_at"};
	TriggerData *trigdata = pgw_trigger_context(fcinfo);
	TupleDesc desc = RelationGetDescr(trigdata->tg_relation);
	PgwTriggerRow old;
	PgwTriggerRow new;
	char *from_label;
	char *to_label;
	PgwState from;
	PgwState to;
	int kind;

	if (!TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		elog(ERROR, "enforce_transition is for UPDATE, row by row");
	pgw_trigger_row(trigdata->tg_trigtuple, desc, &old);
	pgw_trigger_row(trigdata->tg_newtuple, desc, &new);

	for (int i = 0; i < (int) lengthof(identity); i++)
	{
		if (!pgw_trigger_rows_same(&old, &new, identity[i]))
			ereport(ERROR,
					(errcode(ERRCODE_PGW_RULE),
					 errmsg("column \"%s\" of a payment transaction cannot change", identity[i]),
					 errdetail_internal("%s", pgw_error_detail("operation_not_allowed", NULL))));
	}

	from_label = pgw_trigger_row_label(&old, "status");
	to_label = pgw_trigger_row_label(&new, "status");
	from = pgw_state_parse(from_label);
	to = pgw_state_parse(to_label);

	/*
	 * A retry takes over the attempt of a caller that is gone, with its own payments row; not what
	 * has ended well or is given back.
	 */
	if (!pgw_trigger_rows_same(&old, &new, "payment_id") &&
		(from == PGW_SAVED || from == PGW_COMPLETED || from == PGW_REFUNDING ||
		 from == PGW_REFUNDED))
		ereport(ERROR,
				(errcode(ERRCODE_PGW_RULE),
				 errmsg("column \"payment_id\" of a payment transaction in state %s cannot change",
						from_label),
				 errdetail_internal("%s", pgw_error_detail("operation_not_allowed", NULL))));
	kind = pgw_kind_parse(pgw_trigger_row_label(&new, "kind"));
	if (kind < 0 || from == PGW_STATE_NONE || to == PGW_STATE_NONE)
		elog(ERROR, "unknown state or kind of a payment transaction: %s, %s", from_label, to_label);

	/* of all edges this one is for what pgw has not made alone */
	if (from == PGW_COMPLETED && to == PGW_FAILED && pgw_trigger_row_is_null(&new, "origin"))
		ereport(ERROR, (errcode(ERRCODE_PGW_RULE),
						errmsg("a transaction that pgw has made cannot go from %s to %s",
							   from_label, to_label),
						errdetail_internal("%s", step_detail(from, to, 1))));
	check_steps((PgwKind) kind, from, to,
				pgw_trigger_row_number(&new, "step_order") -
					pgw_trigger_row_number(&old, "step_order"));
	return PointerGetDatum(trigdata->tg_newtuple);
}
