/*
 * health_readers.c - pgw.health(): those who read the events
 *
 * Owns nothing, changes nothing.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "executor/spi.h"
#include "miscadmin.h"

#include "operator_api/health_readers.h"

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
	bool displaced = all != NULL && strstr(all, "\"displaced\": true") != NULL;
	bool stands = all != NULL && strstr(all, "\"stands\": true") != NULL;

	pgw_health_detail_json(r, "consumers", all != NULL ? all : "[]");
	pgw_health_put(
		r, "event_consumers", displaced || stands ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		displaced
			? "A consumer's place in the events is of before a restore or copy: pgw.move_event_consumer() says from when on it reads, pgw.drop_event_consumer() ends it. See docs/events.md."
			: "A consumer has not read the events to their end for long: see whether what reads them runs, or end it by pgw.drop_event_consumer(). What is purged before it was read does not come.");
}
