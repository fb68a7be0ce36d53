/*
 * disputes.h - what banks have said of disputes of a charge
 */
#ifndef PGW_ATTEMPT_DISPUTES_H
#define PGW_ATTEMPT_DISPUTES_H

#include "attempt/step.h"
#include "store/tables.h"

/*
 * Completed, of kind payment: what notifications have said of its disputes is recorded.  The
 * payments row is locked, without waiting: what is not free is tried again later.
 */
extern void pgw_step_disputes(PgwAttempt *attempt, PgwStep *step);

#endif
