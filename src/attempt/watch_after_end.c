/*
 * watch_after_end.c - what a bank does by itself after an attempt has ended: an authorization
 * lapses, a refund or capture is taken back
 *
 * All functions have the attempt's row locked.  The bank is asked, nothing is sent that could move
 * money; that a capture was taken back it says by itself.
 *
 * Invariants
 *     - An authorization counts as expired when its lifetime is over and the bank, if it can be
 *       asked, shows nothing captured since: what it does not say is not nothing.  While a capture
 *       or void of it is open no answer ends it, and nobody is asked.
 *     - A refund that the bank took back is in doubt again: its amount is pending until a person
 *       has decided.  So is a capture, whose amount is reserved; and its authorization is watched
 *       again, in the same commit.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "attempt/operation_id.h"
#include "attempt/put_off.h"
#include "attempt/watch_after_end.h"
#include "base/clock.h"
#include "base/schedule.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "core/pacing/retry_delay.h"
#include "core/payment/charge_rules.h"
#include "core/payment/operation_events.h"
#include "core/payment/shown_by_bank.h"
#include "exchange/log_rate.h"
#include "outcome/record_decision.h"
#include "store/events.h"
#include "store/find_attempts.h"
#include "store/outcome_message.h"
#include "store/tables.h"

#define REVERSAL_FIRST_MS (INT64_C(60) * 60 * 1000)
#define REVERSAL_DAYS 14
#define BUSY_DELAY_MS 60000

/* ---------------------------------------------------------------- refunds */

static TimestampTz
next_reversal_look(int tries)
{
	return TimestampTzPlusMilliseconds(pgw_now(),
									   pgw_retry_watch_delay_ms(tries, REVERSAL_FIRST_MS, 0.5));
}

void
pgw_step_watch_refund_begin(PgwAttempt *attempt, const PgwCapabilities *caps)
{
	if (caps != NULL && !caps->lookup_refund)
		return;
	attempt->step_tries = 0;
	attempt->watch_until =
		TimestampTzPlusMilliseconds(pgw_now(), INT64_C(86400000) * REVERSAL_DAYS);
	attempt->next_step_at = next_reversal_look(0);
}

/* Completed, of kind refund; or Refunded, by a refund. */
void
pgw_step_watch_refund(PgwAttempt *attempt, PgwStep *step)
{
	PgwCallParams params;
	PgwPayment p;
	PgwBank *bank;
	char charge[33];

	Assert(attempt->place.held &&
		   (attempt->status == PGW_REFUNDED ||
			(attempt->status == PGW_COMPLETED && attempt->kind != PGW_KIND_PAYMENT)));
	if (attempt->next_step_at == 0 || attempt->next_step_at > pgw_now() ||
		attempt->watch_until == 0)
		return;
	if (pgw_step_watch_is_over(attempt, step))
		return;
	bank = pgw_step_bank(attempt, step, false);
	if (bank == NULL)
		return;
	if (!pgw_operation_id_capabilities(bank, attempt)->lookup_refund)
	{
		/* the bank could not be read when the refund was done, and shows none, or has not named it
		 */
		pgw_step_end_watch(attempt);
		return;
	}
	pgw_step_params_about_charge(attempt, &params);
	if (attempt->kind == PGW_KIND_REFUND)
	{
		/* the charge that it gave back a part of */
		if (!pgw_store_payment_by_id(&attempt->payment_id, &p))
			elog(ERROR, "the payment of a refund is not there");
		pgw_uuid_to_hex32(p.transaction_id.data, charge);
		params.reference = p.reference;
		params.original_ref = charge;
		params.bank_reference = p.bank_reference;
	}
	params.operation_reference = pgw_operation_id_of_refund(attempt);
	(void) pgw_step_call(attempt, step, bank, PGW_OP_LOOKUP_REFUND,
						 attempt->kind == PGW_KIND_REFUND ? attempt->own_request.key
														  : attempt->refund_request.key,
						 &params);
}

/* false: the payments row is busy. */
static bool
take_reversal(PgwCall *call, PgwAttempt *attempt)
{
	PgwDecision d;
	PgwPayment p;
	PgwPaymentAmounts s;
	bool busy = false;

	if (attempt->kind == PGW_KIND_REFUND)
	{
		if (!pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy))
			return false;
		pgw_store_get_amounts(&p, &s);
		pgw_payment_refund_reversed(attempt->amount, &s);
		pgw_store_set_amounts(&p, &s);
		pgw_store_update_payment(&p);
		pgw_store_notify(&attempt->payment_id, attempt->kind, "reversed");
	}
	pgw_operation_reversed(attempt->status, &d);
	d.said = pgw_step_said(call);
	attempt->next_step_at = attempt->watch_until = 0;
	/*
	 * the answer names the refund, which is the attempt's own reference only where it is a refund
	 * itself
	 */
	pgw_record_decision(attempt, NULL, &d, "refund",
						attempt->kind == PGW_KIND_REFUND ? &call->answer : NULL);
	return true;
}

void
pgw_answer_watched_refund(PgwCall *call, PgwAttempt *attempt)
{
	Assert(attempt->place.held &&
		   (attempt->status == PGW_REFUNDED ||
			(attempt->status == PGW_COMPLETED && attempt->kind != PGW_KIND_PAYMENT)));

	if (call->transport == PGW_TRANSPORT_ANSWERED && call->answer.outcome == PGW_OUT_DECLINED)
	{
		call->row_was_busy = !take_reversal(call, attempt);
		return;
	}
	attempt->step_tries++;
	pgw_step_reschedule(attempt, next_reversal_look(attempt->step_tries));
}

/* ---------------------------------------------------------------- captures */

/*
 * What it had taken is held again.  Whoever watched the authorization's end has found nothing held,
 * and looks no more: somebody has to.  The payments row is locked.  false: somebody holds the
 * charge's row.
 */
static bool
watch_authorization_again(const PgwPayment *p, PgwStep *step)
{
	PgwAttempt charge;
	bool busy = false;

	if (!pgw_store_lock_attempt(&p->transaction_id, false, &charge, &busy))
		return !busy;
	if (charge.status != PGW_COMPLETED || charge.next_step_at != 0 ||
		PGW_MUTATED(TAKEN_BACK_UNWATCHED))
		return true;
	charge.step_tries = 0;
	pgw_step_reschedule(&charge, pgw_now());
	step->other_attempt = charge.transaction_id;
	return true;
}

bool
pgw_step_capture_reversed(PgwAttempt *attempt, PgwStep *step)
{
	PgwDecision d;
	PgwPayment p;
	PgwPaymentAmounts s;
	bool busy = false;

	Assert(attempt->place.held && attempt->kind == PGW_KIND_CAPTURE &&
		   attempt->status == PGW_COMPLETED);
	if (!pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy))
	{
		step->try_later = true;
		return false;
	}
	pgw_store_get_amounts(&p, &s);
	if (!pgw_payment_capture_reversed(attempt->amount, attempt->final_capture,
									  pgw_store_closed_by_another(attempt), &s))
	{
		step->contradicted = true;
		return true;
	}
	if (!watch_authorization_again(&p, step))
	{
		step->try_later = true;
		return false;
	}
	/* attempt and payments row in one commit */
	pgw_store_set_amounts(&p, &s);
	pgw_store_update_payment(&p);
	pgw_store_notify(&attempt->payment_id, attempt->kind, "reversed");
	pgw_store_notify_payment(&p);
	pgw_operation_capture_reversed(&d);
	attempt->next_step_at = attempt->watch_until = 0;
	pgw_record_decision(attempt, NULL, &d, pgw_kind_name(attempt->kind), NULL);
	return true;
}

/* ---------------------------------------------------------------- authorizations */

static bool
can_expire(const PgwAttempt *attempt, const PgwPayment *p)
{
	return memcmp(&p->transaction_id, &attempt->transaction_id, sizeof(pg_uuid_t)) == 0 &&
		   (p->status == PGW_PAY_AUTHORIZED || p->status == PGW_PAY_PARTIALLY_CAPTURED);
}

/* false: the payments row is busy, or has a capture or void under way. */
static bool
expire(PgwAttempt *attempt)
{
	PgwEvent event = {
		.type = PGW_EV_AUTHORIZATION_EXPIRED, .from = PGW_COMPLETED, .to = PGW_COMPLETED};
	PgwPayment p;
	PgwPaymentAmounts s;
	bool busy = false;

	if (!pgw_store_lock_payment(&attempt->payment_id, false, &p, &busy))
		return !busy;
	pgw_store_get_amounts(&p, &s);
	if (!can_expire(attempt, &p) || !pgw_payment_authorization_expired(&s))
		return s.reserved == 0 && s.capture_pending == 0;
	pgw_store_set_amounts(&p, &s);
	pgw_store_update_payment(&p);
	pgw_store_notify_payment(&p);
	attempt->next_step_at = 0;
	pgw_store_advance(attempt, false, &event, 1);
	return true;
}

/*
 * Nobody has been able to ask for so long: it counts as expired, as at a bank that cannot be asked,
 * and people are told.
 */
void
pgw_step_watch_authorization_give_up(PgwAttempt *attempt, PgwStep *step)
{
	step->unwatched = expire(attempt);
	if (!step->unwatched)
	{
		pgw_step_reschedule(attempt, TimestampTzPlusMilliseconds(pgw_now(), BUSY_DELAY_MS));
		return;
	}
	pgw_put_off_over(attempt);
	pgw_step_reschedule(attempt, 0);
}

/*
 * When it lapses, as the connector says: no earlier than so long after the last request that can
 * have made it.  0: not said.
 */
static TimestampTz
lapses_at(const PgwAttempt *attempt, const PgwBank *bank)
{
	int64 lifetime = pgw_connector_capabilities(bank->connector)->authorization_lifetime_s;

	return lifetime > 0
			   ? TimestampTzPlusMilliseconds(attempt->own_request.asked_at, lifetime * 1000)
			   : 0;
}

/*
 * Completed, of kind payment: its authorization's lifetime is over, or its bank could not be read
 * when it was saved (pgw_record_authorization_end).
 */
void
pgw_step_watch_authorization(PgwAttempt *attempt, PgwStep *step)
{
	PgwCallParams params;
	PgwPayment p;
	PgwBank *bank;

	Assert(attempt->place.held && attempt->status == PGW_COMPLETED &&
		   attempt->kind == PGW_KIND_PAYMENT);
	if (attempt->next_step_at == 0 || attempt->next_step_at > pgw_now())
		return;
	if (!pgw_store_payment_by_id(&attempt->payment_id, &p) || !can_expire(attempt, &p))
	{
		pgw_put_off_over(attempt);
		pgw_step_reschedule(attempt, 0);
		return;
	}
	bank = pgw_step_bank(attempt, step, false);
	if (bank == NULL)
		return;
	if (lapses_at(attempt, bank) == 0 || lapses_at(attempt, bank) > pgw_now())
	{
		pgw_put_off_over(attempt);
		pgw_step_reschedule(attempt, lapses_at(attempt, bank));
		return;
	}
	if ((p.reserved_amount > 0 || p.capture_pending_amount > 0) && !PGW_MUTATED(END_WHILE_OPEN))
	{
		/* its end is a person's, perhaps, who may take days */
		pgw_put_off_over(attempt);
		pgw_step_reschedule(
			attempt, pgw_schedule_patiently(TimestampTzPlusMilliseconds(pgw_now(), BUSY_DELAY_MS),
											lapses_at(attempt, bank)));
		return;
	}
	if (!pgw_capabilities_lookup_tells(pgw_connector_capabilities(bank->connector), PGW_OP_CAPTURE))
	{
		pgw_put_off_over(attempt);
		if (!expire(attempt))
			pgw_step_reschedule(attempt, TimestampTzPlusMilliseconds(pgw_now(), BUSY_DELAY_MS));
		return;
	}
	pgw_step_params_about_charge(attempt, &params);
	(void) pgw_step_call(attempt, step, bank, PGW_OP_LOOKUP_CHARGE, attempt->own_request.key,
						 &params);
}

void
pgw_answer_watched_authorization(PgwCall *call, PgwAttempt *attempt)
{
	PgwPayment p;
	PgwShownEnd end = PGW_END_UNTOLD;

	Assert(attempt->place.held && attempt->status == PGW_COMPLETED &&
		   attempt->kind == PGW_KIND_PAYMENT);
	if (call->transport == PGW_TRANSPORT_ANSWERED &&
		pgw_store_payment_by_id(&attempt->payment_id, &p))
		end = pgw_shown_end(&call->answer, p.captured_amount + p.bank_captured_amount);
	if (end != PGW_END_UNTOLD)
	{
		if (end == PGW_END_TAKEN && p.reserved_amount == 0 && p.capture_pending_amount == 0)
		{
			/* somebody captures at the bank itself: not for us to decide about */
			call->differs = true;
			pgw_step_reschedule(attempt, 0);
			return;
		}
		if (expire(attempt))
		{
			if (attempt->next_step_at != 0)
				pgw_step_reschedule(attempt, 0);
			return;
		}
	}
	attempt->step_tries++;

	/* a bank that does not tell is not asked for ever: then as at one that cannot be asked */
	if ((int64) attempt->step_tries * BUSY_DELAY_MS >= (int64) pgw_unknown_deadline * 1000 &&
		expire(attempt))
	{
		uint64 more;

		if (pgw_log_due("an authorization counts as expired", call->bank_name, &more))
			ereport(
				WARNING,
				(errmsg(
					 "pgw: the bank has not told what became of an authorization, and it counts as expired"),
				 pgw_call_errdetail(call, NULL), pgw_log_more(more)));
		pgw_step_reschedule(attempt, 0);
		return;
	}
	pgw_step_reschedule(attempt, TimestampTzPlusMilliseconds(pgw_now(), BUSY_DELAY_MS));
}
