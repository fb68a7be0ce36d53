/*
 * accepted.c - captures, voids and refunds that the bank has accepted and may still fail
 *
 * Carries out core/payment/accepted_rules.c for attempts that are Saved: of a capture, void or
 * refund that was asked for, and of a payment whose capture was to follow the commit.  (A give-back
 * that the bank has accepted is in compensation.c.)  All functions have the attempt's row locked.
 *
 * Orderings that matter
 *     - BankAccepted, accepted_at and the pending amount are one commit.  Before it the request is
 *       in doubt as any other, after it nothing is sent any more: whoever is killed in between
 *       leaves one of the two.
 *     - Its end and the payments row are one commit, too.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "attempt/accepted.h"
#include "attempt/operation_id.h"
#include "attempt/operation_request.h"
#include "attempt/requested_operation.h"
#include "attempt/unknown_outcome.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "base/schedule.h"
#include "core/payment/accepted_rules.h"
#include "outcome/record_decision.h"
#include "store/tables.h"

/* What is accepted of a payment's own attempt is its capture. */
static PgwKind
kind_of(const PgwAttempt *attempt)
{
	return attempt->kind == PGW_KIND_PAYMENT ? PGW_KIND_CAPTURE : attempt->kind;
}

TimestampTz
pgw_accepted_next_look(const PgwAttempt *attempt, int retry_after_s)
{
	/* the first one not at once: it would say what the answer has just said */
	return pgw_schedule_patiently(pgw_schedule_next_look(attempt->step_tries + 1, retry_after_s,
														 attempt->accepted_at,
														 attempt->watch_until),
								  attempt->accepted_at);
}

void
pgw_accepted_begins(const PgwCall *call, PgwAttempt *attempt)
{
	if (attempt->accepted_at == 0)
		attempt->accepted_at = pgw_now();
	attempt->pending_at_bank = false;
	attempt->step_tries = 0;
	attempt->watch_until = 0;
	attempt->next_step_at =
		pgw_accepted_next_look(attempt, call != NULL ? call->answer.retry_after_s : -1);
}

void
pgw_accepted_put_amounts(const PgwAttempt *attempt, PgwPayment *p)
{
	PgwPaymentAmounts s;

	if (kind_of(attempt) != PGW_KIND_CAPTURE)
		return; /* a refund's and a void's claim stands as it is */
	pgw_store_get_amounts(p, &s);
	pgw_payment_operation_accepted(PGW_KIND_CAPTURE, attempt->amount, &s);
	pgw_store_set_amounts(p, &s);
	pgw_store_update_payment(p);
}

/* ---------------------------------------------------------------- its end */

/* Done, or failed: the payments row, which is locked, and the attempt's own columns. */
static void
end(PgwAttempt *attempt, PgwPayment *p, bool done, PgwDecision *d)
{
	attempt->next_step_at = attempt->watch_until = 0;
	attempt->step_tries = 0;
	if (attempt->kind == PGW_KIND_PAYMENT)
	{
		d->payment = PGW_PAYMENT_BECOMES_CAPTURED;
		d->authorized_amount = d->captured_amount = attempt->amount;
	}
	else
	{
		(void) pgw_operation_write_payment(attempt, p, done, false);
		if (done)
			pgw_operation_watch(attempt);
	}
	attempt->accepted_at = 0;
}

static void
record(PgwAttempt *attempt, PgwPayment *p, const PgwDecision *d, const PgwAnswer *answer)
{
	pgw_record_decision(attempt, p, d, pgw_kind_name(kind_of(attempt)), answer);
	pgw_operation_tell_review(attempt);
	PGW_DEBUG_POINT("accepted_end");
}

/* Nothing could say what became of it, and the connector says that this is its end. */
static void
end_unconfirmed(PgwAttempt *attempt, PgwStep *step)
{
	PgwOperationDecision r;
	PgwDecision d;
	PgwPayment p;
	bool busy = false;

	if (!pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy))
	{
		step->try_later = true;
		return;
	}
	pgw_accepted_unconfirmed(&r);
	pgw_accepted_decision(&r, attempt->kind, &d);
	end(attempt, &p, true, &d);
	attempt->unconfirmed = true;
	record(attempt, attempt->kind == PGW_KIND_PAYMENT ? &p : NULL, &d, NULL);
}

/* ---------------------------------------------------------------- steps */

void
pgw_step_accepted(PgwAttempt *attempt, PgwStep *step)
{
	PgwAcceptedFacts facts = {.operation = pgw_step_operation_of(attempt),
							  .of_refund = pgw_step_operation_of_refund(attempt)};
	const PgwCapabilities *caps;
	PgwAcceptedStep next;
	PgwPayment p;
	PgwBank *bank;
	bool early = pgw_step_is_early(attempt, step);

	Assert(attempt->place.held && attempt->status == PGW_SAVED && attempt->accepted_at != 0);
	if (attempt->next_step_at > pgw_now() && !early)
		return;
	bank = pgw_step_bank(attempt, step, false);
	if (bank == NULL)
		return;
	pgw_operation_payment(attempt, &p);
	caps = pgw_operation_id_capabilities(bank, attempt);
	facts.age_s = pgw_schedule_age_s(attempt->accepted_at);
	facts.deadline_s = pgw_step_deadline_s(attempt, attempt->accepted_at);
	next = pgw_accepted_step(caps, &facts);
	if (early && next != PGW_ACCEPTED_LOOKUP_REFUND && next != PGW_ACCEPTED_LOOKUP_CHARGE)
		return; /* its plan stands */
	switch (next)
	{
		case PGW_ACCEPTED_LOOKUP_REFUND:
			pgw_step_operation_look_up(attempt, step, bank, &p, PGW_OP_LOOKUP_REFUND);
			break;
		case PGW_ACCEPTED_LOOKUP_CHARGE:
			pgw_step_operation_look_up(attempt, step, bank, &p, PGW_OP_LOOKUP_CHARGE);
			break;
		case PGW_ACCEPTED_WAIT:
			pgw_step_wait(attempt, pgw_accepted_wait_s(caps, facts.age_s));
			break;
		case PGW_ACCEPTED_DONE:
			end_unconfirmed(attempt, step);
			break;
		case PGW_ACCEPTED_REVIEW:
			/* its claim on the payment stays: it may be done yet */
			pgw_step_review(attempt, "outcome_unknown", "deadline", pgw_kind_name(kind_of(attempt)),
							0);
			pgw_operation_tell_review(attempt);
			break;
	}
}

/* ---------------------------------------------------------------- the bank's answers */

static void
get_input(const PgwCall *call, PgwAttempt *attempt, const PgwPayment *p, PgwOperationInput *in)
{
	pgw_step_operation_input(call, attempt, p, in);
	/* what a notification has it asked before its time counts by its age, as any other */
	in->not_found_counts =
		pgw_capabilities_not_found_counts(in->caps, pgw_schedule_age_s(attempt->accepted_at));
}

/* Nothing new. */
static void
goes_on(const PgwCall *call, PgwAttempt *attempt)
{
	if (call->notified && attempt->next_step_at > pgw_now())
		return; /* the plan stands */
	attempt->step_tries++;
	attempt->next_step_at = pgw_accepted_next_look(attempt, call->answer.retry_after_s);
}

void
pgw_answer_accepted(PgwCall *call, PgwAttempt *attempt)
{
	PgwOperationInput in;
	PgwOperationDecision r;
	PgwDecision d;
	PgwPayment p;
	bool busy = false;
	bool locked = pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy);
	bool ends;

	Assert(attempt->place.held && attempt->status == PGW_SAVED && attempt->accepted_at != 0);
	if (!locked)
		pgw_operation_payment(attempt, &p);
	pgw_step_weigh_notified(call, attempt->accepted_at);
	get_input(call, attempt, &p, &in);
	pgw_accepted_result(&in, &r);
	call->has_next_step = true;
	if (r.next == PGW_OPERATION_ACCEPTED)
	{
		goes_on(call, attempt);
		pgw_store_update_attempt(attempt);
		return;
	}
	pgw_accepted_decision(&r, attempt->kind, &d);
	ends = d.state == PGW_COMPLETED || d.state == PGW_FAILED;
	if (ends && !locked)
	{
		call->row_was_busy = true;
		return;
	}
	if (ends)
		end(attempt, &p, d.state == PGW_COMPLETED, &d);
	else
		attempt->next_step_at = attempt->watch_until = 0;
	if (d.state == PGW_COMPLETED)
		pgw_operation_id_note(call, attempt);
	call->differs = r.excess;
	call->failed_later = d.state == PGW_FAILED;
	d.said = pgw_step_said(call);
	record(attempt, ends && attempt->kind == PGW_KIND_PAYMENT ? &p : NULL, &d,
		   attempt->kind != PGW_KIND_PAYMENT && call->transport == PGW_TRANSPORT_ANSWERED &&
				   call->op != PGW_OP_LOOKUP_CHARGE
			   ? &call->answer
			   : NULL);
}
