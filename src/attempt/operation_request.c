/*
 * operation_request.c - the request of a capture, void or refund to the bank: of one that a caller
 * asked for, and of the capture after the commit
 *
 * Carries out what core/payment/operation_rules.c says of both.  All functions have the attempt's
 * row locked.
 *
 * Orderings that matter
 *     - The caller writes the row with key and asked_at, and that is committed and flushed before
 *       the request leaves, so that a look-up's "nothing there" is not believed too early after a
 *       crash.
 *     - In doubt the same key is sent again; a new one only after a look-up has shown that the
 *       old one did nothing and the bank may have forgotten it.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "attempt/accepted.h"
#include "attempt/charge_id.h"
#include "attempt/operation_id.h"
#include "attempt/operation_request.h"
#include "attempt/put_off.h"
#include "attempt/unknown_outcome.h"
#include "base/clock.h"
#include "base/schedule.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "store/tables.h"

/* What tells the two apart: which columns are the request's, and which operation it is. */
static PgwBankRequest *
request_of(PgwAttempt *attempt)
{
	return attempt->kind == PGW_KIND_PAYMENT ? &attempt->capture_request : &attempt->own_request;
}

/* By what undoes the whole charge, as the bank does not refund it just now. */
bool
pgw_step_operation_of_refund(const PgwAttempt *attempt)
{
	return attempt->kind == PGW_KIND_REFUND && attempt->refund_operation != NULL;
}

PgwBankOp
pgw_step_operation_of(const PgwAttempt *attempt)
{
	if (attempt->kind == PGW_KIND_PAYMENT)
		return PGW_OP_CAPTURE;
	if (pgw_step_operation_of_refund(attempt))
		return (PgwBankOp) pgw_op_parse(attempt->refund_operation);
	return pgw_operation_op(attempt->kind);
}

/* The requests that were sent for it; a payment's first one was the charge. */
static int
requests_of(const PgwAttempt *attempt)
{
	return attempt->kind == PGW_KIND_PAYMENT ? attempt->requests_sent - 1 : attempt->requests_sent;
}

/* ---------------------------------------------------------------- how the last one ended */

/* It was answered with nothing of use. */
static bool
is_answered(const PgwAttempt *attempt)
{
	return attempt->error_code != NULL && strcmp(attempt->error_code, "bank_error") == 0;
}

/*
 * What stands there though the bank has not said no: it did not process it, or was not reached; or
 * a person had to look, because nothing could be asked.
 */
static const char *const no_refusals[] = {"not_processed", "bank_unavailable",
										  "follow_up_impossible"};

/*
 * error_code of the refusal that is being looked up: what is not known for want of an answer is of
 * class timeout.  NULL: the outcome is not known for another reason.
 */
static const char *
known_refusal(const PgwAttempt *attempt)
{
	if (attempt->error_class == NULL || is_answered(attempt) ||
		strcmp(attempt->error_class, pgw_error_class_name(PGW_CLASS_TIMEOUT)) == 0)
		return NULL;
	for (int i = 0; i < lengthof(no_refusals); i++)
	{
		if (strcmp(attempt->error_code, no_refusals[i]) == 0)
			return NULL;
	}
	return attempt->error_code;
}

/* ---------------------------------------------------------------- asking the bank */

/* step->call := the operation, or a look-up for it. */
static bool
make_call(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, PgwBankOp op, const char *key,
		  const PgwPayment *p)
{
	PgwCallParams params;
	char charge[33];

	pgw_uuid_to_hex32(p->transaction_id.data, charge);
	pgw_step_params_about_charge(attempt, &params);
	if (op == PGW_OP_CAPTURE || op == PGW_OP_REFUND)
		params.amount = attempt->amount;
	/* the charge is the attempt's that the payments row names, and that can be another one */
	params.reference = p->reference;
	params.original_ref = charge;
	params.bank_reference = p->bank_reference;
	if (op == PGW_OP_LOOKUP_REFUND)
		params.operation_reference = pgw_operation_id_of_refund(attempt);
	else if (op == PGW_OP_REFUND && pgw_connector_needs(bank->connector, op, "operation_reference"))
		params.operation_reference = pgw_operation_id_of_capture(p);
	params.reason = attempt->reason;
	params.final_capture = attempt->final_capture || attempt->kind == PGW_KIND_PAYMENT;
	if (!pgw_step_call(attempt, step, bank, op, key, &params))
		return false;
	step->call->after = attempt->kind == PGW_KIND_PAYMENT ? "capture" : "operation";
	if (p->card_last4 != NULL)
		strlcpy(step->call->card_last4, p->card_last4, sizeof(step->call->card_last4));
	return true;
}

/* The same key, unless that one provably did nothing and is of no use any more. */
static bool
needs_new_key(PgwAttempt *attempt, const PgwStep *step, PgwBank *bank)
{
	const PgwBankRequest *request = request_of(attempt);

	if (request->key == NULL || (request->key_used_at != 0 && PGW_MUTATED(OPERATION_KEY)))
		return true;
	return step->resend_allowed &&
		   pgw_operation_new_key(pgw_connector_capabilities(bank->connector),
								 pgw_step_operation_of(attempt),
								 pgw_schedule_age_s(request->key_used_at), is_answered(attempt),
								 requests_of(attempt));
}

bool
pgw_step_operation_send(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, const PgwPayment *p,
						bool in_doubt)
{
	PgwBankRequest *request = request_of(attempt);
	bool fresh = needs_new_key(attempt, step, bank);
	const char *key = fresh ? pgw_call_new_key() : request->key;

	if (!make_call(attempt, step, bank, pgw_step_operation_of(attempt), key, p))
		return false;
	/* after a look-up that counts nothing is in doubt but this request itself */
	step->call->in_doubt =
		in_doubt && !step->resend_allowed && (fresh || request->key_used_at != 0);
	step->call->first_with_key = fresh || request->key_used_at == 0;
	request->asked_at = pgw_now();
	if (fresh)
	{
		request->key = pstrdup(key);
		pgw_operation_id_forget(attempt); /* it was another request's */
	}
	if (fresh || request->key_used_at == 0)
		request->key_used_at = step->call->said_at;
	attempt->requests_sent++;
	return true;
}

/* A refund may have had to wait until its charge was settled. */
static int64
tried_age_s(const PgwAttempt *attempt, const PgwBank *bank)
{
	int64 age_s = pgw_schedule_age_s(attempt->created_at);

	return attempt->kind == PGW_KIND_REFUND
			   ? age_s - pgw_connector_capabilities(bank->connector)->settles_after_s
			   : age_s;
}

static void
get_facts(PgwAttempt *attempt, const PgwStep *step, const PgwBank *bank, PgwOperationFacts *facts)
{
	const PgwBankRequest *request = request_of(attempt);

	facts->operation = pgw_step_operation_of(attempt);
	facts->of_refund = pgw_step_operation_of_refund(attempt);
	facts->unsent = request->key != NULL && request->key_used_at == 0;
	facts->resend_allowed = step->resend_allowed;
	facts->lookup_inconclusive = step->lookup_inconclusive;
	facts->refused = known_refusal(attempt) != NULL;
	facts->answered = is_answered(attempt);
	facts->pending = attempt->pending_at_bank;
	facts->key_age_s = pgw_schedule_age_s(request->key_used_at);
	facts->doubt_age_s = pgw_schedule_age_s(pgw_step_doubt_since(request));
	facts->tried_age_s = tried_age_s(attempt, bank);
	facts->deadline_s = pgw_step_deadline_s(attempt, pgw_step_doubt_since(request));
}

void
pgw_step_operation_look_up(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, const PgwPayment *p,
						   PgwBankOp op)
{
	bool early = pgw_step_is_early(attempt, step);

	if (!make_call(attempt, step, bank, op, request_of(attempt)->key, p))
		return;
	step->call->in_doubt = true;
	step->call->notified = early;
}

PgwOperationStep
pgw_step_operation_find_out(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, const PgwPayment *p,
							const char **reason)
{
	PgwOperationFacts facts;
	PgwOperationStep next;

	get_facts(attempt, step, bank, &facts);
	next = pgw_operation_step(pgw_operation_id_capabilities(bank, attempt), &facts, reason);
	if (next == PGW_OPERATION_LOOKUP_REFUND)
		pgw_step_operation_look_up(attempt, step, bank, p, PGW_OP_LOOKUP_REFUND);
	else if (next == PGW_OPERATION_LOOKUP_CHARGE)
		pgw_step_operation_look_up(attempt, step, bank, p, PGW_OP_LOOKUP_CHARGE);
	return next;
}

/* ---------------------------------------------------------------- the bank's answer */

/*
 * When the charge of a refund was made, or later: of captures that were asked for it is enough to
 * know that they came before the refund.
 */
static TimestampTz
charged_by(const PgwAttempt *refund, const PgwPayment *p)
{
	PgwAttempt charge;

	if (p->capture == PGW_CAPTURE_MANUAL || !pgw_store_attempt_by_id(&p->transaction_id, &charge))
		return refund->created_at;
	return pgw_step_charged_at(&charge);
}

void
pgw_step_operation_input(const PgwCall *call, PgwAttempt *attempt, const PgwPayment *p,
						 PgwOperationInput *in)
{
	bool refund = attempt->kind == PGW_KIND_REFUND;
	PgwCapabilities for_it;
	PgwPaymentAmounts amounts;

	pgw_charge_id_capabilities(call->bank, p->bank_reference, &for_it);
	memset(in, 0, sizeof(*in));
	in->op = call->op;
	in->operation = pgw_step_operation_of(attempt);
	in->of_refund = pgw_step_operation_of_refund(attempt);
	pgw_store_get_amounts(p, &amounts);
	in->whole = refund && pgw_payment_refund_is_whole(attempt->amount, &amounts);
	in->ruled_out = attempt->refund_ruled_out;
	in->charge_age_s = refund ? pgw_schedule_age_s(charged_by(attempt, p)) : 0;
	in->asked_for = attempt->kind != PGW_KIND_PAYMENT;
	in->in_doubt = call->in_doubt;
	in->refusal = known_refusal(attempt);
	in->answered = is_answered(attempt);
	in->pending = attempt->pending_at_bank;
	in->transport = call->transport;
	in->answer = &call->answer;
	in->names_other = call->names_other_operation;
	in->caps = pgw_operation_id_capabilities(call->bank, attempt);
	in->not_found_counts =
		!call->notified && pgw_capabilities_not_found_counts(
							   &for_it, pgw_schedule_age_s(pgw_step_asked_at(request_of(attempt))));
	in->key_is_spent = pgw_operation_new_key(in->caps, in->operation,
											 pgw_schedule_age_s(request_of(attempt)->key_used_at),
											 in->answered, requests_of(attempt));
	in->amount = attempt->amount;
	in->currency = attempt->currency;
	in->before = refund ? p->refunded_amount + p->bank_refunded_amount
						: p->captured_amount + p->bank_captured_amount;
	in->others = refund ? p->refund_pending_amount - attempt->amount : 0;
	in->charged = p->authorized_amount;
	in->taken = p->captured_amount + p->bank_captured_amount;
}

/*
 * A look-up did not say what became of the operation: would the same request under the same key say
 * it? Then it is sent at once.
 */
static bool
key_tells(const PgwCall *call, PgwAttempt *attempt, const PgwOperationDecision *r)
{
	const PgwCapabilities *caps = pgw_operation_id_capabilities(call->bank, attempt);
	PgwBankOp operation = pgw_step_operation_of(attempt);

	return r->lookup_inconclusive && !r->pending && !r->refused &&
		   !pgw_capabilities_waits_for_lookup(
			   caps, operation,
			   pgw_operation_effect(operation, pgw_step_operation_of_refund(attempt))) &&
		   pgw_capabilities_can_repeat(caps, operation,
									   pgw_schedule_age_s(request_of(attempt)->key_used_at),
									   is_answered(attempt));
}

static TimestampTz
next_look(const PgwCall *call, PgwAttempt *attempt)
{
	const PgwCapabilities *caps = pgw_connector_capabilities(call->bank->connector);
	const PgwBankRequest *request = request_of(attempt);
	TimestampTz when;

	if (attempt->step_tries == 0)
		return pgw_now();
	when = pgw_schedule_next_look(attempt->step_tries, call->answer.retry_after_s,
								  pgw_step_doubt_since(request), attempt->watch_until);

	/* not long after what a look-up does not find begins to count */
	if (caps->lookup_consistent_after_s >= 0 && !attempt->pending_at_bank &&
		!pgw_capabilities_not_found_counts(caps, pgw_schedule_age_s(pgw_step_asked_at(request))))
		when = Min(when, TimestampTzPlusMilliseconds(pgw_step_asked_at(request),
													 caps->lookup_consistent_after_s * 1000));
	return when;
}

/* Nothing was done under the old key, and nothing is in doubt: what follows is another request. */
static void
begin_otherwise(const PgwCall *call, PgwAttempt *attempt, const PgwOperationDecision *r)
{
	PgwBankRequest *request = request_of(attempt);

	attempt->refund_operation =
		r->operation != PGW_OP_REFUND ? pstrdup(pgw_op_name(r->operation)) : NULL;
	attempt->refund_ruled_out = r->ruled_out;
	request->key = pstrdup(pgw_call_new_key());
	request->key_used_at = 0;
	pgw_operation_id_forget(attempt);
	attempt->step_tries = 0;
	if (r->wait_s > 0)
		pgw_put_off_wait(call, attempt, r->wait_s);
	else
		attempt->next_step_at = pgw_now();
}

void
pgw_step_operation_plan(PgwCall *call, PgwAttempt *attempt, const PgwOperationDecision *r,
						bool first)
{
	TimestampTz planned = attempt->next_step_at;

	if (call->op == pgw_step_operation_of(attempt))
		request_of(attempt)->asked_at = pgw_now(); /* until now it could have been done */
	call->has_next_step = true;
	attempt->next_step_at = 0;
	attempt->pending_at_bank = r->pending;
	switch (r->next)
	{
		case PGW_OPERATION_DONE:
		case PGW_OPERATION_REFUSED:
		case PGW_OPERATION_STOP:
			attempt->watch_until = 0;
			break;
		case PGW_OPERATION_ACCEPTED:
			pgw_accepted_begins(call, attempt);
			break;
		case PGW_OPERATION_AGAIN:
			/* what changed over to another operation is no more in doubt than before it was sent */
			if (!first && call->first_with_key && !PGW_MUTATED(NEVER_TAKEN))
				request_of(attempt)->key_used_at = 0;
			attempt->step_tries++;
			attempt->next_step_at =
				pgw_schedule_retry(attempt->step_tries, call->answer.retry_after_s);
			break;
		case PGW_OPERATION_OTHERWISE:
			begin_otherwise(call, attempt, r);
			break;
		case PGW_OPERATION_AT_ONCE:
			call->resend_allowed = true;
			attempt->next_step_at = pgw_now();
			break;
		case PGW_OPERATION_FIND_OUT:
			if (call->notified && planned > pgw_now())
			{
				attempt->next_step_at = planned;
				break;
			}
			attempt->step_tries = first ? 0 : attempt->step_tries + 1;
			call->lookup_inconclusive = key_tells(call, attempt, r);
			attempt->next_step_at =
				call->lookup_inconclusive ? pgw_now() : next_look(call, attempt);
			break;
	}
}
