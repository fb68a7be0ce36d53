/*
 * payment_from_events.c - the status and amounts of a payment that its attempts' events tell
 *
 * The payments row is changed step by step, wherever something happens to it (charge_rules.c,
 * payment_amounts.c).  This is the other way to the same result: from all that has happened at
 * once, in whatever order the attempts of one payment are taken.  So each proves the other; the
 * view pgw.broken_invariants says this rule in SQL, and a test compares all three.
 *
 * Invariants: what has failed or was given back is never kept afterwards (a charge that turns up
 * late is given back); what was saved leaves that only by being given back.
 */
#include "core/payment/payment_from_events.h"

#include <string.h>

#include "core/base/error_codes.h"
#include "core/connector/bank_op.h"

static void
start(PgwToldAttempt *a, const PgwToldEvent *event)
{
	int kind = pgw_kind_parse(event->operation);

	/* "charge" and "authorize" are a payment's */
	a->kind = kind > PGW_KIND_PAYMENT ? (PgwKind) kind : PGW_KIND_PAYMENT;
	a->charge =
		event->operation != NULL && strcmp(event->operation, pgw_op_name(PGW_OP_CHARGE)) == 0;
	a->on_commit = event->on_commit;
	a->not_final = event->not_final;
	a->by_bank = event->by_bank;
	a->amount = event->amount;
}

void
pgw_told_add(PgwToldAttempt *a, const PgwToldEvent *event)
{
	if (event->type == PGW_EV_TRANSACTION_STARTED)
		start(a, event);
	/* in review it stays so, until an operator has decided */
	a->accepted =
		event->type == PGW_EV_BANK_ACCEPTED ||
		(a->accepted && (event->to == a->state ||
						 (a->state == PGW_SAVED && event->to == PGW_REQUIRES_MANUAL_REVIEW)));
	a->state = event->to;
	switch (event->to)
	{
		case PGW_SAVED:
		case PGW_COMPLETED:
			a->saved = true;
			break;
		case PGW_FAILED:
			/* an operator's word that nothing was charged has no code */
			a->declined |= pgw_error_is_decline(event->error_code);
			a->in_vain = true;
			break;
		case PGW_REFUNDING:
		case PGW_REFUNDED:
			a->in_vain = true;
			break;
		case PGW_REQUIRES_MANUAL_REVIEW:
			a->reviewed = true;
			break;
		default:
			break;
	}
	if (event->type == PGW_EV_BANK_OUTCOME_UNACCEPTABLE && event->bank_amount > 0)
		a->approved = event->bank_amount;
	if (event->type == PGW_EV_AUTHORIZATION_EXPIRED)
		a->expired = true;
	if (event->type == PGW_EV_DISPUTE_WITHDRAWN || event->type == PGW_EV_DISPUTE_REINSTATED)
		a->disputed += event->taken;
}

/* The charge itself: what was authorized and captured by it. */
static void
put_charge(const PgwToldAttempt *charge, PgwPaymentAmounts *s)
{
	s->authorized = charge->amount;
	if (charge->charge)
		s->captured = charge->amount;
	else if (charge->on_commit && charge->state == PGW_COMPLETED)
		s->captured = charge->amount;
	else if (charge->on_commit && charge->accepted)
		s->capture_pending = charge->amount;
	else if (charge->on_commit)
		s->reserved = charge->amount;
}

/*
 * Saved is done, unless the bank has only accepted it; what is neither done nor Failed is under
 * way, or in doubt.
 */
/* What pgw has not made is done, or the bank has taken it back. */
static void
put_reported(const PgwToldAttempt *o, PgwPaymentAmounts *s, bool *voided)
{
	if (o->kind == PGW_KIND_REFUND)
		s->bank_refunded += o->amount;
	else if (o->kind == PGW_KIND_CAPTURE)
		s->bank_captured += o->amount;
	else
		*voided = true;
}

static void
put_operation(const PgwToldAttempt *o, PgwPaymentAmounts *s, bool *closed, bool *voided)
{
	bool done = (o->state == PGW_SAVED && !o->accepted) || o->state == PGW_COMPLETED;

	if (o->state == PGW_FAILED)
		return;
	if (o->by_bank)
		put_reported(o, s, voided);
	else if (o->kind == PGW_KIND_REFUND)
		*(done ? &s->refunded : &s->refund_pending) += o->amount;
	else if (!done)
		*(o->accepted && o->kind == PGW_KIND_CAPTURE ? &s->capture_pending : &s->reserved) +=
			o->amount;
	else if (o->kind == PGW_KIND_CAPTURE)
	{
		s->captured += o->amount;
		*closed |= !o->not_final;
	}
	else
		*voided = true;
}

static PgwPaymentStatus
status_of(const PgwPaymentAmounts *s, bool closed, bool voided, bool expired)
{
	int64_t captured = s->captured + s->bank_captured;
	int64_t refunded = s->refunded + s->bank_refunded;

	if (captured == 0 && expired)
		return PGW_PAY_EXPIRED; /* also where a void came too late */
	if (captured == 0)
		return voided ? PGW_PAY_VOIDED : PGW_PAY_AUTHORIZED;
	if (!closed && !expired && captured < s->authorized)
		return PGW_PAY_PARTIALLY_CAPTURED;
	if (refunded == 0)
		return PGW_PAY_CAPTURED;
	return refunded < captured ? PGW_PAY_PARTIALLY_REFUNDED : PGW_PAY_REFUNDED;
}

void
pgw_told_payment(const PgwToldAttempt *charge, const PgwToldAttempt *operations, int n,
				 PgwToldPayment *out)
{
	PgwPaymentAmounts *s = &out->amounts;
	bool closed = false;
	bool voided = false;

	memset(out, 0, sizeof(*out));
	if (charge->in_vain)
		s->status = charge->declined ? PGW_PAY_DECLINED : PGW_PAY_FAILED;
	else if (!charge->saved)
		s->status = charge->reviewed ? PGW_PAY_IN_REVIEW : PGW_PAY_PENDING;
	else
	{
		put_charge(charge, s);
		for (int i = 0; i < n; i++)
			put_operation(&operations[i], s, &closed, &voided);
		s->disputed = charge->disputed;
		s->status = status_of(s, closed, voided, charge->expired);
	}
	if (charge->state == PGW_REFUNDED)
		out->given_back = charge->approved > 0 ? charge->approved : charge->amount;
}
