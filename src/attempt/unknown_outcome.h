/*
 * unknown_outcome.h - attempts whose outcome is not known, and late success
 */
#ifndef PGW_ATTEMPT_UNKNOWN_OUTCOME_H
#define PGW_ATTEMPT_UNKNOWN_OUTCOME_H

#include "postgres.h"

#include "attempt/step.h"

/* Created, taken, and no call of it is under way */
extern void pgw_step_charge_lost(PgwAttempt *attempt, PgwStep *step);
/*
 * How long the bank is asked about an outcome that is in doubt since then, in seconds; 0: without
 * end, as an operator has it asked again, or nobody was there to ask meanwhile.
 */
extern int64 pgw_step_deadline_s(PgwAttempt *attempt, TimestampTz since);
/* BankUnknown */
extern void pgw_step_unknown_outcome(PgwAttempt *attempt, PgwStep *step);
/* Failed, and looked up again in case the charge turns up */
extern void pgw_step_charge_failed(PgwAttempt *attempt, PgwStep *step);
/* a charge, its replay or look-up: Created, BankUnknown */
extern void pgw_answer_charge(PgwCall *call, PgwAttempt *attempt);
extern void pgw_answer_late_charge(PgwCall *call, PgwAttempt *attempt); /* Failed */

/* In doubt, and a person has to decide; the payments row says so too, now or later. */
extern void pgw_step_charge_review(PgwAttempt *attempt, const char *reason);
/* Failed, and the bank says by itself that it has charged. */
extern void pgw_step_charge_late_review(PgwAttempt *attempt, const char *reason);

#endif
