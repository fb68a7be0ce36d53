/*
 * unknown_payment.h - signed notifications whose payment is not known yet
 */
#ifndef PGW_NOTIFIED_UNKNOWN_PAYMENT_H
#define PGW_NOTIFIED_UNKNOWN_PAYMENT_H

#include "postgres.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "notified/match_notification.h"

/* When one that comes now is matched again. */
extern TimestampTz pgw_unknown_payment_first(TimestampTz now);

/*
 * Match those that are due, in transactions of its own, within a small time; how many attempts are
 * to be followed up now, of so many at most.
 */
extern int pgw_unknown_payments_match(TimestampTz now, PgwMatched *out, int most);

#endif
