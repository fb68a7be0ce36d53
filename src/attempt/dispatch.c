/*
 * dispatch.c - by an attempt's state: its next step, and what a bank's answer means for it
 *
 * Both switches over the state, side by side: what the worker does when it visits an attempt, and
 * what it does with the answer to what it has asked there.  All functions have the attempt's row
 * locked, so the state cannot change between the look at it and the step.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/timestamp.h"

#include "attempt/accepted.h"
#include "attempt/capture_on_commit.h"
#include "attempt/charge_id.h"
#include "attempt/compensation.h"
#include "attempt/dispatch.h"
#include "attempt/evidence.h"
#include "attempt/give_back_on_rollback.h"
#include "attempt/disputes.h"
#include "attempt/made_at_bank.h"
#include "attempt/operation_id.h"
#include "attempt/put_off.h"
#include "attempt/requested_operation.h"
#include "attempt/unknown_outcome.h"
#include "attempt/unsent_charge.h"
#include "attempt/watch_after_end.h"
#include "base/clock.h"
#include "exchange/log_rate.h"

#define UNDECIDED_DELAY_MS 5000

/* The payments row of an attempt that needs nothing more of the bank. */
static PgwRecordResult
write_payment(PgwAttempt *attempt)
{
	PgwRecordResult result = pgw_record_for_caller(attempt);

	if (attempt->status == PGW_REFUNDING)
		/* its next step is the bank's business, and the payments row is looked at again after it */
		return result;
	if (result == PGW_RECORD_UNDECIDED)
		pgw_step_reschedule(attempt, TimestampTzPlusMilliseconds(pgw_now(), UNDECIDED_DELAY_MS));
	else if (result != PGW_RECORD_ROW_BUSY && result != PGW_RECORD_OTHER_DATABASE &&
			 attempt->next_step_at != 0 && attempt->watch_until == 0)
		pgw_step_reschedule(attempt, 0);
	return result;
}

/* Created: not begun yet, to be tried again, or nobody knows what its worker has done with it. */
static void
step_unsent(PgwAttempt *attempt, PgwStep *step)
{
	if (!attempt->live)
		pgw_step_charge_submitted(attempt, step);
	else if (attempt->next_step_at != 0)
		pgw_step_charge_retry(attempt, step);
	else
		pgw_step_charge_lost(attempt, step);
}

PgwRecordResult
pgw_attempt_next_step(PgwAttempt *attempt, PgwStep *step)
{
	PgwRecordResult result = PGW_RECORD_NOTHING_LEFT;

	Assert(attempt->place.held && IsTransactionState() &&
		   !pgw_call_under_way(&attempt->transaction_id));
	if (pgw_step_evidence(attempt, step))
		return result;
	if (attempt->kind != PGW_KIND_PAYMENT)
	{
		pgw_step_operation(attempt, step);
		return result;
	}
	switch (attempt->status)
	{
		case PGW_CREATED:
			step_unsent(attempt, step);
			break;
		case PGW_BANK_UNKNOWN:
			pgw_step_unknown_outcome(attempt, step);
			break;
		case PGW_BANK_APPROVED:
			result = pgw_record_for_caller(attempt);
			if (result == PGW_RECORD_ROLLED_BACK)
				pgw_step_rolled_back(attempt, step);
			/* its capture is next, once this is durable */
			step->next_step_now = attempt->status == PGW_SAVED;
			break;
		case PGW_SAVED:
			if (attempt->accepted_at != 0)
				pgw_step_accepted(attempt, step);
			else
				pgw_step_capture(attempt, step);
			break;
		case PGW_REFUNDING:
			result = write_payment(attempt);
			if (result != PGW_RECORD_OTHER_DATABASE)
				pgw_step_compensation(attempt, step);
			break;
		case PGW_FAILED:
			result = write_payment(attempt);
			if (result != PGW_RECORD_ROW_BUSY && result != PGW_RECORD_UNDECIDED &&
				attempt->watch_until != 0)
				pgw_step_charge_failed(attempt, step);
			break;
		case PGW_REFUNDED:
			result = write_payment(attempt);
			if (result != PGW_RECORD_ROW_BUSY && result != PGW_RECORD_UNDECIDED)
				pgw_step_watch_refund(attempt, step);
			break;
		case PGW_REQUIRES_MANUAL_REVIEW:
			result = write_payment(attempt);
			break;
		case PGW_COMPLETED:
			if (step->bank_spoke)
				pgw_step_disputes(attempt, step);
			if (!step->bank_spoke || !pgw_step_made_at_bank(attempt, step))
				pgw_step_watch_authorization(attempt, step);
			break;
		case PGW_STATE_NONE:
		case PGW_NSTATES:
			break;
	}
	return result;
}

void
pgw_attempt_take_answer(PgwCall *call, PgwAttempt *attempt)
{
	uint64 more;
	bool payment = attempt->kind == PGW_KIND_PAYMENT;

	Assert(attempt->place.held && IsTransactionState() && !call->in_transfer);
	/* for good, and written with whatever the answer means */
	attempt->card_echoed |= call->answer.card_echoed;
	if (!payment || attempt->status == PGW_SAVED || attempt->status == PGW_REFUNDING ||
		attempt->status == PGW_COMPLETED)
		pgw_charge_id_check_subject(call, attempt);
	if (!pgw_operation_id_claim(call, attempt))
	{
		call->row_was_busy = true;
		return;
	}
	switch (attempt->status)
	{
		case PGW_CREATED:
		case PGW_BANK_UNKNOWN:
			if (payment)
				pgw_answer_charge(call, attempt);
			else
				pgw_answer_operation(call, attempt);
			return;
		case PGW_SAVED:
			if (attempt->accepted_at != 0)
				pgw_answer_accepted(call, attempt);
			else
				pgw_answer_capture(call, attempt);
			return;
		case PGW_REFUNDING:
			pgw_answer_compensation(call, attempt);
			return;
		case PGW_REFUNDED:
			pgw_answer_watched_refund(call, attempt);
			return;
		case PGW_COMPLETED:
			if (call->at_rest_since != 0)
				pgw_answer_made_at_bank(call, attempt);
			else if (payment)
				pgw_answer_watched_authorization(call, attempt);
			else
				pgw_answer_watched_refund(call, attempt);
			return;
		case PGW_FAILED:
			if (!payment)
				break;
			pgw_answer_late_charge(call, attempt);
			return;
		default:
			break;
	}
	if (pgw_log_due("an answer is not used", call->bank_name, &more))
		ereport(WARNING, (errmsg("pgw: an answer came for an attempt in state %s, and is not used",
								 pgw_state_name(attempt->status)),
						  pgw_call_errdetail(call, NULL), pgw_log_more(more)));
}
