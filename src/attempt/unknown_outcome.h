/*
 * unknown_outcome.h - attempts whose outcome is not known, and late success
 */
#ifndef PGW_ATTEMPT_UNKNOWN_OUTCOME_H
#define PGW_ATTEMPT_UNKNOWN_OUTCOME_H

#include "postgres.h"

#include "attempt/step.h"

/* Created, taken, and no call of it is under way */
extern void pgw_step_charge_lost(PgwAttempt *attempt, PgwStep *step);
/* the deadline begins again where nobody was there to ask */
extern void pgw_step_extend_deadline(PgwAttempt *attempt, TimestampTz since);
/* BankUnknown */
extern void pgw_step_unknown_outcome(PgwAttempt *attempt, PgwStep *step);
/* Failed, and looked up again in case the charge turns up */
extern void pgw_step_charge_failed(PgwAttempt *attempt, PgwStep *step);
/* a charge, its replay or look-up: Created, BankUnknown */
extern void pgw_answer_charge(PgwCall *call, PgwAttempt *attempt);
extern void pgw_answer_late_charge(PgwCall *call, PgwAttempt *attempt); /* Failed */

#endif
