/*
 * claim_id.h - the claim on a request's id
 */
#ifndef PGW_STORE_CLAIM_ID_H
#define PGW_STORE_CLAIM_ID_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "store/events.h"
#include "store/tables.h"

typedef enum PgwClaim
{
	PGW_CLAIM_INSERTED, /* the row is mine now */
	PGW_CLAIM_EXISTS    /* *existing is filled: committed, or written by my own transaction */
} PgwClaim;

/*
 * Claim the id with its payments row.  Dirty probe; in progress elsewhere: XactLockTableWait
 * (deadlock detector, lock_timeout, cancel), bounded by deadline (0: none) -> PW409; then a
 * speculative insert, again from the start on a conflict.  Never raises 40001. probed:
 * pgw_store_payment_probe() has just found nothing.
 */
extern PgwClaim pgw_store_claim(PgwPayment *row, bool probed, TimestampTz deadline,
								PgwPayment *existing);

/*
 * Claim the id of an operation on a payment with its row, which is inserted as Created with its
 * first event.  The caller holds the lock of the payments row; a caller with the same id on another
 * payment is waited for, as in pgw_store_claim().
 */
extern PgwClaim pgw_store_claim_operation(PgwAttempt *attempt, const PgwEvent *started,
										  TimestampTz deadline, PgwAttempt *existing);

/* The operation of this kind under this id: committed or own. */
extern bool pgw_store_operation(PgwKind kind, const char *client_request_id, const char *merchant,
								PgwAttempt *out);

#endif
