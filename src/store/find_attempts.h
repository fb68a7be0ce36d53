/*
 * find_attempts.h - attempts by what is known of them
 */
#ifndef PGW_STORE_FIND_ATTEMPTS_H
#define PGW_STORE_FIND_ATTEMPTS_H

#include "postgres.h"

#include "store/tables.h"

/*
 * The attempt at a payment that a request under this id meets, committed or own: the live one, else
 * the newest of those that have failed or were given back.  None that still waits to be sent.
 */
extern bool pgw_store_attempt_by_request(const char *client_request_id, const char *merchant,
										 PgwAttempt *out);
/* The same, but for what was given up once, turned up at the bank late, and is given back now. */
extern bool pgw_store_earlier_attempt(const char *client_request_id, const char *merchant,
									  PgwAttempt *out);

/*
 * The id of a payment's first attempt is the payment's own but for its last bit: so the one is
 * found by the other without an index, also where the payments row was rolled back.
 */
extern pg_uuid_t pgw_store_first_attempt_id(const pg_uuid_t *payment_id);

/* Attempts of a payment, oldest first: committed or own; the array is palloc'd. */
extern int pgw_store_attempts(const pg_uuid_t *payment_id, PgwAttempt **out);

/* Has another capture of this one's payment, one of pgw's own, given up the rest of its hold? */
extern bool pgw_store_closed_by_another(const PgwAttempt *capture);

/*
 * Ids of this bank's attempts that are in doubt and wait for their next look, at most `most`; the
 * array is palloc'd.  No MVCC read, as it is done in callers' transactions.
 */
extern int pgw_store_in_doubt(const char *bank, int most, pg_uuid_t **out);

#endif
