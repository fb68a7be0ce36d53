/*
 * requested_operation.c - captures, voids and refunds that callers asked for, after their commit
 *
 * Carries out core/payment/operation_rules.c and operation_events.c.  All functions have the
 * attempt's row locked.
 *
 * Orderings that matter
 *     - BankProcessingStarted is committed and flushed before the operation leaves.
 *     - The caller's claim (reserved_amount, refund_pending_amount) stands from its own commit
 *       until the outcome is known; then attempt and payments row change in one commit, or the
 *       attempt waits as BankApproved.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "attempt/accepted.h"
#include "attempt/operation_id.h"
#include "attempt/operation_request.h"
#include "attempt/put_off.h"
#include "attempt/refund_ceiling.h"
#include "attempt/requested_operation.h"
#include "attempt/watch_after_end.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "base/schedule.h"
#include "core/base/mutant.h"
#include "core/payment/charge_rules.h"
#include "core/payment/operation_events.h"
#include "outcome/record_decision.h"
#include "store/events.h"
#include "store/outcome_message.h"
#include "store/tables.h"

void
pgw_operation_payment(const PgwAttempt *attempt, PgwPayment *p)
{
	if (!pgw_store_payment_by_id(&attempt->payment_id, p))
		elog(ERROR, "the payment of an operation is not there");
}

/* ---------------------------------------------------------------- the payments row */

/*
 * AuthorizationExpired stands with the charge's own attempt.  The payments row is locked and the
 * caller's to write.  false: somebody holds the attempt's row.
 */
static bool
note_expiry(const PgwPayment *p)
{
	PgwAttempt charge;
	PgwEvent event = {
		.type = PGW_EV_AUTHORIZATION_EXPIRED, .from = PGW_COMPLETED, .to = PGW_COMPLETED};
	bool busy = false;

	if (!pgw_store_lock_attempt(&p->transaction_id, false, &charge, &busy))
		return !busy;
	if (charge.status != PGW_COMPLETED)
		return true;
	charge.next_step_at = 0;
	pgw_store_advance(&charge, false, &event, 1);
	return true;
}

bool
pgw_operation_write_payment(const PgwAttempt *attempt, PgwPayment *p, bool done, bool expired)
{
	PgwPaymentAmounts s;

	pgw_store_get_amounts(p, &s);
	if (attempt->status == PGW_SAVED)
		pgw_payment_operation_no_longer_accepted(attempt->kind, attempt->amount, &s);
	if (done && !expired)
		pgw_payment_operation_done(attempt->kind, attempt->amount, attempt->final_capture, &s);
	else
		pgw_payment_operation_undone(attempt->kind, attempt->amount, &s);
	if (expired && pgw_payment_authorization_expired(&s) && !note_expiry(p))
		return false;
	pgw_store_set_amounts(p, &s);
	pgw_store_update_payment(p);
	pgw_store_notify(&attempt->payment_id, attempt->kind,
					 done && !expired ? "completed" : "failed");
	if (p->status == PGW_PAY_EXPIRED)
		pgw_store_notify_payment(p);
	return true;
}

void
pgw_operation_tell_review(const PgwAttempt *attempt)
{
	if (attempt->status == PGW_REQUIRES_MANUAL_REVIEW && attempt->kind != PGW_KIND_PAYMENT)
		pgw_store_notify(&attempt->payment_id, attempt->kind, "in_review");
}

void
pgw_operation_watch(PgwAttempt *attempt)
{
	PgwBank *bank;
	bool unreadable;

	attempt->next_step_at = attempt->watch_until = 0;
	attempt->step_tries = 0;
	/* one that was done otherwise is no refund at the bank */
	if (attempt->kind != PGW_KIND_REFUND || attempt->refund_operation != NULL)
		return;

	/*
	 * A bank that cannot be read just now may show refunds for all we know: the first look tells.
	 */
	bank = pgw_config_bank_of(attempt->bank, attempt->bank_version, &unreadable);
	pgw_step_watch_refund_begin(attempt, bank != NULL && bank->connector != NULL
											 ? pgw_connector_capabilities(bank->connector)
											 : NULL);
}

static void
save(PgwAttempt *attempt, PgwStep *step)
{
	PgwDecision d;
	PgwPayment p;
	bool busy = false;

	if (!pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy))
	{
		if (!busy)
			elog(ERROR, "the payment of an operation is not there");
		step->try_later = true;
		return;
	}
	if (attempt->accepted_at != 0)
	{
		pgw_accepted_put_amounts(attempt, &p);
		pgw_accepted_begins(NULL, attempt);
	}
	else
	{
		(void) pgw_operation_write_payment(attempt, &p, true, false);
		pgw_operation_watch(attempt);
	}
	pgw_operation_save(attempt->accepted_at != 0, &d);
	pgw_record_decision(attempt, NULL, &d, pgw_kind_name(attempt->kind), NULL);
}

bool
pgw_step_operation_late_review(PgwAttempt *attempt, PgwStep *step, const char *reason,
							   const char *unclaimed)
{
	const char *error_code = "outcome_unknown";
	PgwDecision d;
	PgwPayment p;
	PgwPaymentAmounts s;
	bool busy = false;
	bool fits;

	Assert(attempt->place.held && attempt->kind != PGW_KIND_PAYMENT &&
		   attempt->status == PGW_FAILED);
	if (!pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy))
	{
		step->try_later = true;
		return false;
	}
	pgw_store_get_amounts(&p, &s);
	fits = pgw_payment_can_claim_again(attempt->kind, attempt->amount, &s);
	if (fits)
	{
		pgw_payment_operation_begin(attempt->kind, attempt->amount, &s);
		pgw_store_set_amounts(&p, &s);
		pgw_store_update_payment(&p);
	}
	attempt->watch_until = attempt->next_step_at = 0;
	pgw_charge_late_review(error_code, fits ? reason : unclaimed, &d);
	pgw_record_decision(attempt, NULL, &d, pgw_kind_name(attempt->kind), NULL);
	pgw_operation_tell_review(attempt);
	step->contradicted = !fits;
	return true;
}

/* ---------------------------------------------------------------- steps */

bool
pgw_step_operation_is_unsent(const PgwAttempt *attempt)
{
	return attempt->status == PGW_BANK_UNKNOWN && attempt->own_request.key != NULL &&
		   attempt->own_request.key_used_at == 0;
}

/* Nothing was sent, or a look-up that counts has just said that nothing was done. */
static bool
is_known_undone(const PgwAttempt *attempt, const PgwStep *step)
{
	return pgw_step_operation_is_unsent(attempt) || step->resend_allowed;
}

/* Nothing was done, and nothing will be: its claim is free again. */
static void
end_undone(PgwAttempt *attempt, PgwStep *step, const char *code, const char *reason)
{
	PgwOperationDecision r = {
		.next = PGW_OPERATION_REFUSED, .error = pgw_error_find(code), .reason = reason};
	PgwDecision d;
	PgwPayment p;
	bool busy = false;

	Assert(attempt->place.held && attempt->kind != PGW_KIND_PAYMENT &&
		   (attempt->status == PGW_CREATED || is_known_undone(attempt, step)));
	if (!pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy))
	{
		step->try_later = true;
		return;
	}
	(void) pgw_operation_write_payment(attempt, &p, false, false);
	attempt->next_step_at = 0;
	pgw_operation_decision(&r, attempt->status, true, &d);
	pgw_record_decision(attempt, NULL, &d, pgw_kind_name(attempt->kind), NULL);
}

/*
 * Nobody has been able to get it done for so long: the caller may ask again, or otherwise.
 */
void
pgw_step_operation_give_up(PgwAttempt *attempt, PgwStep *step, const char *reason)
{
	end_undone(attempt, step, "bank_unavailable", reason);
}

#define DISPUTE_UNRECORDED "dispute_unrecorded" /* why a refund is put off */

/* Somebody keeps the payment's row: that is no trying at the bank, and has an end of its own. */
static bool
has_waited_for_dispute(const PgwAttempt *attempt)
{
	return attempt->put_off_reason != NULL &&
		   strcmp(attempt->put_off_reason, DISPUTE_UNRECORDED) == 0;
}

/*
 * A refund of which nothing was done does not leave now: a dispute has taken what it would pay, and
 * it has ended; or one has to be recorded first, and it is visited again.
 */
static bool
is_held_by_dispute(PgwAttempt *attempt, PgwStep *step, const PgwPayment *p)
{
	if (attempt->kind != PGW_KIND_REFUND)
		return false;
	switch (pgw_refund_ceiling(attempt, p))
	{
		case PGW_CEILING_FITS:
			return false;
		case PGW_CEILING_UNRECORDED:
			if (pgw_put_off_blocked(attempt, step, DISPUTE_UNRECORDED))
				return true;
			step->other_attempt = p->transaction_id;
			step->other_was_told = true;
			step->try_later = true;
			return true;
		case PGW_CEILING_EXCEEDED:
			end_undone(attempt, step, "amount_disputed", "disputed");
			return true;
	}
	return true;
}

/* What the bank repeated in its answer to the charge, it may repeat in what follows. */
static bool
charge_echoed_card(const PgwPayment *p)
{
	PgwAttempt charge;

	return pgw_store_attempt_by_id(&p->transaction_id, &charge) && charge.card_echoed;
}

/*
 * Has it been tried for so long that it is given up?  A refund may have had to wait until its
 * charge was settled: the time for trying begins after that.
 */
static bool
is_tried_for_too_long(const PgwAttempt *attempt)
{
	int64 waits_s = 0;
	bool unreadable = false;
	PgwBank *bank;

	if (!attempt->live || pgw_schedule_age_s(attempt->created_at) < pgw_unknown_deadline)
		return false;
	bank = pgw_config_bank_of(attempt->bank, attempt->bank_version, &unreadable);
	if (attempt->kind == PGW_KIND_REFUND && bank != NULL && bank->connector != NULL &&
		!PGW_MUTATED(SETTLEMENT_AGE))
		waits_s = pgw_connector_capabilities(bank->connector)->settles_after_s;
	return !unreadable && pgw_schedule_age_s(attempt->created_at) >= pgw_unknown_deadline + waits_s;
}

static void
send_first(PgwAttempt *attempt, PgwStep *step)
{
	PgwEvent event = {.type = PGW_EV_BANK_PROCESSING_STARTED,
					  .from = PGW_CREATED,
					  .to = PGW_CREATED,
					  .operation = pgw_kind_name(attempt->kind)};
	PgwPayment p;
	PgwBank *bank;

	if (attempt->next_step_at > pgw_now())
		return;
	if (!pgw_put_off_wait_over(attempt) && !has_waited_for_dispute(attempt) &&
		is_tried_for_too_long(attempt))
	{
		pgw_step_operation_give_up(attempt, step, "deadline");
		return;
	}
	bank = pgw_step_bank(attempt, step, false);
	if (bank == NULL)
		return;
	pgw_operation_payment(attempt, &p);
	if (is_held_by_dispute(attempt, step, &p))
		return;
	attempt->card_echoed |= charge_echoed_card(&p);
	if (!pgw_step_operation_send(attempt, step, bank, &p, false))
		return;
	attempt->live = true;
	attempt->next_step_at = 0;
	pgw_store_advance(attempt, false, &event, 1);
}

static void
send_again(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, const PgwPayment *p)
{
	bool another = attempt->own_request.key_used_at == 0;
	PgwDecision d;

	/* what a look-up has found undone may be sent anew only as far as a first one might be */
	if ((PGW_MUTATED(DISPUTED_LOOKED_UP) ? pgw_step_operation_is_unsent(attempt)
										 : is_known_undone(attempt, step)) &&
		is_held_by_dispute(attempt, step, p))
		return;
	if (!pgw_step_operation_send(attempt, step, bank, p, true))
		return;
	pgw_charge_replay(&d);
	/*
	 * What goes on in another way is another request: if this worker ends before the answer, what
	 * the bank said to the one before is no refusal of it.
	 */
	if (another && !PGW_MUTATED(REFUSAL_KEPT))
	{
		d.keep_error = false;
		d.error = pgw_error_find("outcome_unknown");
	}
	pgw_record_decision(attempt, NULL, &d, pgw_kind_name(attempt->kind), NULL);
}

static void
find_out(PgwAttempt *attempt, PgwStep *step)
{
	PgwPayment p;
	PgwBank *bank;
	const char *reason;
	bool early = pgw_step_is_early(attempt, step);
	bool waited;

	if (attempt->next_step_at > pgw_now() && !early)
		return;
	waited = !early && pgw_put_off_wait_over(attempt);
	if (!early && !waited && pgw_step_operation_is_unsent(attempt) && attempt->step_tries > 0 &&
		is_tried_for_too_long(attempt))
	{
		pgw_step_operation_give_up(attempt, step, "deadline");
		return;
	}
	bank = pgw_step_bank(attempt, step, false);
	if (bank == NULL)
		return;
	pgw_operation_payment(attempt, &p);
	switch (pgw_step_operation_find_out(attempt, step, bank, &p, &reason))
	{
		case PGW_OPERATION_SEND:
			if (!early)
				send_again(attempt, step, bank, &p);
			break;
		case PGW_OPERATION_LOOKUP_REFUND:
		case PGW_OPERATION_LOOKUP_CHARGE:
			break;
		case PGW_OPERATION_REVIEW:
			if (early)
				break;
			/* its claim on the payment stays: it may have been done */
			pgw_step_review(attempt, "outcome_unknown", reason, pgw_kind_name(attempt->kind), 0);
			pgw_operation_tell_review(attempt);
			break;
	}
}

void
pgw_step_operation(PgwAttempt *attempt, PgwStep *step)
{
	Assert(attempt->place.held && attempt->kind != PGW_KIND_PAYMENT);

	switch (attempt->status)
	{
		case PGW_CREATED:
			if (attempt->live && attempt->next_step_at == 0)
				pgw_step_lost(attempt, step, pgw_kind_name(attempt->kind));
			else
				send_first(attempt, step);
			break;
		case PGW_BANK_UNKNOWN:
			find_out(attempt, step);
			break;
		case PGW_BANK_APPROVED:
			save(attempt, step);
			break;
		case PGW_SAVED:
			/* else it is Completed in the same commit */
			pgw_step_accepted(attempt, step);
			break;
		case PGW_COMPLETED:
			pgw_step_watch_refund(attempt, step);
			break;
		default:
			break;
	}
}

/* ---------------------------------------------------------------- the bank's answers */

void
pgw_answer_operation(PgwCall *call, PgwAttempt *attempt)
{
	PgwOperationInput in;
	PgwOperationDecision r;
	PgwDecision d;
	PgwPayment p;
	PgwState before = attempt->status;
	bool busy = false;
	bool locked = pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy);
	bool ends;

	Assert(attempt->place.held && attempt->kind != PGW_KIND_PAYMENT &&
		   (attempt->status == PGW_CREATED || attempt->status == PGW_BANK_UNKNOWN));
	if (!locked)
		pgw_operation_payment(attempt, &p);
	pgw_step_weigh_notified(call, pgw_step_asked_at(&attempt->own_request));
	pgw_step_operation_input(call, attempt, &p, &in);
	if (before == PGW_CREATED)
		in.refusal = NULL; /* what an earlier try failed of is no refusal */
	pgw_operation_result(&in, &r);

	/*
	 * Attempt and payments row end in one commit or not yet; only an approval is too precious to be
	 * kept in memory.
	 */
	ends = r.next == PGW_OPERATION_REFUSED || r.next == PGW_OPERATION_DONE;
	if (ends && !locked && (r.next == PGW_OPERATION_REFUSED || r.expired))
	{
		call->row_was_busy = true;
		return;
	}
	if (ends && locked &&
		!pgw_operation_write_payment(attempt, &p, r.next == PGW_OPERATION_DONE, r.expired))
	{
		call->row_was_busy = true;
		return;
	}
	if (r.next == PGW_OPERATION_ACCEPTED && locked)
		pgw_accepted_put_amounts(attempt, &p);
	pgw_step_operation_plan(call, attempt, &r, before == PGW_CREATED);
	if (r.next == PGW_OPERATION_FIND_OUT && before == PGW_CREATED)
		pgw_step_doubt_begins(attempt);
	if (r.next == PGW_OPERATION_DONE)
	{
		pgw_operation_watch(attempt);
		pgw_operation_id_note(call, attempt);
	}
	pgw_operation_decision(&r, before, locked, &d);
	if (d.save_later)
		attempt->next_step_at = 0;
	if (d.nevents == 0)
	{
		pgw_store_update_attempt(attempt); /* pending, as before */
		return;
	}
	call->differs = r.excess;
	d.said = pgw_step_said(call);
	pgw_record_decision(attempt, NULL, &d, pgw_kind_name(attempt->kind),
						call->transport == PGW_TRANSPORT_ANSWERED &&
								call->op != PGW_OP_LOOKUP_CHARGE
							? &call->answer
							: NULL);
	pgw_operation_tell_review(attempt);
	PGW_DEBUG_POINT("operation_result");
}
