/*
 * ask_again.h - for how long, and how often, the bank is asked for a notification that anybody may
 * have sent
 */
#ifndef PGW_CORE_NOTIFICATION_ASK_AGAIN_H
#define PGW_CORE_NOTIFICATION_ASK_AGAIN_H

#include <stdbool.h>
#include <stdint.h>

#define PGW_ASK_FOR_MS (INT64_C(24) * 60 * 60 * 1000)

/*
 * In how many milliseconds the bank is asked again for one that came so long ago, and that it has
 * not said anything of; -1: not any more.
 */
extern int64_t pgw_ask_again_ms(int64_t age_ms);

/* ... it does not know it: would it by now? */
extern bool pgw_ask_not_found_counts(int64_t age_ms);

#define PGW_ASK_NOT_FOUND_MS (INT64_C(60) * 1000)

#endif
