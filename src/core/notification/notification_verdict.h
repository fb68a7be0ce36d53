/*
 * notification_verdict.h - what becomes of a notification: is it taken, and how is the bank
 * answered?
 */
#ifndef PGW_CORE_NOTIFICATION_NOTIFICATION_VERDICT_H
#define PGW_CORE_NOTIFICATION_NOTIFICATION_VERDICT_H

#include <stdbool.h>

#include "core/notification/read_notification.h"

typedef enum PgwNotificationVerdict
{
	PGW_NOTIFICATION_ACCEPTED = 0,
	PGW_NOTIFICATION_REPEATED, /* it was taken before */
	PGW_NOTIFICATION_NOT_SIGNED,
	PGW_NOTIFICATION_WRONG_SIGNATURE,
	PGW_NOTIFICATION_OUT_OF_TIME,
	PGW_NOTIFICATION_UNREADABLE, /* signed, and no JSON document */
	PGW_NOTIFICATION_OTHER_MODE, /* of a test for real money, or the reverse */
	PGW_NOTIFICATION_TOO_LARGE,
	PGW_NOTIFICATION_NOT_EXPECTED, /* the bank, or its connector, has none */
	PGW_NOTIFICATION_UNKNOWN_BANK,
	PGW_NOTIFICATION_NO_URL,    /* this and the next: ours to mend */
	PGW_NOTIFICATION_NO_SECRET, /* its file cannot be used */
	PGW_NOTIFICATION_BAD_SECRET,
	PGW_NNOTIFICATION_VERDICTS
} PgwNotificationVerdict;

/* "accepted", "wrong_signature" ... */
extern const char *pgw_notification_verdict_name(PgwNotificationVerdict v);

/*
 * How the bank is answered.  With a 5xx it sends it again, which is what we want of what is ours to
 * mend.
 */
extern int pgw_notification_http_status(PgwNotificationVerdict v);

/* Does the connector say how notifications of its bank are signed? */
extern bool pgw_notification_expected(const PgwConnector *c);

/* Is it taken?  *out is read only of one that is: whoever else sent it says nothing. */
extern PgwNotificationVerdict pgw_notification_judge(const PgwConnector *c, const PgwArrived *n,
													 const PgwSecretValues *secrets, bool livemode,
													 PgwNotification *out);

#endif
