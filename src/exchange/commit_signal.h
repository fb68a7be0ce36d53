/*
 * commit_signal.h - how the worker hears of the commit or rollback of a caller
 */
#ifndef PGW_EXCHANGE_COMMIT_SIGNAL_H
#define PGW_EXCHANGE_COMMIT_SIGNAL_H

#include "postgres.h"
#include "utils/uuid.h"

typedef enum PgwCommitSignalKind
{
	PGW_COMMIT_SIGNAL_PROCESS, /* commit: COMMITTED, rollback: ABORTED */
	PGW_COMMIT_SIGNAL_SUBMIT,  /* commit: SUBMITTED, rollback: nothing, nobody knows of it */
	PGW_COMMIT_SIGNAL_NOTIFY   /* commit: NOTIFIED, rollback: nothing, the bank says it again */
} PgwCommitSignalKind;

/* The current (sub)transaction's end decides on this attempt. */
extern void pgw_commit_signal_add(const pg_uuid_t *transaction_id, PgwCommitSignalKind kind);
/*
 * PGW_COMMIT_SIGNAL_SUBMIT, and where it will have to wait; new_charge: it is no operation on a
 * payment.
 */
extern void pgw_commit_signal_add_submitted(const pg_uuid_t *transaction_id, bool new_charge,
											const char *bank, const char *merchant);

/* A notification of the bank's about this attempt; its id of the charge, or "". */
extern void pgw_commit_signal_add_notified(const pg_uuid_t *transaction_id,
										   const char *bank_reference);

/* Did this very, still open transaction ask for it? */
extern bool pgw_commit_signal_is_pending(const pg_uuid_t *transaction_id);

/* Was it submitted by this very, still open transaction? */
extern bool pgw_commit_signal_is_pending_submit(const pg_uuid_t *transaction_id);

#endif
