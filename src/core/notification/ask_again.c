/*
 * ask_again.c - for how long, and how often, the bank is asked for a notification that anybody may
 * have sent
 *
 * The first question comes at once; a bank that is down is asked again in distances that grow, for
 * a day.  What it does not know is taken for forged no sooner than a minute after it came: a bank
 * may send before its own books show what it sends.
 */
#include "core/notification/ask_again.h"

#define FIRST_MS (INT64_C(5) * 1000)
#define LONGEST_MS (INT64_C(60) * 60 * 1000)

int64_t
pgw_ask_again_ms(int64_t age_ms)
{
	int64_t wait = age_ms / 4;

	if (age_ms >= PGW_ASK_FOR_MS)
		return -1;
	return wait < FIRST_MS ? FIRST_MS : wait > LONGEST_MS ? LONGEST_MS : wait;
}

bool
pgw_ask_not_found_counts(int64_t age_ms)
{
	return age_ms >= PGW_ASK_NOT_FOUND_MS;
}
