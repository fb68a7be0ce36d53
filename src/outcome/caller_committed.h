/*
 * caller_committed.h - did the caller's transaction commit, and with it the payments row that names
 * the attempt?
 */
#ifndef PGW_OUTCOME_CALLER_COMMITTED_H
#define PGW_OUTCOME_CALLER_COMMITTED_H

#include "postgres.h"

#include "store/tables.h"

typedef enum PgwCallerState
{
	PGW_CALLER_UNDECIDED = 0, /* its transaction still runs, or is prepared */
	PGW_CALLER_ROLLED_BACK,   /* it, or the subtransaction that called, has aborted or crashed */
	/*
	 * committed, or so long ago that the commit log has forgotten: whether a payments row names the
	 * attempt tells what the caller decided
	 */
	PGW_CALLER_OVER
} PgwCallerState;

/* What became of the transaction and subtransaction that called. */
extern PgwCallerState pgw_caller_state(const PgwAttempt *attempt);

/*
 * Does the payments row name this attempt?  Asked only after pgw_caller_state() has said OVER: the
 * store reads the latest committed version, which is younger than any answer about an xid.
 */
extern bool pgw_payment_names_attempt(const PgwAttempt *attempt, PgwPayment *p);

/* Is the caller gone without its row?  Nothing is written or locked. */
extern bool pgw_caller_rolled_back(const PgwAttempt *attempt);

/*
 * Recorded in another cluster or database (a restored dump, a copy): its xids mean nothing here,
 * and it is not to be worked on before pgw.resume_after_restore().
 */
extern bool pgw_attempt_of_other_database(const PgwAttempt *attempt);

#endif
