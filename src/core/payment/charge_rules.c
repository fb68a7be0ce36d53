/*
 * charge_rules.c - from a bank's answer to events, state, payment and what callers are told
 *
 * Owns the decision what an answer means for an attempt and its payment.
 *
 * Invariants:
 *     - Failed only upon a trusted no, or proof that nothing was sent; every doubt is BankUnknown.
 *     - An answer to a second question about an attempt in doubt (look-up, replay) counts only
 *       when it is about the charge itself.
 *     - An approval counts only for what was asked for, as far as the bank shows it: amount,
 *       currency, and what is captured of it (shown_by_bank.c).
 *     - Nor for money of the other mode: that is given back, or reviewed, and a no or a look-up of
 *       it says nothing of an attempt in doubt.
 *     - Where the bank forgets what was no success, a repetition is another try, and its no, or
 *       its wish for the card holder, says nothing of the first; nor does what a look-up says of
 *       it later.
 *     - A no whose own document shows money that was taken is no no: it is looked into.
 *     - What would need the card holder is declined when it is undone, and the bank has said so, or
 *       shows it; what it approves meanwhile is given back.
 *     - An answer that names another attempt's charge is not about this one, whatever it says.
 *     - Only what says that a charge stands gives it its id: the id in a no, believed or not, is
 *       not the charge's.
 *     - An approval that does not name the charge, where its void, refund or capture will have
 *       to, is not a whole answer: looked up, else cancelled by our reference, else reviewed.
 *     - What was not asked for is given back by an amount only where that can be read.
 *     - Every event stands on an edge of state_machine.c (the unit test checks each).
 *     - A payments row is decided upon here only when the worker is its writer: a submitted
 *       payment with the row's lock held.
 */
#include "core/payment/charge_rules.h"

#include <string.h>

#include "core/base/mutant.h"
#include "core/payment/shown_by_bank.h"

PgwBankOp
pgw_charge_operation(PgwCaptureMode capture, bool submitted)
{
	if (capture == PGW_CAPTURE_IMMEDIATE ||
		(capture == PGW_CAPTURE_ON_COMMIT && (submitted || PGW_MUTATED(CAPTURE_AT_ONCE))))
		return PGW_OP_CHARGE;
	return PGW_OP_AUTHORIZE;
}

bool
pgw_charge_is_captured(PgwCaptureMode capture, bool submitted)
{
	return pgw_charge_operation(capture, submitted) == PGW_OP_CHARGE;
}

static void
begin(PgwDecision *d, PgwState state)
{
	memset(d, 0, sizeof(*d));
	d->state = state;
}

void
pgw_decision_add_event(PgwDecision *d, PgwEventType type, PgwState to)
{
	pgw_decision_add_edge(d, to, 1, &type);
}

void
pgw_decision_add_edge(PgwDecision *d, PgwState to, int n, const PgwEventType *types)
{
	for (int i = 0; i < n; i++)
	{
		d->events[d->nevents].type = types[i];
		d->events[d->nevents].from = d->state;
		d->events[d->nevents].to = to;
		d->nevents++;
	}
	d->state = to;
}

void
pgw_decision_note_difference(PgwDecision *d, int64_t asked, const char *currency,
							 const PgwAnswer *a)
{
	d->shown = a;
	d->asked_amount = asked;
	d->asked_currency = currency;
}

/*
 * The bank's code as our list has it, if it is of this outcome's kind (the SQLSTATE tells declines
 * from our own rules); else the outcome's own.
 */
static const PgwErrorInfo *
error_for(const char *code, const char *otherwise)
{
	const PgwErrorInfo *own = pgw_error_find(otherwise);
	const PgwErrorInfo *info = pgw_error_find(code);

	return info != NULL && strcmp(info->sqlstate, own->sqlstate) == 0 ? info : own;
}

static void
save(PgwDecision *d, PgwCaptureMode capture, bool submitted, int64_t amount)
{
	bool charged = pgw_charge_is_captured(capture, submitted);

	d->payment = charged ? PGW_PAYMENT_BECOMES_CAPTURED : PGW_PAYMENT_BECOMES_AUTHORIZED;
	d->authorized_amount = amount;
	d->captured_amount = charged ? amount : 0;

	/*
	 * An on_commit payment that is only authorized has its capture before it: Saved, not Completed.
	 */
	if (!charged && capture == PGW_CAPTURE_ON_COMMIT)
	{
		d->reserved_amount = amount;
		pgw_decision_add_event(d, PGW_EV_PAYMENT_DATA_SAVE_COMPLETED, PGW_SAVED);
		return;
	}
	pgw_decision_add_event(d, PGW_EV_PAYMENT_DATA_SAVE_COMPLETED, PGW_SAVED);
	pgw_decision_add_event(d, PGW_EV_TRANSACTION_COMPLETED, PGW_COMPLETED);
}

static void
approved(const PgwChargeInput *in, PgwDecision *d)
{
	pgw_decision_add_event(d, PGW_EV_BANK_PROCESSING_COMPLETED, PGW_BANK_APPROVED);
	pgw_decision_add_event(d, PGW_EV_PAYMENT_DATA_SAVE_STARTED, PGW_BANK_APPROVED);
	if (!in->submitted)
		/* the caller's transaction writes the rest, or its end decides */
		return;
	if (in->payment_locked)
		save(d, in->capture, true, in->amount);
	else
		d->save_later = true;
}

static void
failed(const PgwChargeInput *in, PgwDecision *d, PgwPaymentChange payment,
	   const PgwErrorInfo *error)
{
	static const PgwEventType types[] = {PGW_EV_BANK_PROCESSING_FAILED, PGW_EV_TRANSACTION_FAILED};

	pgw_decision_add_edge(d, PGW_FAILED, 2, types);
	d->error = error;
	if (in->submitted && in->payment_locked)
		d->payment = payment;
}

/*
 * For want of an answer it is not forgotten that the bank said yes, nor that it is being undone,
 * nor that the bank takes its time to decide.
 */
static const char *
not_forgotten(const PgwChargeInput *in, const char *code)
{
	if (in->approved_before)
		return PGW_APPROVAL_INCOMPLETE;
	if (in->being_undone)
		return PGW_ACTION_REQUIRED;
	return in->pending_before && in->op == PGW_OP_LOOKUP_CHARGE && !PGW_MUTATED(PENDING_FORGOTTEN)
			   ? PGW_CHARGE_PENDING
			   : code;
}

static void
unknown(const PgwChargeInput *in, PgwDecision *d, const char *code, const char *reason)
{
	if (PGW_MUTATED(UNKNOWN_IS_FAILED))
	{
		failed(in, d, PGW_PAYMENT_BECOMES_FAILED, pgw_error_find("bank_error"));
		return;
	}
	if (in->state == PGW_BANK_UNKNOWN)
		pgw_decision_add_event(d, PGW_EV_BANK_STATUS_CHECKED, PGW_BANK_UNKNOWN);
	else
		pgw_decision_add_event(d, PGW_EV_BANK_OUTCOME_UNKNOWN, PGW_BANK_UNKNOWN);
	d->error = pgw_error_find(not_forgotten(in, code));
	d->reason = reason;
}

static void
give_back(PgwDecision *d, const char *reason)
{
	static const PgwEventType types[] = {PGW_EV_BANK_OUTCOME_UNACCEPTABLE,
										 PGW_EV_COMPENSATION_STARTED, PGW_EV_REFUND_STARTED};

	pgw_decision_add_edge(d, PGW_REFUNDING, 3, types);
	d->error = pgw_error_find("outcome_unacceptable");
	d->reason = reason;
}

/*
 * Money was taken, but not as asked for: it is given back, whether or not the caller keeps its row.
 */
static void
unacceptable(const PgwChargeInput *in, PgwDecision *d, const char *reason)
{
	give_back(d, reason);
	if (in->submitted && in->payment_locked)
		d->payment = PGW_PAYMENT_BECOMES_FAILED;
}

static void
review(const PgwChargeInput *in, PgwDecision *d, const char *code, const char *reason)
{
	pgw_charge_review(in->state, code, reason, d);
	if (in->submitted && in->payment_locked)
		d->payment = PGW_PAYMENT_BECOMES_IN_REVIEW;
}

/* The bank has said yes, and there is nobody (left) to ask which charge that is. */
static void
nobody_names_it(const PgwChargeInput *in, PgwDecision *d)
{
	if (in->can_cancel)
		unacceptable(in, d, "approval_without_reference");
	else
		review(in, d, PGW_APPROVAL_INCOMPLETE, "approval_without_reference");
}

static void
incomplete(const PgwChargeInput *in, PgwDecision *d)
{
	if (in->op != PGW_OP_LOOKUP_CHARGE && in->can_lookup)
		unknown(in, d, PGW_APPROVAL_INCOMPLETE, "approval_without_reference");
	else
		nobody_names_it(in, d);
}

/* It says that no money moved, and shows money that did. */
static bool
is_belied_refusal(const PgwAnswer *a)
{
	switch (a->outcome)
	{
		case PGW_OUT_DECLINED:
		case PGW_OUT_REQUIRES_ACTION:
		case PGW_OUT_REJECTED:
		case PGW_OUT_NOT_PROCESSED:
		case PGW_OUT_NOT_FOUND:
		case PGW_OUT_ACCEPTED: /* of what follows a charge only */
			return pgw_shown_money(a);
		case PGW_OUT_APPROVED:
		case PGW_OUT_PENDING:
		case PGW_OUT_UNKNOWN:
			break;
	}
	return false;
}

static bool
undoes(PgwBankOp op)
{
	return op == PGW_OP_CANCEL || op == PGW_OP_REVERSE || op == PGW_OP_VOID;
}

PgwChargeIdClaim
pgw_charge_id_claimed(PgwBankOp op, PgwTransport transport, const PgwAnswer *answer)
{
	bool kept = answer->bank_reference[0] != '\0';

	if (transport != PGW_TRANSPORT_ANSWERED || (!kept && answer->compared_reference[0] == '\0'))
		return PGW_CHARGE_ID_CLAIM_NOTHING;

	/*
	 * It is not believed, and so neither is its id; but money was taken, and another payment's
	 * would show whose.  No cancellation says that a charge stands, what it has failed to undo
	 * included.
	 */
	if (is_belied_refusal(answer) || undoes(op))
		return PGW_CHARGE_ID_CLAIM_LOOK;
	switch (answer->outcome)
	{
		case PGW_OUT_APPROVED:
		case PGW_OUT_PENDING:
		case PGW_OUT_REQUIRES_ACTION:
			return kept ? PGW_CHARGE_ID_CLAIM_TAKE : PGW_CHARGE_ID_CLAIM_LOOK;
		case PGW_OUT_DECLINED:
			/*
			 * to the request itself it is a no, whatever it is called; a look-up can show somebody
			 * else's
			 */
			return op == PGW_OP_LOOKUP_CHARGE ? PGW_CHARGE_ID_CLAIM_LOOK
											  : PGW_CHARGE_ID_CLAIM_NOTHING;
		default:
			return PGW_CHARGE_ID_CLAIM_NOTHING;
	}
}

/* The money is with the bank, or not, in the way that was asked for? */
static PgwShown
shown(const PgwChargeInput *in)
{
	PgwAsked asked = {.amount = in->amount, .currency = in->currency};

	asked.op = pgw_charge_operation(in->capture, in->submitted);
	asked.capture_follows = in->capture == PGW_CAPTURE_ON_COMMIT;
	return pgw_shown_charge(&asked, in->answer);
}

/*
 * The card holder has acted somewhere, and a request that undoes the charge is out: it may still
 * come to it.  So it is no payment, whatever stands at the bank now.
 */
static void
approved_after_all(const PgwChargeInput *in, PgwDecision *d)
{
	if (in->lacks_reference && !in->can_cancel)
		review(in, d, PGW_APPROVAL_INCOMPLETE, "approval_without_reference");
	else
		unacceptable(in, d, "requires_action");
}

/*
 * Undone, says a look-up: what undid it was done later than it was answered, or its answer was
 * lost.
 */
static bool
shows_undone(const PgwAnswer *a)
{
	return !a->charge_state_unreadable &&
		   (a->voided || (a->captured > 0 && a->refunded >= a->captured)) &&
		   !PGW_MUTATED(UNDONE_SHOWN);
}

static void
answered_yes(const PgwChargeInput *in, PgwDecision *d)
{
	PgwShown how = shown(in);

	if (how == PGW_SHOWN_UNREADABLE)
		unknown(in, d, "outcome_unknown", "answer_not_understood");
	else if (in->being_undone && shows_undone(in->answer))
		failed(in, d, PGW_PAYMENT_BECOMES_DECLINED, pgw_error_find(PGW_ACTION_REQUIRED));
	else if (how == PGW_SHOWN_OTHERWISE && in->only_refund &&
			 pgw_shown_left_unreadable(in->answer,
									   pgw_charge_is_captured(in->capture, in->submitted)))
		unknown(in, d, "outcome_unknown", "answer_not_understood");
	else if (in->being_undone)
		approved_after_all(in, d);
	else if (in->lacks_reference && (how == PGW_SHOWN_AS_ASKED || !in->can_cancel) &&
			 !PGW_MUTATED(APPROVAL_REFERENCE))
		incomplete(in, d);
	else if (how == PGW_SHOWN_AS_ASKED)
		approved(in, d);
	else
	{
		unacceptable(in, d, "amount_mismatch");
		pgw_decision_note_difference(d, in->amount, in->currency, in->answer);
	}
}

/*
 * Is this no, or what would need the card holder, perhaps about a repetition alone?  The first try
 * may have charged, and that be why there is nothing left.
 */
static bool
is_of_another_try(const PgwChargeInput *in)
{
	return in->in_doubt && in->tried_anew && !in->being_undone;
}

/* A look-up may yet show the first; but one that shows the other will show nothing else. */
static void
another_try_refused(const PgwChargeInput *in, PgwDecision *d)
{
	if (in->op == PGW_OP_LOOKUP_CHARGE)
		review(in, d, "outcome_unknown", "repeat_refused");
	else
		unknown(in, d, "outcome_unknown", "repeat_refused");
}

/*
 * As the answer to a charge it means nothing, and from a look-up nothing as long as the bank may
 * not show the charge yet.
 */
static void
answered_not_found(const PgwChargeInput *in, PgwDecision *d)
{
	/*
	 * Nor is what the bank has said to be pending, or has named with a yes that could not be read,
	 * gone for not being found: it knew the charge, and may still settle it days after a replica,
	 * or a clean-up, did not show it once.  A person decides at the deadline, as nobody watches for
	 * so long what has failed.
	 */
	if (in->op != PGW_OP_LOOKUP_CHARGE || !in->not_found_counts ||
		(in->pending_before && !PGW_MUTATED(PENDING_NOT_FOUND)) ||
		(in->named && !in->being_undone && !PGW_MUTATED(NAMED_GONE)))
	{
		unknown(in, d, "outcome_unknown", "not_found_yet");
		return;
	}
	if (in->approved_before)
	{
		nobody_names_it(in, d);
		return;
	}
	if (is_of_another_try(in))
	{
		another_try_refused(in, d);
		return;
	}
	failed(in, d, PGW_PAYMENT_BECOMES_FAILED, pgw_error_find("not_processed"));
	d->reason = "not_found";
	d->not_found = true;
}

/*
 * The answer to the request itself says that real money has moved where none should, or that none
 * has where it should.  It counts for what was done there, and never as the payment.  In doubt an
 * earlier request may have gone to the right place, with another key: what is known of this one
 * says nothing of that, so nobody but a person can undo both.
 */
static void
answered_in_other_mode(const PgwChargeInput *in, PgwDecision *d)
{
	switch (in->answer->outcome)
	{
		case PGW_OUT_APPROVED:
			if (in->in_doubt || (in->lacks_reference && !in->can_cancel))
				review(in, d, PGW_LIVEMODE_MISMATCH, "other_mode");
			else
			{
				unacceptable(in, d, "other_mode");
				d->error = pgw_error_find(PGW_LIVEMODE_MISMATCH);
			}
			return;
		case PGW_OUT_DECLINED:
		case PGW_OUT_REQUIRES_ACTION:
		case PGW_OUT_REJECTED:
		case PGW_OUT_NOT_PROCESSED:
			if (in->in_doubt)
				break;
			failed(in, d, PGW_PAYMENT_BECOMES_FAILED, pgw_error_find(PGW_LIVEMODE_MISMATCH));
			d->reason = "other_mode";
			return;
		case PGW_OUT_PENDING:
		case PGW_OUT_ACCEPTED:
		case PGW_OUT_NOT_FOUND:
		case PGW_OUT_UNKNOWN:
			break;
	}
	unknown(in, d, "outcome_unknown", "other_mode");
}

static void
answered(const PgwChargeInput *in, PgwDecision *d)
{
	const PgwAnswer *a = in->answer;

	if (is_belied_refusal(a))
	{
		unknown(in, d, "outcome_unknown", "answer_belies_itself");
		return;
	}
	if (a->other_mode)
	{
		answered_in_other_mode(in, d);
		return;
	}
	switch (a->outcome)
	{
		case PGW_OUT_APPROVED:
			answered_yes(in, d);
			return;
		case PGW_OUT_DECLINED:
			if (is_of_another_try(in) && !PGW_MUTATED(REPEAT_DECLINED))
			{
				another_try_refused(in, d);
				return;
			}
			/* of what is being undone the bank may say no more than that it is gone */
			failed(in, d, PGW_PAYMENT_BECOMES_DECLINED,
				   in->being_undone ? pgw_error_find(PGW_ACTION_REQUIRED)
									: error_for(a->error_code, "declined"));
			return;
		case PGW_OUT_REQUIRES_ACTION:
			if (is_of_another_try(in) && !PGW_MUTATED(REPEAT_UNCONFIRMED))
			{
				/* undone by its own id, it would leave the first one taken */
				another_try_refused(in, d);
				return;
			}
			if (in->can_undo && !PGW_MUTATED(UNDO_UNCONFIRMED))
				unknown(in, d, PGW_ACTION_REQUIRED, "requires_action");
			else
				failed(in, d, PGW_PAYMENT_BECOMES_DECLINED, pgw_error_find(PGW_ACTION_REQUIRED));
			return;
		case PGW_OUT_REJECTED:
			/* of this request only: an attempt in doubt had another before it */
			if (in->in_doubt)
				break;
			failed(in, d, PGW_PAYMENT_BECOMES_FAILED,
				   error_for(a->error_code, "bank_rejected_request"));
			return;
		case PGW_OUT_NOT_PROCESSED:
			if (in->in_doubt)
				break;
			failed(in, d, PGW_PAYMENT_BECOMES_FAILED, error_for(a->error_code, "not_processed"));
			return;
		case PGW_OUT_PENDING:
			if (in->state == PGW_BANK_UNKNOWN)
				pgw_decision_add_event(d, PGW_EV_BANK_STATUS_CHECKED, PGW_BANK_UNKNOWN);
			else
				pgw_decision_add_event(d, PGW_EV_BANK_PROCESSING_PENDING, PGW_BANK_UNKNOWN);
			d->error = pgw_error_find(not_forgotten(in, PGW_CHARGE_PENDING));
			return;
		case PGW_OUT_NOT_FOUND:
			answered_not_found(in, d);
			return;
		case PGW_OUT_ACCEPTED:
		case PGW_OUT_UNKNOWN:
			if (a->key_word == PGW_KEY_MISMATCH && !PGW_MUTATED(KEY_MISMATCH))
			{
				/* a defect: what came first under this key, nobody here can say */
				review(in, d, "outcome_unknown", "key_mismatch");
				return;
			}
			unknown(in, d, "outcome_unknown",
					a->key_word == PGW_KEY_IN_PROGRESS ? "in_progress" : "answer_not_understood");
			return;
	}
	unknown(in, d, "outcome_unknown", "answer_not_understood");
}

/*
 * Was it undone?  Only the bank's yes, whose own document does not say otherwise, ends it; or a
 * look-up that shows it.
 */
static void
answered_undoing(const PgwChargeInput *in, PgwDecision *d)
{
	PgwAsked asked = {.op = in->op, .amount = in->amount, .currency = in->currency};
	const PgwAnswer *a = in->answer;

	if (in->transport != PGW_TRANSPORT_ANSWERED || a->outcome != PGW_OUT_APPROVED ||
		a->charge_state_unreadable || pgw_shown_belied(&asked, a) || pgw_shown_money(a))
		unknown(in, d, PGW_ACTION_REQUIRED, "not_undone_yet");
	else if (in->op == PGW_OP_CANCEL && in->cancelled_too_early)
	{
		unknown(in, d, PGW_ACTION_REQUIRED, PGW_CANCELLED_ONCE);
		d->cancelled_once = true;
	}
	else
		failed(in, d, PGW_PAYMENT_BECOMES_DECLINED, pgw_error_find(PGW_ACTION_REQUIRED));
}

bool
pgw_charge_is_being_undone(PgwState state, const char *error_code)
{
	return state == PGW_BANK_UNKNOWN && error_code != NULL &&
		   strcmp(error_code, PGW_ACTION_REQUIRED) == 0;
}

bool
pgw_charge_is_pending(PgwKind kind, PgwState state, const char *error_code)
{
	return kind == PGW_KIND_PAYMENT && state == PGW_BANK_UNKNOWN && error_code != NULL &&
		   strcmp(error_code, PGW_CHARGE_PENDING) == 0;
}

void
pgw_charge_result(const PgwChargeInput *in, PgwDecision *d)
{
	begin(d, in->state);
	if (in->names_other_charge && !PGW_MUTATED(REFERENCE_OWNER))
	{
		review(in, d, "bank_reference_taken", "charge_of_another_payment");
		d->names_other_charge = true;
		return;
	}
	if (undoes(in->op))
	{
		answered_undoing(in, d);
		return;
	}
	switch (in->transport)
	{
		case PGW_TRANSPORT_ANSWERED:
			answered(in, d);
			return;
		case PGW_TRANSPORT_NEVER_SENT:
			/* proof about this one request only: an attempt in doubt had another before it */
			if (!in->in_doubt)
			{
				failed(in, d, PGW_PAYMENT_BECOMES_FAILED, pgw_error_find("bank_unavailable"));
				d->reason = "never_sent";
				return;
			}
			break;
		case PGW_TRANSPORT_MAYBE_SENT:
			break;
	}
	unknown(in, d, "outcome_unknown", "no_answer");
}

void
pgw_charge_save(PgwCaptureMode capture, bool submitted, int64_t amount, PgwDecision *d)
{
	begin(d, PGW_BANK_APPROVED);
	save(d, capture, submitted, amount);
}

void
pgw_charge_expired(PgwDecision *d)
{
	begin(d, PGW_CREATED);
	pgw_decision_add_event(d, PGW_EV_TRANSACTION_FAILED, PGW_FAILED);
	d->payment = PGW_PAYMENT_BECOMES_FAILED;
	d->error = pgw_error_find("request_expired");
}

void
pgw_charge_lost(PgwDecision *d)
{
	begin(d, PGW_CREATED);
	pgw_decision_add_event(d, PGW_EV_BANK_OUTCOME_UNKNOWN, PGW_BANK_UNKNOWN);
	d->error = pgw_error_find("outcome_unknown");
	d->reason = "worker_lost";
}

void
pgw_charge_replay(PgwDecision *d)
{
	begin(d, PGW_BANK_UNKNOWN);
	pgw_decision_add_event(d, PGW_EV_BANK_STATUS_CHECKED, PGW_BANK_UNKNOWN);
	d->keep_error = true;
	d->reason = "replay";
}

void
pgw_charge_cancel(PgwDecision *d)
{
	begin(d, PGW_BANK_UNKNOWN);
	give_back(d, "approval_without_reference");
}

void
pgw_charge_review(PgwState from, const char *error_code, const char *reason, PgwDecision *d)
{
	begin(d, from);
	pgw_decision_add_event(d, PGW_EV_MANUAL_REVIEW_REQUIRED, PGW_REQUIRES_MANUAL_REVIEW);
	d->error = pgw_error_find(error_code);
	d->reason = reason;
}

void
pgw_charge_late_review(const char *error_code, const char *reason, PgwDecision *d)
{
	static const PgwEventType types[] = {PGW_EV_LATE_APPROVAL_RECEIVED,
										 PGW_EV_MANUAL_REVIEW_REQUIRED};

	begin(d, PGW_FAILED);
	pgw_decision_add_edge(d, PGW_REQUIRES_MANUAL_REVIEW, 2, types);
	d->error = pgw_error_find(error_code);
	d->reason = reason;
}

PgwPaymentChange
pgw_charge_payment_of_state(PgwState state, const char *error_code)
{
	switch (state)
	{
		case PGW_FAILED:
			return pgw_error_is_decline(error_code) ? PGW_PAYMENT_BECOMES_DECLINED
													: PGW_PAYMENT_BECOMES_FAILED;
		case PGW_REFUNDING:
		case PGW_REFUNDED:
			return PGW_PAYMENT_BECOMES_FAILED;
		case PGW_REQUIRES_MANUAL_REVIEW:
			return PGW_PAYMENT_BECOMES_IN_REVIEW;
		default:
			return PGW_PAYMENT_UNCHANGED;
	}
}

void
pgw_charge_adopt(PgwState state, PgwDecision *d)
{
	begin(d, state);
	d->keep_error = true;
	pgw_decision_add_event(d, PGW_EV_TRANSACTION_ADOPTED, state);
	if (state == PGW_BANK_APPROVED)
		pgw_decision_add_event(d, PGW_EV_PAYMENT_DATA_SAVE_STARTED, state);
}

void
pgw_charge_superseded(PgwDecision *d)
{
	begin(d, PGW_CREATED);
	pgw_decision_add_event(d, PGW_EV_TRANSACTION_FAILED, PGW_FAILED);
	d->error = pgw_error_find("superseded");
}

void
pgw_charge_refused(PgwDecision *d)
{
	begin(d, PGW_STATE_NONE);
	pgw_decision_add_event(d, PGW_EV_TRANSACTION_STARTED, PGW_CREATED);
	pgw_decision_add_event(d, PGW_EV_TRANSACTION_FAILED, PGW_FAILED);
	d->error = pgw_error_find("bank_unavailable");
	d->reason = "breaker_open";
}

void
pgw_charge_retry(const PgwDecision *failed, bool switched, PgwDecision *d)
{
	begin(d, PGW_CREATED);
	pgw_decision_add_event(d, switched ? PGW_EV_BANK_SWITCHED : PGW_EV_BANK_RETRY_SCHEDULED,
						   PGW_CREATED);
	d->error = failed->error;
	d->reason = failed->reason;
}
