/*
 * queue_rows.c - the rows of pgw.webhook_queue: what is to be sent, and what became of it
 *
 * Owns: the plans of its statements.
 *
 * A row is "waiting" (it is due at next_attempt_at) or "behind" an earlier one of the same endpoint
 * and payment that is neither delivered nor given up; so what is due can be sent in any order, and
 * at the same time.  The sender alone changes these, but for pgw.redeliver(), whose messages have
 * no place in the order any more.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "database/statements.h"
#include "webhook/queue_rows.h"

/* The plan of a statement, made once. */
static SPIPlanPtr
plan_of(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types)
{
	if (*plan == NULL)
	{
		SPIPlanPtr made = SPI_prepare(sql, nargs, types);

		if (made == NULL || SPI_keepplan(made) != 0)
			elog(ERROR, "a statement on pgw.webhook_queue could not be prepared");
		*plan = made;
	}
	return *plan;
}

static void
execute(SPIPlanPtr plan, Datum *values, const char *nulls, int expected)
{
	if (SPI_execute_plan(plan, values, nulls, false, 0) != expected)
		elog(ERROR, "a statement on pgw.webhook_queue failed");
}

static int
count(dlist_head *list)
{
	dlist_iter iter;
	int n = 0;

	dlist_foreach(iter, list) n++;
	return n;
}

/* ---------------------------------------------------------------- what is due */

/* Its merchant is asked for once more: the row may have come just before that was changed. */
#define DUE(status) \
	"SELECT q.delivery, q.message_id, q.payload, q.attempts FROM pgw.webhook_queue q" \
	" JOIN pgw.webhook_endpoints w ON w.endpoint = q.endpoint" \
	" AND (w.merchant IS NULL OR w.merchant = q.merchant)" \
	" WHERE q.endpoint = $1 AND " status " AND q.next_attempt_at <= $2" \
	" AND q.delivery <> ALL ($3) ORDER BY q.next_attempt_at, q.delivery LIMIT $4"

static int
put_numbers(dlist_head *list, const PgwWebhookEndpoint *of, Datum *values, int n)
{
	dlist_iter iter;

	dlist_foreach(iter, list)
	{
		PgwDelivery *d = dlist_container(PgwDelivery, node, iter.cur);

		if (d->endpoint == of)
			values[n++] = Int64GetDatum(d->delivery);
	}
	return n;
}

static Datum
numbers_of(dlist_head *list, dlist_head *further, const PgwWebhookEndpoint *of)
{
	Datum *values = palloc((count(list) + count(further) + 1) * sizeof(Datum));
	int n = put_numbers(further, of, values, put_numbers(list, of, values, 0));

	return PointerGetDatum(
		construct_array(values, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

void
pgw_queue_rows_load(PgwWebhookEndpoint *e, TimestampTz now, int most, dlist_head *under_way,
					dlist_head *unwritten, MemoryContext context, dlist_head *out)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, TIMESTAMPTZOID, INT8ARRAYOID, INT4OID};
	Datum values[4];

	pgw_statements_begin();
	values[0] = CStringGetTextDatum(e->name);
	values[1] = TimestampTzGetDatum(now);
	values[2] = numbers_of(under_way, unwritten, e);
	values[3] = Int32GetDatum(most);
	execute(plan_of(&plan,
					PGW_MUTATED(WEBHOOK_ORDER) ? DUE("q.status IN ('waiting', 'behind')")
											   : DUE("q.status = 'waiting'"),
					lengthof(types), types),
			values, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		PgwDelivery *d = MemoryContextAllocZero(context, sizeof(*d));
		bool isnull;

		d->endpoint = e;
		d->delivery = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
		pgw_uuid_to_text(DatumGetUUIDP(SPI_getbinval(row, desc, 2, &isnull))->data, d->message_id);
		d->payload = MemoryContextStrdup(context, SPI_getvalue(row, desc, 3));
		d->attempts = DatumGetInt32(SPI_getbinval(row, desc, 4, &isnull)) + 1;
		d->url = MemoryContextStrdup(context, e->url);
		d->enabled_at = e->enabled_at;
		dlist_push_tail(out, &d->node);
	}
	pgw_statements_end();
}

/* ---------------------------------------------------------------- what became of it */

static const char *
status_after(PgwWebhookNext next)
{
	switch (next)
	{
		case PGW_WEBHOOK_DELIVERED:
			return "delivered";
		case PGW_WEBHOOK_GIVEN_UP:
			return "failed";
		case PGW_WEBHOOK_AGAIN:
		case PGW_WEBHOOK_GONE: /* for when the endpoint is enabled again */
			break;
	}
	return "waiting";
}

/* The columns of the results, as arrays. */
enum
{
	R_DELIVERY,
	R_STATUS,
	R_ATTEMPTS,
	R_AGAIN,
	R_ENDED,
	R_ANSWER,
	R_ERROR,
	R_MS,
	R_ENDPOINT,
	R_URL,
	R_ENABLED,
	R_NCOLUMNS
};

static const Oid result_types[R_NCOLUMNS] = {INT8OID,        TEXTOID, INT4OID,       TIMESTAMPTZOID,
											 TIMESTAMPTZOID, INT4OID, TEXTOID,       INT4OID,
											 TEXTOID,        TEXTOID, TIMESTAMPTZOID};
static const Oid result_arrays[R_NCOLUMNS] = {
	INT8ARRAYOID,        TEXTARRAYOID, INT4ARRAYOID,       TIMESTAMPTZARRAYOID,
	TIMESTAMPTZARRAYOID, INT4ARRAYOID, TEXTARRAYOID,       INT4ARRAYOID,
	TEXTARRAYOID,        TEXTARRAYOID, TIMESTAMPTZARRAYOID};

static void
arrays_of(dlist_head *results, Datum *out)
{
	int n = count(results);
	Datum *values[R_NCOLUMNS];
	bool *nulls[R_NCOLUMNS];
	dlist_iter iter;
	int i = 0;

	for (int c = 0; c < R_NCOLUMNS; c++)
	{
		values[c] = palloc0(n * sizeof(Datum));
		nulls[c] = palloc0(n * sizeof(bool));
	}
	dlist_foreach(iter, results)
	{
		PgwDelivery *d = dlist_container(PgwDelivery, node, iter.cur);

		values[R_DELIVERY][i] = Int64GetDatum(d->delivery);
		values[R_STATUS][i] = CStringGetTextDatum(status_after(d->next));
		values[R_ATTEMPTS][i] = Int32GetDatum(d->attempts);
		values[R_AGAIN][i] = TimestampTzGetDatum(d->again_at);
		nulls[R_AGAIN][i] = d->next == PGW_WEBHOOK_DELIVERED || d->next == PGW_WEBHOOK_GIVEN_UP;
		values[R_ENDED][i] = TimestampTzGetDatum(d->ended_at);
		values[R_ANSWER][i] = Int32GetDatum((int32) d->status);
		nulls[R_ANSWER][i] = d->status == 0;
		if (d->error[0] != '\0')
			values[R_ERROR][i] = CStringGetTextDatum(d->error);
		nulls[R_ERROR][i] = d->error[0] == '\0';
		values[R_MS][i] = Int32GetDatum(d->ms);
		values[R_ENDPOINT][i] = CStringGetTextDatum(d->endpoint->name);
		values[R_URL][i] = CStringGetTextDatum(d->url);
		values[R_ENABLED][i] = TimestampTzGetDatum(d->enabled_at);
		i++;
	}
	for (int c = 0; c < R_NCOLUMNS; c++)
	{
		int dims[1] = {n};
		int lbs[1] = {1};
		int16 len;
		bool byval;
		char align;

		get_typlenbyvalalign(result_types[c], &len, &byval, &align);
		out[c] = PointerGetDatum(construct_md_array(values[c], nulls[c], 1, dims, lbs,
													result_types[c], len, byval, align));
	}
}

void
pgw_queue_rows_record(dlist_head *results, TimestampTz now)
{
	static SPIPlanPtr record = NULL;
	static SPIPlanPtr advance = NULL;
	Oid types[R_NCOLUMNS];
	Oid advance_types[] = {INT8ARRAYOID, TIMESTAMPTZOID};
	Datum values[R_NCOLUMNS];
	Datum advance_values[2];

	if (dlist_is_empty(results))
		return;
	pgw_statements_begin();
	memcpy(types, result_arrays, sizeof(types));
	arrays_of(results, values);
	execute(
		plan_of(&record,
				/* a change may have become visible that this process has not read yet */
				"UPDATE pgw.webhook_queue q"
				" SET status = CASE WHEN r.former THEN 'waiting' ELSE r.status END,"
				" attempts = CASE WHEN r.former THEN q.attempts ELSE r.attempts END,"
				" next_attempt_at = CASE WHEN r.former THEN r.ended_at ELSE r.again_at END,"
				" last_attempt_at = r.ended_at, last_http_status = r.answer,"
				" last_error = r.error, last_ms = r.ms FROM (SELECT u.*, EXISTS (SELECT"
				"  FROM pgw.webhook_endpoints w WHERE w.endpoint = u.endpoint"
				"  AND (w.url <> u.url OR w.enabled_at <> u.enabled_at)) AS former"
				"  FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) u (delivery, status,"
				"  attempts, again_at, ended_at, answer, error, ms, endpoint, url, enabled_at)"
				"  OFFSET 0) r WHERE q.delivery = r.delivery",
				R_NCOLUMNS, types),
		values, NULL, SPI_OK_UPDATE);

	/* of each payment of which one has ended, and none is due, the first of those behind it */
	advance_values[0] = values[R_DELIVERY];
	advance_values[1] = TimestampTzGetDatum(now);
	execute(plan_of(&advance,
					"UPDATE pgw.webhook_queue q SET status = 'waiting', next_attempt_at = $2"
					" FROM (SELECT (SELECT n.delivery FROM pgw.webhook_queue n"
					"  WHERE n.endpoint = e.endpoint AND n.payment_id = e.payment_id"
					"  AND n.status = 'behind' ORDER BY n.delivery LIMIT 1) AS delivery"
					"  FROM (SELECT DISTINCT d.endpoint, d.payment_id FROM pgw.webhook_queue d"
					"   WHERE d.delivery = ANY ($1) AND d.status IN ('delivered', 'failed')) e"
					"  WHERE NOT EXISTS (SELECT FROM pgw.webhook_queue w"
					"   WHERE w.endpoint = e.endpoint AND w.payment_id = e.payment_id"
					"   AND w.status = 'waiting') OFFSET 0) f"
					" WHERE q.delivery = f.delivery",
					lengthof(advance_types), advance_types),
			advance_values, NULL, SPI_OK_UPDATE);
	pgw_statements_end();
}

/*
 * Where somebody has taken out by hand what the others of its payment wait for, nothing of theirs
 * ends, and so none of them is moved up.  Those that are first in their line now are due.
 */
void
pgw_queue_rows_move_up(TimestampTz now, int most)
{
	Oid types[] = {TIMESTAMPTZOID, INT4OID};
	Datum values[] = {TimestampTzGetDatum(now), Int32GetDatum(most)};

	pgw_statements_begin();
	if (SPI_execute_with_args(
			"UPDATE pgw.webhook_queue q SET status = 'waiting', next_attempt_at = $1"
			" FROM (SELECT l.delivery FROM pgw.webhook_queue l WHERE l.delivery = ANY (ARRAY("
			"  SELECT min(o.delivery) FROM pgw.webhook_queue o"
			"  WHERE o.status IN ('waiting', 'behind') GROUP BY o.endpoint, o.payment_id"
			"  HAVING bool_and(o.status = 'behind') LIMIT $2))"
			"  AND l.status = 'behind' FOR UPDATE SKIP LOCKED) f WHERE q.delivery = f.delivery",
			2, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "rows of pgw.webhook_queue could not be moved up");
	pgw_statements_end();
}

/* Who has it locked may be about to enable, disable, move or delete it; or has just done so. */
static bool
lock_endpoint(const PgwWebhookEndpoint *e)
{
	Oid types[] = {TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum values[] = {CStringGetTextDatum(e->name), CStringGetTextDatum(e->url),
					  TimestampTzGetDatum(e->enabled_at)};

	if (SPI_execute_with_args("SELECT FROM pgw.webhook_endpoints WHERE endpoint = $1"
							  " AND url = $2 AND enabled_at = $3 FOR NO KEY UPDATE SKIP LOCKED",
							  3, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "an endpoint could not be locked");
	return SPI_processed > 0;
}

bool
pgw_queue_rows_endpoint(const PgwWebhookEndpoint *e, TimestampTz now)
{
	Oid types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID};
	Datum values[4];
	char nulls[5] = "    ";
	bool disabled = e->disable_because != NULL;

	pgw_statements_begin();
	if (!lock_endpoint(e))
	{
		pgw_statements_end();
		return false;
	}
	values[0] = CStringGetTextDatum(e->name);
	values[1] = TimestampTzGetDatum((TimestampTz) e->health.failing_since * 1000);
	if (e->health.failing_since == 0)
		nulls[1] = 'n';
	values[2] = TimestampTzGetDatum(now);
	values[3] = PointerGetDatum(NULL);
	if (disabled)
		values[3] = CStringGetTextDatum(e->disable_because);
	else
		nulls[2] = nulls[3] = 'n';
	if (SPI_execute_with_args(
			"INSERT INTO pgw.webhook_states AS s (endpoint, failing_since, disabled_at,"
			" disabled_because) VALUES ($1, $2, $3, $4) ON CONFLICT (endpoint) DO UPDATE"
			" SET failing_since = excluded.failing_since, disabled_at = excluded.disabled_at,"
			" disabled_because = excluded.disabled_because",
			4, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "the state of an endpoint could not be written");
	if (disabled && SPI_execute_with_args(
						"UPDATE pgw.webhook_endpoints SET enabled = false WHERE endpoint = $1", 1,
						types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "an endpoint could not be disabled");
	pgw_statements_end();
	return true;
}

void
pgw_queue_rows_secret(const char *endpoint, const char *fault)
{
	static const char *const put =
		"INSERT INTO pgw.webhook_states AS s (endpoint, secret_fault) VALUES ($1, $2)"
		" ON CONFLICT (endpoint) DO UPDATE SET secret_fault = excluded.secret_fault";
	static const char *const take =
		"UPDATE pgw.webhook_states SET secret_fault = NULL WHERE endpoint = $1"
		" AND secret_fault IS NOT NULL";
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[2];

	pgw_statements_begin();
	values[0] = CStringGetTextDatum(endpoint);
	if (fault != NULL)
		values[1] = CStringGetTextDatum(fault);
	if (SPI_execute_with_args(fault != NULL ? put : take, fault != NULL ? 2 : 1, types, values,
							  NULL, false, 0) < 0)
		elog(ERROR, "the state of an endpoint could not be written");
	pgw_statements_end();
}

uint64
pgw_queue_rows_forget(TimestampTz before, int most)
{
	Oid types[] = {TIMESTAMPTZOID, INT4OID};
	Datum values[] = {TimestampTzGetDatum(before), Int32GetDatum(most)};
	uint64 n;

	pgw_statements_begin();
	if (SPI_execute_with_args(
			"DELETE FROM pgw.webhook_queue WHERE delivery IN (SELECT q.delivery"
			" FROM pgw.webhook_queue q WHERE q.status IN ('delivered', 'failed')"
			" AND q.created_at < $1 OR NOT EXISTS (SELECT FROM pgw.webhook_endpoints w"
			" WHERE w.endpoint = q.endpoint) ORDER BY q.delivery LIMIT $2 FOR UPDATE SKIP LOCKED)",
			2, types, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "old rows of pgw.webhook_queue could not be deleted");
	n = SPI_processed;
	if (SPI_execute("DELETE FROM pgw.webhook_states s WHERE NOT EXISTS (SELECT FROM"
					" pgw.webhook_endpoints w WHERE w.endpoint = s.endpoint)",
					false, 0) != SPI_OK_DELETE)
		elog(ERROR, "states of endpoints could not be deleted");
	pgw_statements_end();
	return n;
}
