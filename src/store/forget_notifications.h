/*
 * forget_notifications.h - notifications that no bank repeats any more go
 */
#ifndef PGW_STORE_FORGET_NOTIFICATIONS_H
#define PGW_STORE_FORGET_NOTIFICATIONS_H

#include "postgres.h"
#include "datatype/timestamp.h"

extern void pgw_forget_notifications_init(void); /* _PG_init: pgw.notifications_max_age */

/*
 * The worker, in a transaction: rows older than pgw.notifications_max_age, the oldest first and at
 * most `most`; who has locked one keeps it.  How many.
 */
extern uint64 pgw_store_forget_notifications(TimestampTz now, int most);

#endif
