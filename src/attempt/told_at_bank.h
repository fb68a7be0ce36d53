/*
 * told_at_bank.h - captures, refunds and voids that pgw has not made, told by a bank that can be
 * asked nothing
 */
#ifndef PGW_ATTEMPT_TOLD_AT_BANK_H
#define PGW_ATTEMPT_TOLD_AT_BANK_H

#include "postgres.h"

#include "attempt/step.h"

/* Records those of this charge that wait. */
extern void pgw_step_told_at_bank(PgwAttempt *charge, PgwStep *step, const PgwBank *bank);

#endif
