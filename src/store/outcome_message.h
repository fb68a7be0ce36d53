/*
 * outcome_message.h - what the message to listeners of pgw_payments says: what became of a
 * payment or operation
 */
#ifndef PGW_STORE_OUTCOME_MESSAGE_H
#define PGW_STORE_OUTCOME_MESSAGE_H

#include "postgres.h"

#include "store/tables.h"

/*
 * NOTIFY pgw_payments with {"payment_id", "kind", "outcome"}, once for each outcome (worker only).
 * Of an operation: completed, failed, in_review or reversed; of a payment: its status, and nothing
 * while that is pending.
 */
extern void pgw_store_notify(const pg_uuid_t *payment_id, PgwKind kind, const char *outcome);
extern void pgw_store_notify_payment(const PgwPayment *p);

#endif
