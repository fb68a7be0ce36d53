/*
 * metrics_view.c - pgw.metrics, pgw.run_recovery()
 *
 * Owns nothing.  The counters are observe/metrics.h's; what is under way is counted in the tables
 * (gauges.h).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "client_api/pay_common.h"
#include "client_api/payment_result.h"
#include "exchange/exchange.h"
#include "observe/gauges.h"
#include "observe/metrics.h"
#include "sql_function/access_grants.h"
#include "sql_function/raise_error.h"

#define LONGEST_RECOVERY_MS 60000
#define RECOVERY_POLL_MS 20

PG_FUNCTION_INFO_V1(pgw_read_metrics_1_0);
PG_FUNCTION_INFO_V1(pgw_run_recovery_1_0);

/* ---------------------------------------------------------------- pgw.metrics */

typedef struct Sheet
{
	Tuplestorestate *store;
	TupleDesc desc;
} Sheet;

static void
put(void *arg, const char *name, const char *labels, double value)
{
	Sheet *sheet = arg;
	bool nulls[3] = {false, false, false};
	Datum values[3];

	values[0] = CStringGetTextDatum(name);
	values[1] = DirectFunctionCall1(jsonb_in, CStringGetDatum(labels));
	values[2] = Float8GetDatum(value);
	tuplestore_putvalues(sheet->store, sheet->desc, values, nulls);
}

static void
put_gauge(Sheet *sheet, const char *name, const PgwGauge *gauge)
{
	put(sheet, name, "{}", (double) gauge->n);
	put(sheet, psprintf("%s_age_seconds", name), "{}", gauge->age_s);
}

static void
put_exchange(Sheet *sheet)
{
	PgwExchangeStatus status;

	pgw_exchange_status(MyDatabaseId, &status);
	put(sheet, "pgw_worker_up", "{}", status.worker_pid != 0);
	put(sheet, "pgw_slots", "{\"state\": \"total\"}", status.slots_total);
	put(sheet, "pgw_slots", "{\"state\": \"used\"}", status.slots_used);
	put(sheet, "pgw_slots", "{\"state\": \"requested\"}", status.slots_requested);
	put(sheet, "pgw_slots", "{\"state\": \"taken\"}", status.slots_taken);
}

/* Rows of a query: name, labels, value. */
static void
put_query(Sheet *sheet, const char *query)
{
	if (SPI_execute(query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the figures could not be read");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;

		put(sheet, SPI_getvalue(row, desc, 1), SPI_getvalue(row, desc, 2),
			DatumGetFloat8(SPI_getbinval(row, desc, 3, &isnull)));
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
put_tables(Sheet *sheet)
{
	PgwGauges g;

	pgw_gauges_read(&g, pgw_now());
	put_gauge(sheet, "pgw_queue", &g.queued);
	put_gauge(sheet, "pgw_in_doubt", &g.in_doubt);
	put_gauge(sheet, "pgw_refunding", &g.refunding);
	put_gauge(sheet, "pgw_refunding_stuck", &g.stuck);
	put_gauge(sheet, "pgw_reviews", &g.reviews);
	put_gauge(sheet, "pgw_callers_undecided", &g.undecided);
	put_gauge(sheet, "pgw_put_off", &g.put_off);
	put_query(
		sheet,
		"SELECT 'pgw_bank_breaker_open', jsonb_build_object('bank', s.bank, 'operations', s.operation_group)::text,"
		" (s.state <> 'closed')::int::float8 FROM pgw.bank_states s JOIN pgw.banks b ON b.name = s.bank ORDER BY 2");
	put_query(
		sheet,
		"SELECT 'pgw_alerts_total', jsonb_build_object('kind', a.kind)::text, sum(a.told)::float8"
		" FROM pgw.alert_state a GROUP BY a.kind ORDER BY a.kind");
}

Datum
pgw_read_metrics_1_0(PG_FUNCTION_ARGS)
{
	Sheet sheet;
	Oid caller;
	int sec_context;

	pgw_require(GetUserId(), "auditor", NULL);
	sheet.store = pgw_result_set(fcinfo, &sheet.desc);
	pgw_metrics_each(put, &sheet);
	put_exchange(&sheet);

	pgw_become_owner(&caller, &sec_context);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetLatestSnapshot());
	put_tables(&sheet);
	PopActiveSnapshot();
	SPI_finish();
	pgw_become_caller(caller, sec_context);
	return (Datum) 0;
}

/* ---------------------------------------------------------------- pgw.run_recovery() */

static void
require_worker(void)
{
	if (!pgw_exchange_available())
		pgw_raise("not_preloaded", NULL,
				  "Add pgw to shared_preload_libraries in postgresql.conf and restart the server.");
	if (!pgw_exchange_worker_running(MyDatabaseId))
		pgw_raise("worker_not_running", NULL, NULL);
}

/* false: the time is up. */
static bool
wait_for_recovery(uint64 asked, TimestampTz deadline)
{
	while (pgw_recovery_done() < asked)
	{
		if (GetCurrentTimestamp() >= deadline)
			return false;
		require_worker();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, RECOVERY_POLL_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return true;
}

Datum
pgw_run_recovery_1_0(PG_FUNCTION_ARGS)
{
	PgwRecoveryFigures before;
	PgwRecoveryFigures after;
	TupleDesc desc;
	Datum values[7];
	bool nulls[7] = {false};
	uint64 asked;
	bool complete;

	pgw_require(GetUserId(), "operator", NULL);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != lengthof(values))
		elog(ERROR, "unexpected result type of pgw.run_recovery()");
	require_worker();
	pgw_recovery_figures(&before);
	asked = pgw_recovery_ask();
	if (asked == 0)
		pgw_raise("internal_error", NULL,
				  "More databases use pgw than it can count for; see docs/monitoring.md.");
	(void) pgw_exchange_rescan(MyDatabaseId);
	complete = wait_for_recovery(
		asked, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LONGEST_RECOVERY_MS));
	pgw_recovery_figures(&after);

	values[0] = Int64GetDatum((int64) (after.looked_at - before.looked_at));
	values[1] = Int64GetDatum((int64) (after.resolved - before.resolved));
	values[2] = Int64GetDatum((int64) (after.given_back - before.given_back));
	values[3] = Int64GetDatum((int64) (after.to_review - before.to_review));
	values[4] = Int64GetDatum((int64) (after.retried - before.retried));
	values[5] = Int64GetDatum((int64) (after.calls - before.calls));
	values[6] = BoolGetDatum(complete);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
