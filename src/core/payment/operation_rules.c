/*
 * operation_rules.c - a capture, void or refund at the bank: what to ask next, and what the bank's
 * answer means
 *
 * Invariants:
 *     - Done only upon the bank's word: its answer to the operation, or a look-up that shows it.
 *     - Refused only when nothing was done: the refusal of a request that nothing came before, or
 *       one that a look-up confirms.  Where being wrong would cost money, the first is enough only
 *       where no look-up could ever show what was done.  The refusal of a repetition proves
 *       nothing of the first request, which it may be refused for: looked up, or a person asks.
 *     - An answer with the id of another operation is that one's: the bank has taken this one for
 *       it, for all we know, and a person asks whether both were done.
 *     - In doubt: a look-up, or the same key again while the bank remembers it; never another key.
 *       Where the bank forgets errors, a look-up that counts and does not tell is made again, until
 *       it tells or a person asks.
 */
#include "core/payment/operation_rules.h"

#include <string.h>

#include "core/base/mutant.h"
#include "core/payment/compensation_rules.h"
#include "core/payment/shown_by_bank.h"
#include "core/payment/unknown_outcome_rules.h"

PgwBankOp
pgw_operation_op(PgwKind kind)
{
	switch (kind)
	{
		case PGW_KIND_CAPTURE:
			return PGW_OP_CAPTURE;
		case PGW_KIND_VOID:
			return PGW_OP_VOID;
		case PGW_KIND_REFUND:
			return PGW_OP_REFUND;
		default:
			return PGW_NOPS;
	}
}

PgwBankOp
pgw_operation_effect(PgwBankOp operation, bool of_refund)
{
	return of_refund && operation == PGW_OP_VOID ? PGW_OP_REVERSE : operation;
}

PgwOperationStep
pgw_operation_step(const PgwCapabilities *caps, const PgwOperationFacts *facts, const char **reason)
{
	PgwBankOp effect = pgw_operation_effect(facts->operation, facts->of_refund);
	bool remembered =
		pgw_capabilities_can_repeat(caps, facts->operation, facts->key_age_s, facts->answered);

	*reason = NULL;
	/* whatever a bank answers, in turns that allow the next request, it is not asked for ever */
	if (facts->resend_allowed && !PGW_MUTATED(TRIED_FOR_EVER) &&
		pgw_unknown_outcome_is_overdue(facts->tried_age_s, facts->deadline_s, false))
	{
		*reason = "deadline";
		return PGW_OPERATION_REVIEW;
	}
	if (facts->resend_allowed || facts->unsent)
		return PGW_OPERATION_SEND;
	if (pgw_unknown_outcome_is_overdue(facts->doubt_age_s, facts->deadline_s, facts->pending))
	{
		*reason = "deadline";
		return PGW_OPERATION_REVIEW;
	}
	/*
	 * where "nothing there" never counts, or is not said, only the same key again gets it done if
	 * the first request was lost; what was refused would be refused again
	 */
	if ((!pgw_capabilities_lookup_counts(caps, effect) ||
		 (facts->lookup_inconclusive &&
		  !pgw_capabilities_waits_for_lookup(caps, facts->operation, effect))) &&
		!facts->refused && remembered && !facts->pending)
		return PGW_OPERATION_SEND;
	if (facts->operation == PGW_OP_REFUND && caps->lookup_refund)
		return PGW_OPERATION_LOOKUP_REFUND;
	if (pgw_capabilities_lookup_tells(caps, effect))
		return PGW_OPERATION_LOOKUP_CHARGE;
	if (remembered && !facts->refused)
		return PGW_OPERATION_SEND;
	*reason = facts->refused ? "repeat_refused" : "no_way_to_find_out";
	return PGW_OPERATION_REVIEW;
}

bool
pgw_operation_new_key(const PgwCapabilities *caps, PgwBankOp operation, int64_t key_age_s,
					  bool answered, int attempts)
{
	return !pgw_capabilities_key_remembered(caps, operation, key_age_s) ||
		   (caps->keys[operation].repeats_errors && answered && attempts > 1);
}

/* ---------------------------------------------------------------- answers */

static void
find_out(PgwOperationDecision *d, const char *reason)
{
	d->next = PGW_OPERATION_FIND_OUT;
	d->reason = reason;
	d->error = pgw_error_find("outcome_unknown");
}

/* A look-up was answered, but not with what was asked for: it would be the same again. */
static void
lookup_inconclusive(PgwOperationDecision *d, const char *reason)
{
	find_out(d, reason);
	d->lookup_inconclusive = true;
}

static void
pending(PgwOperationDecision *d)
{
	d->next = PGW_OPERATION_FIND_OUT;
	d->pending = true;
	d->error = pgw_error_find("bank_pending");
}

static void
stop(PgwOperationDecision *d, const char *reason)
{
	d->next = PGW_OPERATION_STOP;
	d->reason = reason;
	d->error = pgw_error_find("outcome_unknown");
}

static const PgwErrorInfo *
refusal_error(const PgwOperationInput *in, const char *code)
{
	const PgwErrorInfo *info = code != NULL && code[0] != '\0' ? pgw_error_find(code) : NULL;

	return info != NULL ? info
						: pgw_error_find(in->operation == PGW_OP_REFUND || in->of_refund
											 ? "refund_refused"
											 : "operation_not_allowed");
}

/* Is a refund refused for the state that the charge is in, which another operation may fit? */
static bool
is_refused_for_state(const PgwOperationInput *in, const char *code)
{
	switch (in->operation)
	{
		case PGW_OP_REFUND:
			return code != NULL && strcmp(code, PGW_REFUND_UNSETTLED) == 0;
		case PGW_OP_VOID:
			return in->of_refund && code != NULL && strcmp(code, PGW_VOID_SETTLED) == 0;
		case PGW_OP_REVERSE:
			return true;
		default:
			return false;
	}
}

/*
 * Nothing was done.  A whole refund goes on by what fits the charge's state, once each way; any
 * other waits until the charge is settled.  false: neither, it has failed.
 */
static bool
goes_on_otherwise(const PgwOperationInput *in, const char *code, PgwOperationDecision *d)
{
	PgwToGiveBack what = {.captured = true,
						  .part = !in->whole,
						  .ruled_out = in->ruled_out | PGW_RULED_OUT(in->operation)};
	PgwBankOp other;

	if (!is_refused_for_state(in, code) || PGW_MUTATED(OTHER_WAY))
		return false;
	other = what.ruled_out == in->ruled_out ? in->operation
											: pgw_compensation_operation(in->caps, &what);
	d->reason = in->operation == PGW_OP_REVERSE ? "refused" : code;
	d->operation = other;
	d->ruled_out = in->ruled_out;
	if (other != in->operation)
		d->ruled_out = what.ruled_out;
	else if (in->operation == PGW_OP_REFUND && in->charge_age_s < in->caps->settles_after_s)
		d->wait_s = in->caps->settles_after_s - in->charge_age_s;
	else
		return false;
	d->next = PGW_OPERATION_OTHERWISE;
	return true;
}

/* An authorization that has lapsed holds nobody's money: that is what a void wants. */
static void
refused(const PgwOperationInput *in, const char *code, PgwOperationDecision *d)
{
	d->error = refusal_error(in, code);
	if (goes_on_otherwise(in, code, d))
		return;
	d->expired = in->operation != PGW_OP_REFUND && !in->of_refund &&
				 strcmp(d->error->code, "authorization_expired") == 0;
	d->reason = "refused";
	d->next = PGW_OPERATION_REFUSED;
	if (d->expired && in->operation == PGW_OP_VOID)
	{
		d->next = PGW_OPERATION_DONE;
		d->reason = "authorization_expired";
		d->error = NULL;
	}
}

static PgwAsked
asked(const PgwOperationInput *in)
{
	PgwAsked asked = {.op = pgw_operation_effect(in->operation, in->of_refund),
					  .amount = in->amount,
					  .currency = in->currency,
					  .before = in->before,
					  .others = in->others,
					  .charged = in->charged,
					  .taken = in->taken};

	return asked;
}

/* It says that nothing was done, and shows that it was. */
static bool
refusal_belied(const PgwOperationInput *in)
{
	PgwAsked what = asked(in);

	return pgw_shown_refusal_belied(&what, in->answer);
}

/* Is there anything that could tell, by now or later, whether it was done? */
static bool
can_be_looked_up(const PgwOperationInput *in)
{
	return pgw_capabilities_shows(in->caps, pgw_operation_effect(in->operation, in->of_refund));
}

/*
 * Believed, and wrong, would it cost somebody money?  Told that it has failed, a caller asks again
 * under another id: the bank would do that, too.  Nobody asks again for the capture after the
 * commit, but its payment has failed then, with the customer's money taken.
 */
static bool
is_costly_to_believe(const PgwOperationInput *in)
{
	if (in->operation == PGW_OP_CAPTURE)
		return !in->asked_for || in->caps->multiple_captures;
	return in->operation == PGW_OP_REFUND || in->of_refund;
}

/*
 * Is the bank's no to a first request looked up before it is believed?  Where a look-up counts, it
 * is.  Where it is never said from when on, the no of the look-up itself, or its yes, is waited for
 * only where being wrong would cost money: what no look-up shows is for a person there.
 */
static bool
first_refusal_is_looked_up(const PgwOperationInput *in)
{
	return pgw_capabilities_lookup_counts(in->caps,
										  pgw_operation_effect(in->operation, in->of_refund)) ||
		   (is_costly_to_believe(in) && can_be_looked_up(in) && !PGW_MUTATED(FIRST_REFUSAL));
}

static void
look_refusal_up(const PgwErrorInfo *error, const char *reason, PgwOperationDecision *d)
{
	d->next = PGW_OPERATION_FIND_OUT;
	d->refused = true;
	d->reason = reason;
	d->error = error;
}

/*
 * The bank says no to a repetition: perhaps because the first request, whose answer was lost, has
 * done it.  Taken for a failure it would be asked for again, and done twice.  (A void that comes
 * after the authorization has lapsed has nothing to do, whatever the first one did.)
 */
static void
repeat_declined(const PgwOperationInput *in, PgwOperationDecision *d)
{
	const PgwErrorInfo *error = refusal_error(in, in->answer->error_code);

	if (in->operation == PGW_OP_VOID && !in->of_refund &&
		strcmp(error->code, "authorization_expired") == 0 && !refusal_belied(in))
		refused(in, error->code, d);
	else if (can_be_looked_up(in))
		look_refusal_up(error, "refused", d);
	else
		stop(d, "repeat_refused");
}

/*
 * The bank says no to this request. Perhaps because it is done already, by an earlier request or by
 * somebody else: the look-up tells.
 */
static void
declined(const PgwOperationInput *in, PgwOperationDecision *d)
{
	/* an unsettled charge is not refunded: no look-up that never counts has to say so, too */
	bool said = !in->in_doubt && in->operation == PGW_OP_REFUND &&
				in->caps->lookup_consistent_after_s < 0 &&
				is_refused_for_state(in, in->answer->error_code) && !refusal_belied(in);

	if (said)
		refused(in, in->answer->error_code, d);
	else if (first_refusal_is_looked_up(in))
		look_refusal_up(refusal_error(in, in->answer->error_code), "refused", d);
	else if (in->in_doubt && !PGW_MUTATED(REPEAT_REFUSED))
		repeat_declined(in, d);
	else if (refusal_belied(in))
		find_out(d, "answer_belies_itself");
	else
		refused(in, in->answer->error_code, d);
}

/* The bank takes no such request, it says; but another than this one it has not had. */
static void
rejected(const PgwOperationInput *in, PgwOperationDecision *d)
{
	const PgwErrorInfo *error = pgw_error_find(in->answer->error_code);

	if (error == NULL || error->class != PGW_CLASS_EXTERNAL)
		error = pgw_error_find("bank_rejected_request");
	if (first_refusal_is_looked_up(in))
		look_refusal_up(error, "rejected", d);
	else
	{
		d->next = PGW_OPERATION_REFUSED;
		d->reason = "rejected";
		d->error = error;
	}
}

static void
differs(const PgwOperationInput *in, PgwOperationDecision *d)
{
	d->shown = in->answer;
	d->asked_amount = in->amount;
	d->asked_currency = in->currency;
}

/* The bank did it, but not what was asked for: a person has to clear that up with the bank. */
static void
mismatch(const PgwOperationInput *in, PgwOperationDecision *d)
{
	stop(d, "amount_mismatch");
	differs(in, d);
}

/* Done, and more than that: recorded as it is, and told. */
static void
tell_excess(const PgwOperationInput *in, PgwOperationDecision *d)
{
	PgwAsked what = asked(in);

	d->excess = pgw_shown_excess(&what, in->answer);
	if (d->excess)
		differs(in, d);
}

/* What was done stands there, and nobody can read it: it may be a part, or nothing. */
static bool
is_unreadable(const PgwOperationInput *in)
{
	return in->answer->charge_state_unreadable && !PGW_MUTATED(UNREADABLE_ANSWER);
}

/* Does the answer name the amount and currency that were asked for, where it names any? */
static bool
is_amount(const PgwOperationInput *in, const PgwAsked *what)
{
	return in->operation == PGW_OP_VOID || in->operation == PGW_OP_REVERSE
			   ? pgw_shown_undo_is(what, in->answer)
			   : pgw_shown_amount_is(what, in->answer);
}

static void
done(const PgwOperationInput *in, const char *reason, PgwOperationDecision *d)
{
	PgwAsked what = asked(in);

	if (!is_amount(in, &what))
	{
		mismatch(in, d);
		return;
	}
	d->next = PGW_OPERATION_DONE;
	d->reason = reason;
	tell_excess(in, d);
}

/*
 * It will be done, and can still fail: so what is shown of the money says nothing yet.  But an
 * order for another amount is none of ours.
 */
static void
accepted(const PgwOperationInput *in, PgwOperationDecision *d)
{
	PgwAsked what = asked(in);

	if (!is_amount(in, &what))
		mismatch(in, d);
	else
		d->next = PGW_MUTATED(ACCEPTED_APPROVED) ? PGW_OPERATION_DONE : PGW_OPERATION_ACCEPTED;
}

/*
 * The bank speaks of the key alone.  That a request with it is under way is no end of that one: it
 * is asked about as if there had been no answer.  That it was another request is a defect, and
 * whatever came first under this key is for a person to find out.
 */
static bool
answered_of_key(const PgwOperationInput *in, PgwOperationDecision *d)
{
	switch (in->answer->key_word)
	{
		case PGW_KEY_IN_PROGRESS:
			find_out(d, "in_progress");
			return true;
		case PGW_KEY_MISMATCH:
			if (PGW_MUTATED(KEY_MISMATCH))
				break;
			stop(d, "key_mismatch");
			return true;
		case PGW_KEY_UNSAID:
			break;
	}
	return false;
}

static void
answered_operation(const PgwOperationInput *in, PgwOperationDecision *d)
{
	PgwAsked what = asked(in);

	switch (in->answer->outcome)
	{
		case PGW_OUT_APPROVED:
			if (!pgw_shown_belied(&what, in->answer) && !is_unreadable(in))
			{
				done(in, NULL, d);
				return;
			}
			/*
			 * More than was ordered: another order's, perhaps, which is recorded by the time of the
			 * next look.  Said again under the same key it is the bank's word, and would be so each
			 * time.
			 */
			if (in->in_doubt && pgw_shown_too_much(&what, in->answer))
			{
				mismatch(in, d);
				return;
			}
			break;
		case PGW_OUT_PENDING:
			pending(d);
			return;
		case PGW_OUT_ACCEPTED:
			accepted(in, d);
			return;
		case PGW_OUT_DECLINED:
			declined(in, d);
			return;
		case PGW_OUT_REJECTED:
			/* of this request only: one in doubt had another before it */
			if (in->in_doubt || refusal_belied(in))
				break;
			rejected(in, d);
			return;
		case PGW_OUT_NOT_PROCESSED:
			if (in->in_doubt || refusal_belied(in))
				break;
			d->next = PGW_OPERATION_AGAIN;
			d->reason = "not_processed";
			d->error = pgw_error_find("not_processed");
			return;
		case PGW_OUT_UNKNOWN:
			if (answered_of_key(in, d))
				return;
			break;
		case PGW_OUT_REQUIRES_ACTION:
		case PGW_OUT_NOT_FOUND:
			break;
	}
	find_out(d, pgw_answer_none_because(in->answer, "answer_not_understood"));
	d->error = pgw_error_find("bank_error");
}

/* Sent again, would it surely be done once, also if the lost answer was an error? */
static bool
key_holds(const PgwOperationInput *in)
{
	return !in->key_is_spent && !in->caps->keys[in->operation].forgets_errors;
}

/*
 * The charge shows no more than before.  Can it be with the bank all the same, so that another
 * request would come on top of it?  As an order that is not shown yet; or behind an earlier refund
 * that the bank has taken back, which pgw has not heard of, or not yet.
 */
static bool
may_be_hidden(const PgwOperationInput *in)
{
	if (in->op != PGW_OP_LOOKUP_CHARGE)
		return false;
	return (in->key_is_spent && pgw_capabilities_may_hold_order(in->caps, in->operation)) ||
		   (in->operation == PGW_OP_REFUND && in->before > 0 && !key_holds(in) &&
			pgw_capabilities_takes_refunds_back(in->caps));
}

/* A look-up shows that it was not done; and it counts, or not yet. */
static void
not_done(const PgwOperationInput *in, PgwOperationDecision *d)
{
	if (in->pending)
		pending(d);
	else if (!in->not_found_counts)
		find_out(d, "not_known_yet");
	else if (in->refusal != NULL)
		refused(in, in->refusal, d);
	else if (may_be_hidden(in))
		find_out(d, "not_known_yet"); /* until it is shown, or for a person */
	else
	{
		d->next = PGW_OPERATION_AT_ONCE;
		d->reason = "not_done";
		d->error = pgw_error_find("outcome_unknown");
	}
}

static void
answered_lookup_refund(const PgwOperationInput *in, PgwOperationDecision *d)
{
	switch (in->answer->outcome)
	{
		case PGW_OUT_APPROVED:
			if (is_unreadable(in))
				lookup_inconclusive(d, "not_shown");
			else
				done(in, "looked_up", d);
			return;
		case PGW_OUT_PENDING:
			pending(d);
			return;
		case PGW_OUT_DECLINED:
			refused(in, in->refusal != NULL ? in->refusal : in->answer->error_code, d);
			return;
		case PGW_OUT_NOT_FOUND:
			not_done(in, d);
			return;
		default:
			break;
	}
	if (in->answer->other_reference)
		lookup_inconclusive(d, pgw_answer_none_because(in->answer, "another_reference"));
	else
		find_out(d, "not_known_yet");
}

/*
 * Sent again, it could come on top of that. The bank's no to a refund says that the part is
 * somebody else's.
 */
static void
part_shown(const PgwOperationInput *in, PgwOperationDecision *d)
{
	if (in->operation == PGW_OP_CAPTURE && in->not_found_counts)
		mismatch(in, d); /* that much is taken, and pgw's tables do not say so */
	else if (in->operation == PGW_OP_REFUND && (in->refusal != NULL || in->pending))
		not_done(in, d);
	else
		lookup_inconclusive(d, "part_shown");
}

/*
 * A charge that is declined, the look-up says: there is none, and nothing can be taken or undone.
 * But connectors call by that also what the bank has undone since ("canceled", "refunded"), and
 * then just that is what was asked for.  Money that is taken of a declined charge says nothing, nor
 * does what nobody can read.
 */
static PgwShown
shown_of_declined(const PgwOperationInput *in)
{
	PgwAsked what = asked(in);

	if (pgw_shown_money(in->answer) || pgw_shown_unreadable_money(in->answer))
		return PGW_SHOWN_NOTHING;
	if (in->operation != PGW_OP_CAPTURE &&
		pgw_shown_operation(&what, in->answer) == PGW_SHOWN_AS_ASKED)
		return PGW_SHOWN_AS_ASKED;
	/* what is voided of a charge that was captured in part nobody can tell */
	if (what.op != PGW_OP_CAPTURE && what.op != PGW_OP_VOID && in->answer->voided)
		return PGW_SHOWN_NOTHING;
	return PGW_SHOWN_IMPOSSIBLE;
}

/*
 * The charge shows it.  Where it may be an order that is open, and has an end of its own that
 * cannot be asked about, that is no more than the bank's having accepted it.
 */
static void
shown(const PgwOperationInput *in, PgwOperationDecision *d)
{
	PgwAsked what = asked(in);

	if (pgw_capabilities_shown_may_fail(in->caps, in->operation) &&
		!pgw_shown_undone_by_void(&what, in->answer))
	{
		d->next = PGW_OPERATION_ACCEPTED;
		return;
	}
	d->next = PGW_OPERATION_DONE;
	d->reason = "looked_up";
	tell_excess(in, d);
}

static void
answered_lookup_charge(const PgwOperationInput *in, PgwOperationDecision *d)
{
	PgwShown what_is = PGW_SHOWN_NOTHING;
	PgwAsked what = asked(in);

	if (in->answer->outcome == PGW_OUT_APPROVED)
		what_is = pgw_shown_operation(&what, in->answer);
	else if (in->answer->outcome == PGW_OUT_DECLINED)
		what_is = shown_of_declined(in);
	else if (in->answer->outcome == PGW_OUT_NOT_FOUND && in->not_found_counts)
	{
		stop(d, "charge_not_found"); /* the bank has forgotten what it approved */
		return;
	}
	switch (what_is)
	{
		case PGW_SHOWN_NOTHING:
		case PGW_SHOWN_UNREADABLE:
			if (in->answer->other_reference)
				lookup_inconclusive(d, pgw_answer_none_because(in->answer, "another_reference"));
			else if (in->answer->outcome == PGW_OUT_APPROVED)
				lookup_inconclusive(d, "not_shown");
			else
				find_out(d, "not_known_yet");
			break;
		case PGW_SHOWN_AS_ASKED:
			shown(in, d);
			break;
		case PGW_SHOWN_OTHERWISE:
			mismatch(in, d);
			break;
		case PGW_SHOWN_PART:
			part_shown(in, d);
			break;
		case PGW_SHOWN_NOT_DONE:
			not_done(in, d);
			break;
		case PGW_SHOWN_IMPOSSIBLE:
			refused(in, in->refusal, d);
			break;
	}
}

void
pgw_operation_result(const PgwOperationInput *in, PgwOperationDecision *d)
{
	bool lookup = pgw_op_is_lookup(in->op);

	memset(d, 0, sizeof(*d));
	if (in->names_other && !PGW_MUTATED(OPERATION_OWNER))
	{
		stop(d, PGW_ID_OF_ANOTHER_OPERATION);
		d->error = pgw_error_find("bank_reference_taken");
		d->names_other = true;
		return;
	}
	if (in->transport == PGW_TRANSPORT_ANSWERED)
	{
		if (in->op == PGW_OP_LOOKUP_REFUND)
			answered_lookup_refund(in, d);
		else if (in->op == PGW_OP_LOOKUP_CHARGE)
			answered_lookup_charge(in, d);
		else
			answered_operation(in, d);
	}
	else if (in->transport == PGW_TRANSPORT_NEVER_SENT && !in->in_doubt && !lookup)
	{
		d->next = PGW_OPERATION_AGAIN;
		d->reason = "never_sent";
		d->error = pgw_error_find("bank_unavailable");
	}
	else
		find_out(d, "no_answer");

	/* how the last request ended is told by its own answer only */
	if (lookup && in->answered &&
		(d->next == PGW_OPERATION_FIND_OUT || d->next == PGW_OPERATION_AT_ONCE) && !d->pending)
		d->error = pgw_error_find("bank_error");

	/* A look-up that tells nothing new: what is being found out stays the same. */
	if (lookup && d->next == PGW_OPERATION_FIND_OUT && !d->pending && in->pending)
		d->pending = true;
	else if (lookup && d->next == PGW_OPERATION_FIND_OUT && !d->pending && in->refusal != NULL)
	{
		d->refused = true;
		d->error = refusal_error(in, in->refusal);
	}
	d->same = lookup && in->pending && d->pending;
}
