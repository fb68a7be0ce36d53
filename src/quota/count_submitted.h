/*
 * count_submitted.h - how many submitted payments wait to be sent
 */
#ifndef PGW_QUOTA_COUNT_SUBMITTED_H
#define PGW_QUOTA_COUNT_SUBMITTED_H

#include "postgres.h"

/*
 * How many submitted payments of this merchant, or of this role, wait to be sent;
 * at most `most`.
 */
extern uint32 pgw_count_submitted(const char *merchant, const char *role, uint32 most);

#endif
