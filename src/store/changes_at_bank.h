/*
 * changes_at_bank.h - notifications that may tell of what was done at the bank without pgw, until
 * the bank has been asked how the charge stands
 */
#ifndef PGW_STORE_CHANGES_AT_BANK_H
#define PGW_STORE_CHANGES_AT_BANK_H

#include "postgres.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/*
 * Is the bank to be asked now about the charge of this attempt?  *latest: when the newest of what
 * waits has come, whether due or not.
 */
extern bool pgw_store_change_is_due(const pg_uuid_t *transaction_id, TimestampTz now,
									TimestampTz *latest);

/* It was asked: what had come by then is seen. */
extern void pgw_store_change_seen(const pg_uuid_t *transaction_id, TimestampTz by);

/*
 * What still waits is due at that time; 0: the later, the older it is, so that a bank which never
 * tells is asked ever less often.
 */
extern void pgw_store_change_later(const pg_uuid_t *transaction_id, TimestampTz now,
								   TimestampTz when);

/* Attempts of which the bank is to be asked, at most so many. */
extern int pgw_store_changes_due(TimestampTz now, int most, pg_uuid_t *out);

#endif
