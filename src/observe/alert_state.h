/*
 * alert_state.h - the tables' part of alerts: counted causes, and what has been in a state for too
 * long
 */
#ifndef PGW_OBSERVE_ALERT_STATE_H
#define PGW_OBSERVE_ALERT_STATE_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "core/state/state_machine.h"

/*
 * Count an alert; true: nobody was told since then, tell them now. Empty strings:
 * none.
 */
extern bool pgw_alert_count(const char *kind, const char *subject, const char *bank,
							const char *transaction_id, const char *message, int count,
							TimestampTz now, TimestampTz told_before);

/*
 * Attempts that have been in a state for too long, oldest first, at most 250 of each state; in the
 * current memory context.
 */
typedef struct PgwAgedAttempt
{
	pg_uuid_t transaction_id;
	pg_uuid_t correlation_id;
	PgwState status;
	char *bank;
	TimestampTz since;
	bool pending; /* BankUnknown: the bank says that it is on its way */
} PgwAgedAttempt;
extern int pgw_alert_aged_attempts(TimestampTz in_doubt, TimestampTz pending, TimestampTz refunding,
								   TimestampTz undecided, TimestampTz review, PgwAgedAttempt **out);

/*
 * Notifications whose amount is another than the attempt's, and of which nobody has been told: at
 * most 250, oldest first; in the current memory context.  Told from now on.
 */
typedef struct PgwOddNotification
{
	pg_uuid_t transaction_id;
	char *bank;
	char *amounts;
} PgwOddNotification;
extern int pgw_alert_odd_notifications(PgwOddNotification **out);

#endif
