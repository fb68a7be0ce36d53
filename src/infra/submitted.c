/*
 * submitted.c - payments that wait for their caller's commit: taken, sent, or expired
 *
 * Orderings that matter
 *	- A submitted attempt is taken (taken, no next attempt, BankProcessingStarted) in a flushed commit before its request leaves; whoever
 *	  looks again finds it taken.  A crash in between is a durable intent without an answer: never sent again blindly.
 *	- It joins the one-live-attempt index only here, after the caller's commit, so the index never blocks on a client.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "infra/calls_internal.h"

static void
expire(PgwTransaction *t, PgwAttempt *a)
{
	PgwFlowDecision d;
	PgwPayment	p;
	bool		busy = false;
	bool		locked = pgw_store_lock_payment(&t->payment_id, false, &p, &busy);

	if (busy)
	{
		a->later = true;
		return;
	}
	pgw_flow_expired(&d);
	t->next_attempt_at = 0;
	pgw_vote_record(t, locked && p.status == PGW_PAY_PENDING ? &p : NULL, &d, NULL, NULL);
}

static void
take(PgwTransaction *t, PgwAttempt *a)
{
	PgwEvent	event = {.type = PGW_EV_BANK_PROCESSING_STARTED, .from = PGW_CREATED, .to = PGW_CREATED};
	PgwBank    *bank;
	PgwCallParams params;

	if (pgw_adopt_for_submitted(t, a))
		return;
	bank = pgw_attempts_bank(t, a, true);
	if (bank == NULL)
		return;
	memset(&params, 0, sizeof(params));
	params.amount = t->amount;
	params.currency = t->currency;
	params.token = t->token;
	params.merchant = t->merchant;
	params.reference = t->reference;
	params.bank_fields = t->bank_fields;
	if (!pgw_attempts_call(t, a, bank, pgw_flow_operation(t->capture, true), NULL, &params))
		return;
	t->taken = true;
	t->next_attempt_at = 0;
	t->attempts++;
	t->bank_key = pstrdup(a->call->reference);
	t->bank_key_used_at = t->bank_asked_at = GetCurrentTimestamp();
	event.operation = pgw_op_name(a->call->op);
	pgw_store_advance(t, false, &event, 1);
}

void
pgw_submitted_work(PgwTransaction *t, PgwAttempt *a)
{
	TimestampTz now = GetCurrentTimestamp();

	if (t->next_attempt_at == 0 || t->next_attempt_at > now)
		return;
	if (t->expires_at != 0 && t->expires_at <= now)
		expire(t, a);
	else
		take(t, a);
}
