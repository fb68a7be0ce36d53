/*
 * watch_after_end.c - what a bank does by itself after an attempt has ended: an authorization lapses, a refund is taken back
 *
 * All functions have the attempt's row locked.  The bank is asked, nothing is sent that could move money.
 *
 * Invariants
 *	- An authorization counts as expired when its lifetime is over and the bank, if it can be asked, shows nothing captured since: what it does not
 *	  say is not nothing.
 *	- A refund that the bank took back is in doubt again: its amount is pending until a person has decided.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "bank_call/call.h"
#include "base/clock.h"
#include "base/schedule.h"
#include "core/base/uuid7.h"
#include "core/pacing/retry_delay.h"
#include "core/payment/operation_rules.h"

#define REVERSAL_FIRST_MS (INT64_C(60) * 60 * 1000)
#define REVERSAL_DAYS 14
#define BUSY_DELAY_MS 60000

/* ---------------------------------------------------------------- refunds */

static TimestampTz
next_reversal_look(int tries)
{
	return TimestampTzPlusMilliseconds(pgw_now(), pgw_watch_delay_ms(tries, REVERSAL_FIRST_MS, 0.5));
}

void
pgw_watch_refund_begin(PgwTransaction *t, const PgwCapabilities *caps)
{
	if (caps != NULL && !caps->lookup_refund)
		return;
	t->retries = 0;
	t->watch_until = TimestampTzPlusMilliseconds(pgw_now(), INT64_C(86400000) * REVERSAL_DAYS);
	t->next_attempt_at = next_reversal_look(0);
}

/* Completed, of kind refund; or Refunded, by a refund. */
void
pgw_watch_refund(PgwTransaction *t, PgwAttempt *a)
{
	TimestampTz now = pgw_now();
	PgwCallParams params;
	PgwPayment	p;
	PgwBank    *bank;
	char		charge[33];

	if (t->next_attempt_at == 0 || t->next_attempt_at > now || t->watch_until == 0)
		return;
	if (t->watch_until <= now)
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
	if (!pgw_connector_capabilities(bank->connector)->lookup_refund)
	{
		pgw_put_off_over(t);
		t->watch_until = 0;		/* the bank could not be read when the refund was done, and shows none */
		pgw_attempts_put_off(t, 0);
		return;
	}
	memset(&params, 0, sizeof(params));
	params.currency = t->currency;
	params.merchant = t->merchant;
	params.reference = t->reference;
	params.original_ref = t->bank_key;
	params.bank_reference = t->bank_reference;
	if (t->kind == PGW_KIND_REFUND)
	{
		/* the charge that it gave back a part of */
		if (!pgw_store_payment_by_id(&t->payment_id, &p))
			elog(ERROR, "the payment of a refund is not there");
		pgw_uuid_to_hex32(p.transaction_id.data, charge);
		params.reference = p.reference;
		params.original_ref = charge;
		params.bank_reference = p.bank_reference;
	}
	(void) pgw_attempts_call(t, a, bank, PGW_OP_LOOKUP_REFUND, t->kind == PGW_KIND_REFUND ? t->bank_key : t->refund_key, &params);
}

/* false: the payments row is busy. */
static bool
take_reversal(PgwCall *call, PgwTransaction *t)
{
	PgwFlowDecision d;
	PgwPayment	p;
	PgwStanding s;
	bool		busy = false;

	if (t->kind == PGW_KIND_REFUND)
	{
		if (!pgw_store_lock_payment(&t->payment_id, false, &p, &busy))
			return false;
		pgw_store_standing(&p, &s);
		pgw_refund_reversed(t->amount, &s);
		pgw_store_set_standing(&p, &s);
		pgw_store_update_payment(&p);
		pgw_store_notify(&t->payment_id, t->kind, "reversed");
	}
	else
		t->taken = false;		/* a give-back is not the live attempt of its id any more: another may have succeeded since */
	pgw_operation_reversed(t->status, &d);
	t->next_attempt_at = t->watch_until = 0;
	/* the answer names the refund, which is the attempt's own reference only where it is a refund itself */
	pgw_vote_record(t, NULL, &d, "refund", t->kind == PGW_KIND_REFUND ? &call->answer : NULL);
	return true;
}

void
pgw_watch_refund_result(PgwCall *call, PgwTransaction *t)
{
	if (call->transport == PGW_TRANSPORT_ANSWERED && call->answer.outcome == PGW_OUT_DECLINED)
	{
		call->later = !take_reversal(call, t);
		return;
	}
	t->retries++;
	pgw_attempts_put_off(t, next_reversal_look(t->retries));
}

/* ---------------------------------------------------------------- authorizations */

static bool
can_expire(const PgwTransaction *t, const PgwPayment *p)
{
	return memcmp(&p->transaction_id, &t->transaction_id, sizeof(pg_uuid_t)) == 0 &&
		(p->status == PGW_PAY_AUTHORIZED || p->status == PGW_PAY_PARTIALLY_CAPTURED);
}

/* false: the payments row is busy, or has a capture or void under way. */
static bool
expire(PgwTransaction *t)
{
	PgwEvent	event = {.type = PGW_EV_AUTHORIZATION_EXPIRED, .from = PGW_COMPLETED, .to = PGW_COMPLETED};
	PgwPayment	p;
	PgwStanding s;
	bool		busy = false;

	if (!pgw_store_lock_payment(&t->payment_id, false, &p, &busy))
		return !busy;
	pgw_store_standing(&p, &s);
	if (!can_expire(t, &p) || !pgw_authorization_expired(&s))
		return s.reserved == 0;
	pgw_store_set_standing(&p, &s);
	pgw_store_update_payment(&p);
	pgw_store_notify_payment(&p);
	t->next_attempt_at = 0;
	pgw_store_advance(t, false, &event, 1);
	return true;
}

/* Nobody has been able to ask for so long: it counts as expired, as at a bank that cannot be asked, and people are told. */
void
pgw_watch_authorization_give_up(PgwTransaction *t, PgwAttempt *a)
{
	a->unwatched = expire(t);
	if (!a->unwatched)
	{
		pgw_attempts_put_off(t, TimestampTzPlusMilliseconds(pgw_now(), BUSY_DELAY_MS));
		return;
	}
	pgw_put_off_over(t);
	pgw_attempts_put_off(t, 0);
}

/* When it lapses, as the connector says: no earlier than so long after the last request that can have made it.  0: not said. */
static TimestampTz
lapses_at(const PgwTransaction *t, const PgwBank *bank)
{
	int64		lifetime = pgw_connector_capabilities(bank->connector)->authorization_lifetime_s;

	return lifetime > 0 ? TimestampTzPlusMilliseconds(t->bank_asked_at, lifetime * 1000) : 0;
}

/* Completed, of kind payment: its authorization's lifetime is over, or its bank could not be read when it was saved (pgw_vote_authorization_end). */
void
pgw_watch_authorization(PgwTransaction *t, PgwAttempt *a)
{
	PgwCallParams params;
	PgwPayment	p;
	PgwBank    *bank;

	if (t->next_attempt_at == 0 || t->next_attempt_at > pgw_now())
		return;
	if (!pgw_store_payment_by_id(&t->payment_id, &p) || !can_expire(t, &p))
	{
		pgw_attempts_put_off(t, 0);
		return;
	}
	bank = pgw_attempts_bank(t, a, false);
	if (bank == NULL)
		return;
	if (lapses_at(t, bank) == 0 || lapses_at(t, bank) > pgw_now())
	{
		pgw_put_off_over(t);
		pgw_attempts_put_off(t, lapses_at(t, bank));
		return;
	}
	if (!pgw_operation_lookup_tells(pgw_connector_capabilities(bank->connector), PGW_OP_CAPTURE))
	{
		if (!expire(t))
			pgw_attempts_put_off(t, TimestampTzPlusMilliseconds(pgw_now(), BUSY_DELAY_MS));
		return;
	}
	memset(&params, 0, sizeof(params));
	params.currency = t->currency;
	params.merchant = t->merchant;
	params.reference = t->reference;
	params.original_ref = t->bank_key;
	params.bank_reference = t->bank_reference;
	(void) pgw_attempts_call(t, a, bank, PGW_OP_LOOKUP_CHARGE, t->bank_key, &params);
}

void
pgw_watch_authorization_result(PgwCall *call, PgwTransaction *t)
{
	const PgwAnswer *a = &call->answer;
	PgwPayment	p;
	bool		told = call->transport == PGW_TRANSPORT_ANSWERED &&
		((a->outcome == PGW_OUT_APPROVED && a->captured >= 0) || a->outcome == PGW_OUT_DECLINED);

	if (told && pgw_store_payment_by_id(&t->payment_id, &p))
	{
		if (a->outcome == PGW_OUT_APPROVED && a->captured > p.captured_amount && p.reserved_amount == 0)
		{
			/* somebody captures at the bank itself: not for us to decide about */
			call->differs = true;
			pgw_attempts_put_off(t, 0);
			return;
		}
		if (expire(t))
		{
			if (t->next_attempt_at != 0)
				pgw_attempts_put_off(t, 0);
			return;
		}
	}
	t->retries++;

	/* a bank that does not tell is not asked for ever: then as at one that cannot be asked */
	if ((int64) t->retries * BUSY_DELAY_MS >= (int64) pgw_unknown_deadline * 1000 && expire(t))
	{
		ereport(WARNING, (errmsg("pgw: the bank has not told what became of an authorization, and it counts as expired"),
						  errdetail("correlation id %s", call->correlation)));
		pgw_attempts_put_off(t, 0);
		return;
	}
	pgw_attempts_put_off(t, TimestampTzPlusMilliseconds(pgw_now(), BUSY_DELAY_MS));
}
