/*
 * attempt_alerts.h - what people are told of an attempt, after the commit
 */
#ifndef PGW_ATTEMPT_ATTEMPT_ALERTS_H
#define PGW_ATTEMPT_ATTEMPT_ALERTS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "core/bank_message/judge_answer.h"
#include "store/tables.h"

/*
 * What an alert says of the attempt, kept until the commit; and the alert: it has failed, or needs
 * a person.
 */
extern void pgw_attempt_alert_note(const PgwAttempt *attempt, char *correlation, char *bank);
extern void pgw_attempt_alert(const pg_uuid_t *transaction_id, PgwState status,
							  const char *correlation, const char *bank);

/* A notification says the opposite of how it has ended. */
/* kind: "dispute_opened", "dispute_closed" or "dispute_unclear" */
extern void pgw_attempt_alert_dispute(const char *kind, const pg_uuid_t *transaction_id,
									  const char *correlation, const char *bank);
extern void pgw_attempt_alert_contradicted(const pg_uuid_t *transaction_id, const char *correlation,
										   const char *bank);

/* What is to be written for it has failed this many times in a row, or more. */
#define PGW_FAILING_ALERT 5
/* A row that is to be written has been locked since then: people are told when that is long. */
extern void pgw_attempt_alert_busy(TimestampTz *since, const pg_uuid_t *transaction_id,
								   const char *correlation, const char *bank);
extern void pgw_attempt_alert_failed_later(const pg_uuid_t *transaction_id, const char *correlation,
										   const char *bank);
extern void pgw_attempt_alert_differs(const pg_uuid_t *transaction_id, const PgwAnswer *shown,
									  const char *correlation, const char *bank);
/* It tells of what pgw has not made, and can be asked nothing. */
extern void pgw_attempt_alert_told_at_bank(const pg_uuid_t *transaction_id, const char *correlation,
										   const char *bank);

/* It shows what pgw has not made; unexplained: and something that cannot be recorded as that. */
extern void pgw_attempt_alert_made_at_bank(const pg_uuid_t *transaction_id, const PgwAnswer *shown,
										   bool unexplained, const char *correlation,
										   const char *bank);
extern void pgw_attempt_alert_failing(const pg_uuid_t *transaction_id, const char *correlation,
									  const char *bank);
/*
 * The watch over what the bank may do later is over, and the bank could not be asked in the end.
 */
extern void pgw_attempt_alert_unwatched(const pg_uuid_t *transaction_id, const char *correlation,
										const char *bank);

#endif
