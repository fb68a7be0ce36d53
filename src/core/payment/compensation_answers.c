/*
 * compensation_answers.c - giving a charge back whose caller rolled back: what the bank's answer
 * means
 *
 * Invariants, beside those of compensation_rules.c:
 *     - From one way of giving back to another only upon the bank's word that the charge is not in
 *       the state for the first, once each way; and after a look-up where there is one.
 *     - Every event stands on an edge of state_machine.c.
 */
#include "core/payment/compensation_rules.h"

#include <string.h>

#include "core/base/mutant.h"
#include "core/payment/accepted_rules.h"
#include "core/payment/shown_by_bank.h"

static void
take(PgwCompensationDecision *d, PgwEventType event, PgwCompensationNext next, const char *reason)
{
	pgw_decision_add_event(&d->decision, event,
						   event == PGW_EV_REFUND_COMPLETED ? PGW_REFUNDED : PGW_REFUNDING);
	d->next = next;
	d->decision.reason = reason;
}

static void
review(PgwCompensationDecision *d, const char *reason)
{
	pgw_decision_add_event(&d->decision, PGW_EV_MANUAL_REVIEW_REQUIRED, PGW_REQUIRES_MANUAL_REVIEW);
	d->next = PGW_COMPENSATION_STOP;
	d->decision.error = pgw_error_find("refund_refused");
	d->decision.keep_error = false;
	d->decision.reason = reason;
}

/*
 * A refund that the bank says no to may have been done all the same, and under a new key it would
 * be a second one.  Where a look-up of the charge shows it, and says by when, that allows a new
 * key.  Where only the refund's own look-up does, or none says by when, the key is kept until one
 * has said yes or no, or until the deadline: what it does not show yet is no proof.
 */
static bool
key_is_kept(const PgwCompensationInput *in)
{
	if (in->caps->lookup_consistent_after_s < 0)
		return pgw_capabilities_shows(in->caps, in->op) && !PGW_MUTATED(REFUSED_WITHOUT_LAG);
	return in->op == PGW_OP_REFUND && in->caps->lookup_refund &&
		   !pgw_capabilities_lookup_tells(in->caps, PGW_OP_REFUND) && !PGW_MUTATED(REFUSED_REFUND);
}

/*
 * A refund or reversal was repeated, and is refused perhaps for what the first request has done;
 * and no look-up could ever show that.  (A void or cancellation does no harm twice.)
 */
static bool
is_in_doubt_for_good(const PgwCompensationInput *in)
{
	return in->in_doubt && !pgw_capabilities_shows(in->caps, in->op) &&
		   !PGW_MUTATED(REPEAT_REFUSED);
}

/* Is it refused for the state that the charge is in, which another way of giving back may fit? */
static bool
is_refused_for_state(const PgwCompensationInput *in)
{
	switch (in->operation)
	{
		case PGW_OP_REFUND:
			return strcmp(in->answer->error_code, PGW_REFUND_UNSETTLED) == 0;
		case PGW_OP_VOID:
			return strcmp(in->answer->error_code, PGW_VOID_SETTLED) == 0;
		case PGW_OP_REVERSE:
			/* it fits every state, and is refused for who knows what */
			return true;
		default:
			return false;
	}
}

/* The other way; PGW_NOPS: none, or the bank has refused this one before. */
static PgwBankOp
other_way(const PgwCompensationInput *in)
{
	PgwToGiveBack what = {.captured = in->captured,
						  .ruled_out = in->ruled_out | PGW_RULED_OUT(in->operation)};
	PgwBankOp other;

	if (!is_refused_for_state(in) || what.ruled_out == in->ruled_out || PGW_MUTATED(OTHER_WAY))
		return PGW_NOPS;
	other = pgw_compensation_operation(in->caps, &what);
	return other == in->operation ? PGW_NOPS : other;
}

/* Nothing is in doubt: the state that it is refused for is one in which it cannot have been done.
 */
static bool
is_nothing_done(const PgwCompensationInput *in)
{
	return in->op != in->operation || (!in->in_doubt && in->op != PGW_OP_REVERSE);
}

static void
turn(const PgwCompensationInput *in, PgwBankOp other, PgwCompensationDecision *d)
{
	take(d, PGW_EV_REFUND_RETRY_SCHEDULED, PGW_COMPENSATION_ANEW,
		 in->operation == PGW_OP_REVERSE ? "refused" : in->answer->error_code);
	d->operation = other;
	d->ruled_out = in->ruled_out | PGW_RULED_OUT(in->operation);
}

/* It will be settled by then, and there is no other way before. */
static bool
waits_for_settlement(const PgwCompensationInput *in)
{
	return in->operation == PGW_OP_REFUND && is_refused_for_state(in) &&
		   in->charge_age_s < in->caps->settles_after_s;
}

static void
refused(const PgwCompensationInput *in, PgwCompensationDecision *d)
{
	/* a look-up's no is the bank's word on what was asked */
	bool pays_back = pgw_compensation_pays_back(in->op);
	PgwBankOp other = other_way(in);

	take(d, PGW_EV_REFUND_FAILED, PGW_COMPENSATION_ANEW, "refused");
	if (other != PGW_NOPS && is_nothing_done(in))
		turn(in, other, d);
	else if (pays_back && key_is_kept(in) && !(waits_for_settlement(in) && is_nothing_done(in)))
		d->next = PGW_COMPENSATION_FIND_OUT;
	else if (pays_back && is_in_doubt_for_good(in))
		review(d, "repeat_refused");
	else if (other != PGW_NOPS)
		turn(in, other, d);
	else if (waits_for_settlement(in))
	{
		take(d, PGW_EV_REFUND_RETRY_SCHEDULED, PGW_COMPENSATION_ANEW, PGW_REFUND_UNSETTLED);
		d->wait_s = in->caps->settles_after_s - in->charge_age_s;
	}
	else if (in->keys_used >= in->max_keys)
		review(d, "refused");
	else
		take(d, PGW_EV_REFUND_RETRY_SCHEDULED, PGW_COMPENSATION_ANEW, "refused");
}

/* Provably nothing was done by this request; but if the key was out before, by that one perhaps. */
static void
not_done(const PgwCompensationInput *in, PgwCompensationDecision *d, const char *reason)
{
	if (in->in_doubt)
		take(d, PGW_EV_REFUND_OUTCOME_UNKNOWN, PGW_COMPENSATION_FIND_OUT, reason);
	else
		take(d, PGW_EV_REFUND_RETRY_SCHEDULED, PGW_COMPENSATION_AGAIN, reason);
}

static void
differs(const PgwCompensationInput *in, PgwCompensationDecision *d)
{
	pgw_decision_note_difference(&d->decision, in->amount > 0 ? in->amount : in->charged,
								 in->currency, in->answer);
}

/*
 * Given back, and more than that: contract 2.8 binds what pgw sends, and what the bank shows is
 * recorded and told.
 */
static bool
is_excess(const PgwCompensationInput *in)
{
	const PgwAnswer *a = in->answer;
	PgwAsked asked = {.op = PGW_OP_REFUND, .amount = in->amount};

	/* the answer's amount is the refund's, but where the charge was looked up */
	if (in->op != PGW_OP_LOOKUP_CHARGE && in->amount > 0 && a->has_amount &&
		a->amount > in->amount && !PGW_MUTATED(EXCESS_TOLD))
		return true;
	if (a->captured >= 0)
		asked.amount = a->captured; /* what somebody else gave back before is in the sum */
	else if (in->charged > in->amount)
		asked.amount = in->charged;
	return pgw_shown_excess(&asked, a);
}

static void
given_back(const PgwCompensationInput *in, PgwCompensationDecision *d, const char *reason)
{
	take(d, PGW_EV_REFUND_COMPLETED, PGW_COMPENSATION_DONE, reason);
	d->excess = is_excess(in);
	if (d->excess)
		differs(in, d);
}

/* Of another amount, or currency. */
static void
mismatch(const PgwCompensationInput *in, PgwCompensationDecision *d)
{
	review(d, "amount_mismatch");
	differs(in, d);
}

/* 0: it is not compared.  A reversal names no amount, and undoes all that there is. */
static int64_t
least(const PgwCompensationInput *in)
{
	if (in->operation == PGW_OP_REVERSE)
		return in->held;
	return in->operation == PGW_OP_REFUND ? in->amount : 0;
}

/*
 * A refund of less than was asked for, or of another currency, is not done; what is left is for a
 * person, who can ask the bank why.  So is a reversal of less than the bank holds, whose answer may
 * also name what was taken: nothing.
 */
static bool
is_whole(const PgwCompensationInput *in)
{
	const PgwAnswer *a = in->answer;

	if (least(in) == 0)
		return true;
	/* what could not be read was named all the same */
	return !a->amount_unreadable && !pgw_shown_other_currency(in->currency, a) &&
		   (!a->has_amount || a->amount >= least(in) ||
			(a->amount == 0 && in->operation == PGW_OP_REVERSE));
}

/* What was given back stands there, and nobody can read it: it may be a part, or nothing. */
static bool
is_unreadable(const PgwCompensationInput *in)
{
	return in->answer->charge_state_unreadable && !PGW_MUTATED(UNREADABLE_ANSWER);
}

/*
 * An authorization that has lapsed holds nobody's money.  What was captured is voided only where
 * the bank has shown that it is not, after all; or where it refunds nothing, or nothing of it yet,
 * and then its money is not back.
 */
static bool
is_lapsed(const PgwCompensationInput *in)
{
	bool instead_of_refund = in->captured && (!in->caps->can_refund ||
											  (in->ruled_out & PGW_RULED_OUT(PGW_OP_REFUND)) != 0);

	return in->operation == PGW_OP_VOID && !instead_of_refund &&
		   strcmp(in->answer->error_code, "authorization_expired") == 0;
}

static void
answered_operation(const PgwCompensationInput *in, PgwCompensationDecision *d)
{
	const PgwAnswer *a = in->answer;
	PgwAsked asked = {
		.op = in->operation, .amount = in->amount, .taken = in->captured ? in->charged : 0};

	switch (a->outcome)
	{
		case PGW_OUT_APPROVED:
			if (pgw_shown_belied(&asked, a) || is_unreadable(in))
				break;
			if (in->operation == PGW_OP_CANCEL && in->cancelled_too_early)
			{
				take(d, PGW_EV_REFUND_PENDING, PGW_COMPENSATION_FIND_OUT, PGW_CANCELLED_ONCE);
				d->cancelled_once = true;
			}
			else if (is_whole(in))
				given_back(in, d, NULL);
			else
				mismatch(in, d);
			return;
		case PGW_OUT_PENDING:
			take(d, PGW_EV_REFUND_PENDING, PGW_COMPENSATION_FIND_OUT, NULL);
			return;
		case PGW_OUT_ACCEPTED:
			/* an order for another amount is none of ours */
			if (is_whole(in))
				take(d, PGW_EV_BANK_ACCEPTED, PGW_COMPENSATION_ACCEPTED, NULL);
			else
				mismatch(in, d);
			return;
		case PGW_OUT_DECLINED:
			if (is_lapsed(in))
				take(d, PGW_EV_REFUND_COMPLETED, PGW_COMPENSATION_DONE, "authorization_expired");
			else if (pgw_shown_refusal_belied(&asked, a))
				break;
			else
				refused(in, d);
			return;
		case PGW_OUT_REJECTED:
			if (pgw_shown_refusal_belied(&asked, a))
				break;
			if (in->in_doubt)
				not_done(in, d, "rejected");
			else
				refused(in, d);
			return;
		case PGW_OUT_NOT_PROCESSED:
			if (pgw_shown_refusal_belied(&asked, a))
				break;
			not_done(in, d, "not_processed");
			return;
		case PGW_OUT_UNKNOWN:
			if (a->key_word == PGW_KEY_MISMATCH && !PGW_MUTATED(KEY_MISMATCH))
			{
				review(d, "key_mismatch");
				return;
			}
			if (a->key_word == PGW_KEY_IN_PROGRESS)
			{
				take(d, PGW_EV_REFUND_OUTCOME_UNKNOWN, PGW_COMPENSATION_FIND_OUT, "in_progress");
				return;
			}
			break;
		case PGW_OUT_REQUIRES_ACTION:
		case PGW_OUT_NOT_FOUND:
			break;
	}
	take(d, PGW_EV_REFUND_OUTCOME_UNKNOWN, PGW_COMPENSATION_FIND_OUT,
		 pgw_answer_none_because(in->answer, "answer_not_understood"));
}

/* A look-up that does not tell: what was sent stays in doubt. */
static void
not_told(const PgwCompensationInput *in, PgwCompensationDecision *d, const char *reason)
{
	take(d, PGW_EV_REFUND_OUTCOME_UNKNOWN, PGW_COMPENSATION_FIND_OUT,
		 in->answer->other_reference ? pgw_answer_none_because(in->answer, "another_reference")
									 : reason);
	/* a "declined" comes here only with a document that shows money, or may */
	d->lookup_inconclusive = in->answer->outcome == PGW_OUT_APPROVED ||
							 in->answer->outcome == PGW_OUT_DECLINED || in->answer->other_reference;
}

static void
answered_lookup_refund(const PgwCompensationInput *in, PgwCompensationDecision *d)
{
	switch (in->answer->outcome)
	{
		case PGW_OUT_APPROVED:
			if (is_unreadable(in))
				break;
			if (is_whole(in))
				given_back(in, d, "looked_up");
			else
				mismatch(in, d);
			return;
		case PGW_OUT_PENDING:
			take(d, PGW_EV_REFUND_PENDING, PGW_COMPENSATION_FIND_OUT, "looked_up");
			return;
		case PGW_OUT_DECLINED:
			refused(in, d);
			return;
		case PGW_OUT_NOT_FOUND:
			/* what the bank has taken and named itself is not gone for not being shown */
			if (in->pending && in->caps->lookup_refund_needs_id && !PGW_MUTATED(NAMED_NOT_FOUND))
			{
				take(d, PGW_EV_REFUND_PENDING, PGW_COMPENSATION_FIND_OUT, "not_known_yet");
				return;
			}
			if (!in->not_found_counts)
				break;
			d->next = PGW_COMPENSATION_AGAIN;
			d->at_once = true;
			return;
		default:
			break;
	}
	not_told(in, d, "not_known_yet");
}

/* Does the look-up say what is left to give back?  Of a reversal, in whichever way it was done. */
static bool
shows_what_is_left(const PgwCompensationInput *in)
{
	const PgwAnswer *a = in->answer;

	if (PGW_MUTATED(REFUND_UNKNOWN))
		return true;
	return (a->captured == 0 || (a->captured > 0 && a->refunded >= 0)) &&
		   (in->operation != PGW_OP_REVERSE || a->has_voided);
}

/* The charge stands at the bank: with what is it to be given back? */
static void
still_charged(const PgwCompensationInput *in, PgwCompensationDecision *d)
{
	const PgwAnswer *a = in->answer;
	PgwToGiveBack what = {
		.captured = a->captured > 0, .part = a->refunded > 0, .ruled_out = in->ruled_out};
	/* an earlier cancellation may be in doubt still */
	bool blind = !shows_what_is_left(in) && (in->in_doubt || in->operation == PGW_OP_CANCEL);
	PgwBankOp operation =
		a->captured < 0 || blind ? in->operation : pgw_compensation_operation(in->caps, &what);
	bool same_request;

	if (operation == PGW_NOPS)
	{
		review(d, "no_operation");
		return;
	}
	if (in->in_doubt && in->pending)
	{
		take(d, PGW_EV_REFUND_PENDING, PGW_COMPENSATION_FIND_OUT, "looked_up");
		return;
	}
	/*
	 * Too early to show the last request, in doubt or refused.  Where it is never said when a
	 * look-up counts, only a no that was looked up itself, or of what does no harm twice, comes
	 * here without a key.
	 */
	if (!in->not_found_counts && !PGW_MUTATED(REFUSED_TOO_EARLY) &&
		(in->in_doubt || in->caps->lookup_consistent_after_s >= 0))
	{
		take(d, PGW_EV_REFUND_OUTCOME_UNKNOWN, PGW_COMPENSATION_FIND_OUT, "not_known_yet");
		return;
	}
	/*
	 * What is in doubt may have given it back: a refund more, under a key of its own, would be a
	 * second one.  A void is none, however often.  Nor is the bank's no to a refund believed upon a
	 * look-up that leaves out what it says at other times.
	 */
	if ((blind && in->in_doubt && operation != PGW_OP_VOID) ||
		(!shows_what_is_left(in) && pgw_compensation_pays_back(in->operation) &&
		 pgw_capabilities_lookup_counts(in->caps, in->operation) &&
		 pgw_capabilities_lookup_tells(in->caps, in->operation)))
	{
		not_told(in, d, "not_shown");
		return;
	}
	/*
	 * The same key is for the same request only: not for another operation, nor for what is left
	 * after somebody gave back a part (unless that is what it asked for).  A cancellation names no
	 * amount.
	 */
	same_request = operation == in->operation && (operation == PGW_OP_CANCEL || a->refunded <= 0 ||
												  a->captured - a->refunded == in->amount);
	/* the bank may have accepted it, and not have done it yet */
	if (in->in_doubt && (in->key_is_spent || !same_request) && operation != PGW_OP_VOID &&
		pgw_capabilities_may_hold_order(in->caps, in->operation))
	{
		take(d, PGW_EV_REFUND_OUTCOME_UNKNOWN, PGW_COMPENSATION_FIND_OUT, "not_known_yet");
		return;
	}
	/* no event: RefundStarted follows at once, and why it is tried again was said before */
	d->next = in->in_doubt && same_request ? PGW_COMPENSATION_AGAIN : PGW_COMPENSATION_ANEW;
	d->operation = operation;
	d->at_once = true;
	if (a->captured > 0 && a->refunded >= 0)
		d->amount = a->captured - a->refunded;
}

static void
answered_lookup_charge(const PgwCompensationInput *in, PgwCompensationDecision *d)
{
	const PgwAnswer *a = in->answer;
	PgwAsked asked = {.charged = in->charged, .taken = in->captured ? in->charged : 0};

	switch (a->outcome)
	{
		case PGW_OUT_APPROVED:
			if (pgw_shown_undone_by_void(&asked, a))
				given_back(in, d, "looked_up");
			else if (a->captured > 0 && a->refunded >= a->captured)
			{
				/* perhaps by an order that is open, and has an end of its own */
				if (pgw_capabilities_shown_may_fail(in->caps, in->operation))
					take(d, PGW_EV_BANK_ACCEPTED, PGW_COMPENSATION_ACCEPTED, "looked_up");
				else
					given_back(in, d, "looked_up");
			}
			else if (a->voided) /* and what was captured of it? */
				not_told(in, d, "not_shown");
			else if (a->captured > 0 && a->currency_unreadable) /* how much of what is left? */
				not_told(in, d, "not_shown");
			else
				still_charged(in, d);
			return;
		case PGW_OUT_DECLINED:
			if (pgw_shown_money(a) || pgw_shown_unreadable_money(a))
				break;
			take(d, PGW_EV_REFUND_COMPLETED, PGW_COMPENSATION_DONE, "not_charged");
			return;
		case PGW_OUT_NOT_FOUND:
			if (!in->not_found_counts)
				break;
			review(d, "charge_not_found"); /* the bank has forgotten what it approved */
			return;
		default:
			break;
	}
	not_told(in, d, "not_known_yet");
}

/* Nothing that was asked says otherwise: what is not understood takes nothing back. */
static bool
stays_pending(const PgwCompensationInput *in)
{
	return in->transport != PGW_TRANSPORT_ANSWERED || in->op == PGW_OP_LOOKUP_CHARGE ||
		   in->answer->outcome == PGW_OUT_PENDING || in->answer->outcome == PGW_OUT_UNKNOWN;
}

static void
begin(const PgwCompensationInput *in, PgwCompensationDecision *d)
{
	memset(d, 0, sizeof(*d));
	d->decision.state = PGW_REFUNDING;
	d->operation = in->operation;
	d->ruled_out = in->ruled_out;
	d->decision.keep_error = true; /* why it is given back */
}

static bool
refund_said_no(const PgwCompensationInput *in)
{
	return in->op == PGW_OP_LOOKUP_REFUND && in->transport == PGW_TRANSPORT_ANSWERED &&
		   in->answer->outcome == PGW_OUT_DECLINED;
}

/*
 * What became of an order that the bank has accepted: done, or failed, only if it says so; nothing
 * is sent again for what it does not show.
 */
static void
answered_accepted(const PgwCompensationInput *in, PgwCompensationDecision *d)
{
	PgwCompensationInput as_pending = *in;

	if (!pgw_accepted_failed(in->op, in->transport, in->answer, in->caps, in->not_found_counts))
	{
		as_pending.accepted = false;
		as_pending.in_doubt = as_pending.pending = true;
		if (!refund_said_no(in))
		{
			pgw_compensation_result(&as_pending, d);
			if (d->next == PGW_COMPENSATION_DONE || d->next == PGW_COMPENSATION_STOP)
				return;
		}
		begin(in, d);
		d->next = PGW_COMPENSATION_ACCEPTED;
		return;
	}
	begin(in, d);
	if (in->keys_used >= in->max_keys)
		review(d, "refused");
	else
		take(d, PGW_EV_REFUND_RETRY_SCHEDULED, PGW_COMPENSATION_ANEW, PGW_ACCEPTED_FAILED);
}

void
pgw_compensation_result(const PgwCompensationInput *in, PgwCompensationDecision *d)
{
	bool lookup = pgw_op_is_lookup(in->op);

	if (in->accepted)
	{
		answered_accepted(in, d);
		return;
	}
	begin(in, d);
	if (in->names_other && !PGW_MUTATED(OPERATION_OWNER))
	{
		review(d, PGW_ID_OF_ANOTHER_OPERATION);
		d->decision.error = pgw_error_find("bank_reference_taken");
		return;
	}
	if (in->transport != PGW_TRANSPORT_ANSWERED)
	{
		if (lookup)
			take(d, in->in_doubt ? PGW_EV_REFUND_OUTCOME_UNKNOWN : PGW_EV_REFUND_RETRY_SCHEDULED,
				 in->in_doubt ? PGW_COMPENSATION_FIND_OUT : PGW_COMPENSATION_ANEW, "no_answer");
		else if (in->transport == PGW_TRANSPORT_NEVER_SENT)
			not_done(in, d, "never_sent");
		else
			take(d, PGW_EV_REFUND_OUTCOME_UNKNOWN,
				 PGW_MUTATED(REFUND_KEY) ? PGW_COMPENSATION_ANEW : PGW_COMPENSATION_FIND_OUT,
				 "no_answer");
	}
	else if (in->op == PGW_OP_LOOKUP_REFUND)
		answered_lookup_refund(in, d);
	else if (in->op == PGW_OP_LOOKUP_CHARGE)
		answered_lookup_charge(in, d);
	else
		answered_operation(in, d);

	/*
	 * Pending, as before: what the bank takes weeks for would leave thousands of events that say
	 * nothing new.
	 */
	if (lookup && in->pending && in->in_doubt && d->next == PGW_COMPENSATION_FIND_OUT &&
		stays_pending(in) && !PGW_MUTATED(PENDING_ONCE))
		d->decision.nevents = 0;

	/* Asked for its yes only, where its silence never counts: the same key again says more. */
	if (lookup && in->in_doubt && d->next == PGW_COMPENSATION_FIND_OUT &&
		pgw_compensation_is_shown_done(in->operation) && in->caps->lookup_consistent_after_s < 0 &&
		in->answer->outcome != PGW_OUT_PENDING)
		d->lookup_inconclusive = true;

	/* Not in doubt, nothing found out: the next try still needs a key of its own. */
	if (lookup && !in->in_doubt && d->next == PGW_COMPENSATION_FIND_OUT)
		d->next = PGW_COMPENSATION_ANEW;
}
