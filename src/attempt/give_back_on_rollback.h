/*
 * give_back_on_rollback.h - the caller of an approved charge rolled back
 */
#ifndef PGW_ATTEMPT_GIVE_BACK_ON_ROLLBACK_H
#define PGW_ATTEMPT_GIVE_BACK_ON_ROLLBACK_H

#include "postgres.h"

#include "attempt/step.h"

/* _PG_init: settings */
extern void pgw_step_rolled_back_init(void);
/* BankApproved, and no payments row names it */
extern void pgw_step_rolled_back(PgwAttempt *attempt, PgwStep *step);

#endif
