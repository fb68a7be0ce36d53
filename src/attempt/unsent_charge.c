/*
 * unsent_charge.c - charges that have not reached a bank: submitted ones after their caller's
 * commit, and those to be tried again
 *
 * Orderings that matter
 *     - A submitted attempt is taken (taken, no next attempt, BankProcessingStarted) in a flushed
 *       commit before its request leaves; whoever looks again finds it taken.  A crash in between
 *       is a durable intent without an answer: never sent again blindly.
 *     - Tried again is only what provably did nothing (never left, or the bank says so), with the
 *       same key, and only while somebody wants it: a caller who waits, or a submitted payment that
 *       has not expired.  A card is gone with its slot: no second try.
 *     - Each of these intents goes to the bank as it is now, and names that version: nothing was
 *       done at the one that the last intent named.
 *     - It joins the one-live-attempt index only here, after the caller's commit, so the index
 *       never blocks on a client.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "attempt/adoption.h"
#include "attempt/put_off.h"
#include "attempt/unsent_charge.h"
#include "bank/choose_bank.h"
#include "bank_call/waiting_callers.h"
#include "base/clock.h"
#include "base/schedule.h"
#include "core/payment/charge_rules.h"
#include "exchange/taken_slots.h"
#include "outcome/event_members.h"
#include "outcome/record_decision.h"
#include "restore/pause.h"
#include "store/events.h"
#include "store/tables.h"

static void
expire(PgwAttempt *attempt, PgwStep *step)
{
	PgwDecision d;
	PgwPayment p;
	bool busy = false;
	bool locked = pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy);

	if (busy)
	{
		step->try_later = true;
		return;
	}
	pgw_charge_expired(&d);
	attempt->next_step_at = 0;
	pgw_record_decision(attempt, locked && p.status == PGW_PAY_PENDING ? &p : NULL, &d, NULL, NULL);
}

void
pgw_step_charge_record_intent(PgwAttempt *attempt, bool begins, const char *switched_from,
							  PgwBankOp op)
{
	PgwEvent events[3];
	PgwEventMembers started;
	PgwEventMember from_bank = {
		.name = "from_bank", .kind = PGW_MEMBER_STRING, .text = switched_from};
	int n = 0;

	memset(events, 0, sizeof(events));
	if (begins)
	{
		pgw_event_members_started(&started, attempt);
		events[n] = (PgwEvent){
			.type = PGW_EV_TRANSACTION_STARTED, .from = PGW_STATE_NONE, .to = PGW_CREATED};
		pgw_event_members_into(&started, &events[n++]);
	}
	if (switched_from != NULL)
		events[n++] = (PgwEvent){.type = PGW_EV_BANK_SWITCHED,
								 .from = PGW_CREATED,
								 .to = PGW_CREATED,
								 .members = &from_bank,
								 .nmembers = 1};
	events[n++] =
		(PgwEvent){.type = PGW_EV_BANK_PROCESSING_STARTED, .from = PGW_CREATED, .to = PGW_CREATED};
	for (int i = 0; i < n; i++)
		events[i].operation = pgw_op_name(op);
	pgw_store_advance(attempt, begins, events, n);
}

static void
record_intent(PgwAttempt *attempt, PgwStep *step, const char *switched_from)
{
	attempt->bank_version = pgw_config_version_of(step->call->bank);
	attempt->live = true;
	attempt->next_step_at = 0;
	attempt->requests_sent++;
	attempt->own_request.asked_at = pgw_now();
	step->call->expires_at = attempt->expires_at;
	if (attempt->own_request.key_used_at == 0)
		attempt->own_request.key_used_at = step->call->said_at;
	pgw_step_charge_record_intent(attempt, false, switched_from, step->call->op);
}

static PgwBank *
next_bank(const PgwAttempt *attempt, const PgwBank *bank)
{
	if (attempt->bank_requested != NULL || !pgw_step_can_repeat(attempt))
		return NULL;
	return pgw_config_next_bank(bank, attempt->amount, attempt->currency, PGW_BY_TOKEN,
								attempt->capture);
}

static void
take(PgwAttempt *attempt, PgwStep *step)
{
	char *from = NULL;
	PgwBank *bank;

	if (pgw_adopt_for_submitted(attempt, step))
		return;
	bank = pgw_step_bank(attempt, step, true);
	if (bank == NULL)
		return;

	/* A bank that is left alone just now does not hold up what another can take. */
	for (PgwBank *b = bank; b != NULL && from == NULL; b = next_bank(attempt, b))
	{
		if (b == bank || pgw_bank_is_shut(b->name, pgw_charge_operation(attempt->capture, true)) ||
			!pgw_lanes_room(b->name, PGW_LANE_QUEUED, true))
			continue;
		if (pgw_bank_is_shut(bank->name, pgw_charge_operation(attempt->capture, true)))
		{
			from = bank->name;
			attempt->bank = pstrdup(b->name);
			bank = b;
		}
	}
	if (pgw_step_charge_call(attempt, step, bank, attempt->own_request.key))
		record_intent(attempt, step, from);
}

void
pgw_step_charge_submitted(PgwAttempt *attempt, PgwStep *step)
{
	TimestampTz now = pgw_now();

	Assert(attempt->place.held && attempt->status == PGW_CREATED && !attempt->live);
	if (attempt->next_step_at == 0 || attempt->next_step_at > now)
		return;
	if (pgw_has_expired(attempt->expires_at, now))
		expire(attempt, step);
	else if (!pgw_pause_drains())
		take(attempt, step);
	else if (attempt->expires_at != 0)
		/* the scan that follows the draining finds the others again */
		step->wake_at = attempt->expires_at;
}

/* ---------------------------------------------------------------- another try */

/* Does anybody want it at that time? */
static bool
wanted_at(const PgwAttempt *attempt, const PgwCall *call, TimestampTz when)
{
	if (attempt->submitted)
		return (attempt->expires_at == 0 || when < attempt->expires_at) &&
			   pgw_schedule_age_s(attempt->created_at) < pgw_unknown_deadline;
	if (call != NULL && call->slot >= 0)
		return !pgw_exchange_abandoned(call->slot) &&
			   (call->deadline == 0 || when < call->deadline);
	return pgw_waiters_until(&attempt->transaction_id, when);
}

bool
pgw_step_charge_plan_retry(PgwCall *call, PgwAttempt *attempt, PgwDecision *d)
{
	PgwDecision failed = *d;
	PgwBank *other = call->withdrawn ? NULL : next_bank(attempt, call->bank);
	bool at_once = other != NULL || call->withdrawn;
	TimestampTz when =
		at_once ? pgw_now()
				: pgw_schedule_retry(attempt->step_tries + 1, call->answer.retry_after_s);
	bool nothing_done = call->transport == PGW_TRANSPORT_NEVER_SENT ||
						(call->transport == PGW_TRANSPORT_ANSWERED &&
						 call->answer.outcome == PGW_OUT_NOT_PROCESSED);

	if (attempt->status != PGW_CREATED || !pgw_step_can_repeat(attempt) || !nothing_done ||
		!wanted_at(attempt, call, when))
		return false;
	pgw_charge_retry(&failed, other != NULL, d);
	if (other != NULL)
	{
		d->from_bank = attempt->bank;
		attempt->bank = pstrdup(other->name);
		attempt->bank_version = 0; /* the next intent names it */
	}
	else if (!call->withdrawn)
		attempt->step_tries++;
	attempt->next_step_at = when;
	call->has_next_step = at_once;
	return true;
}

void
pgw_step_charge_give_up(PgwAttempt *attempt, PgwStep *step, const char *reason)
{
	PgwDecision d;

	Assert(attempt->place.held && attempt->status == PGW_CREATED &&
		   (!attempt->live || attempt->next_step_at != 0));

	pgw_charge_refused(&d);
	d.nevents = 0;
	d.state = PGW_CREATED;
	pgw_decision_add_event(&d, PGW_EV_TRANSACTION_FAILED, PGW_FAILED);
	d.reason = reason;
	attempt->next_step_at = pgw_now(); /* the payments row */
	pgw_record_decision(attempt, NULL, &d, NULL, NULL);
	step->next_step_now = true;
}

void
pgw_step_charge_retry(PgwAttempt *attempt, PgwStep *step)
{
	PgwBank *bank;

	Assert(attempt->place.held && attempt->status == PGW_CREATED && attempt->live &&
		   attempt->next_step_at != 0);
	if (attempt->next_step_at > pgw_now())
		return;
	if (!wanted_at(attempt, NULL, pgw_now()))
	{
		pgw_step_charge_give_up(attempt, step, "never_sent");
		return;
	}
	bank = pgw_step_bank(attempt, step, true);
	if (bank == NULL)
		return;
	if (pgw_step_charge_call(attempt, step, bank, attempt->own_request.key))
	{
		step->call->awaited = !attempt->submitted;
		record_intent(attempt, step, NULL);
	}
	else if (attempt->status == PGW_CREATED && !wanted_at(attempt, NULL, attempt->next_step_at))
		/* put off for longer than anybody waits */
		pgw_step_charge_give_up(attempt, step, "never_sent");
}
