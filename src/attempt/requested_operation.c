/*
 * requested_operation.c - captures, voids and refunds that callers asked for, after their commit
 *
 * Carries out core/payment/operation_rules.c.  All functions have the attempt's row locked.
 *
 * Orderings that matter
 *	- BankProcessingStarted is committed and flushed before the operation leaves; bank_asked_at is durable before a repetition leaves, so
 *	  that a look-up's "nothing there" is not believed too early after a crash.
 *	- The caller's claim (reserved_amount, refund_pending_amount) stands from its own commit until the outcome is known; then attempt and payments
 *	  row change in one commit, or the attempt waits as BankApproved.
 *	- In doubt the same key is sent again; a new one only after a look-up has shown that the old one did nothing and the bank may have forgotten it.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "bank_call/call.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "base/schedule.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "core/payment/operation_rules.h"
#include "core/payment/unknown_outcome_rules.h"
#include "store/tables_internal.h"

bool
pgw_operation_answered(const PgwTransaction *t)
{
	return t->error_code != NULL && strcmp(t->error_code, "bank_error") == 0;
}

/*
 * error_code of the refusal that is being looked up: what is not known for want of an answer is of class timeout, and a bank that did not process it has
 * not said no.
 */
const char *
pgw_operation_refusal(const PgwTransaction *t)
{
	if (t->error_class == NULL || pgw_operation_answered(t) || strcmp(t->error_class, pgw_error_class_name(PGW_CLASS_TIMEOUT)) == 0 ||
		strcmp(t->error_code, "not_processed") == 0)
		return NULL;
	return t->error_code;
}

TimestampTz
pgw_operation_next_look(const PgwCall *call, const PgwTransaction *t)
{
	const PgwCapabilities *caps = pgw_connector_capabilities(call->bank->connector);
	TimestampTz when = t->retries == 0 ? pgw_now() : pgw_schedule_retry(t->retries, call->answer.retry_after_s);

	/* not long after what a look-up does not find begins to count */
	if (caps->lookup_consistent_after_s >= 0 && !t->pending_at_bank && t->retries > 0 &&
		!pgw_resolve_not_found_counts(caps, pgw_schedule_age_s(t->bank_asked_at)))
		when = Min(when, TimestampTzPlusMilliseconds(t->bank_asked_at, caps->lookup_consistent_after_s * 1000));
	pgw_calls_wake_at(when);
	return when;
}

bool
pgw_operation_key_tells(const PgwCall *call, const PgwTransaction *t, const PgwOperationDecision *r, TimestampTz key_used_at)
{
	return r->untold && !r->pending && !r->refused &&
		pgw_resolve_key_remembered(pgw_connector_capabilities(call->bank->connector), pgw_schedule_age_s(key_used_at));
}

bool
pgw_operation_call(PgwTransaction *t, PgwAttempt *a, PgwBank *bank, PgwOp op, const char *reference, const PgwPayment *p)
{
	PgwCallParams params;
	char		charge[33];

	memset(&params, 0, sizeof(params));
	pgw_uuid_to_hex32(p->transaction_id.data, charge);
	params.currency = t->currency;
	if (op == PGW_OP_CAPTURE || op == PGW_OP_REFUND)
		params.amount = t->amount;
	params.merchant = t->merchant;
	params.reference = p->reference;
	params.original_ref = charge;
	params.bank_reference = p->bank_reference;
	params.reason = t->reason;
	params.final_capture = t->final_capture || t->kind == PGW_KIND_PAYMENT;
	if (!pgw_attempts_call(t, a, bank, op, reference, &params))
		return false;
	a->call->after = t->kind == PGW_KIND_PAYMENT ? "capture" : "operation";
	if (p->card_last4 != NULL)
		strlcpy(a->call->card_last4, p->card_last4, sizeof(a->call->card_last4));
	return true;
}

void
pgw_operation_facts(PgwTransaction *t, const PgwAttempt *a, PgwOp operation, TimestampTz key_used_at, PgwOperationFacts *facts)
{
	facts->operation = operation;
	facts->looked = a->looked;
	facts->untold = a->untold;
	facts->refused = pgw_operation_refusal(t) != NULL;
	facts->pending = t->pending_at_bank;
	facts->key_age_s = pgw_schedule_age_s(key_used_at);
	facts->asked_age_s = pgw_schedule_age_s(t->bank_asked_at);
	pgw_resolve_ask_again(t, t->bank_asked_at);
	facts->deadline_s = t->watch_until > pgw_now() ? 0 : pgw_unknown_deadline;	/* until then it is asked again */
}

static void
get_payment(const PgwTransaction *t, PgwPayment *p)
{
	if (!pgw_store_payment_by_id(&t->payment_id, p))
		elog(ERROR, "the payment of an operation is not there");
}

/* ---------------------------------------------------------------- the payments row */

/* AuthorizationExpired stands with the charge's own attempt. false: somebody holds its row. */
bool
pgw_operation_note_expiry(const PgwPayment *p)
{
	PgwTransaction charge;
	PgwEvent	event = {.type = PGW_EV_AUTHORIZATION_EXPIRED, .from = PGW_COMPLETED, .to = PGW_COMPLETED};
	bool		busy = false;

	if (!pgw_store_lock_transaction(&p->transaction_id, false, &charge, &busy))
		return !busy;
	if (charge.status != PGW_COMPLETED)
		return true;
	charge.next_attempt_at = 0;
	pgw_store_advance(&charge, false, &event, 1);
	return true;
}

/* What its end means for the payment, whose row is locked. false: another row is busy, nothing is written. */
static bool
settle(const PgwTransaction *t, PgwPayment *p, bool done, bool expired)
{
	PgwStanding s;

	pgw_store_standing(p, &s);
	if (done && !expired)
		pgw_operation_done(t->kind, t->amount, t->final_capture, &s);
	else
		pgw_operation_undone(t->kind, t->amount, &s);
	if (expired && pgw_authorization_expired(&s) && !pgw_operation_note_expiry(p))
		return false;
	pgw_store_set_standing(p, &s);
	pgw_store_update_payment(p);
	pgw_store_notify(&t->payment_id, t->kind, done && !expired ? "completed" : "failed");
	if (p->status == PGW_PAY_EXPIRED)
		pgw_store_notify_payment(p);
	return true;
}

static void
tell_review(const PgwTransaction *t)
{
	if (t->status == PGW_REQUIRES_MANUAL_REVIEW)
		pgw_store_notify(&t->payment_id, t->kind, "in_review");
}

/* A refund that is done is looked at again: the bank may take it back. */
static void
watch(PgwTransaction *t)
{
	PgwBank    *bank;
	bool		later;

	t->next_attempt_at = t->watch_until = 0;
	t->retries = 0;
	if (t->kind != PGW_KIND_REFUND)
		return;

	/* A bank that cannot be read just now may show refunds for all we know: the first look tells. */
	bank = pgw_config_bank_of(t->bank, t->bank_version, &later);
	pgw_watch_refund_begin(t, bank != NULL && bank->connector != NULL ? pgw_connector_capabilities(bank->connector) : NULL);
}

static void
save(PgwTransaction *t, PgwAttempt *a)
{
	PgwFlowDecision d;
	PgwPayment	p;
	bool		busy = false;

	if (!pgw_store_lock_payment(&t->payment_id, false, &p, &busy))
	{
		if (!busy)
			elog(ERROR, "the payment of an operation is not there");
		a->later = true;
		return;
	}
	(void) settle(t, &p, true, false);
	watch(t);
	pgw_operation_save(&d);
	pgw_vote_record(t, NULL, &d, pgw_kind_name(t->kind), NULL);
}

/* Saved and completed are one commit; apart they are only where an operator has sent it back. */
static void
complete(PgwTransaction *t)
{
	PgwEvent	event = {.type = PGW_EV_TRANSACTION_COMPLETED, .from = PGW_SAVED, .to = PGW_COMPLETED, .operation = pgw_kind_name(t->kind)};

	watch(t);
	pgw_store_advance(t, false, &event, 1);
}

/* ---------------------------------------------------------------- steps */

static void
record_lost(PgwTransaction *t, PgwAttempt *a)
{
	PgwFlowDecision d;

	pgw_flow_lost(&d);
	t->retries = 0;
	t->next_attempt_at = t->bank_asked_at = pgw_now();
	pgw_vote_record(t, NULL, &d, pgw_kind_name(t->kind), NULL);
	a->again = true;
}

/* Nothing was done, and nobody has been able to get it done for so long: the caller may ask again, or otherwise. */
void
pgw_operations_give_up(PgwTransaction *t, PgwAttempt *a, const char *reason)
{
	PgwOperationDecision r = {.next = PGW_OPERATION_REFUSED, .error = pgw_error_find("bank_unavailable"), .reason = reason};
	PgwFlowDecision d;
	PgwPayment	p;
	bool		busy = false;

	if (!pgw_store_lock_payment(&t->payment_id, false, &p, &busy))
	{
		a->later = true;
		return;
	}
	(void) settle(t, &p, false, false);
	t->next_attempt_at = 0;
	pgw_operation_flow(&r, t->status, true, &d);
	pgw_vote_record(t, NULL, &d, pgw_kind_name(t->kind), NULL);
}

static void
send_first(PgwTransaction *t, PgwAttempt *a)
{
	PgwEvent	event = {.type = PGW_EV_BANK_PROCESSING_STARTED, .from = PGW_CREATED, .to = PGW_CREATED,
	.operation = pgw_kind_name(t->kind)};
	PgwPayment	p;
	PgwBank    *bank;

	if (t->next_attempt_at > pgw_now())
		return;
	if (t->taken && pgw_schedule_age_s(t->created_at) >= pgw_unknown_deadline)
	{
		pgw_operations_give_up(t, a, "deadline");
		return;
	}
	bank = pgw_attempts_bank(t, a, false);
	if (bank == NULL)
		return;
	get_payment(t, &p);
	if (!pgw_operation_call(t, a, bank, pgw_operation_op(t->kind), t->bank_key, &p))
		return;
	t->taken = true;
	t->next_attempt_at = 0;
	t->attempts++;
	t->bank_asked_at = pgw_now();
	if (t->bank_key_used_at == 0)
		t->bank_key_used_at = t->bank_asked_at;
	pgw_store_advance(t, false, &event, 1);
}

/* The same request again: with the same key, unless that one provably did nothing and is of no use any more. */
static void
send_again(PgwTransaction *t, PgwAttempt *a, PgwBank *bank, const PgwPayment *p)
{
	PgwFlowDecision d;
	bool		fresh = a->looked && pgw_operation_new_key(pgw_connector_capabilities(bank->connector), pgw_schedule_age_s(t->bank_key_used_at),
														   pgw_operation_answered(t), t->attempts);
	const char *key = fresh || PGW_MUTATED(OPERATION_KEY) ? pgw_call_new_key() : t->bank_key;

	if (!pgw_operation_call(t, a, bank, pgw_operation_op(t->kind), key, p))
		return;
	/* after a look-up that counts nothing is in doubt but this request itself */
	a->call->in_doubt = !a->looked;
	t->bank_asked_at = pgw_now();
	if (key != t->bank_key)
	{
		t->bank_key = pstrdup(key);
		t->bank_key_used_at = t->bank_asked_at;
	}
	t->attempts++;
	memset(&d, 0, sizeof(d));
	d.state = PGW_BANK_UNKNOWN;
	d.keep_error = true;
	d.reason = "replay";
	pgw_flow_event(&d, PGW_EV_BANK_STATUS_CHECKED, PGW_BANK_UNKNOWN);
	pgw_vote_record(t, NULL, &d, pgw_kind_name(t->kind), NULL);
}

static void
find_out(PgwTransaction *t, PgwAttempt *a)
{
	PgwOperationFacts facts;
	PgwFlowDecision d;
	PgwPayment	p;
	PgwBank    *bank;
	const char *reason;

	if (t->next_attempt_at > pgw_now())
		return;
	bank = pgw_attempts_bank(t, a, false);
	if (bank == NULL)
		return;
	get_payment(t, &p);
	pgw_operation_facts(t, a, pgw_operation_op(t->kind), t->bank_key_used_at, &facts);
	switch (pgw_operation_step(pgw_connector_capabilities(bank->connector), &facts, &reason))
	{
		case PGW_OPERATION_SEND:
			send_again(t, a, bank, &p);
			break;
		case PGW_OPERATION_LOOKUP_REFUND:
			if (pgw_operation_call(t, a, bank, PGW_OP_LOOKUP_REFUND, t->bank_key, &p))
				a->call->in_doubt = true;
			break;
		case PGW_OPERATION_LOOKUP_CHARGE:
			if (pgw_operation_call(t, a, bank, PGW_OP_LOOKUP_CHARGE, t->bank_key, &p))
				a->call->in_doubt = true;
			break;
		case PGW_OPERATION_REVIEW:
			/* its claim on the payment stays: it may have been done */
			pgw_flow_review(t->status, "outcome_unknown", reason, &d);
			t->next_attempt_at = t->watch_until = 0;
			pgw_vote_record(t, NULL, &d, pgw_kind_name(t->kind), NULL);
			tell_review(t);
			break;
	}
}

void
pgw_operations_work(PgwTransaction *t, PgwAttempt *a)
{
	switch (t->status)
	{
		case PGW_CREATED:
			if (t->taken && t->next_attempt_at == 0)
				record_lost(t, a);
			else
				send_first(t, a);
			break;
		case PGW_BANK_UNKNOWN:
			find_out(t, a);
			break;
		case PGW_BANK_APPROVED:
			save(t, a);
			break;
		case PGW_SAVED:
			complete(t);
			break;
		case PGW_COMPLETED:
			pgw_watch_refund(t, a);
			break;
		default:
			break;
	}
}

/* ---------------------------------------------------------------- the bank's answers */

static void
set_next_step(PgwCall *call, PgwTransaction *t, const PgwOperationDecision *r, PgwState before)
{
	call->look = true;
	t->next_attempt_at = 0;
	t->pending_at_bank = r->pending;
	switch (r->next)
	{
		case PGW_OPERATION_DONE:
			watch(t);
			break;
		case PGW_OPERATION_REFUSED:
		case PGW_OPERATION_STOP:
			t->watch_until = 0;
			break;
		case PGW_OPERATION_AGAIN:
			t->retries++;
			t->next_attempt_at = pgw_schedule_retry(t->retries, call->answer.retry_after_s);
			pgw_calls_wake_at(t->next_attempt_at);
			break;
		case PGW_OPERATION_AT_ONCE:
			call->looked = true;
			t->next_attempt_at = pgw_now();
			break;
		case PGW_OPERATION_FIND_OUT:
			t->retries = before == PGW_CREATED ? 0 : t->retries + 1;
			call->untold = pgw_operation_key_tells(call, t, r, t->bank_key_used_at);
			t->next_attempt_at = call->untold ? pgw_now() : pgw_operation_next_look(call, t);
			break;
	}
}

void
pgw_operation_input(const PgwCall *call, const PgwTransaction *t, const PgwPayment *p, PgwOp operation, PgwOperationInput *in)
{
	memset(in, 0, sizeof(*in));
	in->op = call->op;
	in->operation = operation;
	in->in_doubt = call->in_doubt;
	in->refusal = pgw_operation_refusal(t);
	in->answered = pgw_operation_answered(t);
	in->pending = t->pending_at_bank;
	in->transport = call->transport;
	in->answer = &call->answer;
	in->caps = pgw_connector_capabilities(call->bank->connector);
	in->not_found_counts = pgw_resolve_not_found_counts(in->caps, pgw_schedule_age_s(t->bank_asked_at));
	in->amount = t->amount;
	in->currency = t->currency;
	in->before = operation == PGW_OP_REFUND ? p->refunded_amount : p->captured_amount;
	in->others = operation == PGW_OP_REFUND ? p->refund_pending_amount - t->amount : 0;
}

void
pgw_operations_result(PgwCall *call, PgwTransaction *t)
{
	PgwOperationInput in;
	PgwOperationDecision r;
	PgwFlowDecision d;
	PgwPayment	p;
	PgwState	before = t->status;
	bool		busy = false;
	bool		locked = pgw_store_lock_payment(&t->payment_id, false, &p, &busy);
	bool		ends;

	if (!locked)
		get_payment(t, &p);
	pgw_operation_input(call, t, &p, pgw_operation_op(t->kind), &in);
	if (before == PGW_CREATED)
		in.refusal = NULL;		/* what an earlier try failed of is no refusal */
	pgw_operation_result(&in, &r);

	/* Attempt and payments row end in one commit or not yet; only an approval is too precious to be kept in memory. */
	ends = r.next == PGW_OPERATION_REFUSED || r.next == PGW_OPERATION_DONE;
	if (ends && !locked && (r.next == PGW_OPERATION_REFUSED || r.expired))
	{
		call->later = true;
		return;
	}
	if (ends && locked && !settle(t, &p, r.next == PGW_OPERATION_DONE, r.expired))
	{
		call->later = true;
		return;
	}
	if (call->op == in.operation)
		t->bank_asked_at = pgw_now();	/* until now it could have been done */
	set_next_step(call, t, &r, before);
	pgw_operation_flow(&r, before, locked, &d);
	if (d.save_later)
		t->next_attempt_at = 0;
	if (d.nevents == 0)
	{
		pgw_store_update_transaction(t);	/* pending, as before */
		return;
	}
	call->differs = r.excess;
	pgw_vote_record(t, NULL, &d, pgw_kind_name(t->kind),
					call->transport == PGW_TRANSPORT_ANSWERED && call->op != PGW_OP_LOOKUP_CHARGE ? &call->answer : NULL);
	tell_review(t);
	PGW_DEBUG_POINT("operation_result");
}
