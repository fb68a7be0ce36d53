/*
 * alerts.h - telling people: NOTIFY pgw_alerts, a WARNING in the log, a row in pgw.alert_state
 */
#ifndef PGW_OBSERVE_ALERTS_H
#define PGW_OBSERVE_ALERTS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

/* Every kind that there is, as an array of SQL: a counter has to stand at 0 before the first. */
#define PGW_ALERT_KINDS \
	"{review_required,breaker_open,breaker_closed,credentials_rejected,livemode_mismatch,secret_echoed,failed_threshold,in_doubt_old,pending_old,accepted_failed,bank_shows_more,made_at_bank,bank_shows_less,notification_amount,notification_contradicts,notifications_refused,dispute_opened,dispute_closed,dispute_unclear,refund_stuck,caller_undecided,capture_refused,row_busy,watch_ended,work_failing,webhook_failing,webhook_undelivered,webhook_disabled}"

extern void pgw_alerts_init(void); /* _PG_init: settings */

/*
 * Something that a person should know of.  kind and subject are the cause: one alert of each in
 * pgw.alert_period, the others are counted.  Nothing is written here, so it cannot fail what it is
 * told of; it can be called where a commit is being followed up.
 *
 *     kind		a word of docs/alerts.md
 *     subject		what it is about: a bank, a key; at most 127 bytes.  NULL: the transaction
 *     bank, transaction_id, correlation	NULL: none
 */
extern void pgw_alert(const char *kind, const char *subject, const char *bank,
					  const pg_uuid_t *transaction_id, const char *correlation,
					  const char *message);

/*
 * A transaction of this bank has failed for a reason of the bank's or of the way to it: too many in
 * a while are an alert.
 */
extern void pgw_alert_failed(const char *bank);

/* Worker: write what is queued, in a transaction of its own. */
extern void pgw_alerts_flush(TimestampTz now);

/*
 * Worker: look for what has become too old, in a transaction of its own.  It reads all that is
 * open, so not more often than at every pgw.recovery_interval.
 */
extern void pgw_alerts_check_ages(TimestampTz now);

#endif
