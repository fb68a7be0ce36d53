/*
 * requested_operation.h - captures, voids and refunds that callers asked for
 */
#ifndef PGW_ATTEMPT_REQUESTED_OPERATION_H
#define PGW_ATTEMPT_REQUESTED_OPERATION_H

#include "postgres.h"

#include "attempt/step.h"

extern void pgw_step_operation(PgwAttempt *attempt, PgwStep *step);
/* The payments row, which is there: it is not locked. */
extern void pgw_operation_payment(const PgwAttempt *attempt, PgwPayment *p);
/* Listeners hear that it has gone to a person; of a payment's own attempt they hear otherwise. */
extern void pgw_operation_tell_review(const PgwAttempt *attempt);
/*
 * Failed, and the bank says by itself that it has done it: for a person, with its claim taken again
 * where what it claimed is still there; else for the reason unclaimed, and people are told.  false:
 * the payments row is busy.
 */
extern bool pgw_step_operation_late_review(PgwAttempt *attempt, PgwStep *step, const char *reason,
										   const char *unclaimed);
/*
 * In doubt no more: what came before was refused, as a look-up has shown, and of what is sent in
 * its place nothing was taken yet.
 */
extern bool pgw_step_operation_is_unsent(const PgwAttempt *attempt);
/* Created, or unsent: nothing was done */
extern void pgw_step_operation_give_up(PgwAttempt *attempt, PgwStep *step, const char *reason);
/*
 * What its end means for the payment, whose row is locked. false: another row is busy, nothing is
 * written.
 */
extern bool pgw_operation_write_payment(const PgwAttempt *attempt, PgwPayment *p, bool done,
										bool expired);
/* A refund that is done is looked at again: the bank may take it back. */
extern void pgw_operation_watch(PgwAttempt *attempt);
extern void pgw_answer_operation(PgwCall *call, PgwAttempt *attempt);

#endif
