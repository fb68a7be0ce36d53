/*
 * unsent_charge.h - charges that have not reached a bank
 */
#ifndef PGW_ATTEMPT_UNSENT_CHARGE_H
#define PGW_ATTEMPT_UNSENT_CHARGE_H

#include "postgres.h"

#include "attempt/step.h"
#include "core/payment/charge_rules.h"

/* Created, not yet taken by the worker */
extern void pgw_step_charge_submitted(PgwAttempt *attempt, PgwStep *step);
/* Created, taken, and a retry is planned */
extern void pgw_step_charge_retry(PgwAttempt *attempt, PgwStep *step);
/* Created: no bank has taken it */
extern void pgw_step_charge_give_up(PgwAttempt *attempt, PgwStep *step, const char *reason);

/*
 * A charge that provably never left, or that the bank says it did nothing for: plan another try,
 * here or at the next bank. false: none, it has failed.
 */
extern bool pgw_step_charge_plan_retry(PgwCall *call, PgwAttempt *attempt, PgwDecision *d);

/*
 * BankProcessingStarted: from its commit on the charge counts as sent. begins: the attempt is not
 * in the table yet. switched_from: the bank that was chosen, where another takes it; else NULL.
 */
extern void pgw_step_charge_record_intent(PgwAttempt *attempt, bool begins,
										  const char *switched_from, PgwBankOp op);

#endif
