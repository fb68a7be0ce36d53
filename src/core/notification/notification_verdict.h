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
	PGW_NOTIFICATION_REPEATED,   /* it was taken before */
	PGW_NOTIFICATION_HINT,       /* anybody may have sent it: it can make us look */
	PGW_NOTIFICATION_TO_CONFIRM, /* ... and the bank is asked for it, by its id */
	PGW_NOTIFICATION_NOT_SIGNED,
	PGW_NOTIFICATION_WRONG_SIGNATURE,
	PGW_NOTIFICATION_OUT_OF_TIME,
	PGW_NOTIFICATION_UNREADABLE, /* signed, and no JSON document */
	PGW_NOTIFICATION_OTHER_MODE, /* of a test for real money, or the reverse */
	PGW_NOTIFICATION_TOO_LARGE,
	PGW_NOTIFICATION_NOT_EXPECTED, /* the bank, or its connector, has none */
	PGW_NOTIFICATION_UNKNOWN_BANK,
	PGW_NOTIFICATION_TOO_MANY,    /* more wait to be asked for than there may be */
	PGW_NOTIFICATION_ASKED_FIRST, /* its id may be a card's number: nothing of it is kept until
								   * the bank has said that it is its own */
	PGW_NOTIFICATION_NO_URL,      /* this and the next: ours to mend */
	PGW_NOTIFICATION_NO_SECRET,   /* its file cannot be used */
	PGW_NOTIFICATION_BAD_SECRET,
	PGW_NOTIFICATION_NOT_CONFIRMED, /* the bank was asked, and has not sent it: no answer, a count
									 */
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

/* Is the bank asked for each, by its id, before it counts? */
extern bool pgw_notification_is_asked_for(const PgwConnector *c);

/* Is a secret needed to tell? */
extern bool pgw_notification_needs_secret(const PgwConnector *c);

/* A body with more of them is none. */
#define PGW_NOTIFICATION_MAX_ITEMS 64

/*
 * Of one that is to be asked for: nothing that came is to be believed, so this is all that is left
 * of it, as it came.
 */
extern void pgw_notification_keep_id(PgwNotification *said);

/*
 * What the bank has answered when it was asked for the notification with this id; false: that is
 * no such notification.
 */
extern bool pgw_notification_confirmed(const PgwConnector *c, const char *event_id,
									   const char *body, size_t len, bool livemode,
									   PgwNotification *said);

/* By what it is known to be the bank's. */
typedef enum PgwProof
{
	PGW_PROVED_BY_NOTHING = 0,
	PGW_PROVED_BY_SIGNATURE,
	PGW_PROVED_BY_LOGIN, /* whoever sent it knows a name and a password */
	PGW_PROVED_BY_BOTH,
	PGW_PROVED_BY_ANSWER /* the bank was asked for it, and all that it says is of that answer */
} PgwProof;
extern const char *pgw_proof_name(PgwProof proof); /* nothing: NULL */

typedef struct PgwJudged
{
	PgwNotificationVerdict verdict;
	PgwProof proof;
	PgwNotification said; /* of one that is taken, or a hint: whoever else sent it says nothing */
} PgwJudged;

/*
 * Is it taken?  A body may have several, each of which is judged on its own.  Returns how many
 * there are: one at least, which is then what becomes of the whole.  logins: the names and
 * passwords of a second proof; whoever gives another one is refused, and who gives none has one
 * proof only; NULL: the bank has none.
 */
extern int pgw_notification_judge(const PgwConnector *c, const PgwArrived *n,
								  const PgwSecretValues *secrets, const PgwSecretValues *logins,
								  bool livemode, PgwJudged out[PGW_NOTIFICATION_MAX_ITEMS]);

/*
 * The places of n of them in the order of their identities, which is one order for all bodies;
 * equal ones in the body's order.
 */
extern void pgw_notification_order(const PgwJudged *judged, int n,
								   int order[PGW_NOTIFICATION_MAX_ITEMS]);

/*
 * Several have one answer: the one that has the bank send again what was not taken.
 */
extern PgwNotificationVerdict pgw_notification_worse(PgwNotificationVerdict a,
													 PgwNotificationVerdict b);

#endif
