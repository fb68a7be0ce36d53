/*
 * adoption.h - a retry takes over the attempt of a caller that is gone
 */
#ifndef PGW_ATTEMPT_ADOPTION_H
#define PGW_ATTEMPT_ADOPTION_H

#include "postgres.h"

#include "attempt/step.h"
#include "exchange/slots.h"

/*
 * Inside the transaction that would record this request: is there an earlier attempt under its id
 * that answers instead?  Then it is taken over, or call->reply says why not.  true: nothing of this
 * request is recorded or sent.
 */
extern bool pgw_adopt_for_request(PgwCall *call, const PgwSlotRequest *r);

/*
 * The same for a submitted attempt (locked) whose turn has come; step->try_later,
 * step->other_attempt.
 */
extern bool pgw_adopt_for_submitted(PgwAttempt *attempt, PgwStep *step);

#endif
