/*
 * process_payment.c - pgw.process_payment(): pay while the caller waits
 *
 * Owns nothing that lasts. Order that matters: what is recorded already is answered first, without
 * a lock that stays (look_without_lock.c).  Then the locks of all tables (table_locks.c), so that
 * DDL cannot come between the caller and the worker; then the claim (payments row), so that
 * duplicates wait in their own backends; the signal of the transaction's end is registered before
 * the worker can see the request (hand_over.c), so that no rollback goes unheard; then the answer
 * is saved (save_answer.c).
 */
#include "postgres.h"

#include "fmgr.h"

#include "base/debug_points.h"
#include "client_api/bounded_call.h"
#include "client_api/hand_over.h"
#include "client_api/pay_common.h"
#include "client_api/save_answer.h"
#include "database/caller_locks.h"
#include "database/row.h"
#include "exchange/commit_signal.h"
#include "store/tables.h"

PG_FUNCTION_INFO_V1(pgw_process_payment_1_0);

/* Hand the request over and wait; again after the give-back of an earlier attempt. */
static void
ask_worker(PgwPay *pay, PgwWaited *waited)
{
	pgw_commit_signal_add(&pay->payment.transaction_id, PGW_COMMIT_SIGNAL_PROCESS);
	PGW_DEBUG_POINT("claimed");
	for (;;)
	{
		PgwClaimSlot why;
		int slot = pgw_hand_over_claim(pay, false, &why);

		if (slot < 0)
			pgw_hand_over_refuse(pay, why);
		pgw_hand_over_fill(slot, pay);
		pgw_exchange_submit();
		PGW_DEBUG_POINT("requested");

		pgw_hand_over_wait(pay->deadline, waited, 1);
		if (!waited->answered || waited->answer.kind != PGW_ANSWER_BLOCKED)
			break;
		pgw_wait_for_give_back(pay, &waited->answer.transaction_id);
	}
	pgw_args_wipe(&pay->args);
	if (!waited->withdrawn)
		PGW_DEBUG_POINT("answered");
	pgw_hand_over_check(waited);
}

static Datum
process(PgwPay *pay, FunctionCallInfo fcinfo)
{
	PgwAttempt attempt;
	PgwWaited waited;
	PgwAudience audience;
	bool have_t;

	if (!pgw_pay_claim(pay, &attempt, &have_t))
		return pgw_pay_result(pay, fcinfo, have_t ? &attempt : NULL, PGW_AUDIENCE_REPLAY);

	ask_worker(pay, &waited);
	audience = pgw_save_answer(pay, &waited, &attempt, &have_t);
	PGW_DEBUG_POINT("saved");
	return pgw_pay_result(pay, fcinfo, have_t ? &attempt : NULL, audience);
}

/* The tables are written before and after the wait. */
static Datum
process_with_open_tables(PgwPay *pay, FunctionCallInfo fcinfo)
{
	bool keep = pgw_row_keep(CurrentMemoryContext);
	Datum result;

	PG_TRY();
	{
		result = process(pay, fcinfo);
	}
	PG_CATCH();
	{
		if (keep)
			pgw_row_forget_kept();
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (keep)
		pgw_row_close_kept();
	return result;
}

static Datum
process_payment(PG_FUNCTION_ARGS)
{
	PgwPay pay;
	PgwAttempt attempt;
	Datum result;

	pgw_pay_begin(&pay, fcinfo, "pgw.process_payment()", false);
	if (pgw_pay_repeat(&pay, &attempt))
		result = pgw_pay_result(&pay, fcinfo, &attempt, PGW_AUDIENCE_REPLAY);
	else
	{
		pgw_tables_enter(pay.deadline);
		pgw_pay_prepare(&pay);
		result = process_with_open_tables(&pay, fcinfo);
	}
	pgw_pay_end(&pay);
	return result;
}

Datum
pgw_process_payment_1_0(PG_FUNCTION_ARGS)
{
	return pgw_bounded_call(fcinfo, true, process_payment);
}
