/*
 * compensation_rules.c - giving back what a caller was charged that rolled back
 *
 * Carries out core/payment/compensation_rules.c.  Owns: pgw.compensation_delay, pgw.refund_max_attempts.  All functions have the attempt's row locked.
 *
 * Orderings that matter
 *	- RefundStarted with its key is committed and flushed before the void or refund leaves.
 *	- From RefundStarted on the attempt cannot be adopted; until then it can, and pgw.compensation_delay is the time for that.
 *	- A key is sent again only while its outcome is in doubt; a new one is taken only when the old one provably did nothing, or for a
 *	  cancellation, which may be repeated.
 */
#include "postgres.h"

#include "access/transam.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "bank_call/call.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "base/schedule.h"
#include "core/base/uuid7.h"
#include "core/payment/compensation_rules.h"
#include "core/payment/shown_by_bank.h"
#include "core/payment/unknown_outcome_rules.h"
#include "store/tables_internal.h"

static int	compensation_delay = 5000;
static int	refund_max_attempts = 10;

void
pgw_compensate_init(void)
{
	DefineCustomIntVariable("pgw.compensation_delay",
							"How long a charge whose caller rolled back waits for a retry that takes it over, before it is given back.",
							NULL,
							&compensation_delay, 5000, 0, 60 * 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pgw.refund_max_attempts",
							"How often a bank may refuse to give a charge back before a person has to look.",
							NULL,
							&refund_max_attempts, 10, 1, 1000, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static PgwOp
operation_of(const PgwTransaction *t)
{
	int			op = t->refund_operation != NULL ? pgw_op_parse(t->refund_operation) : -1;

	return op < 0 ? PGW_NOPS : (PgwOp) op;
}

static int64
refund_amount(const PgwTransaction *t)
{
	return t->approved_amount != 0 ? t->approved_amount : t->amount;
}

static const char *
refund_currency(const PgwTransaction *t)
{
	return t->approved_currency != NULL ? t->approved_currency : t->currency;
}

/* For another try: what is known of the last one does not hold for it. */
static void
new_key(PgwTransaction *t)
{
	t->refund_key = unconstify(char *, pgw_call_new_key());
	t->refund_key_used_at = t->refund_asked_at = 0;
	t->pending_at_bank = false;
	t->refund_attempts++;
}

/* shown: the bank's answer that says how the charge stands, or NULL: as it was asked for. */
static bool
choose_operation(PgwTransaction *t, const PgwCapabilities *caps, bool amount_in_doubt, const PgwAnswer *shown)
{
	bool		captured = pgw_flow_operation(t->capture, t->submitted) == PGW_OP_CHARGE;
	PgwOp		op;

	if (shown != NULL)
	{
		t->approved_amount = pgw_shown_left(shown, &captured);
		t->approved_currency = shown->currency[0] != '\0' ? pstrdup(shown->currency) : NULL;
	}
	op = pgw_compensation_operation(caps, captured, amount_in_doubt);
	t->refund_operation = op != PGW_NOPS ? pstrdup(pgw_op_name(op)) : NULL;
	return op != PGW_NOPS;
}

bool
pgw_compensate_prepare(PgwTransaction *t, const PgwCapabilities *caps, bool amount_in_doubt, const PgwAnswer *shown)
{
	t->retries = t->refund_attempts = 0;
	new_key(t);
	return choose_operation(t, caps, amount_in_doubt, shown);
}

/* a->call := the void, refund or cancellation, or a look-up for it. */
static bool
make_call(PgwTransaction *t, PgwAttempt *a, PgwBank *bank, PgwOp op)
{
	PgwCallParams params;

	memset(&params, 0, sizeof(params));
	params.currency = refund_currency(t);
	if (op == PGW_OP_REFUND)
		params.amount = refund_amount(t);
	params.merchant = t->merchant;
	params.reference = t->reference;
	params.original_ref = t->bank_key;
	params.bank_reference = t->bank_reference;
	if (!pgw_attempts_call(t, a, bank, op, t->refund_key != NULL ? t->refund_key : t->bank_key, &params))
		return false;

	/* a look-up that counts has said that nothing happened: what is sent now is judged by itself */
	a->call->in_doubt = t->refund_key != NULL && t->refund_key_used_at != 0 && !a->looked;
	return true;
}

static void
give_to_review(PgwTransaction *t, const char *reason)
{
	PgwFlowDecision d;

	pgw_flow_review(t->status, "refund_refused", reason, &d);
	t->next_attempt_at = t->watch_until = 0;
	pgw_vote_record(t, NULL, &d, t->refund_operation, NULL);
}

void
pgw_compensate_rolled_back(PgwTransaction *t, PgwAttempt *a)
{
	TimestampTz now = pgw_now();
	TimestampTz due;
	PgwCapabilities caps;
	PgwFlowDecision d;
	PgwBank    *bank;

	/* Taken over after a restore (pgw.resume_after_restore): who called, and how that ended, is not known here. */
	if (!t->submitted && !FullTransactionIdIsValid(t->caller_xid))
	{
		give_to_review(t, "restored_without_payment");
		return;
	}
	if (t->abandoned_at == 0)
		t->abandoned_at = now;
	due = TimestampTzPlusMilliseconds(t->abandoned_at, compensation_delay);
	if (now < due)
	{
		if (t->next_attempt_at != due)
			pgw_attempts_put_off(t, due);
		pgw_calls_wake_at(due);
		return;
	}
	bank = pgw_attempts_bank(t, a, false);
	if (bank == NULL)
		return;
	pgw_compensation_begin(PGW_BANK_APPROVED, &d);
	pgw_reference_capabilities(bank, t->bank_reference, &caps);
	if (!pgw_compensate_prepare(t, &caps, false, NULL))
	{
		give_to_review(t, "bank_cannot_give_back");
		return;
	}
	if (!make_call(t, a, bank, operation_of(t)))
		return;
	t->refund_key_used_at = t->refund_asked_at = now;
	t->next_attempt_at = 0;
	pgw_vote_record(t, NULL, &d, t->refund_operation, NULL);
	PGW_DEBUG_POINT("compensation_apply");
}

static void
send(PgwTransaction *t, PgwAttempt *a, PgwBank *bank, const PgwCompensationFacts *facts)
{
	PgwEvent	event = {.type = PGW_EV_REFUND_STARTED, .from = PGW_REFUNDING, .to = PGW_REFUNDING};
	bool		announced = facts->key && !facts->used && t->retries == 0;
	const PgwCapabilities *caps = pgw_connector_capabilities(bank->connector);

	/* A cancellation once more is the same try, still in doubt, under another key. */
	if (facts->used && facts->operation == PGW_OP_CANCEL)
		t->refund_key = unconstify(char *, pgw_call_new_key());
	/* Not found under a key that the bank may have forgotten: a new one is safe, the old one would not be. */
	else if (!facts->key || (facts->used && facts->looked && !pgw_resolve_key_remembered(caps, facts->key_age_s)))
		new_key(t);
	if (!make_call(t, a, bank, facts->operation))
		return;
	if (t->refund_key_used_at == 0)
		t->refund_key_used_at = pgw_now();
	t->refund_asked_at = pgw_now(); /* durable before it leaves: "not found" must not count from an earlier one */
	t->next_attempt_at = 0;
	if (announced)
	{
		pgw_store_update_transaction(t);	/* RefundStarted stands already */
		return;
	}
	event.operation = t->refund_operation;
	pgw_store_advance(t, false, &event, 1);
}

void
pgw_compensate_work(PgwTransaction *t, PgwAttempt *a)
{
	PgwCompensationFacts facts;
	PgwCapabilities caps;
	PgwBank    *bank;

	/* no next attempt: it was being sent when a worker ended */
	if (t->next_attempt_at > pgw_now())
		return;
	bank = pgw_attempts_bank(t, a, false);
	if (bank == NULL)
		return;
	pgw_reference_capabilities(bank, t->bank_reference, &caps);
	if (operation_of(t) == PGW_NOPS)
	{
		/* an operator wants it given back, or the bank offers no way: perhaps it does now */
		if (!choose_operation(t, &caps, t->approved_amount != 0, NULL))
		{
			give_to_review(t, "bank_cannot_give_back");
			return;
		}
		pgw_store_update_transaction(t);	/* what a look-up's answer finds */
	}
	facts.operation = operation_of(t);
	facts.key = t->refund_key != NULL;
	facts.used = facts.key && t->refund_key_used_at != 0;
	facts.pending = t->pending_at_bank;
	facts.looked = a->looked;
	facts.untold = a->untold;
	pgw_resolve_ask_again(t, t->refund_key_used_at);
	facts.deadline_s = t->watch_until > pgw_now() ? 0 : pgw_unknown_deadline;	/* until then it is asked again */
	facts.key_age_s = facts.used ? pgw_schedule_age_s(t->refund_key_used_at) : 0;
	if (pgw_compensation_overdue(&facts, pgw_schedule_age_s(t->abandoned_at != 0 ? t->abandoned_at : t->created_at)))
	{
		give_to_review(t, "deadline");
		return;
	}
	switch (pgw_compensation_step(&caps, &facts))
	{
		case PGW_COMPENSATE_SEND:
			send(t, a, bank, &facts);
			break;
		case PGW_COMPENSATE_LOOKUP_REFUND:
			(void) make_call(t, a, bank, PGW_OP_LOOKUP_REFUND);
			break;
		case PGW_COMPENSATE_LOOKUP_CHARGE:
			(void) make_call(t, a, bank, PGW_OP_LOOKUP_CHARGE);
			break;
		case PGW_COMPENSATE_REVIEW:
			give_to_review(t, facts.deadline_s > 0 && facts.key_age_s >= facts.deadline_s ? "deadline" : "no_way_to_find_out");
			break;
	}
}

void
pgw_compensate_result(PgwCall *call, PgwTransaction *t)
{
	PgwCompensationInput in;
	PgwCompensationDecision d;
	PgwCapabilities caps;
	bool		first = t->retries == 0;

	memset(&in, 0, sizeof(in));
	in.op = call->op;
	in.operation = operation_of(t);
	in.in_doubt = call->in_doubt;
	in.pending = t->pending_at_bank;
	in.amount = in.operation == PGW_OP_REFUND ? refund_amount(t) : 0;
	in.currency = refund_currency(t);
	in.charged = t->amount;
	in.transport = call->transport;
	in.answer = &call->answer;
	pgw_reference_capabilities(call->bank, t->bank_reference, &caps);
	in.caps = &caps;
	in.attempts = t->refund_attempts;
	in.max_attempts = refund_max_attempts;
	in.not_found_counts = pgw_resolve_not_found_counts(in.caps, pgw_schedule_age_s(t->refund_asked_at));
	pgw_compensation_result(&in, &d);

	call->differs = d.excess;
	t->next_attempt_at = 0;
	if (!d.at_once)
		t->retries++;			/* a look that leads straight on belongs to the try that it allows */
	if (call->op == in.operation)
		t->refund_asked_at = pgw_now();	/* until now it could have been done */
	/* what is not understood says nothing against what was understood before */
	if (call->transport == PGW_TRANSPORT_ANSWERED && call->op != PGW_OP_LOOKUP_CHARGE && call->answer.outcome != PGW_OUT_UNKNOWN)
		t->pending_at_bank = call->answer.outcome == PGW_OUT_PENDING;
	switch (d.next)
	{
		case PGW_COMPENSATION_DONE:
			/* An attempt that no rollback brought here may have a payments row that does not say so yet. */
			if (t->abandoned_at == 0)
				t->next_attempt_at = pgw_now();
			t->watch_until = 0;
			if (in.operation == PGW_OP_REFUND)
				pgw_watch_refund_begin(t, in.caps);
			break;
		case PGW_COMPENSATION_AGAIN:
			if (!d.at_once)
				t->refund_key_used_at = 0;	/* that request was never taken */
			break;
		case PGW_COMPENSATION_ANEW:
			t->refund_key = NULL;
			t->refund_key_used_at = t->refund_asked_at = 0;
			t->pending_at_bank = false;
			break;
		case PGW_COMPENSATION_FIND_OUT:
		case PGW_COMPENSATION_STOP:
			break;
	}
	if (d.operation != in.operation && d.operation != PGW_NOPS)
		t->refund_operation = pstrdup(pgw_op_name(d.operation));
	if (d.amount != 0)
	{
		/* looked up, and in the currency that the bank names now: its first answer may have named another, in which it takes no refund */
		t->approved_amount = d.amount;
		if (call->answer.currency[0] != '\0')
			t->approved_currency = pstrdup(call->answer.currency);
	}
	if (d.flow.state == PGW_REFUNDING)
	{
		bool		now = d.at_once || (first && d.next == PGW_COMPENSATION_FIND_OUT);

		/* What a look-up did not tell, the same key may, while the bank remembers it; or another try, where nothing is in doubt. */
		if (d.untold && (!call->in_doubt || operation_of(t) == PGW_OP_CANCEL ||
						 pgw_resolve_key_remembered(in.caps, pgw_schedule_age_s(t->refund_key_used_at))))
			call->untold = now = true;

		t->next_attempt_at = now ? pgw_now() : pgw_schedule_retry(t->retries, call->answer.retry_after_s);
		pgw_calls_wake_at(t->next_attempt_at);
	}
	else if (d.next != PGW_COMPENSATION_DONE)
		t->watch_until = 0;
	call->look = d.at_once || t->next_attempt_at != 0;
	call->looked = d.at_once;
	if (d.flow.nevents == 0)
		pgw_store_update_transaction(t);	/* no step yet, RefundStarted follows; or pending as before */
	else
		pgw_vote_record(t, NULL, &d.flow, pgw_op_name(in.operation),
						call->transport == PGW_TRANSPORT_ANSWERED ? &call->answer : NULL);
}
