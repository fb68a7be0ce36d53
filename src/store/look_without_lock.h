/*
 * look_without_lock.h - a look at a recorded payment that leaves no lock behind
 */
#ifndef PGW_STORE_LOOK_WITHOUT_LOCK_H
#define PGW_STORE_LOOK_WITHOUT_LOCK_H

#include "postgres.h"

#include "store/tables.h"

/*
 * The payment that is recorded under this id, with its attempt, read without waiting and without a
 * lock that stays (look_without_lock.c).  false: there is none, it is not committed yet, or
 * somebody has locked a table: no lock is held that was not before, and nothing is known but
 * *is_none: at that moment no row had the id, committed or not.
 */
extern bool pgw_store_look(const char *client_request_id, const char *merchant, PgwPayment *p,
						   PgwAttempt *attempt, bool *is_none);

#endif
