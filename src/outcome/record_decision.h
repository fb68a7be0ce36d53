/*
 * record_decision.h - what a decision of core/payment/charge_rules.h becomes in the tables
 */
#ifndef PGW_OUTCOME_RECORD_DECISION_H
#define PGW_OUTCOME_RECORD_DECISION_H

#include "postgres.h"

#include "core/payment/charge_rules.h"
#include "store/tables.h"

/*
 * Write a decision: events and attempt, and the payments row if the decision says so.  attempt is
 * locked; so is *p when the decision has a payment (else it may be NULL).  answer: the bank's, or
 * NULL.  next_step_at of *attempt is the caller's to set before.
 */
extern void pgw_record_decision(PgwAttempt *attempt, PgwPayment *p, const PgwDecision *d,
								const char *operation, const PgwAnswer *answer);

/* The same for an attempt that is not in the table yet. */
extern void pgw_record_new_attempt(PgwAttempt *attempt, const PgwDecision *d,
								   const char *operation);

/* The error columns of an attempt, from the list of errors; NULL: none. */
extern void pgw_record_error(PgwAttempt *attempt, const PgwErrorInfo *e);

/* What a payments row shows of the charge, as the attempt that it names has it. */
extern void pgw_record_bank_fields(PgwPayment *p, const PgwAttempt *attempt);

/*
 * p->status as it follows from the attempt's state, in memory only.  false: that says nothing of it
 * (open, approved, or saved), and it is unchanged.
 */
extern bool pgw_record_status(PgwPayment *p, const PgwAttempt *attempt);

typedef enum PgwRecordResult
{
	PGW_RECORD_NOTHING_LEFT = 0, /* nothing (left) to do for this attempt */
	PGW_RECORD_SAVED,            /* its payments row now holds the result */
	PGW_RECORD_UNDECIDED,        /* the caller's transaction still runs or is prepared */
	PGW_RECORD_ROLLED_BACK,      /* no payments row names it: the charge is to be given back */
	PGW_RECORD_ROW_BUSY,         /* the payments row is locked by someone: later */
	PGW_RECORD_OTHER_DATABASE /* recorded in another cluster or database: its xids mean nothing here
							   */
} PgwRecordResult;

/*
 * Write the payments row in the caller's place: the result of an approved attempt, or the status
 * that its later state implies. attempt is locked by this transaction, which has READ COMMITTED
 * snapshots.
 */
extern PgwRecordResult pgw_record_for_caller(PgwAttempt *attempt);

/*
 * When pgw_step_watch_authorization() has to look at the authorization that has just been saved:
 * when it lapses, as the connector says; at once where its bank cannot be read just now.  0: the
 * connector does not say, or it is not for pgw to watch.  Waits for no lock.
 */
extern TimestampTz pgw_record_authorization_end(const PgwAttempt *attempt);

#endif
