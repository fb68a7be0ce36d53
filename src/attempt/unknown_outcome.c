/*
 * unknown_outcome.c - attempts whose outcome is not known: found out by look-up or replay, else given to a person; and late success
 *
 * Carries out core/payment/unknown_outcome_rules.c.  All functions have the attempt's row locked.
 *
 * Orderings that matter
 *	- A look-up changes nothing, so it needs no intent.  A replay can charge: bank_asked_at is moved on in a flushed commit before it
 *	  leaves, so that "not found" is not believed too early after a crash.
 *	- A replay carries the first request's key and reference.
 *	- What a restored database's original may have sent to another bank is neither replayed nor Failed because this one does not know it.
 *	- What the bank does not know is replayed only for a caller that may still want it; for one that is gone it is Failed.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "bank_call/call.h"
#include "base/clock.h"
#include "base/schedule.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "core/payment/compensation_rules.h"
#include "core/payment/unknown_outcome_rules.h"
#include "store/tables_internal.h"

#define SAVE_AGAIN_MS 1000
#define LOOK_AFTER_CALLER_MS 5000
#define MAYBE_ELSEWHERE "maybe_at_another_bank"

static void
get_doubt(const PgwTransaction *t, bool looked, bool untold, PgwDoubt *doubt)
{
	doubt->has_token = t->token != NULL;
	doubt->has_id = t->bank_reference != NULL;
	doubt->looked = looked;
	doubt->error_answered = t->error_answered;
	doubt->untold = untold;
	doubt->approved = pgw_reference_is_missing(t);
	doubt->key_age_s = pgw_schedule_age_s(t->bank_key_used_at);
	doubt->asked_age_s = pgw_schedule_age_s(t->bank_asked_at);
	doubt->deadline_s = pgw_unknown_deadline;
	if (t->watch_until > pgw_now())
		doubt->deadline_s = Max(doubt->deadline_s, doubt->asked_age_s + 1); /* an operator had it asked again */
}

void
pgw_resolve_ask_again(PgwTransaction *t, TimestampTz since)
{
	TimestampTz until = pgw_schedule_ask_until(t->watch_until, t->next_attempt_at, since);

	if (until == t->watch_until)
		return;
	t->watch_until = until;
	pgw_store_update_transaction(t);	/* a look-up writes nothing before it leaves */
}

static bool
look_up(PgwTransaction *t, PgwAttempt *a, PgwBank *bank)
{
	PgwCallParams params;

	memset(&params, 0, sizeof(params));
	params.currency = t->currency;
	params.merchant = t->merchant;
	params.reference = t->reference;
	params.original_ref = t->bank_key;
	params.bank_reference = t->bank_reference;
	if (!pgw_attempts_call(t, a, bank, PGW_OP_LOOKUP_CHARGE, t->bank_key, &params))
		return false;
	a->call->in_doubt = true;
	return true;
}

void
pgw_resolve_lost(PgwTransaction *t, PgwAttempt *a)
{
	PgwFlowDecision d;

	pgw_flow_lost(&d);
	t->retries = 0;
	t->next_attempt_at = t->bank_asked_at = pgw_now();
	pgw_vote_record(t, NULL, &d, pgw_op_name(pgw_flow_operation(t->capture, t->submitted)), NULL);
	a->again = true;
}

static void
replay(PgwTransaction *t, PgwAttempt *a, PgwBank *bank)
{
	PgwFlowDecision d;
	PgwCallParams params;
	const char *key = PGW_MUTATED(KEY_REUSE) ? pgw_call_new_key() : t->bank_key;

	memset(&params, 0, sizeof(params));
	params.amount = t->amount;
	params.currency = t->currency;
	params.token = t->token;
	params.merchant = t->merchant;
	params.reference = t->reference;
	params.bank_fields = t->bank_fields;
	if (!pgw_attempts_call(t, a, bank, pgw_flow_operation(t->capture, t->submitted), key, &params))
		return;
	/* after a look-up that counts nothing is in doubt but this request itself: what the bank says of it is the whole truth */
	a->call->in_doubt = !a->looked;
	memset(&d, 0, sizeof(d));
	d.state = PGW_BANK_UNKNOWN;
	d.keep_error = true;
	d.reason = "replay";
	pgw_flow_event(&d, PGW_EV_BANK_STATUS_CHECKED, PGW_BANK_UNKNOWN);
	t->attempts++;
	t->bank_asked_at = pgw_now();
	pgw_vote_record(t, NULL, &d, pgw_op_name(a->call->op), NULL);
}

static void
give_to_review(PgwTransaction *t, const char *reason)
{
	PgwFlowDecision d;
	PgwVote		vote;

	pgw_flow_review(t->status, pgw_reference_is_missing(t) ? PGW_FLOW_INCOMPLETE : "outcome_unknown", reason, &d);
	t->next_attempt_at = t->watch_until = 0;
	pgw_vote_record(t, NULL, &d, NULL, NULL);

	/* The payments row says so too, now or when its caller has committed. */
	vote = pgw_vote_finish(t);
	if (vote == PGW_VOTE_BUSY || vote == PGW_VOTE_UNDECIDED)
		pgw_attempts_put_off(t, TimestampTzPlusMilliseconds(pgw_now(), SAVE_AGAIN_MS));
}

/* Approved, and nobody can say which charge that is: our own reference is all that is left to take hold of it. */
static void
cancel(PgwTransaction *t, PgwAttempt *a, const PgwCapabilities *caps)
{
	PgwFlowDecision d;

	pgw_flow_cancel(&d);
	(void) pgw_compensate_prepare(t, caps, true, NULL);
	t->watch_until = 0;
	t->next_attempt_at = pgw_now();
	pgw_vote_record(t, NULL, &d, t->refund_operation, NULL);
	a->again = true;
}

void
pgw_resolve_work(PgwTransaction *t, PgwAttempt *a)
{
	PgwBank    *bank;
	PgwCapabilities caps;
	PgwDoubt	doubt;
	const char *reason;

	if (t->next_attempt_at > pgw_now())
		return;
	bank = pgw_attempts_bank(t, a, false);
	if (bank == NULL)
		return;
	pgw_resolve_ask_again(t, t->bank_asked_at);
	get_doubt(t, a->looked, a->untold, &doubt);
	pgw_reference_capabilities(bank, t->bank_reference, &caps);
	switch (pgw_resolve_step(&caps, &doubt, &reason))
	{
		case PGW_RESOLVE_LOOKUP:
			(void) look_up(t, a, bank);
			break;
		case PGW_RESOLVE_REPLAY:
			if (t->maybe_elsewhere)
				give_to_review(t, MAYBE_ELSEWHERE);
			else
				replay(t, a, bank);
			break;
		case PGW_RESOLVE_CANCEL:
			cancel(t, a, &caps);
			break;
		case PGW_RESOLVE_REVIEW:
			give_to_review(t, reason);
			break;
	}
}

/* ---------------------------------------------------------------- the bank's answers */

/* May the payments row be written now?  false: busy, and the decision needs it. */
static bool
lock_for_result(const PgwCall *call, const PgwTransaction *t, PgwPayment *p, bool *locked)
{
	bool		busy = false;

	*locked = t->submitted && pgw_store_lock_payment(&t->payment_id, false, p, &busy) &&
		memcmp(&p->transaction_id, &t->transaction_id, sizeof(pg_uuid_t)) == 0 && p->status == PGW_PAY_PENDING;
	return !busy;
}

static void
set_next_step(PgwCall *call, PgwTransaction *t, const PgwFlowInput *in, const PgwFlowDecision *d)
{
	const PgwCapabilities *caps = pgw_connector_capabilities(call->bank->connector);
	PgwCapabilities for_it;
	TimestampTz now = pgw_now();

	call->look = true;
	t->next_attempt_at = 0;
	if (d->state != PGW_BANK_UNKNOWN)
		t->watch_until = 0;
	switch (d->state)
	{
		case PGW_BANK_APPROVED:
			/* the caller's vote, or a busy row */
			if (d->save_later)
				t->next_attempt_at = TimestampTzPlusMilliseconds(now, SAVE_AGAIN_MS);
			break;
		case PGW_COMPLETED:
			t->next_attempt_at = pgw_vote_authorization_end(t);
			break;
		case PGW_BANK_UNKNOWN:
			/* The first look at once; then at growing distances, but not long after "not found" begins to count. */
			t->retries = in->state == PGW_CREATED ? 0 : t->retries + 1;
			t->next_attempt_at = t->retries == 0 ? now : pgw_schedule_retry(t->retries, call->answer.retry_after_s);
			if (call->answer.outcome == PGW_OUT_NOT_FOUND && caps->lookup_consistent_after_s >= 0)
				t->next_attempt_at = Min(t->next_attempt_at,
										 TimestampTzPlusMilliseconds(t->bank_asked_at, caps->lookup_consistent_after_s * 1000));
			pgw_calls_wake_at(t->next_attempt_at);
			break;
		case PGW_FAILED:
			/* The payments row, if the caller does not write it: who waits now may leave before it hears.  And what may turn up late. */
			if (d->payment == PGW_FLOW_PAY_NONE)
				t->next_attempt_at = call->slot < 0 ? now : TimestampTzPlusMilliseconds(now, LOOK_AFTER_CALLER_MS);
			if ((d->not_found || in->state == PGW_BANK_UNKNOWN || call->answer.outcome == PGW_OUT_REQUIRES_ACTION) && !PGW_MUTATED(CARD_REPLAY))
			{
				t->watch_until = TimestampTzPlusMilliseconds(now, PGW_WATCH_MS);
				t->next_attempt_at = now;
				t->retries = 0;
			}
			break;
		case PGW_REFUNDING:
			pgw_reference_capabilities(call->bank, t->bank_reference, &for_it);
			(void) pgw_compensate_prepare(t, &for_it, true, &call->answer);
			t->next_attempt_at = now;
			break;
		case PGW_REQUIRES_MANUAL_REVIEW:
			/* the payments row, as with Failed */
			if (d->payment == PGW_FLOW_PAY_NONE)
				t->next_attempt_at = call->slot < 0 ? now : TimestampTzPlusMilliseconds(now, LOOK_AFTER_CALLER_MS);
			break;
		default:
			break;
	}
}

/* The bank does not know it, and would by now: a caller that may still want it gets the same request again. */
static bool
replay_instead(const PgwCall *call, const PgwTransaction *t, const PgwFlowDecision *d)
{
	PgwDoubt	doubt;

	if (!d->not_found)
		return false;
	get_doubt(t, true, false, &doubt);
	return pgw_resolve_can_replay(pgw_connector_capabilities(call->bank->connector), &doubt) && !pgw_vote_rolled_back(t);
}

/* A look-up that shows something else would do so again; the key would not. */
static bool
replay_tells(const PgwCall *call, const PgwTransaction *t)
{
	PgwDoubt	doubt;

	get_doubt(t, false, true, &doubt);
	return call->op == PGW_OP_LOOKUP_CHARGE && t->status == PGW_BANK_UNKNOWN &&
		pgw_resolve_can_replay(pgw_connector_capabilities(call->bank->connector), &doubt);
}

void
pgw_resolve_result(PgwCall *call, PgwTransaction *t)
{
	PgwPayment	p;
	PgwFlowInput in;
	PgwFlowDecision d;
	bool		payment_free;

	memset(&in, 0, sizeof(in));
	payment_free = lock_for_result(call, t, &p, &in.payment_locked);
	in.kind = t->kind;
	in.state = t->status;
	in.op = call->op;
	in.in_doubt = t->status == PGW_BANK_UNKNOWN && call->in_doubt;
	in.not_found_counts = pgw_resolve_not_found_counts(pgw_connector_capabilities(call->bank->connector), pgw_schedule_age_s(t->bank_asked_at));
	in.capture = t->capture;
	in.submitted = t->submitted;
	in.amount = t->amount;
	in.currency = t->currency;
	in.transport = call->transport;
	in.answer = &call->answer;
	if (!pgw_reference_settle(call, t, &in))
	{
		call->later = true;
		return;
	}
	pgw_flow_result(&in, &d);
	/* the original of a restored database may have gone on with it */
	if ((d.not_found || d.shown != NULL) && t->maybe_elsewhere)
	{
		give_to_review(t, MAYBE_ELSEWHERE);
		return;
	}
	if (replay_instead(call, t, &d))
	{
		in.not_found_counts = false;
		pgw_flow_result(&in, &d);
		d.reason = "not_found";
		call->looked = true;
	}
	if (call->withdrawn && d.state == PGW_FAILED)
	{
		/* nothing of it is the bank's fault, but where an earlier try of it was */
		if (!call->awaited)
			d.error = pgw_error_find("worker_busy");
		d.reason = "withdrawn";
	}
	if (d.state == PGW_FAILED && pgw_charges_plan_retry(call, t, &d))
	{
		pgw_vote_record(t, NULL, &d, pgw_op_name(call->op), NULL);
		return;
	}
	if (!payment_free && d.state == PGW_FAILED)
	{
		call->later = true;		/* attempt and payments row fail in one commit or not yet */
		return;
	}
	if (call->op != PGW_OP_LOOKUP_CHARGE)
	{
		t->bank_asked_at = pgw_now();	/* until now it could have charged */
		t->error_answered |= call->transport == PGW_TRANSPORT_ANSWERED && call->answer.outcome == PGW_OUT_UNKNOWN && call->http_status >= 500;
	}
	set_next_step(call, t, &in, &d);
	call->untold = call->answer.other_reference && replay_tells(call, t);
	if (call->looked || call->untold)
		t->next_attempt_at = pgw_now();
	pgw_vote_record(t, in.payment_locked ? &p : NULL, &d, pgw_op_name(call->op),
					call->transport == PGW_TRANSPORT_ANSWERED ? &call->answer : NULL);
}

/* ---------------------------------------------------------------- late success */

void
pgw_resolve_failed(PgwTransaction *t, PgwAttempt *a)
{
	TimestampTz now = pgw_now();
	const PgwCapabilities *caps;
	PgwBank    *bank;

	if (t->next_attempt_at == 0 || t->next_attempt_at > now)
		return;
	if (t->watch_until == 0 || t->watch_until <= now)
	{
		a->unwatched = t->put_off_since != 0;
		pgw_put_off_over(t);
		t->watch_until = 0;
		pgw_attempts_put_off(t, 0);
		return;
	}
	bank = pgw_attempts_bank(t, a, false);
	if (bank == NULL)
		return;
	caps = pgw_connector_capabilities(bank->connector);
	if (t->retries == 0 && caps->can_cancel && t->error_code != NULL && strcmp(t->error_code, "authentication_required") == 0)
	{
		/* Nobody will authenticate it here: make sure that nobody can elsewhere. */
		PgwCallParams params;

		memset(&params, 0, sizeof(params));
		params.currency = t->currency;
		params.merchant = t->merchant;
		params.reference = t->reference;
		params.original_ref = t->bank_key;
		params.bank_reference = t->bank_reference;
		/* a request of its own; it may be repeated, so the key is not kept */
		(void) pgw_attempts_call(t, a, bank, PGW_OP_CANCEL, pgw_call_new_key(), &params);
	}
	else if (caps->lookup)
		(void) look_up(t, a, bank);
	else
	{
		t->watch_until = 0;
		pgw_attempts_put_off(t, 0);
	}
}

/* A charge has turned up: it is given back, if it can be told which one it is, and that it is ours. */
static void
late_approval(PgwCall *call, PgwTransaction *t)
{
	const PgwAnswer *a = &call->answer;
	PgwCapabilities caps;
	PgwFlowInput in;
	PgwFlowDecision d;

	memset(&in, 0, sizeof(in));
	if (!pgw_reference_settle(call, t, &in))
	{
		call->later = true;
		return;
	}
	pgw_reference_capabilities(call->bank, t->bank_reference, &caps);

	/* It no longer counts as the live attempt of its id: another may have succeeded meanwhile, and this one only gives back. */
	t->taken = false;
	t->watch_until = t->next_attempt_at = 0;
	if (in.foreign && !PGW_MUTATED(REFERENCE_OWNER))
	{
		pgw_flow_late_review("bank_reference_taken", "charge_of_another_payment", &d);
		d.foreign = true;
	}
	else if (in.lacks_reference && !in.can_cancel)
		pgw_flow_late_review(PGW_FLOW_INCOMPLETE, "approval_without_reference", &d);
	else
	{
		pgw_compensation_begin(PGW_FAILED, &d);
		(void) pgw_compensate_prepare(t, &caps, true, a);
		t->next_attempt_at = pgw_now();
		call->look = true;
	}
	pgw_vote_record(t, NULL, &d, t->refund_operation, a);
}

void
pgw_resolve_late_result(PgwCall *call, PgwTransaction *t)
{
	const PgwAnswer *a = &call->answer;

	if (call->op == PGW_OP_LOOKUP_CHARGE && call->transport == PGW_TRANSPORT_ANSWERED && a->outcome == PGW_OUT_APPROVED &&
		!a->voided && !(a->captured > 0 && a->refunded >= a->captured))
	{
		late_approval(call, t);
		return;
	}
	t->retries++;
	pgw_attempts_put_off(t, pgw_schedule_watch(t->retries));
}
