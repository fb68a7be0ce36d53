/*
 * match_again.h - for how long, and how often, a notification of an unknown payment is matched
 */
#ifndef PGW_CORE_NOTIFICATION_MATCH_AGAIN_H
#define PGW_CORE_NOTIFICATION_MATCH_AGAIN_H

#include <stdint.h>

#define PGW_MATCH_FOR_MS (INT64_C(60) * 60 * 1000)

/*
 * In how many milliseconds one is matched again that has waited for so long; -1: not any more.  The
 * last look is at the end of its time.
 */
extern int64_t pgw_match_again_ms(int64_t age_ms);

#endif
