/*
 * capture_on_commit.h - the capture that follows the commit of an on_commit payment
 */
#ifndef PGW_ATTEMPT_CAPTURE_ON_COMMIT_H
#define PGW_ATTEMPT_CAPTURE_ON_COMMIT_H

#include "postgres.h"

#include "attempt/step.h"

extern void pgw_step_capture(PgwAttempt *attempt, PgwStep *step); /* Saved */
extern void pgw_answer_capture(PgwCall *call, PgwAttempt *attempt);

#endif
