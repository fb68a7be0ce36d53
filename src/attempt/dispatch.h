/*
 * dispatch.h - by an attempt's state: its next step, and what a bank's answer means for it
 */
#ifndef PGW_ATTEMPT_DISPATCH_H
#define PGW_ATTEMPT_DISPATCH_H

#include "postgres.h"

#include "attempt/step.h"
#include "outcome/record_decision.h"

/*
 * The next step of an attempt whose row is locked: whatever its state, and what is due, call for.
 * No call of it is under way. Returns what became of the payments row.
 */
extern PgwRecordResult pgw_attempt_next_step(PgwAttempt *attempt, PgwStep *step);

/*
 * The transfer of this call is over: record in the attempt, whose row is locked, what its result
 * means there. call->row_was_busy: nothing was written, the same result again a little later.
 */
extern void pgw_attempt_take_answer(PgwCall *call, PgwAttempt *attempt);

#endif
