/*
 * watch_after_end.h - what a bank does by itself after an attempt has ended
 */
#ifndef PGW_ATTEMPT_WATCH_AFTER_END_H
#define PGW_ATTEMPT_WATCH_AFTER_END_H

#include "postgres.h"

#include "attempt/step.h"

/* NULL: not known yet; the row is the caller's to write */
extern void pgw_step_watch_refund_begin(PgwAttempt *attempt, const PgwCapabilities *caps);
/* a refund that is Completed, or a payment Refunded by one */
extern void pgw_step_watch_refund(PgwAttempt *attempt, PgwStep *step);
extern void pgw_answer_watched_refund(PgwCall *call, PgwAttempt *attempt);
/* a payment that is Completed */
extern void pgw_step_watch_authorization(PgwAttempt *attempt, PgwStep *step);
/* the bank cannot be asked */
extern void pgw_step_watch_authorization_give_up(PgwAttempt *attempt, PgwStep *step);
extern void pgw_answer_watched_authorization(PgwCall *call, PgwAttempt *attempt);

#endif
