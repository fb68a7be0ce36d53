/*
 * operation_request.h - the request of a capture, void or refund to the bank: of one that a caller
 * asked for (requested_operation.c), and of the capture after the commit (capture_on_commit.c)
 */
#ifndef PGW_ATTEMPT_OPERATION_REQUEST_H
#define PGW_ATTEMPT_OPERATION_REQUEST_H

#include "postgres.h"

#include "attempt/step.h"
#include "core/payment/operation_rules.h"

/*
 * step->call := the operation. in_doubt: an earlier request for it is. The row is the caller's to
 * write. false: put off with a WARNING.
 */
extern bool pgw_step_operation_send(PgwAttempt *attempt, PgwStep *step, PgwBank *bank,
									const PgwPayment *p, bool in_doubt);

/*
 * In doubt: what is to be done? A look-up is made here (step->call); SEND and REVIEW are left to
 * the caller. *reason: as pgw_operation_step() has it.
 */
extern PgwOperationStep pgw_step_operation_find_out(PgwAttempt *attempt, PgwStep *step,
													PgwBank *bank, const PgwPayment *p,
													const char **reason);

/* Which operation it is, and whether it undoes a whole charge in a refund's place. */
extern PgwBankOp pgw_step_operation_of(const PgwAttempt *attempt);
extern bool pgw_step_operation_of_refund(const PgwAttempt *attempt);

/* step->call := a look-up for it */
extern void pgw_step_operation_look_up(PgwAttempt *attempt, PgwStep *step, PgwBank *bank,
									   const PgwPayment *p, PgwBankOp op);

/* What pgw_operation_result() is told. */
extern void pgw_step_operation_input(const PgwCall *call, PgwAttempt *attempt, const PgwPayment *p,
									 PgwOperationInput *in);

/*
 * By what the answer means, when the next step is due; the row is the caller's to write. first:
 * nothing was in doubt before this request.
 */
extern void pgw_step_operation_plan(PgwCall *call, PgwAttempt *attempt,
									const PgwOperationDecision *r, bool first);

#endif
