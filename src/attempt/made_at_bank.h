/*
 * made_at_bank.h - captures, refunds and voids that pgw has not made, and the bank shows
 */
#ifndef PGW_ATTEMPT_MADE_AT_BANK_H
#define PGW_ATTEMPT_MADE_AT_BANK_H

#include "postgres.h"

#include "attempt/step.h"

/*
 * Completed, of kind payment: has a notification told of something that was done at the bank?  Then
 * its look-up is the step.  false: nothing of it is due.
 */
extern bool pgw_step_made_at_bank(PgwAttempt *attempt, PgwStep *step);

extern void pgw_answer_made_at_bank(PgwCall *call, PgwAttempt *attempt);

/*
 * One of them, as an attempt of its own that begins and ends here; shown: what the bank says, with
 * its id of the operation, if it names one.  The payments row is the caller's to change.
 */
extern void pgw_made_at_bank_record(const PgwAttempt *charge, const PgwBank *bank,
									const PgwPayment *p, PgwKind kind, int64 amount,
									const PgwAnswer *shown);

/* A refund that was recorded so has failed since. */
extern void pgw_made_at_bank_take_back(const PgwPayment *p, const pg_uuid_t *transaction_id,
									   const PgwAnswer *shown);

#endif
