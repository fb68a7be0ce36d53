/*
 * count_waiting.h - how many submitted payments wait to be sent
 */
#ifndef PGW_QUOTA_COUNT_WAITING_H
#define PGW_QUOTA_COUNT_WAITING_H

#include "postgres.h"

/*
 * How many submitted payments of this merchant, or of this role, wait to be sent;
 * at most `most`.
 */
extern uint32 pgw_count_waiting(const char *merchant, const char *role, uint32 most);

#endif
