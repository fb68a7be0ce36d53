/*
 * kept_ids.h - which ids of a notification may be stored: none that may be a card's number
 */
#ifndef PGW_CORE_NOTIFICATION_KEPT_IDS_H
#define PGW_CORE_NOTIFICATION_KEPT_IDS_H

#include "core/notification/read_notification.h"

/* What is known of the payment that it is about; strings are the caller's, NULL or empty: not. */
typedef struct PgwIdsKnown
{
	const char *card_last4; /* how the card ends that was charged */
	const char *charge_id;  /* the bank's id of the charge, which is stored already */
} PgwIdsKnown;

/*
 * Empties each id that may be a card's number: one that looks like one, and ends like the card, or
 * nobody knows how that ends.  Before it is stored, logged or handed on.  Its digests stay.
 */
extern void pgw_notification_keep_ids(PgwNotification *said, const PgwIdsKnown *known);

#endif
