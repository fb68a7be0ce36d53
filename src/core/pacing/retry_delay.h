/*
 * retry_delay.h - how long to wait before the next try
 *
 * Pure: the random number is passed in, the caller adds the delay to its own clock and stores the
 * result with the attempt.
 *
 *     random	in [0, 1): spreads a delay over 80 to 120 percent, so that what failed together does
 *     not come back together
 *     base	the first delay; below 1 counts as 1
 *
 * Any input gives a delay of at least 1 ms that can be turned into microseconds and added to a
 * timestamp without overflow.
 */
#ifndef PGW_CORE_PACING_RETRY_DELAY_H
#define PGW_CORE_PACING_RETRY_DELAY_H

#include <stdint.h>

#include "core/bank_message/retry_after.h"

/* What a bank's Retry-After may ask for at most. */
#define PGW_RETRY_AFTER_LIMIT_MS (PGW_RETRY_AFTER_MAX_S * INT64_C(1000))

/* What was taken for not charged is looked at again at least this often (before jitter). */
#define PGW_WATCH_LIMIT_MS INT64_C(86400000)

/* No delay grows beyond this before jitter, whatever base and maximum say. */
#define PGW_DELAY_LIMIT_MS (INT64_C(366) * 86400000)

/*
 * After tries (>= 1) tries: base * 2^(tries - 1), at most max, with jitter.  Never above 1.2 * max,
 * but for a bank that asks for more: never less than retry_after_s (> 0; otherwise none).
 */
extern int64_t pgw_retry_delay_ms(int tries, int64_t base_ms, int64_t max_ms, int retry_after_s,
								  double random);

/*
 * After tries (>= 0) looks at what was taken for not charged: base * 4^tries, at most
 * PGW_WATCH_LIMIT_MS, with jitter.
 */
extern int64_t pgw_retry_watch_delay_ms(int tries, int64_t base_ms, double random);

#endif
