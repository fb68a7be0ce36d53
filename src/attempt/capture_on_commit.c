/*
 * capture_on_commit.c - the capture that follows the commit of an on_commit payment
 *
 * Carries out core/payment/operation_rules.c for a payment's own attempt that is Saved.  All
 * functions have the attempt's row locked.
 *
 * Orderings that matter
 *     - Saved is written by the caller's own transaction, whose commit is forced to be
 *       synchronous (or by a worker that has found the row committed): whoever reads it here reads
 *       a commit that is on disk.  So a rollback moves no money, and a crash loses no capture that
 *       was sent.
 *     - CaptureStarted with its key is committed and flushed before the capture leaves.
 *     - Refused for good: the payment fails and the give-back begins in one commit.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "attempt/capture_on_commit.h"
#include "attempt/compensation.h"
#include "attempt/put_off.h"
#include "attempt/requested_operation.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "base/schedule.h"
#include "core/payment/charge_rules.h"
#include "core/payment/operation_rules.h"
#include "outcome/record_decision.h"
#include "store/events.h"
#include "store/tables.h"

static const char *const operation_name = "capture";

static void
send(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, const PgwPayment *p)
{
	PgwEvent event = {.type = PGW_EV_CAPTURE_STARTED,
					  .from = PGW_SAVED,
					  .to = PGW_SAVED,
					  .operation = operation_name};
	bool used = attempt->capture_request.key_used_at != 0;
	bool fresh =
		attempt->capture_request.key == NULL ||
		(step->resend_allowed &&
		 pgw_operation_new_key(pgw_connector_capabilities(bank->connector),
							   pgw_schedule_age_s(attempt->capture_request.key_used_at),
							   pgw_step_operation_answered(attempt), attempt->requests_sent - 1));
	const char *key = fresh ? pgw_call_new_key() : attempt->capture_request.key;

	if (!pgw_step_operation_call(attempt, step, bank, PGW_OP_CAPTURE, key, p))
		return;
	step->call->in_doubt = used && !step->resend_allowed;
	attempt->capture_request.key = pstrdup(key);
	attempt->own_request.asked_at = pgw_now();
	if (!used || fresh)
		attempt->capture_request.key_used_at = attempt->own_request.asked_at;
	attempt->next_step_at = 0;
	attempt->requests_sent++;
	/* the error stays: how the last request ended */
	pgw_store_advance(attempt, false, &event, 1);
	PGW_DEBUG_POINT("capture_apply");
}

void
pgw_step_capture(PgwAttempt *attempt, PgwStep *step)
{
	PgwOperationFacts facts;
	PgwPayment p;
	PgwBank *bank;
	const char *reason;

	Assert(attempt->place.held && attempt->status == PGW_SAVED &&
		   attempt->kind == PGW_KIND_PAYMENT);
	/* no next attempt: just saved, or being sent when a worker ended */
	if (attempt->next_step_at > pgw_now())
		return;
	bank = pgw_step_bank(attempt, step, false);
	if (bank == NULL)
		return;
	if (!pgw_store_payment_by_id(&attempt->payment_id, &p))
		elog(ERROR, "the payments row of a saved payment is not there");
	if (attempt->capture_request.key_used_at == 0)
	{
		if (pgw_put_off_ended(attempt, step))
			return;
		send(attempt, step, bank, &p);
		return;
	}
	pgw_step_operation_facts(attempt, step, PGW_OP_CAPTURE, attempt->capture_request.key_used_at,
							 &facts);
	switch (pgw_operation_step(pgw_connector_capabilities(bank->connector), &facts, &reason))
	{
		case PGW_OPERATION_SEND:
			send(attempt, step, bank, &p);
			break;
		case PGW_OPERATION_LOOKUP_REFUND:
		case PGW_OPERATION_LOOKUP_CHARGE:
			if (pgw_step_operation_call(attempt, step, bank, PGW_OP_LOOKUP_CHARGE,
										attempt->capture_request.key, &p))
				step->call->in_doubt = true;
			break;
		case PGW_OPERATION_REVIEW:
			/* the payment stays authorized, its amount reserved: that much is certain */
			pgw_step_review(attempt, "outcome_unknown", reason, operation_name, 0);
			break;
	}
}

/*
 * The bank will not capture it: nothing is left of the payment but an authorization to be given up.
 */
static void
begin_give_back(PgwCall *call, PgwAttempt *attempt, PgwPayment *p, PgwDecision *d)
{
	if (d->error == NULL || strcmp(d->error->code, "authorization_expired") != 0)
		d->error = pgw_error_find("capture_refused");
	d->payment = PGW_PAYMENT_BECOMES_FAILED;
	(void) pgw_step_compensation_prepare(attempt, pgw_connector_capabilities(call->bank->connector),
										 false, NULL);
	attempt->watch_until = 0;
	attempt->next_step_at = pgw_now();
}

/* By how the capture stands now, what comes next. */
static void
set_next_step(PgwCall *call, PgwAttempt *attempt, const PgwOperationDecision *r)
{
	attempt->next_step_at = 0;
	attempt->pending_at_bank = r->pending;
	switch (r->next)
	{
		case PGW_OPERATION_AGAIN:
			if (!call->in_doubt)
				attempt->capture_request.key_used_at = 0; /* that request was never taken */
			pgw_put_off_goes_on(call, attempt,
								r->error != NULL ? r->error->code : "bank_unavailable");
			attempt->step_tries++;
			attempt->next_step_at =
				pgw_schedule_retry(attempt->step_tries, call->answer.retry_after_s);
			break;
		case PGW_OPERATION_AT_ONCE:
			call->resend_allowed = true;
			attempt->next_step_at = pgw_now();
			break;
		case PGW_OPERATION_FIND_OUT:
			attempt->step_tries =
				call->op == PGW_OP_CAPTURE && !call->in_doubt ? 0 : attempt->step_tries + 1;
			call->lookup_inconclusive = pgw_step_operation_key_tells(
				call, attempt, r, attempt->capture_request.key_used_at);
			attempt->next_step_at =
				call->lookup_inconclusive ? pgw_now() : pgw_step_operation_next_look(call, attempt);
			break;
		case PGW_OPERATION_DONE:
		case PGW_OPERATION_REFUSED:
		case PGW_OPERATION_STOP:
			attempt->watch_until = 0;
			break;
	}
}

void
pgw_answer_capture(PgwCall *call, PgwAttempt *attempt)
{
	PgwOperationInput in;
	PgwOperationDecision r;
	PgwDecision d;
	PgwPayment p;
	bool busy = false;
	bool locked = pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy);

	Assert(attempt->place.held && attempt->status == PGW_SAVED);
	if (!locked && !pgw_store_payment_by_id(&attempt->payment_id, &p))
		elog(ERROR, "the payments row of a saved payment is not there");
	pgw_step_operation_input(call, attempt, &p, PGW_OP_CAPTURE, &in);
	if (call->op == PGW_OP_CAPTURE)
		in.refusal = NULL;
	pgw_operation_result(&in, &r);
	if (!locked && (r.next == PGW_OPERATION_DONE || r.next == PGW_OPERATION_REFUSED))
	{
		call->row_was_busy = true; /* attempt and payments row in one commit or not yet */
		return;
	}
	if (call->op == PGW_OP_CAPTURE)
		attempt->own_request.asked_at = pgw_now(); /* until now it could have been done */
	call->has_next_step = true;
	set_next_step(call, attempt, &r);
	pgw_operation_capture_decision(&r, &d);
	if (r.next == PGW_OPERATION_REFUSED)
		begin_give_back(call, attempt, &p, &d);
	else if (r.next == PGW_OPERATION_DONE)
	{
		d.payment = PGW_PAYMENT_BECOMES_CAPTURED;
		d.authorized_amount = d.captured_amount = attempt->amount;
	}
	if (d.nevents == 0)
		pgw_store_update_attempt(attempt); /* pending, as before */
	else
		pgw_record_decision(attempt, locked ? &p : NULL, &d, operation_name, NULL);
	PGW_DEBUG_POINT("capture_result");
}
