/*
 * match_again.c - for how long, and how often, a notification of an unknown payment is matched
 *
 * What comes before pgw's own commit is known a moment later; so the looks are close at first, and
 * each is as far away as the notification is old: a dozen of them within an hour, however many
 * notifications are of payments that were made elsewhere.
 */
#include "core/notification/match_again.h"

#define FIRST_MS 2000

int64_t
pgw_match_again_ms(int64_t age_ms)
{
	int64_t wait;

	if (age_ms >= PGW_MATCH_FOR_MS)
		return -1;
	/* a clock that was set back: as if it had just come */
	wait = age_ms > FIRST_MS ? age_ms : FIRST_MS;
	if (age_ms > 0 && wait > PGW_MATCH_FOR_MS - age_ms)
		wait = PGW_MATCH_FOR_MS - age_ms;
	return wait;
}
