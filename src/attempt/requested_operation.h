/*
 * requested_operation.h - captures, voids and refunds that callers asked for
 */
#ifndef PGW_ATTEMPT_REQUESTED_OPERATION_H
#define PGW_ATTEMPT_REQUESTED_OPERATION_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "attempt/step.h"
#include "core/payment/operation_rules.h"

extern void pgw_step_operation(PgwAttempt *attempt, PgwStep *step);
/* Created: nothing was done */
extern void pgw_step_operation_give_up(PgwAttempt *attempt, PgwStep *step, const char *reason);
extern void pgw_answer_operation(PgwCall *call, PgwAttempt *attempt);

/* What the capture after the commit shares with them. */
/* the last request was answered with nothing of use */
extern bool pgw_step_operation_answered(const PgwAttempt *attempt);
/*
 * A look-up did not say what became of the operation: would the same request under the same key say
 * it? Then it is sent at once.
 */
extern bool pgw_step_operation_key_tells(const PgwCall *call, const PgwAttempt *attempt,
										 const PgwOperationDecision *r, TimestampTz key_used_at);
extern TimestampTz pgw_step_operation_next_look(const PgwCall *call, const PgwAttempt *attempt);
extern bool pgw_step_operation_call(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, PgwBankOp op,
									const char *reference, const PgwPayment *p);
extern void pgw_step_operation_facts(PgwAttempt *attempt, const PgwStep *step, PgwBankOp operation,
									 TimestampTz key_used_at, PgwOperationFacts *facts);
extern void pgw_step_operation_input(const PgwCall *call, const PgwAttempt *attempt,
									 const PgwPayment *p, PgwBankOp operation,
									 PgwOperationInput *in);

#endif
