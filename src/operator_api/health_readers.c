/*
 * health_readers.c - pgw.health(): those who read the events, and webhooks
 *
 * Owns nothing, changes nothing.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "observe/webhook_counters.h"
#include "operator_api/health_readers.h"

/* The sender makes a turn every half second; one look at the events may take minutes. */
#define SENDER_LATE_MS (60 * 1000)

/* A consumer that is read moves on even where there is nothing to be read, so its time tells. */
void
pgw_health_check_event_consumers(PgwHealthReport *r)
{
	char *all = pgw_health_read_text(psprintf(
		"SELECT jsonb_agg(jsonb_build_object('consumer', c.consumer,"
		" 'behind_seconds', round(extract(epoch FROM clock_timestamp() - c.read_up_to)),"
		" 'stands', clock_timestamp() - c.read_up_to > c.alert_after, 'displaced', c.system_identifier <> " INT64_FORMAT
		" OR c.database_oid <> %u OR c.resumptions <> (SELECT count(*) FROM pgw.resumptions r WHERE r.taken_over IS NOT NULL))"
		" ORDER BY c.consumer)::text FROM pgw.event_consumers c",
		(int64) GetSystemIdentifier(), MyDatabaseId));
	bool displaced = pgw_health_any(all, "displaced");
	bool stands = pgw_health_any(all, "stands");

	pgw_health_detail_list(r, "consumers", all);
	pgw_health_put(
		r, "event_consumers", displaced || stands ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		displaced
			? "A consumer's place in the events is of before a restore or copy: pgw.move_event_consumer() says from when on it reads, pgw.drop_event_consumer() ends it. See docs/events.md."
			: "A consumer has not read the events to their end for long: see whether what reads them runs, or end it by pgw.drop_event_consumer(). What is purged before it was read does not come.");
}

/*
 * Endpoints that pgw has disabled, that have taken nothing for 15 minutes, or for which nothing can
 * be signed; and what is due for five minutes at one that takes messages: then nobody sends.
 */
static char *
faulty_endpoints(void)
{
	return pgw_health_read_text(
		"SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('endpoint', x.endpoint, 'disabled_because', x.disabled_because,"
		" 'failing_seconds', x.failing_s, 'secret', x.secret_fault, 'overdue_seconds', x.overdue_s)) ORDER BY x.endpoint)::text"
		" FROM (SELECT w.endpoint, CASE WHEN NOT w.enabled THEN s.disabled_because END AS disabled_because,"
		"  CASE WHEN w.enabled THEN s.secret_fault END AS secret_fault,"
		"  CASE WHEN w.enabled AND s.failing_since < clock_timestamp() - interval '15 min'"
		"   THEN round(extract(epoch FROM clock_timestamp() - s.failing_since)) END AS failing_s,"
		"  CASE WHEN w.enabled AND s.failing_since IS NULL AND d.due < clock_timestamp() - interval '5 min'"
		"   THEN round(extract(epoch FROM clock_timestamp() - d.due)) END AS overdue_s"
		"  FROM pgw.webhook_endpoints w LEFT JOIN pgw.webhook_states s ON s.endpoint = w.endpoint"
		"  CROSS JOIN LATERAL (SELECT min(q.next_attempt_at) AS due FROM pgw.webhook_queue q"
		"   WHERE q.endpoint = w.endpoint AND q.status = 'waiting') d) x"
		" WHERE coalesce(x.disabled_because, x.secret_fault, x.failing_s::text, x.overdue_s::text) IS NOT NULL");
}

/* Where this database sends: not where it is paused, as a copy is, and not on a standby. */
static bool
sender_is_late(PgwHealthReport *r)
{
	TimestampTz turned_at = pgw_metrics_webhooks_turned_at();
	TimestampTz since = Max(turned_at, r->exchange->worker_since);

	if (turned_at != 0)
		pgw_health_detail_number(
			r, "last_turn_age_seconds",
			(double) TimestampDifferenceMilliseconds(turned_at, GetCurrentTimestamp()) / 1000);
	return strcmp(r->exchange->worker_state, "running") == 0 &&
		   TimestampDifferenceExceeds(since, GetCurrentTimestamp(), SENDER_LATE_MS);
}

void
pgw_health_check_webhooks(PgwHealthReport *r)
{
	char *enabled = pgw_health_read_text(
		"SELECT nullif(count(*), 0)::text FROM pgw.webhook_endpoints w WHERE w.enabled");
	bool late = sender_is_late(r) && enabled != NULL;
	char *faulty = faulty_endpoints();

	pgw_health_detail_json(r, "enabled", enabled != NULL ? enabled : "0");
	pgw_health_detail_list(r, "endpoints", faulty);
	pgw_health_put(
		r, "webhooks", late || faulty != NULL ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		late
			? "Nobody sends webhooks: there is no background worker slot for it (raise max_worker_processes), or it waits for something; see the server's log. Payments go on."
			: "Endpoints of webhooks take nothing: pgw.webhook_deliveries says what comes back. Mend them, or their secret's file; one that is disabled is enabled again by you. See docs/webhooks.md.");
}
