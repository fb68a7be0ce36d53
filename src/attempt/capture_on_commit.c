/*
 * capture_on_commit.c - the capture that follows the commit of an on_commit payment
 *
 * Carries out core/payment/operation_rules.c for a payment's own attempt that is Saved.  All functions have the attempt's row locked.
 *
 * Orderings that matter
 *	- Saved is written by the caller's own transaction, whose commit is forced to be synchronous (or by a worker that has counted the vote): whoever
 *	  reads it here reads a commit that is on disk.  So a rollback moves no money, and a crash loses no capture that was sent.
 *	- CaptureStarted with its key is committed and flushed before the capture leaves.
 *	- Refused for good: the payment fails and the give-back begins in one commit.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "bank_call/call.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "base/schedule.h"
#include "core/payment/operation_rules.h"
#include "store/tables_internal.h"

static const char *const operation_name = "capture";

static void
send(PgwTransaction *t, PgwAttempt *a, PgwBank *bank, const PgwPayment *p)
{
	PgwEvent	event = {.type = PGW_EV_CAPTURE_STARTED, .from = PGW_SAVED, .to = PGW_SAVED, .operation = operation_name};
	bool		used = t->capture_key_used_at != 0;
	bool		fresh = t->capture_key == NULL ||
		(a->looked && pgw_operation_new_key(pgw_connector_capabilities(bank->connector), pgw_schedule_age_s(t->capture_key_used_at),
											pgw_operation_answered(t), t->attempts - 1));
	const char *key = fresh ? pgw_call_new_key() : t->capture_key;

	if (!pgw_operation_call(t, a, bank, PGW_OP_CAPTURE, key, p))
		return;
	a->call->in_doubt = used && !a->looked;
	t->capture_key = pstrdup(key);
	t->bank_asked_at = pgw_now();
	if (!used || fresh)
		t->capture_key_used_at = t->bank_asked_at;
	t->next_attempt_at = 0;
	t->attempts++;
	pgw_store_advance(t, false, &event, 1);	/* the error stays: how the last request ended */
	PGW_DEBUG_POINT("capture_apply");
}

void
pgw_capture_work(PgwTransaction *t, PgwAttempt *a)
{
	PgwOperationFacts facts;
	PgwFlowDecision d;
	PgwPayment	p;
	PgwBank    *bank;
	const char *reason;

	/* no next attempt: just saved, or being sent when a worker ended */
	if (t->next_attempt_at > pgw_now())
		return;
	bank = pgw_attempts_bank(t, a, false);
	if (bank == NULL)
		return;
	if (!pgw_store_payment_by_id(&t->payment_id, &p))
		elog(ERROR, "the payments row of a saved payment is not there");
	if (t->capture_key_used_at == 0)
	{
		if (pgw_put_off_ended(t, a))
			return;
		send(t, a, bank, &p);
		return;
	}
	pgw_operation_facts(t, a, PGW_OP_CAPTURE, t->capture_key_used_at, &facts);
	switch (pgw_operation_step(pgw_connector_capabilities(bank->connector), &facts, &reason))
	{
		case PGW_OPERATION_SEND:
			send(t, a, bank, &p);
			break;
		case PGW_OPERATION_LOOKUP_REFUND:
		case PGW_OPERATION_LOOKUP_CHARGE:
			if (pgw_operation_call(t, a, bank, PGW_OP_LOOKUP_CHARGE, t->capture_key, &p))
				a->call->in_doubt = true;
			break;
		case PGW_OPERATION_REVIEW:
			/* the payment stays authorized, its amount reserved: that much is certain */
			pgw_flow_review(PGW_SAVED, "outcome_unknown", reason, &d);
			t->next_attempt_at = t->watch_until = 0;
			pgw_vote_record(t, NULL, &d, operation_name, NULL);
			break;
	}
}

/* The bank will not capture it: nothing is left of the payment but an authorization to be given up. */
static void
begin_give_back(PgwCall *call, PgwTransaction *t, PgwPayment *p, PgwFlowDecision *d)
{
	if (d->error == NULL || strcmp(d->error->code, "authorization_expired") != 0)
		d->error = pgw_error_find("capture_refused");
	d->payment = PGW_FLOW_PAY_FAILED;
	(void) pgw_compensate_prepare(t, pgw_connector_capabilities(call->bank->connector), false, NULL);
	t->watch_until = 0;
	t->next_attempt_at = pgw_now();
}

/* By how the capture stands now, what comes next. */
static void
set_next_step(PgwCall *call, PgwTransaction *t, const PgwOperationDecision *r)
{
	t->next_attempt_at = 0;
	t->pending_at_bank = r->pending;
	switch (r->next)
	{
		case PGW_OPERATION_AGAIN:
			if (!call->in_doubt)
				t->capture_key_used_at = 0; /* that request was never taken */
			pgw_put_off_goes_on(call, t, r->error != NULL ? r->error->code : "bank_unavailable");
			t->retries++;
			t->next_attempt_at = pgw_schedule_retry(t->retries, call->answer.retry_after_s);
			pgw_calls_wake_at(t->next_attempt_at);
			break;
		case PGW_OPERATION_AT_ONCE:
			call->looked = true;
			t->next_attempt_at = pgw_now();
			break;
		case PGW_OPERATION_FIND_OUT:
			t->retries = call->op == PGW_OP_CAPTURE && !call->in_doubt ? 0 : t->retries + 1;
			call->untold = pgw_operation_key_tells(call, t, r, t->capture_key_used_at);
			t->next_attempt_at = call->untold ? pgw_now() : pgw_operation_next_look(call, t);
			break;
		case PGW_OPERATION_DONE:
		case PGW_OPERATION_REFUSED:
		case PGW_OPERATION_STOP:
			t->watch_until = 0;
			break;
	}
}

void
pgw_capture_result(PgwCall *call, PgwTransaction *t)
{
	PgwOperationInput in;
	PgwOperationDecision r;
	PgwFlowDecision d;
	PgwPayment	p;
	bool		busy = false;
	bool		locked = pgw_store_lock_payment(&t->payment_id, false, &p, &busy);

	if (!locked && !pgw_store_payment_by_id(&t->payment_id, &p))
		elog(ERROR, "the payments row of a saved payment is not there");
	pgw_operation_input(call, t, &p, PGW_OP_CAPTURE, &in);
	if (call->op == PGW_OP_CAPTURE)
		in.refusal = NULL;
	pgw_operation_result(&in, &r);
	if (!locked && (r.next == PGW_OPERATION_DONE || r.next == PGW_OPERATION_REFUSED))
	{
		call->later = true;		/* attempt and payments row in one commit or not yet */
		return;
	}
	if (call->op == PGW_OP_CAPTURE)
		t->bank_asked_at = pgw_now();	/* until now it could have been done */
	call->look = true;
	set_next_step(call, t, &r);
	pgw_operation_capture_flow(&r, &d);
	if (r.next == PGW_OPERATION_REFUSED)
		begin_give_back(call, t, &p, &d);
	else if (r.next == PGW_OPERATION_DONE)
	{
		d.payment = PGW_FLOW_PAY_CAPTURED;
		d.authorized_amount = d.captured_amount = t->amount;
	}
	if (d.nevents == 0)
		pgw_store_update_transaction(t);	/* pending, as before */
	else
		pgw_vote_record(t, locked ? &p : NULL, &d, operation_name, NULL);
	PGW_DEBUG_POINT("capture_result");
}
