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
 * $1 now, $2 and $3 where we are, $4 pgw.refund_stuck_after. Pairs of a count and the oldest one's
 * beginning, in the order of PgwGauges.
 */
static const char gauges_query[] =
	"WITH open AS MATERIALIZED ("
	"  SELECT t.transaction_id, t.status, t.submitted, t.live, t.created_at, t.updated_at, coalesce(t.abandoned_at, t.created_at) AS leaving_at,"
	"    t.caller_xid, t.system_identifier = $2 AND t.database_oid = $3 AS here"
	"  FROM " PGW_OPEN_ATTEMPTS " WHERE t.status NOT IN ('Completed', 'Failed', 'Refunded')),"
	" reviews AS ("
	"  SELECT coalesce(e.occurred_at, o.updated_at) AS since FROM open o LEFT JOIN LATERAL ("
	"    SELECT max(e.occurred_at) AS occurred_at FROM pgw.transaction_events e"
	"    WHERE e.transaction_id = o.transaction_id AND e.event_type = 'ManualReviewRequired') e ON true"
	"  WHERE o.status = 'RequiresManualReview'),"
	/* prepared transactions are in progress too */
	" undecided AS ("
	"  SELECT o.updated_at AS since FROM open o WHERE o.status = 'BankApproved' AND o.here AND o.updated_at < $1 - interval '1 min'"
	"    AND o.caller_xid < pg_snapshot_xmax(pg_current_snapshot()) AND NOT pg_visible_in_snapshot(o.caller_xid, pg_current_snapshot()))"
	" SELECT count(*) FILTER (WHERE status = 'Created' AND NOT live), min(created_at) FILTER (WHERE status = 'Created' AND NOT live),"
	"  count(*) FILTER (WHERE status = 'BankUnknown'), min(created_at) FILTER (WHERE status = 'BankUnknown'),"
	"  count(*) FILTER (WHERE status = 'Refunding'), min(leaving_at) FILTER (WHERE status = 'Refunding'),"
	"  count(*) FILTER (WHERE status = 'Refunding' AND leaving_at < $1 - make_interval(secs => $4)),"
	"  min(leaving_at) FILTER (WHERE status = 'Refunding' AND leaving_at < $1 - make_interval(secs => $4)),"
	"  (SELECT count(*) FROM reviews), (SELECT min(since) FROM reviews),"
	"  (SELECT count(*) FROM undecided), (SELECT min(since) FROM undecided),"
	"  (SELECT count(*) FROM pgw.open_work p WHERE p.put_off_since IS NOT NULL),"
	"  (SELECT min(p.put_off_since) FROM pgw.open_work p WHERE p.put_off_since IS NOT NULL),"
	"  count(*) FILTER (WHERE NOT here), min(created_at) FILTER (WHERE NOT here)"
	" FROM open";

void
pgw_gauges_read(PgwGauges *out, TimestampTz now)
{
	Oid types[4] = {TIMESTAMPTZOID, INT8OID, OIDOID, INT4OID};
	Datum args[4] = {TimestampTzGetDatum(now), Int64GetDatum((int64) GetSystemIdentifier()),
					 ObjectIdGetDatum(MyDatabaseId), Int32GetDatum(pgw_refund_stuck_after)};
	PgwGauge *gauges[] = {&out->queued,  &out->in_doubt,  &out->refunding, &out->stuck,
						  &out->reviews, &out->undecided, &out->put_off,   &out->of_other_database};

	memset(out, 0, sizeof(*out));
	if (SPI_execute_with_args(gauges_query, 4, types, args, NULL, true, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "the look at what is under way failed");
	for (int i = 0; i < lengthof(gauges); i++)
	{
		HeapTuple row = SPI_tuptable->vals[0];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		Datum since = SPI_getbinval(row, desc, 2 * i + 2, &isnull);

		if (!isnull)
			gauges[i]->age_s = Max((double) (now - DatumGetTimestampTz(since)) / USECS_PER_SEC, 0);
		gauges[i]->n = DatumGetInt64(SPI_getbinval(row, desc, 2 * i + 1, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
}
