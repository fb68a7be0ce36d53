/*
 * unknown_outcome.c - attempts whose outcome is not known: found out by look-up or replay, else
 * given to a person; and late success
 *
 * Carries out core/payment/unknown_outcome_rules.c.  All functions have the attempt's row locked.
 *
 * Orderings that matter
 *     - A look-up changes nothing, so it needs no intent.  A replay can charge: when it was
 *       last asked is moved on in a flushed commit before it leaves, so that "not found" is not
 * believed too early after a crash.
 *     - A replay carries the first request's key and reference.
 *     - What a restored database's original may have sent to another bank is neither replayed nor
 *       Failed because this one does not know it.
 *     - What the bank does not know is replayed only for a caller that may still want it; for one
 *       that is gone it is Failed.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "attempt/charge_id.h"
#include "attempt/compensation.h"
#include "attempt/put_off.h"
#include "attempt/unknown_outcome.h"
#include "attempt/unsent_charge.h"
#include "base/clock.h"
#include "base/schedule.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "core/payment/charge_rules.h"
#include "core/payment/compensation_rules.h"
#include "core/payment/shown_by_bank.h"
#include "core/payment/unknown_outcome_rules.h"
#include "outcome/caller_committed.h"
#include "outcome/record_decision.h"
#include "store/tables.h"

#define SAVE_AGAIN_MS 1000

/* A look-up whose "not found" counts within this time is waited for. */
#define MUCH_LATER_S 60
#define LOOK_AFTER_CALLER_MS 5000
#define MAYBE_AT_ANOTHER_BANK "maybe_at_another_bank"

static void
get_facts(const PgwAttempt *attempt, bool resend_allowed, bool lookup_inconclusive,
		  PgwUnknownOutcomeFacts *facts)
{
	facts->operation = pgw_charge_operation(attempt->capture, attempt->submitted);
	facts->has_token = pgw_step_can_repeat(attempt);
	facts->has_id = attempt->bank_reference != NULL;
	facts->resend_allowed = resend_allowed;
	facts->error_answered = attempt->error_answered;
	facts->lookup_inconclusive = lookup_inconclusive;
	facts->pending = pgw_charge_is_pending(attempt->kind, attempt->status, attempt->error_code);
	facts->approved = pgw_charge_id_is_missing(attempt);
	facts->undo = pgw_charge_is_being_undone(attempt->status, attempt->error_code);
	facts->tries = attempt->step_tries;
	facts->key_age_s = pgw_schedule_age_s(attempt->own_request.key_used_at);
	facts->doubt_age_s = pgw_schedule_age_s(pgw_step_doubt_since(&attempt->own_request));
	facts->deadline_s = pgw_unknown_deadline;
	facts->asked_age_s = pgw_schedule_age_s(pgw_step_asked_at(&attempt->own_request));
	facts->cancelled_age_s = pgw_step_cancelled_age_s(attempt);
	if (attempt->watch_until > pgw_now())
		/* an operator had it asked again */
		facts->deadline_s = Max(facts->deadline_s, facts->doubt_age_s + 1);
}

/* The deadline begins again where nobody was there to ask. */
static void
extend_deadline(PgwAttempt *attempt, TimestampTz since)
{
	TimestampTz until = pgw_schedule_ask_until(attempt->watch_until, attempt->next_step_at, since);

	if (until == attempt->watch_until)
		return;
	attempt->watch_until = until;
	pgw_store_update_attempt(attempt); /* a look-up writes nothing before it leaves */
}

int64
pgw_step_deadline_s(PgwAttempt *attempt, TimestampTz since)
{
	extend_deadline(attempt, since);
	return attempt->watch_until > pgw_now() ? 0 : pgw_unknown_deadline;
}

/* Of an attempt that may have Failed with the id of a no. */
static void
params_about_charge(const PgwAttempt *attempt, const PgwBank *bank, PgwCallParams *params)
{
	pgw_step_params_about_charge(attempt, params);
	params->bank_reference = pgw_charge_id_claimed_by(bank, attempt);
}

/*
 * The id that a notification names, where the charge's own is not known and the answer will show
 * whose it is; "": none.
 */
static const char *
said_reference(const PgwAttempt *attempt, const PgwStep *step, const PgwBank *bank)
{
	return attempt->bank_reference == NULL && bank->connector != NULL &&
				   pgw_connector_shows_whose(bank->connector)
			   ? step->said_reference
			   : "";
}

static bool
look_up(PgwAttempt *attempt, PgwStep *step, PgwBank *bank)
{
	PgwCallParams params;
	const char *said = said_reference(attempt, step, bank);
	bool notified = pgw_step_is_early(attempt, step) || said[0] != '\0';

	params_about_charge(attempt, bank, &params);
	if (said[0] != '\0')
		params.bank_reference = said;
	if (!pgw_step_call(attempt, step, bank, PGW_OP_LOOKUP_CHARGE, attempt->own_request.key,
					   &params))
		return false;
	step->call->in_doubt = true;
	step->call->notified = notified;
	return true;
}

void
pgw_step_charge_lost(PgwAttempt *attempt, PgwStep *step)
{
	pgw_step_lost(attempt, step,
				  pgw_op_name(pgw_charge_operation(attempt->capture, attempt->submitted)));
}

static void
replay(PgwAttempt *attempt, PgwStep *step, PgwBank *bank)
{
	PgwDecision d;
	const char *key = PGW_MUTATED(KEY_REUSE) ? pgw_call_new_key() : attempt->own_request.key;

	if (!pgw_step_charge_call(attempt, step, bank, key))
		return;
	/*
	 * after a look-up that counts nothing is in doubt but this request itself: what the bank says
	 * of it is the whole truth
	 */
	step->call->in_doubt = !step->resend_allowed;
	if (step->resend_allowed && !PGW_MUTATED(EXPIRED_RESENT))
		step->call->expires_at = attempt->expires_at;
	pgw_charge_replay(&d);
	attempt->requests_sent++;
	attempt->own_request.asked_at = pgw_now();
	pgw_record_decision(attempt, NULL, &d, pgw_op_name(step->call->op), NULL);
}

/* The payments row says so too, now or when its caller has committed. */
static void
write_review(PgwAttempt *attempt)
{
	PgwRecordResult result = pgw_record_for_caller(attempt);

	if (result == PGW_RECORD_ROW_BUSY || result == PGW_RECORD_UNDECIDED)
		pgw_step_reschedule(attempt, TimestampTzPlusMilliseconds(pgw_now(), SAVE_AGAIN_MS));
}

void
pgw_step_charge_review(PgwAttempt *attempt, const char *reason)
{
	pgw_step_review(attempt,
					pgw_charge_id_is_missing(attempt) ? PGW_APPROVAL_INCOMPLETE : "outcome_unknown",
					reason, NULL, 0);
	write_review(attempt);
}

void
pgw_step_charge_late_review(PgwAttempt *attempt, const char *reason)
{
	const char *error_code = "outcome_unknown";
	PgwDecision d;

	Assert(attempt->place.held && attempt->status == PGW_FAILED);
	pgw_charge_late_review(error_code, reason, &d);
	attempt->watch_until = attempt->next_step_at = 0;
	pgw_record_decision(attempt, NULL, &d,
						pgw_op_name(pgw_charge_operation(attempt->capture, attempt->submitted)),
						NULL);
	write_review(attempt);
}

/*
 * Approved, and nobody can say which charge that is: our own reference is all that is left to take
 * hold of it.
 */
static void
cancel(PgwAttempt *attempt, PgwStep *step, const PgwCapabilities *caps)
{
	PgwDecision d;

	pgw_charge_cancel(&d);
	(void) pgw_step_compensation_prepare(attempt, caps, true, NULL);
	attempt->watch_until = 0;
	attempt->next_step_at = pgw_now();
	pgw_record_decision(attempt, NULL, &d, attempt->refund_operation, NULL);
	step->next_step_now = true;
}

/*
 * The card holder would have to act, and nobody lets him: make sure that he cannot elsewhere.  It
 * may be repeated, so its key is not kept.
 */
static void
undo(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, const PgwCapabilities *caps)
{
	PgwCallParams params;

	params_about_charge(attempt, bank, &params);
	if (pgw_step_call(attempt, step, bank, pgw_unknown_outcome_undo(caps), pgw_call_new_key(),
					  &params))
		step->call->in_doubt = true;
}

void
pgw_step_unknown_outcome(PgwAttempt *attempt, PgwStep *step)
{
	PgwBank *bank;
	PgwCapabilities caps;
	PgwUnknownOutcomeFacts facts;
	PgwUnknownOutcomeStep next;
	const char *reason;
	const char *id;
	bool early = pgw_step_is_early(attempt, step);

	Assert(attempt->place.held && attempt->status == PGW_BANK_UNKNOWN &&
		   attempt->kind == PGW_KIND_PAYMENT);
	if (attempt->next_step_at > pgw_now() && !early)
		return;
	bank = pgw_step_bank(attempt, step, false);
	if (bank == NULL)
		return;
	if (!early)
		extend_deadline(attempt, pgw_step_doubt_since(&attempt->own_request));
	get_facts(attempt, step->resend_allowed, step->lookup_inconclusive, &facts);
	id = said_reference(attempt, step, bank);
	facts.has_id |= id[0] != '\0';
	pgw_charge_id_capabilities(bank, id[0] != '\0' ? id : attempt->bank_reference, &caps);
	next = pgw_unknown_outcome_step(&caps, &facts, &reason);
	/* the bank's word makes us look, and nothing else before its time */
	if (early && next != PGW_UNKNOWN_OUTCOME_LOOKUP)
		return;
	switch (next)
	{
		case PGW_UNKNOWN_OUTCOME_LOOKUP:
			(void) look_up(attempt, step, bank);
			break;
		case PGW_UNKNOWN_OUTCOME_REPLAY:
			if (attempt->maybe_at_another_bank)
				pgw_step_charge_review(attempt, MAYBE_AT_ANOTHER_BANK);
			else
				replay(attempt, step, bank);
			break;
		case PGW_UNKNOWN_OUTCOME_CANCEL:
			cancel(attempt, step, &caps);
			break;
		case PGW_UNKNOWN_OUTCOME_UNDO:
			undo(attempt, step, bank, &caps);
			break;
		case PGW_UNKNOWN_OUTCOME_WAIT:
			pgw_step_wait(attempt, pgw_unknown_outcome_wait_s(&caps, &facts));
			break;
		case PGW_UNKNOWN_OUTCOME_REVIEW:
			pgw_step_charge_review(attempt, reason);
			break;
	}
}

/* ---------------------------------------------------------------- the bank's answers */

/* May the payments row be written now?  false: busy, and the decision needs it. */
static bool
lock_for_result(const PgwCall *call, const PgwAttempt *attempt, PgwPayment *p, bool *locked)
{
	bool busy = false;

	*locked = attempt->submitted && pgw_store_take_payment(&attempt->payment_id, p, &busy) &&
			  memcmp(&p->transaction_id, &attempt->transaction_id, sizeof(pg_uuid_t)) == 0 &&
			  p->status == PGW_PAY_PENDING;
	return !busy;
}

/*
 * The first look at once; then at growing distances, which are longer while a bank that takes its
 * time has not decided, but not long after "not found" begins to count.
 */
static void
plan_look(const PgwCall *call, PgwAttempt *attempt, bool first, bool pending)
{
	const PgwCapabilities *caps = pgw_connector_capabilities(call->bank->connector);

	attempt->step_tries = first ? 0 : attempt->step_tries + 1;
	if (first)
		pgw_step_doubt_begins(attempt);
	attempt->next_step_at =
		first ? pgw_now()
			  : pgw_schedule_next_look(attempt->step_tries, call->answer.retry_after_s,
									   pgw_step_doubt_since(&attempt->own_request),
									   attempt->watch_until);
	if (!first && pending && caps->pending_deadline_s > 0)
		attempt->next_step_at = pgw_schedule_patiently(attempt->next_step_at,
													   pgw_step_doubt_since(&attempt->own_request));
	/* of what the bank has said to be pending it never counts, and that time may be long over */
	if (!pending && call->answer.outcome == PGW_OUT_NOT_FOUND &&
		caps->lookup_consistent_after_s >= 0)
		attempt->next_step_at =
			Min(attempt->next_step_at,
				TimestampTzPlusMilliseconds(pgw_step_asked_at(&attempt->own_request),
											caps->lookup_consistent_after_s * 1000));
}

/*
 * The payments row, if the caller does not write it: who waits now may leave before it hears.
 */
static TimestampTz
payment_written_at(const PgwCall *call)
{
	return call->slot < 0 ? pgw_now()
						  : TimestampTzPlusMilliseconds(pgw_now(), LOOK_AFTER_CALLER_MS);
}

static void
set_next_step(PgwCall *call, PgwAttempt *attempt, const PgwChargeInput *in, const PgwDecision *d)
{
	PgwCapabilities for_it;
	TimestampTz now = pgw_now();
	TimestampTz planned = attempt->next_step_at;

	call->has_next_step = true;
	attempt->next_step_at = 0;
	if (d->state != PGW_BANK_UNKNOWN)
		attempt->watch_until = 0;
	switch (d->state)
	{
		case PGW_BANK_APPROVED:
			/* the caller's decision, or a busy row */
			if (d->save_later)
				attempt->next_step_at = TimestampTzPlusMilliseconds(now, SAVE_AGAIN_MS);
			break;
		case PGW_COMPLETED:
			attempt->next_step_at = pgw_record_authorization_end(attempt);
			/* it is over, or watched later: a visit now would lock the row for nothing */
			call->has_next_step = attempt->next_step_at != 0 && attempt->next_step_at <= now;
			break;
		case PGW_BANK_UNKNOWN:
			if (d->cancelled_once)
			{
				attempt->step_tries = 0; /* the next one is no look-up */
				pgw_step_cancel_again(attempt, pgw_connector_capabilities(call->bank->connector));
			}
			else if (call->notified && planned > now)
				attempt->next_step_at = planned;
			else
				plan_look(call, attempt, in->state == PGW_CREATED,
						  d->error != NULL &&
							  pgw_charge_is_pending(attempt->kind, d->state, d->error->code));
			break;
		case PGW_FAILED:
			if (d->payment == PGW_PAYMENT_UNCHANGED)
				attempt->next_step_at = payment_written_at(call);
			/* and what may turn up late */
			if ((d->not_found || in->state == PGW_BANK_UNKNOWN ||
				 call->answer.outcome == PGW_OUT_REQUIRES_ACTION) &&
				!PGW_MUTATED(CARD_REPLAY))
			{
				attempt->watch_until = TimestampTzPlusMilliseconds(now, PGW_WATCH_MS);
				attempt->next_step_at = now;
				attempt->step_tries = 0;
			}
			break;
		case PGW_REFUNDING:
			pgw_charge_id_capabilities(call->bank, attempt->bank_reference, &for_it);
			(void) pgw_step_compensation_prepare(attempt, &for_it, true, &call->answer);
			attempt->next_step_at = now;
			break;
		case PGW_REQUIRES_MANUAL_REVIEW:
			if (d->payment == PGW_PAYMENT_UNCHANGED)
				attempt->next_step_at = payment_written_at(call);
			break;
		default:
			break;
	}
}

/*
 * A charge that may not be there yet is not to come: its caller has rolled back, or has submitted
 * it to be sent by a time that has passed.
 */
static bool
is_unwanted(const PgwAttempt *attempt)
{
	return (pgw_has_expired(attempt->expires_at, pgw_now()) && !PGW_MUTATED(EXPIRED_RESENT)) ||
		   pgw_caller_rolled_back(attempt);
}

/*
 * The bank does not know it, and would by now: a caller that may still want it gets the same
 * request again.
 */
static bool
replay_instead(const PgwCall *call, const PgwAttempt *attempt, const PgwDecision *d)
{
	PgwUnknownOutcomeFacts facts;

	if (!d->not_found)
		return false;
	get_facts(attempt, true, false, &facts);
	return pgw_unknown_outcome_can_replay(pgw_connector_capabilities(call->bank->connector),
										  &facts) &&
		   !is_unwanted(attempt);
}

/* A look-up that shows something else would do so again; the key would not. */
static bool
replay_tells(const PgwCall *call, const PgwAttempt *attempt)
{
	PgwUnknownOutcomeFacts facts;

	get_facts(attempt, false, true, &facts);
	return call->op == PGW_OP_LOOKUP_CHARGE && attempt->status == PGW_BANK_UNKNOWN &&
		   pgw_unknown_outcome_can_replay(pgw_connector_capabilities(call->bank->connector),
										  &facts);
}

/*
 * Nothing found, where that counts only a long time from now (a search that may lag behind for an
 * hour): the key tells at once, and while it is remembered it charges nothing twice; unless nobody
 * wants a charge that may not be there yet.
 */
static bool
tells_much_later(const PgwCall *call, const PgwAttempt *attempt)
{
	if (call->op != PGW_OP_LOOKUP_CHARGE || call->transport != PGW_TRANSPORT_ANSWERED ||
		call->answer.outcome != PGW_OUT_NOT_FOUND)
		return false;
	return !pgw_capabilities_not_found_counts(
			   pgw_connector_capabilities(call->bank->connector),
			   pgw_schedule_age_s(pgw_step_asked_at(&attempt->own_request)) + MUCH_LATER_S) &&
		   !is_unwanted(attempt);
}

static void
get_input(const PgwCall *call, const PgwAttempt *attempt, PgwChargeInput *in)
{
	in->kind = attempt->kind;
	in->state = attempt->status;
	in->being_undone = pgw_charge_is_being_undone(attempt->status, attempt->error_code);
	in->pending_before = pgw_charge_is_pending(attempt->kind, attempt->status, attempt->error_code);
	in->op = call->op;
	in->in_doubt = attempt->status == PGW_BANK_UNKNOWN && call->in_doubt;
	in->tried_anew =
		pgw_unknown_outcome_tried_anew(pgw_connector_capabilities(call->bank->connector),
									   pgw_charge_operation(attempt->capture, attempt->submitted),
									   call->op, attempt->requests_sent);
	/*
	 * By its id, too, no sooner than by a search: the bank itself has named that id, and what it
	 * does not find seconds later has hardly never been.
	 */
	in->not_found_counts = (!call->notified || PGW_MUTATED(NOTIFIED_NOT_FOUND)) &&
						   pgw_capabilities_not_found_counts(
							   pgw_connector_capabilities(call->bank->connector),
							   pgw_schedule_age_s(pgw_step_asked_at(&attempt->own_request)));
	in->cancelled_too_early = !pgw_capabilities_cancel_counts(
		pgw_connector_capabilities(call->bank->connector), pgw_step_cancelled_age_s(attempt));
	in->capture = attempt->capture;
	in->submitted = attempt->submitted;
	in->amount = attempt->amount;
	in->currency = attempt->currency;
	in->transport = call->transport;
	in->answer = &call->answer;
}

/* Until now it could have charged; and did the bank fail over it? */
static void
note_asked(const PgwCall *call, PgwAttempt *attempt)
{
	if (call->op != PGW_OP_CHARGE && call->op != PGW_OP_AUTHORIZE)
		return;
	attempt->own_request.asked_at = pgw_now();
	attempt->error_answered |=
		call->transport == PGW_TRANSPORT_ANSWERED &&
		pgw_unknown_outcome_is_error(pgw_connector_capabilities(call->bank->connector), call->op,
									 call->http_status, &call->answer);
}

void
pgw_answer_charge(PgwCall *call, PgwAttempt *attempt)
{
	PgwPayment p;
	PgwChargeInput in;
	PgwDecision d;
	bool payment_free;

	Assert(attempt->place.held && attempt->kind == PGW_KIND_PAYMENT &&
		   (attempt->status == PGW_CREATED || attempt->status == PGW_BANK_UNKNOWN));
	memset(&in, 0, sizeof(in));
	pgw_step_weigh_notified(call, pgw_step_asked_at(&attempt->own_request));
	payment_free = lock_for_result(call, attempt, &p, &in.payment_locked);
	get_input(call, attempt, &in);
	if (!pgw_charge_id_claim(call, attempt, &in))
	{
		call->row_was_busy = true;
		return;
	}
	pgw_charge_result(&in, &d);
	/* the original of a restored database may have gone on with it */
	if ((d.not_found || d.shown != NULL) && attempt->maybe_at_another_bank)
	{
		pgw_step_charge_review(attempt, MAYBE_AT_ANOTHER_BANK);
		return;
	}
	if (replay_instead(call, attempt, &d))
	{
		in.not_found_counts = false;
		pgw_charge_result(&in, &d);
		d.reason = "not_found";
		call->resend_allowed = true;
	}
	if (call->withdrawn && d.state == PGW_FAILED)
	{
		/* nothing of it is the bank's fault, but where an earlier try of it was */
		if (call->submitted)
			d.error = pgw_error_find("request_expired");
		else if (!call->awaited)
			d.error = pgw_error_find("worker_busy");
		d.reason = "withdrawn";
	}
	if (d.state == PGW_FAILED && pgw_step_charge_plan_retry(call, attempt, &d))
	{
		d.said = pgw_step_said(call);
		pgw_record_decision(attempt, NULL, &d, pgw_op_name(call->op), NULL);
		return;
	}
	if (!payment_free && d.state == PGW_FAILED)
	{
		/* attempt and payments row fail in one commit or not yet */
		call->row_was_busy = true;
		return;
	}
	note_asked(call, attempt);
	set_next_step(call, attempt, &in, &d);
	call->lookup_inconclusive = !call->notified &&
								(call->answer.other_reference || tells_much_later(call, attempt)) &&
								replay_tells(call, attempt);
	if (call->resend_allowed || call->lookup_inconclusive)
		attempt->next_step_at = pgw_now();
	pgw_record_decision(attempt, in.payment_locked ? &p : NULL, &d, pgw_op_name(call->op),
						call->transport == PGW_TRANSPORT_ANSWERED ? &call->answer : NULL);
}

/* ---------------------------------------------------------------- late success */

void
pgw_step_charge_failed(PgwAttempt *attempt, PgwStep *step)
{
	PgwCapabilities caps;
	PgwBank *bank;

	Assert(attempt->place.held && attempt->status == PGW_FAILED &&
		   attempt->kind == PGW_KIND_PAYMENT);
	if (attempt->next_step_at == 0 || attempt->next_step_at > pgw_now())
		return;
	if (pgw_step_watch_is_over(attempt, step))
		return;
	bank = pgw_step_bank(attempt, step, false);
	if (bank == NULL)
		return;
	pgw_charge_id_capabilities(bank, pgw_charge_id_claimed_by(bank, attempt), &caps);
	if (caps.lookup)
		(void) look_up(attempt, step, bank);
	else
	{
		attempt->watch_until = 0;
		pgw_step_reschedule(attempt, 0);
	}
}

/*
 * A charge has turned up: it is given back, if it can be told which one it is, and that it is ours.
 */
static void
late_approval(PgwCall *call, PgwAttempt *attempt)
{
	const PgwAnswer *a = &call->answer;
	PgwCapabilities caps;
	PgwChargeInput in;
	PgwDecision d;

	memset(&in, 0, sizeof(in));
	if (!pgw_charge_id_claim(call, attempt, &in))
	{
		call->row_was_busy = true;
		return;
	}
	pgw_charge_id_capabilities(call->bank, attempt->bank_reference, &caps);

	/* It is not live any more: another may have succeeded meanwhile, and this one only gives back.
	 */
	attempt->watch_until = attempt->next_step_at = 0;
	if (in.names_other_charge && !PGW_MUTATED(REFERENCE_OWNER))
	{
		pgw_charge_late_review("bank_reference_taken", "charge_of_another_payment", &d);
		d.names_other_charge = true;
	}
	else if (in.lacks_reference && !in.can_cancel)
		pgw_charge_late_review(PGW_APPROVAL_INCOMPLETE, "approval_without_reference", &d);
	else if (in.only_refund && pgw_shown_left_unreadable(
								   a, pgw_charge_is_captured(attempt->capture, attempt->submitted)))
		pgw_charge_late_review("outcome_unknown", "answer_not_understood", &d);
	else
	{
		pgw_compensation_begin(PGW_FAILED, &d);
		(void) pgw_step_compensation_prepare(attempt, &caps, true, a);
		attempt->next_step_at = pgw_now();
		call->has_next_step = true;
	}
	pgw_record_decision(attempt, NULL, &d, attempt->refund_operation, a);
}

/*
 * Said to hold nothing, and the same document shows money that was taken; and nobody is left to ask
 * which of the two is true.
 */
static bool
shows_money_after_all(const PgwCall *call)
{
	if (call->transport != PGW_TRANSPORT_ANSWERED || !pgw_shown_money(&call->answer))
		return false;
	return call->answer.outcome == PGW_OUT_DECLINED ||
		   call->answer.outcome == PGW_OUT_REQUIRES_ACTION ||
		   call->answer.outcome == PGW_OUT_NOT_FOUND;
}

/* A person has to ask; and is told if the charge that it names is another payment's. */
static void
late_contradiction(PgwCall *call, PgwAttempt *attempt)
{
	PgwChargeInput in;
	PgwDecision d;

	memset(&in, 0, sizeof(in));
	if (!pgw_charge_id_claim(call, attempt, &in))
	{
		call->row_was_busy = true;
		return;
	}
	if (in.names_other_charge)
		pgw_charge_late_review("bank_reference_taken", "charge_of_another_payment", &d);
	else
		pgw_charge_late_review("outcome_unknown", "answer_belies_itself", &d);
	d.names_other_charge = in.names_other_charge;
	attempt->watch_until = attempt->next_step_at = 0;
	pgw_record_decision(attempt, NULL, &d, pgw_op_name(call->op), &call->answer);
}

void
pgw_answer_late_charge(PgwCall *call, PgwAttempt *attempt)
{
	const PgwAnswer *a = &call->answer;

	Assert(attempt->place.held && attempt->status == PGW_FAILED);
	if (call->op == PGW_OP_LOOKUP_CHARGE && call->transport == PGW_TRANSPORT_ANSWERED &&
		a->outcome == PGW_OUT_APPROVED && !a->voided &&
		!(a->captured > 0 && a->refunded >= a->captured))
	{
		late_approval(call, attempt);
		return;
	}
	if (shows_money_after_all(call))
	{
		late_contradiction(call, attempt);
		return;
	}
	attempt->step_tries++;
	pgw_step_reschedule(attempt, pgw_schedule_watch(attempt->step_tries));
}
