/*
 * metrics_view.c - pgw.metrics: counters, and what stands in tables
 *
 * Owns nothing.  The counters are observe/metrics.h's; what is under way is counted in the tables
 * (gauges.h).  What pgw.health() looks at is added by the view itself.  Like pgw.health() it waits
 * for nobody: figures of a table that is locked are left out, as who counts must see the rest.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/json_writer.h"
#include "exchange/exchange_status.h"
#include "observe/alerts.h"
#include "observe/gauges.h"
#include "observe/metrics.h"
#include "observe/webhook_counters.h"
#include "operator_api/health_locked.h"
#include "sql_function/owner.h"
#include "sql_function/result_set.h"

PG_FUNCTION_INFO_V1(pgw_read_metrics_1_0);

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
put_gauge(Sheet *sheet, bool livemode, const char *name, const PgwGauge *gauge)
{
	const char *labels = pgw_json_object_of("livemode", livemode ? "true" : "false");

	put(sheet, name, labels, (double) gauge->n);
	put(sheet, psprintf("%s_age_seconds", name), labels, gauge->age_s);
}

static void
put_gauges(Sheet *sheet, bool livemode, const PgwGauges *g)
{
	put_gauge(sheet, livemode, "pgw_queue", &g->queued);
	put_gauge(sheet, livemode, "pgw_in_doubt", &g->in_doubt);
	put_gauge(sheet, livemode, "pgw_pending", &g->pending);
	put_gauge(sheet, livemode, "pgw_refunding", &g->refunding);
	put_gauge(sheet, livemode, "pgw_refunding_stuck", &g->stuck);
	put_gauge(sheet, livemode, "pgw_accepted", &g->accepted);
	put_gauge(sheet, livemode, "pgw_reviews", &g->reviews);
	put_gauge(sheet, livemode, "pgw_callers_undecided", &g->undecided);
	put_gauge(sheet, livemode, "pgw_put_off", &g->put_off);
}

static void
put_exchange(Sheet *sheet)
{
	PgwExchangeStatus status;

	pgw_exchange_status(MyDatabaseId, &status);
	put(sheet, "pgw_worker_up", "{}", status.worker_pid != 0);
	put(sheet, "pgw_slots", pgw_json_object_of("state", "total"), status.slots_total);
	put(sheet, "pgw_slots", pgw_json_object_of("state", "used"), status.slots_used);
	put(sheet, "pgw_slots", pgw_json_object_of("state", "requested"), status.slots_requested);
	put(sheet, "pgw_slots", pgw_json_object_of("state", "taken"), status.slots_taken);
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
put_work(void *arg)
{
	PgwGaugesByMode g;

	pgw_gauges_read(&g, pgw_now());
	for (int livemode = true; livemode >= false; livemode--)
		put_gauges(arg, livemode, &g.of[livemode]);
}

/* pgw.bank_states has what was not closed once. */
static void
put_breakers(void *arg)
{
	put_query(
		arg,
		"SELECT 'pgw_bank_breaker_open', jsonb_build_object('livemode', b.livemode::text, 'bank', b.name, 'operations', o.operations)::text,"
		" (coalesce(s.state, 'closed') <> 'closed')::int::float8"
		" FROM pgw.banks b CROSS JOIN unnest('{charges,captures,give_backs,lookups,notifications}'::text[]) o (operations)"
		" LEFT JOIN pgw.bank_states s ON s.bank = b.name AND s.operation_group = o.operations ORDER BY b.name, o.operations");
}

/*
 * Those that never came, too: what begins at 1 is no increase to whoever watches a counter.  An
 * alert about a bank or a payment that is gone counts as one about real money.
 */
static void
put_alerts(void *arg)
{
	put_query(
		arg,
		"WITH told AS (SELECT a.kind, coalesce(t.livemode, b.livemode, true) AS livemode, sum(a.told) AS n FROM pgw.alert_state a"
		"  LEFT JOIN pgw.payment_transactions t ON t.transaction_id = a.transaction_id LEFT JOIN pgw.banks b ON b.name = a.bank GROUP BY 1, 2)"
		" SELECT 'pgw_alerts_total', jsonb_build_object('livemode', livemode::text, 'kind', kind)::text, coalesce(n, 0)::float8"
		" FROM unnest('" PGW_ALERT_KINDS
		"'::text[]) k (kind) CROSS JOIN (VALUES (true), (false)) m (livemode) FULL JOIN told USING (kind, livemode) ORDER BY 2");
}

/*
 * What waits for endpoints, and how those are.  Of an endpoint at most 100,000 messages are
 * counted, and 32 endpoints are shown.
 */
static void
put_webhooks(void *arg)
{
	put_query(
		arg,
		"WITH e AS (SELECT w.endpoint, w.enabled, s.failing_since, s.disabled_at FROM pgw.webhook_endpoints w"
		"  LEFT JOIN pgw.webhook_states s ON s.endpoint = w.endpoint),"
		" p AS MATERIALIZED (SELECT e.endpoint, o.n, o.oldest FROM (SELECT e.endpoint FROM e ORDER BY e.endpoint LIMIT 32) e CROSS JOIN LATERAL ("
		"  SELECT count(*) AS n, min(q.created_at) AS oldest FROM (SELECT q.created_at FROM pgw.webhook_queue q"
		"   WHERE q.endpoint = e.endpoint AND q.status IN ('waiting', 'behind') LIMIT 100000) q) o)"
		" SELECT 'pgw_webhook_endpoints', jsonb_build_object('state', s.state)::text, (SELECT count(*) FROM e WHERE s.state = CASE"
		"   WHEN NOT e.enabled THEN 'disabled' WHEN e.failing_since IS NOT NULL THEN 'failing' ELSE 'enabled' END)::float8"
		"  FROM unnest('{enabled,failing,disabled}'::text[]) s (state)"
		" UNION ALL SELECT 'pgw_webhooks_pending', jsonb_build_object('endpoint', p.endpoint)::text, p.n::float8 FROM p"
		" UNION ALL SELECT 'pgw_webhooks_pending_age_seconds', jsonb_build_object('endpoint', p.endpoint)::text,"
		"  coalesce(greatest(extract(epoch FROM clock_timestamp() - p.oldest), 0), 0)::float8 FROM p");
}

/* Those who read the events; the 32 that are furthest behind. */
static void
put_readers(void *arg)
{
	put_query(
		arg,
		"SELECT 'pgw_event_consumer_lag_seconds', jsonb_build_object('consumer', c.consumer)::text,"
		" greatest(extract(epoch FROM clock_timestamp() - c.read_up_to), 0)::float8"
		" FROM pgw.event_consumers c ORDER BY c.read_up_to LIMIT 32");
}

/* What is left out because somebody has a lock, health() has as rows that say so. */
static void
put_unless_locked(void (*figures)(void *arg), Sheet *sheet)
{
	ErrorData *edata = pgw_health_try(figures, sheet);

	if (edata != NULL && edata->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(edata);
}

static void
put_tables(Sheet *sheet)
{
	put_unless_locked(put_work, sheet);
	put_unless_locked(put_breakers, sheet);
	put_unless_locked(put_alerts, sheet);
	put_unless_locked(put_webhooks, sheet);
	put_unless_locked(put_readers, sheet);
}

Datum
pgw_read_metrics_1_0(PG_FUNCTION_ARGS)
{
	Sheet sheet;
	Oid caller;
	int sec_context;
	int nest_level = pgw_health_bound_waits();

	pgw_health_require(GetUserId(), "monitor");
	PreventCommandIfParallelMode("pgw.read_metrics()"); /* no latest snapshot can be had there */
	sheet.store = pgw_result_set(fcinfo, &sheet.desc);
	pgw_metrics_each(put, &sheet);
	pgw_metrics_each_webhook(put, &sheet);
	put_exchange(&sheet);

	pgw_become_owner(&caller, &sec_context);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetLatestSnapshot());
	put_tables(&sheet);
	PopActiveSnapshot();
	SPI_finish();
	pgw_become_caller(caller, sec_context);
	pgw_health_unbound_waits(nest_level);
	return (Datum) 0;
}
