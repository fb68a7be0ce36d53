/*
 * check_consistency.c - pgw.rebuild_status(), pgw.check_consistency(): do the records agree with
 * themselves?
 *
 * Owns nothing, changes nothing.  What must hold is said once: for one attempt's events in
 * core/state/state_from_events.c, for everything together in the view pgw.broken_invariants, which
 * takes the legal steps from pgw.legal_steps() and so from core/state/state_machine.c.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "base/error_detail.h"
#include "base/json_writer.h"
#include "core/base/error_codes.h"
#include "core/base/uuid7.h"
#include "core/state/state_from_events.h"
#include "database/column_values.h"
#include "database/extension.h"
#include "operator_api/check_consistency.h"
#include "sql_function/check_access.h"
#include "sql_function/arguments.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "sql_function/result_set.h"
#include "store/events.h"
#include "store/tables.h"

PG_FUNCTION_INFO_V1(pgw_rebuild_status_1_0);
PG_FUNCTION_INFO_V1(pgw_check_consistency_1_0);
PG_FUNCTION_INFO_V1(pgw_legal_steps_1_0);
PG_FUNCTION_INFO_V1(pgw_is_decline_1_0);

/* ---------------------------------------------------------------- one attempt */

static PgwFoldEvent *
fold_events(const PgwEventRow *rows, int n)
{
	PgwFoldEvent *events = palloc(Max(n, 1) * sizeof(PgwFoldEvent));

	for (int i = 0; i < n; i++)
	{
		int type = pgw_event_parse(rows[i].event_type);

		events[i].step = rows[i].step_order;
		events[i].type = type < 0 ? PGW_FOLD_STRANGE : type;
		events[i].from = rows[i].from;
		events[i].to = rows[i].to;
		events[i].txid = U64FromFullTransactionId(rows[i].txid);
	}
	return events;
}

static void
raise_fault(const pg_uuid_t *id, PgwFoldFault fault, int step, const PgwEventRow *found)
{
	PgwJsonWriter detail;
	char text[37];

	pgw_uuid_to_text(id->data, text);
	pgw_json_begin(&detail);
	pgw_json_put_string(&detail, "transaction_id", text);
	pgw_json_put_int(&detail, "step", step);
	pgw_json_put_string(&detail, "fault", fault == PGW_FOLD_GAP ? "gap" : "illegal");
	if (found != NULL)
	{
		pgw_json_begin_object(&detail, "found");
		pgw_json_put_int(&detail, "step", found->step_order);
		pgw_json_put_string(&detail, "event", found->event_type);
		pgw_json_put_string(&detail, "from", pgw_state_name(found->from));
		pgw_json_put_string(&detail, "to", pgw_state_name(found->to));
		pgw_json_end_object(&detail);
	}
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE('P', 'W', '5', '0', '0')),
			 errmsg("the events of transaction %s do not lead to a state", text),
			 errdetail_internal("%s", pgw_error_detail("internal_error", detail.text.data)),
			 errhint("pgw.check_consistency() lists everything that does not fit together.")));
}

/*
 * Each event is looked at by itself, so a commit in the middle of the scan can show its later
 * events without its earlier ones.  Events only ever become more: a fault is believed once a second
 * look finds no more of them.
 */
int
pgw_rebuild_from_events(const PgwAttempt *attempt, PgwEventRow **events, PgwState *state)
{
	PgwFoldFault fault;
	int seen = -1;
	int step;
	int index;
	int n;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		n = pgw_store_events(&attempt->transaction_id, events);
		fault = pgw_fold(attempt->kind, fold_events(*events, n), n, state, &step, &index);
		if (fault == PGW_FOLD_SOUND || n == seen)
			break;
		seen = n;
	}
	if (fault != PGW_FOLD_SOUND)
		raise_fault(&attempt->transaction_id, fault, step, index < n ? &(*events)[index] : NULL);
	return n;
}

Datum
pgw_rebuild_status_1_0(PG_FUNCTION_ARGS)
{
	bool isnull;
	Datum arg = pgw_arg(fcinfo, "transaction_id", &isnull);
	PgwAttempt attempt;
	PgwEventRow *rows;
	PgwState state;
	Oid caller;
	int sec_context;
	char text[37];

	if (isnull)
		pgw_raise_fault("transaction_id", "required", NULL);
	pgw_require(GetUserId(), "auditor", NULL);
	pgw_become_owner(&caller, &sec_context);

	/* Another merchant's transaction is no transaction: its id is not confirmed. */
	if (!pgw_store_attempt_by_id(DatumGetUUIDP(arg), &attempt) ||
		!pgw_caller_may(caller, "auditor", attempt.merchant))
	{
		pgw_uuid_to_text(DatumGetUUIDP(arg)->data, text);
		pgw_raise("transaction_not_found", pgw_detail(NULL, "transaction_id", text), NULL);
	}

	(void) pgw_rebuild_from_events(&attempt, &rows, &state);
	pgw_become_caller(caller, sec_context);
	return pgw_row_from_string(get_func_rettype(fcinfo->flinfo->fn_oid), pgw_state_name(state));
}

/* ---------------------------------------------------------------- everything */

/* The table of core/state/state_machine.c as rows: from_status is null for the first step. */
Datum
pgw_legal_steps_1_0(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Tuplestorestate *store = pgw_result_set(fcinfo, &desc);
	size_t n;
	const PgwEdge *edges = pgw_edges(&n);

	if (desc->natts != 4)
		elog(ERROR, "unexpected result type of pgw.legal_steps()");
	for (size_t i = 0; i < n; i++)
	{
		for (int kind = 0; kind < PGW_NKINDS; kind++)
		{
			Datum values[4];
			bool nulls[4] = {false, false, false, false};

			if ((edges[i].kinds & PGW_KIND_BIT(kind)) == 0)
				continue;
			nulls[2] = edges[i].from == PGW_STATE_NONE;
			values[0] = pgw_row_from_string(TupleDescAttr(desc, 0)->atttypid,
											pgw_kind_name((PgwKind) kind));
			values[1] = pgw_row_from_string(TupleDescAttr(desc, 1)->atttypid,
											pgw_event_name(edges[i].event));
			values[2] = nulls[2] ? (Datum) 0
								 : pgw_row_from_string(TupleDescAttr(desc, 2)->atttypid,
													   pgw_state_name(edges[i].from));
			values[3] =
				pgw_row_from_string(TupleDescAttr(desc, 3)->atttypid, pgw_state_name(edges[i].to));
			tuplestore_putvalues(store, desc, values, nulls);
		}
	}
	return (Datum) 0;
}

Datum
pgw_is_decline_1_0(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!PG_ARGISNULL(0) && pgw_error_is_decline(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/* $1: may see everything; else what $2 has been granted, as in the audit views. */
static const char check_query[] =
	"SELECT b.check_name, b.payment_id, b.transaction_id, b.details"
	" FROM (SELECT i.check_name, i.payment_id, i.transaction_id, i.merchant, i.details FROM pgw.broken_invariants i UNION ALL"
	" SELECT 'baseline', NULL, NULL, NULL, jsonb_build_object('kind', f.kind, 'object', f.object, 'property', f.property) FROM pgw.baseline_faults() f) b"
	" WHERE $1 OR EXISTS (SELECT FROM pgw.access_grants g WHERE g.level IN ('operator', 'auditor')"
	" AND g.merchant IN ('', b.merchant) AND pg_has_role($2, g.role::oid, 'USAGE'))"
	" ORDER BY 1, 2, 3";

Datum
pgw_check_consistency_1_0(PG_FUNCTION_ARGS)
{
	SPIExecuteOptions options;
	ParamListInfo params;
	TupleDesc desc;
	Tuplestorestate *store;
	Oid caller;
	int sec_context;
	int rc;

	pgw_require(GetUserId(), "auditor", NULL);
	PreventCommandIfParallelMode(
		"pgw.check_consistency()"); /* no latest snapshot can be had there */
	store = pgw_result_set(fcinfo, &desc);
	pgw_become_owner(&caller, &sec_context);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	params = makeParamList(2);
	params->params[0] =
		(ParamExternData){BoolGetDatum(superuser_arg(caller) || caller == pgw_extension_owner()),
						  false, PARAM_FLAG_CONST, BOOLOID};
	params->params[1] =
		(ParamExternData){ObjectIdGetDatum(caller), false, PARAM_FLAG_CONST, OIDOID};

	/*
	 * One statement, so one snapshot, and the latest one: beside an older one of a REPEATABLE READ
	 * transaction, what that transaction has itself written would look broken.  A read-only SPI
	 * call takes the active snapshot as it is.
	 */
	PushActiveSnapshot(GetLatestSnapshot());
	memset(&options, 0, sizeof(options));
	options.params = params;
	options.read_only = true;
	options.dest = CreateDestReceiver(DestTuplestore);
	SetTuplestoreDestReceiverParams(
		options.dest, store,
		((ReturnSetInfo *) fcinfo->resultinfo)->econtext->ecxt_per_query_memory, false, desc,
		"unexpected result type of pgw.check_consistency()");
	rc = SPI_execute_extended(check_query, &options);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "the check failed: %s", SPI_result_code_string(rc));
	PopActiveSnapshot();
	SPI_finish();
	pgw_become_caller(caller, sec_context);
	return (Datum) 0;
}
