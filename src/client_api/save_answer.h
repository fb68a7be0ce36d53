/*
 * save_answer.h - what the worker answers, in the caller's own transaction
 */
#ifndef PGW_CLIENT_API_SAVE_ANSWER_H
#define PGW_CLIENT_API_SAVE_ANSWER_H

#include "postgres.h"

#include "client_api/pay_common.h"
#include "exchange/caller_slot.h"

/*
 * The worker has answered, and not refused, or the wait is over with the request under way: the
 * payments row names the attempt that tells the outcome, and says it where it is known.  *attempt
 * is that attempt, if it is recorded (*have_t).
 */
extern PgwAudience pgw_save_answer(PgwPay *pay, const PgwWaited *waited, PgwAttempt *attempt,
								   bool *have_t);

#endif
