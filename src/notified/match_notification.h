/*
 * match_notification.h - which payment a notification is about, and what is to follow from it
 */
#ifndef PGW_NOTIFIED_MATCH_NOTIFICATION_H
#define PGW_NOTIFIED_MATCH_NOTIFICATION_H

#include "postgres.h"
#include "utils/uuid.h"

#include "bank/bank_config.h"
#include "core/notification/read_notification.h"
#include "store/tables.h"

typedef struct PgwMatch
{
	bool has_payment;
	pg_uuid_t payment_id;
	pg_uuid_t transaction_id; /* the attempt that it names */
	const char *card_last4;   /* how the card ends that was charged; empty: not known */
	PgwSaidAmount amounts;
	const PgwAttempt *in_doubt; /* of that payment, at this bank */
	int nin_doubt;
	const char *outcome; /* as in its row */
	bool dispute;        /* it tells of one; transaction_id is the charge's, where that is known */
	bool change; /* it may tell of what was done at the bank without pgw: transaction_id is the
				  * charge's */
	bool told;   /* ... in full, as this bank can be asked nothing */
	const char
		*request_key; /* it is the bank's word on this request of the attempt; NULL: on none */
} PgwMatch;

/* An attempt that is to be visited because of one. */
typedef struct PgwMatched
{
	pg_uuid_t transaction_id;
	char bank_reference[256]; /* the bank's id of the charge, as it has said; empty: none */
} PgwMatched;

/*
 * is_hint: anybody may have sent it.  What *m points to is palloc'd.  Once it is found, and before
 * anything of it is stored or handed on, pgw_notification_keep_ids() has to see its ids.
 */
extern void pgw_match_notification(const PgwNotification *said, bool is_hint, const PgwBank *bank,
								   PgwMatch *m);

/*
 * Which attempts are to be visited, so many at most; what finds no place is found again, or looked
 * at as planned.  The id that a hint names is anybody's: only what pgw itself has of a charge is
 * asked about then.
 */
extern int pgw_match_follow_ups(const PgwMatch *m, const PgwNotification *said, bool is_hint,
								PgwMatched *out, int most);

#endif
