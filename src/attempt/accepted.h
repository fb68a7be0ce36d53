/*
 * accepted.h - captures, voids and refunds that the bank has accepted and may still fail
 */
#ifndef PGW_ATTEMPT_ACCEPTED_H
#define PGW_ATTEMPT_ACCEPTED_H

#include "postgres.h"

#include "attempt/step.h"

/*
 * The bank has accepted it just now; the row is the caller's to write.  Without a call (NULL) it
 * had, when its payments row was busy.
 */
extern void pgw_accepted_begins(const PgwCall *call, PgwAttempt *attempt);

/* ... and what its capture laid claim to is pending; the payments row is locked. */
extern void pgw_accepted_put_amounts(const PgwAttempt *attempt, PgwPayment *p);

/* Saved: an operation that was asked for, or a payment whose capture was to follow the commit */
extern void pgw_step_accepted(PgwAttempt *attempt, PgwStep *step);
extern void pgw_answer_accepted(PgwCall *call, PgwAttempt *attempt);

/* When the bank is asked next what became of it. */
extern TimestampTz pgw_accepted_next_look(const PgwAttempt *attempt, int retry_after_s);

#endif
