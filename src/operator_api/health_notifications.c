/*
 * health_notifications.c - pgw.health(): the notifications that banks are still asked for
 *
 * Owns nothing, changes nothing.  Costs what waits, PGW_UNCONFIRMED_MOST for each bank, not what is
 * stored.
 */
#include "postgres.h"

#include "operator_api/health_notifications.h"
#include "store/notification_rows.h"

/* What a bank does not know is dropped after a minute, so it has not answered for an hour. */
#define UNCONFIRMED_WARNING_S (60 * 60)

void
pgw_health_check_unconfirmed(PgwHealthReport *r)
{
	char *banks = pgw_health_read_text(psprintf(
		"SELECT jsonb_agg(jsonb_build_object('bank', w.bank, 'count', w.n, 'oldest_age_seconds', round(w.age_s),"
		" 'full', w.n >= %d, 'late', w.age_s > %d) ORDER BY w.bank)::text FROM ("
		"SELECT bank, count(*) AS n, extract(epoch FROM clock_timestamp() - min(recorded_at)) AS age_s"
		" FROM pgw.notifications WHERE next_ask_at IS NOT NULL GROUP BY bank) w",
		PGW_UNCONFIRMED_MOST, UNCONFIRMED_WARNING_S));
	bool full = pgw_health_any(banks, "full");
	bool late = pgw_health_any(banks, "late");

	pgw_health_detail_number(r, "most_for_a_bank", PGW_UNCONFIRMED_MOST);
	pgw_health_detail_list(r, "banks", banks);
	pgw_health_put(
		r, "unconfirmed_notifications", full || late ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		full
			? "So many notifications wait to be asked for at a bank that more are answered with 503, the bank's own, too: somebody makes them up, or the bank does not answer. See docs/notifications.md."
			: "A bank has not said for an hour whether notifications are its own: see its row and its look-ups. After a day it is not asked any more.");
}
