/*
 * notification_alerts.h - telling people of what banks send by themselves: amounts that are others,
 * and signatures that are wrong
 */
#ifndef PGW_OBSERVE_NOTIFICATION_ALERTS_H
#define PGW_OBSERVE_NOTIFICATION_ALERTS_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* Worker, now and then: what notifications have said of amounts that are others, once each. */
extern void pgw_alerts_check_notifications(void);

/*
 * Worker, every few seconds: does a bank's endpoint get many that its secret does not verify?
 * Reads memory only: what is refused has no row, as anybody can send it.
 */
extern void pgw_alerts_check_refused(TimestampTz now);

/*
 * Worker: disputes that cannot be recorded, as they name none, or wait too long for a payment, in
 * a transaction of its own.
 */
extern void pgw_alerts_check_disputes(void);

#endif
