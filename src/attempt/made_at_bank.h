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

#endif
