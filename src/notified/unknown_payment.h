/*
 * unknown_payment.h - signed notifications whose payment is not known yet
 */
#ifndef PGW_NOTIFIED_UNKNOWN_PAYMENT_H
#define PGW_NOTIFIED_UNKNOWN_PAYMENT_H

#include "postgres.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* When one that comes now is matched again. */
extern TimestampTz pgw_unknown_payment_first(TimestampTz now);

/* An attempt that one of them was found to be about. */
typedef struct PgwMatched
{
	pg_uuid_t transaction_id;
	char bank_reference[256]; /* the bank's id of the charge, as it has said; empty: none */
} PgwMatched;

/*
 * Match those that are due, in transactions of its own, within a small time; how many attempts are
 * to be followed up now, of so many at most.
 */
extern int pgw_unknown_payments_match(TimestampTz now, PgwMatched *out, int most);

#endif
