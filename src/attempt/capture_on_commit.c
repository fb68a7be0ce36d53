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

#include "attempt/accepted.h"
#include "attempt/capture_on_commit.h"
#include "attempt/compensation.h"
#include "attempt/operation_id.h"
#include "attempt/operation_request.h"
#include "attempt/put_off.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "core/payment/charge_rules.h"
#include "core/payment/operation_events.h"
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

	if (!pgw_step_operation_send(attempt, step, bank, p, attempt->capture_request.key_used_at != 0))
		return;
	attempt->next_step_at = 0;
	/* the error stays: how the last request ended */
	pgw_store_advance(attempt, false, &event, 1);
	PGW_DEBUG_POINT("capture_apply");
}

void
pgw_step_capture(PgwAttempt *attempt, PgwStep *step)
{
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
	switch (pgw_step_operation_find_out(attempt, step, bank, &p, &reason))
	{
		case PGW_OPERATION_SEND:
			send(attempt, step, bank, &p);
			break;
		case PGW_OPERATION_LOOKUP_REFUND:
		case PGW_OPERATION_LOOKUP_CHARGE:
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

/* That request was never taken: as if it could not have been made. */
static void
not_taken(const PgwCall *call, PgwAttempt *attempt, const PgwOperationDecision *r)
{
	if (!call->in_doubt)
		attempt->capture_request.key_used_at = 0;
	pgw_put_off_goes_on(call, attempt, r->error != NULL ? r->error->code : "bank_unavailable");
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
	pgw_step_operation_input(call, attempt, &p, &in);
	if (call->op == PGW_OP_CAPTURE)
		in.refusal = NULL;
	pgw_operation_result(&in, &r);
	if (!locked && (r.next == PGW_OPERATION_DONE || r.next == PGW_OPERATION_REFUSED ||
					r.next == PGW_OPERATION_ACCEPTED))
	{
		call->row_was_busy = true; /* attempt and payments row in one commit or not yet */
		return;
	}
	if (r.next == PGW_OPERATION_ACCEPTED)
		pgw_accepted_put_amounts(attempt, &p);
	pgw_step_operation_plan(call, attempt, &r, call->op == PGW_OP_CAPTURE && !call->in_doubt);
	if (r.next == PGW_OPERATION_AGAIN)
		not_taken(call, attempt, &r);
	pgw_operation_capture_decision(&r, &d);
	d.said = pgw_step_said(call);
	if (r.next == PGW_OPERATION_DONE || r.next == PGW_OPERATION_ACCEPTED)
		pgw_operation_id_note(call, attempt);
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
