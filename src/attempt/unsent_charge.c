/*
 * unsent_charge.c - charges that have not reached a bank: submitted ones after their caller's commit, and those to be tried again
 *
 * Orderings that matter
 *	- A submitted attempt is taken (taken, no next attempt, BankProcessingStarted) in a flushed commit before its request leaves; whoever
 *	  looks again finds it taken.  A crash in between is a durable intent without an answer: never sent again blindly.
 *	- Tried again is only what provably did nothing (never left, or the bank says so), with the same key, and only while somebody wants it:
 *	  a caller who waits, or a submitted payment that has not expired.  A card is gone with its slot: no second try.
 *	- Each of these intents goes to the bank as it is now, and names that version: nothing was done at the one that the last intent named.
 *	- It joins the one-live-attempt index only here, after the caller's commit, so the index never blocks on a client.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "bank_call/call.h"
#include "base/clock.h"
#include "base/schedule.h"
#include "restore/pause.h"

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

/* a->call := the charge or authorization, as it was asked for. */
static bool
make_call(PgwTransaction *t, PgwAttempt *a, PgwBank *bank)
{
	PgwCallParams params;

	memset(&params, 0, sizeof(params));
	params.amount = t->amount;
	params.currency = t->currency;
	params.token = t->token;
	params.merchant = t->merchant;
	params.reference = t->reference;
	params.bank_fields = t->bank_fields;
	return pgw_attempts_call(t, a, bank, pgw_flow_operation(t->capture, t->submitted), t->bank_key, &params);
}

static void
record_intent(PgwTransaction *t, PgwAttempt *a, const char *switched_from)
{
	PgwEvent	events[2];
	int			n = 0;

	memset(events, 0, sizeof(events));
	if (switched_from != NULL)
		events[n++] = (PgwEvent) {.type = PGW_EV_BANK_SWITCHED, .from = PGW_CREATED, .to = PGW_CREATED,
			.extra = psprintf("\"from_bank\": %s", pgw_store_json_string(switched_from))};
	events[n++] = (PgwEvent) {.type = PGW_EV_BANK_PROCESSING_STARTED, .from = PGW_CREATED, .to = PGW_CREATED};
	for (int i = 0; i < n; i++)
		events[i].operation = pgw_op_name(a->call->op);
	t->bank_version = pgw_config_version_of(a->call->bank);
	t->taken = true;
	t->next_attempt_at = 0;
	t->attempts++;
	t->bank_asked_at = pgw_now();
	if (t->bank_key_used_at == 0)
		t->bank_key_used_at = t->bank_asked_at;
	pgw_store_advance(t, false, events, n);
}

static PgwBank *
next_bank(const PgwTransaction *t, const PgwBank *bank)
{
	if (t->bank_requested != NULL || t->token == NULL)
		return NULL;
	return pgw_config_next_bank(bank, t->amount, t->currency, false, t->capture);
}

static void
take(PgwTransaction *t, PgwAttempt *a)
{
	char	   *from = NULL;
	PgwBank    *bank;

	if (pgw_adopt_for_submitted(t, a))
		return;
	bank = pgw_attempts_bank(t, a, true);
	if (bank == NULL)
		return;

	/* A bank that is left alone just now does not hold up what another can take. */
	for (PgwBank *b = bank; b != NULL && from == NULL; b = next_bank(t, b))
	{
		if (b == bank || pgw_bank_is_shut(b->name, pgw_flow_operation(t->capture, true)) || !pgw_lanes_room(b->name, PGW_LANE_QUEUED, true))
			continue;
		if (pgw_bank_is_shut(bank->name, pgw_flow_operation(t->capture, true)))
		{
			from = bank->name;
			t->bank = pstrdup(b->name);
			bank = b;
		}
	}
	if (make_call(t, a, bank))
		record_intent(t, a, from);
}

void
pgw_charges_submitted(PgwTransaction *t, PgwAttempt *a)
{
	TimestampTz now = pgw_now();

	if (t->next_attempt_at == 0 || t->next_attempt_at > now)
		return;
	if (t->expires_at != 0 && t->expires_at <= now)
		expire(t, a);
	else if (!pgw_pause_drains())
		take(t, a);
	else if (t->expires_at != 0)
		pgw_calls_wake_at(t->expires_at);	/* the scan that follows the draining finds the others again */
}

/* ---------------------------------------------------------------- another try */

/* Does anybody want it at that time? */
static bool
wanted_at(const PgwTransaction *t, const PgwCall *call, TimestampTz when)
{
	if (t->submitted)
		return (t->expires_at == 0 || when < t->expires_at) && pgw_schedule_age_s(t->created_at) < pgw_unknown_deadline;
	if (call != NULL && call->slot >= 0)
		return !pgw_exchange_abandoned(call->slot) && (call->deadline == 0 || when < call->deadline);
	return pgw_waiters_until(&t->transaction_id, when);
}

bool
pgw_charges_plan_retry(PgwCall *call, PgwTransaction *t, PgwFlowDecision *d)
{
	PgwFlowDecision failed = *d;
	PgwBank    *other = call->withdrawn ? NULL : next_bank(t, call->bank);
	bool		at_once = other != NULL || call->withdrawn;
	TimestampTz when = at_once ? pgw_now() : pgw_schedule_retry(t->retries + 1, call->answer.retry_after_s);
	bool		nothing_done = call->transport == PGW_TRANSPORT_NEVER_SENT ||
		(call->transport == PGW_TRANSPORT_ANSWERED && call->answer.outcome == PGW_OUT_NOT_PROCESSED);

	if (t->status != PGW_CREATED || t->token == NULL || !nothing_done || !wanted_at(t, call, when))
		return false;
	pgw_flow_retry(&failed, other != NULL, d);
	if (other != NULL)
	{
		d->from_bank = t->bank;
		t->bank = pstrdup(other->name);
		t->bank_version = 0;	/* the next intent names it */
	}
	else if (!call->withdrawn)
		t->retries++;
	t->next_attempt_at = when;
	pgw_calls_wake_at(when);
	call->look = at_once;
	return true;
}

void
pgw_charges_give_up(PgwTransaction *t, PgwAttempt *a, const char *reason)
{
	PgwFlowDecision d;

	Assert(t->status == PGW_CREATED && (!t->taken || t->next_attempt_at != 0));

	pgw_flow_refused(&d);
	d.nevents = 0;
	d.state = PGW_CREATED;
	pgw_flow_event(&d, PGW_EV_TRANSACTION_FAILED, PGW_FAILED);
	d.reason = reason;
	t->next_attempt_at = pgw_now(); /* the payments row */
	pgw_vote_record(t, NULL, &d, NULL, NULL);
	a->again = true;
}

void
pgw_charges_again(PgwTransaction *t, PgwAttempt *a)
{
	PgwBank    *bank;

	if (t->next_attempt_at > pgw_now())
		return;
	if (!wanted_at(t, NULL, pgw_now()))
	{
		pgw_charges_give_up(t, a, "never_sent");
		return;
	}
	bank = pgw_attempts_bank(t, a, true);
	if (bank == NULL)
		return;
	if (make_call(t, a, bank))
	{
		a->call->awaited = !t->submitted;
		record_intent(t, a, NULL);
	}
	else if (t->status == PGW_CREATED && !wanted_at(t, NULL, t->next_attempt_at))
		pgw_charges_give_up(t, a, "never_sent");	/* put off for longer than anybody waits */
}
