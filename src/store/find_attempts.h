/*
 * find_attempts.h - attempts by what is known of them
 */
#ifndef PGW_STORE_FIND_ATTEMPTS_H
#define PGW_STORE_FIND_ATTEMPTS_H

#include "postgres.h"

#include "store/tables.h"

/* The newest attempt of that kind under the id, whatever its state; committed or own. */
extern bool pgw_store_attempt_by_request(PgwKind kind, const char *client_request_id,
										 const char *merchant, PgwAttempt *out);

/*
 * The attempt that a new request under this id meets: the live one, else the newest; none that
 * still waits to be sent.
 */
extern bool pgw_store_earlier_attempt(const char *client_request_id, const char *merchant,
									  PgwAttempt *out);

/* Attempts of a payment, oldest first: committed or own; the array is palloc'd. */
extern int pgw_store_attempts(const pg_uuid_t *payment_id, PgwAttempt **out);

#endif
