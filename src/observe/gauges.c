/*
 * gauges.c - what is under way, counted in the tables
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "observe/gauges.h"
#include "observe/metrics.h"
#include "store/open_work.h"

/*
 * $1 now, $2 and $3 where we are, $4 pgw.refund_stuck_after. A row for each mode, tests first:
 * pairs of a count and the oldest one's beginning, in the order of PgwGauges.
 */
static const char gauges_query[] =
	"WITH open AS MATERIALIZED ("
	"  SELECT t.transaction_id, t.livemode, t.status, t.submitted, t.live, t.created_at, t.updated_at, coalesce(t.abandoned_at, t.created_at) AS leaving_at, t.accepted_at,"
	"    coalesce(t.error_code, '') = 'bank_pending' AS pending,"
	"    t.caller_xid, t.system_identifier = $2 AND t.database_oid = $3 AS here"
	"  FROM " PGW_OPEN_ATTEMPTS " WHERE t.status NOT IN ('Completed', 'Failed', 'Refunded')),"
	" reviews AS ("
	"  SELECT o.livemode, coalesce(e.occurred_at, o.updated_at) AS since FROM open o LEFT JOIN LATERAL ("
	"    SELECT max(e.occurred_at) AS occurred_at FROM pgw.transaction_events e"
	"    WHERE e.transaction_id = o.transaction_id AND e.event_type = 'ManualReviewRequired') e ON true"
	"  WHERE o.status = 'RequiresManualReview'),"
	/* prepared transactions are in progress too */
	" undecided AS ("
	"  SELECT o.livemode, o.updated_at AS since FROM open o WHERE o.status = 'BankApproved' AND o.here AND o.updated_at < $1 - interval '1 min'"
	"    AND o.caller_xid < pg_snapshot_xmax(pg_current_snapshot()) AND NOT pg_visible_in_snapshot(o.caller_xid, pg_current_snapshot())),"
	" put_off AS ("
	"  SELECT t.livemode, w.put_off_since AS since FROM pgw.open_work w"
	"    CROSS JOIN LATERAL (SELECT a.livemode FROM pgw.payment_transactions a WHERE a.transaction_id = w.transaction_id OFFSET 0) t"
	"  WHERE w.put_off_since IS NOT NULL)"
	" SELECT count(*) FILTER (WHERE status = 'Created' AND NOT live), min(created_at) FILTER (WHERE status = 'Created' AND NOT live),"
	"  count(*) FILTER (WHERE status = 'BankUnknown' AND NOT pending), min(created_at) FILTER (WHERE status = 'BankUnknown' AND NOT pending),"
	"  count(*) FILTER (WHERE status = 'BankUnknown' AND pending), min(created_at) FILTER (WHERE status = 'BankUnknown' AND pending),"
	"  count(*) FILTER (WHERE status = 'Refunding'), min(leaving_at) FILTER (WHERE status = 'Refunding'),"
	"  count(*) FILTER (WHERE status = 'Refunding' AND accepted_at IS NULL AND leaving_at < $1 - make_interval(secs => $4)),"
	"  min(leaving_at) FILTER (WHERE status = 'Refunding' AND accepted_at IS NULL AND leaving_at < $1 - make_interval(secs => $4)),"
	"  count(*) FILTER (WHERE status IN ('Saved', 'Refunding') AND accepted_at IS NOT NULL), min(accepted_at) FILTER (WHERE status IN ('Saved', 'Refunding')),"
	"  (SELECT count(*) FROM reviews r WHERE r.livemode = m.mode), (SELECT min(r.since) FROM reviews r WHERE r.livemode = m.mode),"
	"  (SELECT count(*) FROM undecided u WHERE u.livemode = m.mode), (SELECT min(u.since) FROM undecided u WHERE u.livemode = m.mode),"
	"  (SELECT count(*) FROM put_off p WHERE p.livemode = m.mode), (SELECT min(p.since) FROM put_off p WHERE p.livemode = m.mode),"
	"  count(*) FILTER (WHERE NOT here), min(created_at) FILTER (WHERE NOT here)"
	" FROM (VALUES (false), (true)) m (mode) LEFT JOIN open ON open.livemode = m.mode GROUP BY m.mode ORDER BY m.mode";

static void
read_row(PgwGauges *out, TimestampTz now, HeapTuple row, TupleDesc desc)
{
	PgwGauge *gauges[] = {&out->queued,  &out->in_doubt,         &out->pending, &out->refunding,
						  &out->stuck,   &out->accepted,         &out->reviews, &out->undecided,
						  &out->put_off, &out->of_other_database};

	for (int i = 0; i < lengthof(gauges); i++)
	{
		bool isnull;
		Datum since = SPI_getbinval(row, desc, 2 * i + 2, &isnull);

		if (!isnull)
			gauges[i]->age_s = Max((double) (now - DatumGetTimestampTz(since)) / USECS_PER_SEC, 0);
		gauges[i]->n = DatumGetInt64(SPI_getbinval(row, desc, 2 * i + 1, &isnull));
	}
}

void
pgw_gauges_read(PgwGaugesByMode *out, TimestampTz now)
{
	Oid types[4] = {TIMESTAMPTZOID, INT8OID, OIDOID, INT4OID};
	Datum args[4] = {TimestampTzGetDatum(now), Int64GetDatum((int64) GetSystemIdentifier()),
					 ObjectIdGetDatum(MyDatabaseId), Int32GetDatum(pgw_refund_stuck_after)};

	memset(out, 0, sizeof(*out));
	if (SPI_execute_with_args(gauges_query, 4, types, args, NULL, true, 0) != SPI_OK_SELECT ||
		SPI_processed != lengthof(out->of))
		elog(ERROR, "the look at what is under way failed");
	for (int i = 0; i < lengthof(out->of); i++)
		read_row(&out->of[i], now, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	SPI_freetuptable(SPI_tuptable);
}

static void
add(PgwGauge *to, const PgwGauge *gauge)
{
	to->n += gauge->n;
	to->age_s = Max(to->age_s, gauge->age_s);
}

void
pgw_gauges_read_all(PgwGauges *out, TimestampTz now)
{
	PgwGaugesByMode g;

	pgw_gauges_read(&g, now);
	*out = g.of[false];
	add(&out->queued, &g.of[true].queued);
	add(&out->in_doubt, &g.of[true].in_doubt);
	add(&out->pending, &g.of[true].pending);
	add(&out->refunding, &g.of[true].refunding);
	add(&out->stuck, &g.of[true].stuck);
	add(&out->accepted, &g.of[true].accepted);
	add(&out->reviews, &g.of[true].reviews);
	add(&out->undecided, &g.of[true].undecided);
	add(&out->put_off, &g.of[true].put_off);
	add(&out->of_other_database, &g.of[true].of_other_database);
}
