/*
 * evidence.h - what a bank that can be asked nothing has said of an attempt by itself
 */
#ifndef PGW_ATTEMPT_EVIDENCE_H
#define PGW_ATTEMPT_EVIDENCE_H

#include "postgres.h"

#include "attempt/step.h"

/*
 * Has something come that was not taken yet?  true: this visit is about that, and about nothing
 * else: step->call is an answer then, or nothing was to be done.
 */
extern bool pgw_step_evidence(PgwAttempt *attempt, PgwStep *step);

/* The answer that it became is being recorded, in this transaction. */
extern void pgw_evidence_taken(const PgwCall *call);

#endif
