/*
 * requested_operation.h - captures, voids and refunds that callers asked for
 */
#ifndef PGW_ATTEMPT_REQUESTED_OPERATION_H
#define PGW_ATTEMPT_REQUESTED_OPERATION_H

#include "postgres.h"

#include "attempt/step.h"

extern void pgw_step_operation(PgwAttempt *attempt, PgwStep *step);
/* Created: nothing was done */
extern void pgw_step_operation_give_up(PgwAttempt *attempt, PgwStep *step, const char *reason);
extern void pgw_answer_operation(PgwCall *call, PgwAttempt *attempt);

#endif
