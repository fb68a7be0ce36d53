/*
 * kept_ids.h - which ids of a notification may be stored: none that may be a card's number
 */
#ifndef PGW_CORE_NOTIFICATION_KEPT_IDS_H
#define PGW_CORE_NOTIFICATION_KEPT_IDS_H

#include "core/notification/read_notification.h"

/*
 * Empties each id that may be a card's number, before it is stored, logged or handed on; its
 * digests stay.  card_last4: how the card ends that was charged, empty where that is not known.
 * NULL: anybody may have sent it, and whatever looks like a card's number may be one.
 */
extern void pgw_notification_keep_ids(PgwNotification *said, const char *card_last4);

/* Of one that anybody may have sent: is it surely no card's number? */
extern bool pgw_notification_id_may_be_kept(const char *id);

#endif
