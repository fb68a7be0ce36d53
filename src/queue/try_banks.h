/*
 * try_banks.h - the calls that pgw.try_bank() asks for, in the worker
 */
#ifndef PGW_QUEUE_TRY_BANKS_H
#define PGW_QUEUE_TRY_BANKS_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "bank_call/call.h"
#include "http/http.h"

/* Send those that may be sent now: at most one a second. */
extern void pgw_trials_send(void);
extern TimestampTz pgw_trials_next_at(void); /* 0: none waits */

/* What HTTP tells of a trial's call; kept until the call is over, which comes next. */
extern void pgw_trial_note(const PgwCall *call, const PgwHttpDone *done);

/* A trial's call is over: reported, and freed. */
extern void pgw_trial_over(PgwCall *call);

#endif
