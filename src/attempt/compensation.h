/*
 * compensation.h - giving back what a caller was charged that rolled back
 */
#ifndef PGW_ATTEMPT_COMPENSATION_H
#define PGW_ATTEMPT_COMPENSATION_H

#include "postgres.h"

#include "attempt/step.h"

/* _PG_init: settings */
extern void pgw_step_compensation_init(void);
extern void pgw_step_compensation(PgwAttempt *attempt, PgwStep *step);   /* Refunding */
extern void pgw_answer_compensation(PgwCall *call, PgwAttempt *attempt); /* Refunding */

/*
 * Choose how to give back, with a new key; the row is the caller's to write. false: the bank offers
 * no way.
 */
extern bool pgw_step_compensation_prepare(PgwAttempt *attempt, const PgwCapabilities *caps,
										  bool amount_in_doubt, const PgwAnswer *shown);

/* How it is given back; PGW_NOPS: nothing is chosen. */
extern PgwBankOp pgw_step_compensation_operation(const PgwAttempt *attempt);

/*
 * step->call := the void, refund or cancellation, or a look-up for it.  false: it cannot be made
 * now.
 */
extern bool pgw_step_compensation_call(PgwAttempt *attempt, PgwStep *step, PgwBank *bank,
									   PgwBankOp op);

#endif
