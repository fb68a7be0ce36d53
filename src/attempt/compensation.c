/*
 * compensation.c - giving back what a caller was charged that rolled back
 *
 * Carries out core/payment/compensation_rules.c.  How it begins is in
 * give_back_on_rollback.c.  Owns: pgw.refund_max_attempts.  All functions have the attempt's row
 * locked.
 *
 * Orderings that matter
 *     - RefundStarted with its key is committed and flushed before the void or refund leaves.
 *     - A key is sent again only while its outcome is in doubt; a new one is taken only when the
 *       old one provably did nothing, or for a cancellation, which may be repeated.
 */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/timestamp.h"

#include "attempt/accepted.h"
#include "attempt/charge_id.h"
#include "attempt/compensation.h"
#include "attempt/operation_id.h"
#include "attempt/put_off.h"
#include "attempt/unknown_outcome.h"
#include "attempt/watch_after_end.h"
#include "base/clock.h"
#include "base/schedule.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "core/payment/accepted_rules.h"
#include "core/payment/charge_rules.h"
#include "core/payment/compensation_rules.h"
#include "core/payment/review_rules.h"
#include "core/payment/shown_by_bank.h"
#include "core/payment/unknown_outcome_rules.h"
#include "outcome/event_members.h"
#include "outcome/record_decision.h"
#include "store/events.h"
#include "store/tables.h"

static int refund_max_attempts = 10;

void
pgw_step_compensation_init(void)
{
	DefineCustomIntVariable(
		"pgw.refund_max_attempts",
		"How often a bank may refuse to give a charge back before a person has to look.", NULL,
		&refund_max_attempts, 10, 1, 1000, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

PgwBankOp
pgw_step_compensation_operation(const PgwAttempt *attempt)
{
	int op = attempt->refund_operation != NULL ? pgw_op_parse(attempt->refund_operation) : -1;

	return op < 0 ? PGW_NOPS : (PgwBankOp) op;
}

static int64
refund_amount(const PgwAttempt *attempt)
{
	return attempt->approved_amount != 0 ? attempt->approved_amount : attempt->amount;
}

static const char *
refund_currency(const PgwAttempt *attempt)
{
	return attempt->approved_currency != NULL ? attempt->approved_currency : attempt->currency;
}

static void
new_key(PgwAttempt *attempt)
{
	pgw_store_forget_refund_request(attempt);
	attempt->refund_request.key = unconstify(char *, pgw_call_new_key());
	attempt->refund_keys_used++;
	attempt->error_answered = false;
}

/* shown: the bank's answer that says how the charge stands, or NULL: as it was asked for. */
static bool
choose_operation(PgwAttempt *attempt, const PgwCapabilities *caps, bool amount_in_doubt,
				 const PgwAnswer *shown)
{
	PgwToGiveBack what = {.captured = pgw_charge_is_captured(attempt->capture, attempt->submitted),
						  .amount_in_doubt = amount_in_doubt,
						  .part = shown != NULL && shown->refunded > 0,
						  .ruled_out = attempt->refund_ruled_out};
	PgwBankOp op;

	if (shown != NULL)
	{
		int64 asked = pgw_shown_other_currency(attempt->currency, shown) ? 0 : attempt->amount;

		attempt->approved_amount = pgw_shown_left(shown, asked, &what.captured);
		attempt->approved_currency = shown->currency[0] != '\0' ? pstrdup(shown->currency) : NULL;
	}
	op = pgw_compensation_operation(caps, &what);
	attempt->refund_operation = op != PGW_NOPS ? pstrdup(pgw_op_name(op)) : NULL;
	return op != PGW_NOPS;
}

bool
pgw_step_compensation_prepare(PgwAttempt *attempt, const PgwCapabilities *caps,
							  bool amount_in_doubt, const PgwAnswer *shown)
{
	Assert(attempt->place.held);
	attempt->step_tries = attempt->refund_keys_used = attempt->refund_ruled_out = 0;
	attempt->cancelled_at = 0;
	new_key(attempt);
	return choose_operation(attempt, caps, amount_in_doubt, shown);
}

bool
pgw_step_compensation_call(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, PgwBankOp op)
{
	PgwCallParams params;

	pgw_step_params_about_charge(attempt, &params);
	params.currency = refund_currency(attempt);
	if (op == PGW_OP_REFUND)
		params.amount = refund_amount(attempt);
	params.operation_reference = op == PGW_OP_REFUND ? pgw_operation_id_of_own_capture(attempt)
													 : pgw_operation_id_of_refund(attempt);
	if (!pgw_step_call(attempt, step, bank, op,
					   attempt->refund_request.key != NULL ? attempt->refund_request.key
														   : attempt->own_request.key,
					   &params))
		return false;

	/* a look-up that counts has said that nothing happened: what is sent now is judged by itself */
	step->call->in_doubt = attempt->refund_request.key != NULL &&
						   attempt->refund_request.key_used_at != 0 && !step->resend_allowed;
	return true;
}

static void
give_to_review(PgwAttempt *attempt, const char *reason)
{
	pgw_step_review(attempt, "refund_refused", reason, attempt->refund_operation, 0);
}

static void
send(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, const PgwCompensationFacts *facts)
{
	PgwEvent event = {.type = PGW_EV_REFUND_STARTED, .from = PGW_REFUNDING, .to = PGW_REFUNDING};
	bool announced = facts->key && !facts->used && attempt->step_tries == 0;
	const PgwCapabilities *caps = pgw_connector_capabilities(bank->connector);

	/* A cancellation once more is the same try, still in doubt, under another key. */
	if (facts->used && facts->operation == PGW_OP_CANCEL)
		attempt->refund_request.key = unconstify(char *, pgw_call_new_key());
	else if (pgw_compensation_new_key(caps, facts, attempt->step_tries))
		new_key(attempt);
	/* a look-up has shown that the request which was answered so did nothing */
	if (facts->resend_allowed)
		attempt->error_answered = false;
	if (!pgw_step_compensation_call(attempt, step, bank, facts->operation))
		return;
	if (attempt->refund_request.key_used_at == 0)
		attempt->refund_request.key_used_at = step->call->said_at;
	/* durable before it leaves: "not found" must not count from an earlier one */
	attempt->refund_request.asked_at = pgw_now();
	attempt->next_step_at = 0;
	if (announced)
	{
		pgw_store_update_attempt(attempt); /* RefundStarted stands already */
		return;
	}
	event.operation = attempt->refund_operation;
	pgw_store_advance(attempt, false, &event, 1);
}

/* Nothing could say what became of it, and the connector says that this is its end. */
static void
end_unconfirmed(PgwAttempt *attempt)
{
	PgwEvent event = {.type = PGW_EV_REFUND_COMPLETED,
					  .from = PGW_REFUNDING,
					  .to = PGW_REFUNDED,
					  .operation = attempt->refund_operation};
	PgwEventMembers members = {.n = 0};

	pgw_event_members_add_string(&members, "reason", PGW_ACCEPTED_UNCONFIRMED);
	pgw_event_members_into(&members, &event);
	attempt->accepted_at = attempt->watch_until = 0;
	attempt->unconfirmed = true;
	/* as after any give-back: a payments row that does not say so yet */
	attempt->next_step_at = attempt->abandoned_at == 0 ? pgw_now() : 0;
	pgw_store_advance(attempt, false, &event, 1);
}

/* The bank has accepted the order, and may still fail it: what became of it? */
static void
step_accepted(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, const PgwCapabilities *caps)
{
	PgwAcceptedFacts facts = {.operation = pgw_step_compensation_operation(attempt),
							  .age_s = pgw_schedule_age_s(attempt->accepted_at),
							  .deadline_s = pgw_step_deadline_s(attempt, attempt->accepted_at)};

	switch (pgw_accepted_step(caps, &facts))
	{
		case PGW_ACCEPTED_LOOKUP_REFUND:
			(void) pgw_step_compensation_call(attempt, step, bank, PGW_OP_LOOKUP_REFUND);
			break;
		case PGW_ACCEPTED_LOOKUP_CHARGE:
			(void) pgw_step_compensation_call(attempt, step, bank, PGW_OP_LOOKUP_CHARGE);
			break;
		case PGW_ACCEPTED_WAIT:
			pgw_step_wait(attempt, pgw_accepted_wait_s(caps, facts.age_s));
			break;
		case PGW_ACCEPTED_DONE:
			end_unconfirmed(attempt);
			break;
		case PGW_ACCEPTED_REVIEW:
			give_to_review(attempt, "deadline");
			break;
	}
}

void
pgw_step_compensation(PgwAttempt *attempt, PgwStep *step)
{
	PgwCompensationFacts facts;
	PgwCapabilities caps;
	PgwBank *bank;

	Assert(attempt->place.held && attempt->status == PGW_REFUNDING);
	/* no next attempt: it was being sent when a worker ended */
	if (attempt->next_step_at > pgw_now())
		return;
	(void) pgw_put_off_wait_over(attempt);
	bank = pgw_step_bank(attempt, step, false);
	if (bank == NULL)
		return;
	pgw_charge_id_capabilities(bank, attempt->bank_reference, &caps);
	pgw_operation_id_reduce(attempt, &caps);
	if (pgw_step_compensation_operation(attempt) == PGW_NOPS)
	{
		/* an operator wants it given back, or the bank offers no way: perhaps it does now */
		if (!choose_operation(attempt, &caps, attempt->approved_amount != 0, NULL))
		{
			give_to_review(attempt, "bank_cannot_give_back");
			return;
		}
		pgw_store_update_attempt(attempt); /* what a look-up's answer finds */
	}
	if (attempt->accepted_at != 0)
	{
		step_accepted(attempt, step, bank, &caps);
		return;
	}
	facts.operation = pgw_step_compensation_operation(attempt);
	facts.key = attempt->refund_request.key != NULL;
	facts.used = facts.key && attempt->refund_request.key_used_at != 0;
	facts.pending = attempt->pending_at_bank;
	facts.resend_allowed = step->resend_allowed;
	facts.error_answered = attempt->error_answered;
	facts.waits_s = facts.operation == PGW_OP_REFUND ? caps.settles_after_s : 0;
	facts.cancelled = attempt->cancelled_at != 0;
	facts.cancel_wait_s = pgw_capabilities_cancel_wait_s(
		&caps, facts.cancelled ? pgw_step_cancelled_age_s(attempt)
							   : pgw_schedule_age_s(pgw_step_asked_at(&attempt->own_request)));
	facts.lookup_inconclusive = step->lookup_inconclusive;
	facts.deadline_s = pgw_step_deadline_s(attempt, attempt->refund_request.key_used_at);
	facts.key_age_s = facts.used ? pgw_schedule_age_s(attempt->refund_request.key_used_at) : 0;
	if (pgw_compensation_overdue(&facts, pgw_schedule_age_s(attempt->abandoned_at != 0
																? attempt->abandoned_at
																: attempt->created_at)))
	{
		give_to_review(attempt, "deadline");
		return;
	}
	switch (pgw_compensation_step(&caps, &facts))
	{
		case PGW_COMPENSATE_SEND:
			send(attempt, step, bank, &facts);
			break;
		case PGW_COMPENSATE_LOOKUP_REFUND:
			(void) pgw_step_compensation_call(attempt, step, bank, PGW_OP_LOOKUP_REFUND);
			break;
		case PGW_COMPENSATE_LOOKUP_CHARGE:
			(void) pgw_step_compensation_call(attempt, step, bank, PGW_OP_LOOKUP_CHARGE);
			break;
		case PGW_COMPENSATE_WAIT:
			pgw_step_wait(attempt, facts.cancel_wait_s);
			break;
		case PGW_COMPENSATE_REVIEW:
			give_to_review(attempt, facts.deadline_s > 0 && facts.key_age_s >= facts.deadline_s
										? "deadline"
										: "no_way_to_find_out");
			break;
	}
}

static void
get_input(const PgwCall *call, const PgwAttempt *attempt, const PgwCapabilities *caps,
		  PgwCompensationInput *in)
{
	memset(in, 0, sizeof(*in));
	in->op = call->op;
	in->operation = pgw_step_compensation_operation(attempt);
	in->in_doubt = call->in_doubt;
	in->pending = attempt->pending_at_bank;
	in->accepted = attempt->accepted_at != 0;
	in->cancelled_too_early =
		!pgw_capabilities_cancel_counts(caps, pgw_step_cancelled_age_s(attempt));
	in->amount = in->operation == PGW_OP_REFUND ? refund_amount(attempt) : 0;
	in->currency = refund_currency(attempt);
	in->charged = attempt->amount;
	in->held = refund_amount(attempt);
	in->captured = pgw_charge_is_captured(attempt->capture, attempt->submitted);
	in->ruled_out = attempt->refund_ruled_out;
	in->charge_age_s = pgw_schedule_age_s(pgw_step_charged_at(attempt));
	in->transport = call->transport;
	in->answer = &call->answer;
	in->names_other = call->names_other_operation;
	in->caps = caps;
	in->keys_used = attempt->refund_keys_used;
	in->max_keys = refund_max_attempts;
	in->key_is_spent = pgw_operation_new_key(
		in->caps, in->operation, pgw_schedule_age_s(attempt->refund_request.key_used_at),
		attempt->error_answered, attempt->step_tries);
	in->not_found_counts = pgw_capabilities_not_found_counts(
		in->caps, pgw_schedule_age_s(in->accepted ? attempt->accepted_at
												  : pgw_step_asked_at(&attempt->refund_request)));
}

/* What the answer says of the request that it answers. */
static void
note_asked(const PgwCall *call, PgwAttempt *attempt, PgwBankOp operation)
{
	if (call->op == operation)
	{
		attempt->refund_request.asked_at = pgw_now(); /* until now it could have been done */
		attempt->error_answered =
			call->transport == PGW_TRANSPORT_ANSWERED &&
			pgw_unknown_outcome_is_error(pgw_connector_capabilities(call->bank->connector),
										 call->op, call->http_status, &call->answer);
	}
	/*
	 * what is not understood says nothing against what was understood before, nor does that what
	 * the bank has named is not shown yet
	 */
	if (call->transport == PGW_TRANSPORT_ANSWERED && call->op != PGW_OP_LOOKUP_CHARGE &&
		call->answer.outcome != PGW_OUT_UNKNOWN &&
		!(call->op == PGW_OP_LOOKUP_REFUND && call->answer.outcome == PGW_OUT_NOT_FOUND &&
		  pgw_connector_capabilities(call->bank->connector)->lookup_refund_needs_id))
		attempt->pending_at_bank = call->answer.outcome == PGW_OUT_PENDING;
}

/* The request, and its key: done, never taken, or of no use any more. */
static void
end_request(PgwAttempt *attempt, const PgwCompensationInput *in, const PgwCompensationDecision *d)
{
	switch (d->next)
	{
		case PGW_COMPENSATION_DONE:
			/*
			 * An attempt that no rollback brought here may have a payments row that does not say so
			 * yet.
			 */
			if (attempt->abandoned_at == 0)
				attempt->next_step_at = pgw_now();
			attempt->watch_until = 0;
			if (in->operation == PGW_OP_REFUND)
				pgw_step_watch_refund_begin(attempt, in->caps);
			break;
		case PGW_COMPENSATION_AGAIN:
			if (!d->at_once)
				attempt->refund_request.key_used_at = 0; /* that request was never taken */
			break;
		case PGW_COMPENSATION_ANEW:
		{
			/* kept: since when a look-up could show what was refused and was done all the same */
			TimestampTz asked_at = attempt->refund_request.asked_at;

			pgw_store_forget_refund_request(attempt);
			attempt->refund_request.asked_at = asked_at;
			break;
		}
		case PGW_COMPENSATION_ACCEPTED:
			if (!in->accepted)
				pgw_accepted_begins(NULL, attempt);
			return;
		case PGW_COMPENSATION_STOP:
			/* what an operator retries is looked up, unless the bank has failed it */
			if (in->accepted && !pgw_review_key_did_nothing(d->decision.reason))
				return;
			break;
		case PGW_COMPENSATION_FIND_OUT:
			break;
	}
	attempt->accepted_at = 0;
}

/* How, and how much, it is given back from here on. */
static void
change_operation(const PgwCall *call, PgwAttempt *attempt, const PgwCompensationInput *in,
				 const PgwCompensationDecision *d)
{
	if (d->operation != in->operation && d->operation != PGW_NOPS)
		attempt->refund_operation = pstrdup(pgw_op_name(d->operation));
	attempt->refund_ruled_out = d->ruled_out;
	if (d->amount != 0)
	{
		/*
		 * looked up, and in the currency that the bank names now: its first answer may have named
		 * another, in which it takes no refund
		 */
		attempt->approved_amount = d->amount;
		if (call->answer.currency[0] != '\0')
			attempt->approved_currency = pstrdup(call->answer.currency);
	}
}

static void
plan_next_step(PgwCall *call, PgwAttempt *attempt, const PgwCompensationInput *in,
			   const PgwCompensationDecision *d, bool first)
{
	bool now = d->at_once || (first && d->next == PGW_COMPENSATION_FIND_OUT);

	/*
	 * What a look-up did not tell, the same key may, while the bank remembers it; or another
	 * cancellation.  What was refused has no key to be repeated with: it is looked up again, later.
	 */
	if (d->lookup_inconclusive &&
		(pgw_step_compensation_operation(attempt) == PGW_OP_CANCEL ||
		 (call->in_doubt &&
		  !pgw_capabilities_waits_for_lookup(in->caps, in->operation, in->operation) &&
		  pgw_capabilities_can_repeat(in->caps, in->operation,
									  pgw_schedule_age_s(attempt->refund_request.key_used_at),
									  attempt->error_answered)) ||
		 PGW_MUTATED(REFUSED_NOT_TOLD)))
		call->lookup_inconclusive = now = true;

	if (d->next == PGW_COMPENSATION_ACCEPTED)
	{
		attempt->next_step_at = pgw_accepted_next_look(attempt, call->answer.retry_after_s);
		return;
	}
	if (d->wait_s > 0)
	{
		pgw_put_off_wait(call, attempt, d->wait_s);
		return;
	}
	if (d->cancelled_once)
	{
		pgw_step_cancel_again(attempt, in->caps);
		return;
	}
	attempt->next_step_at =
		now ? pgw_now()
			: pgw_schedule_next_look(attempt->step_tries, call->answer.retry_after_s,
									 attempt->refund_request.key_used_at, attempt->watch_until);
}

void
pgw_answer_compensation(PgwCall *call, PgwAttempt *attempt)
{
	PgwCompensationInput in;
	PgwCompensationDecision d;
	PgwCapabilities caps;
	bool first = attempt->step_tries == 0;

	Assert(attempt->place.held && attempt->status == PGW_REFUNDING);
	pgw_charge_id_capabilities(call->bank, attempt->bank_reference, &caps);
	pgw_operation_id_reduce(attempt, &caps);
	get_input(call, attempt, &caps, &in);
	pgw_compensation_result(&in, &d);

	call->differs = d.excess;
	attempt->next_step_at = 0;
	if (!d.at_once)
		/* a look that leads straight on belongs to the try that it allows */
		attempt->step_tries++;
	note_asked(call, attempt, in.operation);
	pgw_operation_id_note(call, attempt);
	end_request(attempt, &in, &d);
	change_operation(call, attempt, &in, &d);
	if (d.decision.state == PGW_REFUNDING)
		plan_next_step(call, attempt, &in, &d, first);
	else if (d.next != PGW_COMPENSATION_DONE)
		attempt->watch_until = 0;
	call->has_next_step = d.at_once || attempt->next_step_at != 0;
	call->resend_allowed = d.at_once;
	if (d.decision.nevents == 0)
		/* no step yet, RefundStarted follows; or pending as before */
		pgw_store_update_attempt(attempt);
	else
		pgw_record_decision(attempt, NULL, &d.decision, pgw_op_name(in.operation),
							call->transport == PGW_TRANSPORT_ANSWERED ? &call->answer : NULL);
}
