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
/*
 * The bank says by itself that it took back a capture which is Completed.  false: later.  Where the
 * payment's amounts do not allow it the capture stays as it is, and step->contradicted is set.
 */
extern bool pgw_step_capture_reversed(PgwAttempt *attempt, PgwStep *step);
/* a payment that is Completed */
extern void pgw_step_watch_authorization(PgwAttempt *attempt, PgwStep *step);
/* the bank cannot be asked */
extern void pgw_step_watch_authorization_give_up(PgwAttempt *attempt, PgwStep *step);
extern void pgw_answer_watched_authorization(PgwCall *call, PgwAttempt *attempt);

#endif
