/*-------------------------------------------------------------------------
 *
 * ops.c
 *		What the bank does: charge, capture, void, refund, cancel, look up.
 *
 * Nothing here knows about dialects, keys or broken connections.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bank.h"

static void
refuse(Outcome *out, int http, const char *code, const char *message)
{
	out->http = http;
	out->code = code;
	out->message = message;
}

static void
do_charge(Request *req, Outcome *out, int64_t now)
{
	Order *o = &req->order;
	Charge *c;

	if (reference_blocked(o->reference))
	{
		refuse(out, 409, "reference_cancelled", "this reference has been cancelled");
		return;
	}
	c = charge_new(o->reference, req->dialect->id_prefix);
	c->key = xstrdup(req->key);
	c->merchant = xstrdup(o->merchant);
	c->merchant_reference = xstrdup(o->merchant_reference);
	snprintf(c->currency, sizeof(c->currency), "%.3s", o->currency);
	memcpy(c->last4, o->last4, sizeof(c->last4));
	c->brand = o->brand;
	c->dialect = req->dialect->name;
	c->metadata = json_object_get(dialect_member(req->params, "metadata"));
	c->immediate = (o->op == OP_CHARGE);
	c->fault = o->fault;
	c->amount = o->amount;
	c->answered_at = now + (req->late ? 0 : req->delay);

	switch (o->fault.kind)
	{
		case PGW_FAULT_DECLINE:
			c->status = CH_DECLINED;
			c->error = o->fault.code;
			break;
		case PGW_FAULT_AUTH_REQUIRED:
			c->status = CH_REQUIRES_ACTION;
			c->error = o->fault.code;
			break;
		case PGW_FAULT_CHARGE_PENDING_DONE:
		case PGW_FAULT_CHARGE_PENDING_FAIL:
			c->status = CH_PENDING;
			c->resolve_at = now + o->fault.arg;
			c->resolve_to =
				o->fault.kind == PGW_FAULT_CHARGE_PENDING_DONE ? CH_APPROVED : CH_DECLINED;
			break;
		default:
			c->status = CH_APPROVED;
			c->authorized = c->amount;
			if (c->immediate)
				c->captured = c->amount;
			break;
	}
	if (bank_accepts(o->op) && (c->status == CH_APPROVED || c->status == CH_DECLINED))
	{
		c->resolve_to = c->status;
		c->resolve_at = accepted_until(now);
		c->status = CH_PENDING;
		c->authorized = c->captured = 0;
		c->error = NULL;
	}
	if (c->status == CH_APPROVED || c->status == CH_PENDING)
		snprintf(c->auth_code, sizeof(c->auth_code), "A%05u",
				 (unsigned int) (random_next() % 100000));
	if (o->op == OP_AUTHORIZE && c->status == CH_APPROVED)
		c->expires_at = o->fault.kind == PGW_FAULT_AUTH_EXPIRES ? now + o->fault.arg
																: now + INT64_C(7) * 86400 * 1000;
	out->charge = c;
}

/* Is the charge in a state in which later steps make sense at all? */
static bool
may_step(const Order *o, const Charge *c, Outcome *out)
{
	if (c->status != CH_APPROVED)
		refuse(out, 409, "not_approved", "the charge is not approved");
	else if (c->voided)
		refuse(out, 409, "already_voided", "the authorization has been voided");
	else if (o->currency[0] != '\0' && strcmp(o->currency, c->currency) != 0)
		refuse(out, 400, "invalid_request", "the currency is not that of the charge");
	else
		return true;
	return false;
}

static Step *
add_step(Request *req, Outcome *out, Operation op, int64_t amount)
{
	Step *s = step_new(op, out->charge, req->order.reference);

	s->key = xstrdup(req->key);
	s->amount = amount;
	s->fault = req->order.fault;
	s->answered_at = s->created_at + (req->late ? 0 : req->delay);
	s->metadata = json_object_get(dialect_member(req->params, "metadata"));
	out->step = s;
	return s;
}

/* It is done later, unless it fails. */
static void
accept_step(Step *s, int64_t now)
{
	s->status = RE_PENDING;
	s->resolve_to = RE_SUCCEEDED;
	s->resolve_at = accepted_until(now);
}

static void
do_capture(Request *req, Outcome *out, int64_t now)
{
	Charge *c = out->charge;
	int64_t left = c->amount - c->captured - accepted_amount(&captures, c);
	int64_t amount = req->order.amount < 0 ? left : req->order.amount;

	if (!may_step(&req->order, c, out))
		return;
	if (c->immediate || left == 0 || c->closed)
		refuse(out, 409, "already_captured", "the whole amount has been captured");
	else if (charge_expired(c, now))
		refuse(out, 409, "authorization_expired", "the authorization has expired");
	else if (amount > left)
		refuse(out, 409, "amount_too_large", "more than what is left to capture");
	else if (c->fault.kind == PGW_FAULT_CAPTURE_FAIL)
		refuse(out, 409, "capture_refused", "the capture was refused");
	else if (bank_accepts(OP_CAPTURE))
	{
		Step *s = add_step(req, out, OP_CAPTURE, amount);

		accept_step(s, now);
		s->closes = req->order.capture_closes;
	}
	else
	{
		c->captured += amount;
		c->closed = req->order.capture_closes;
		(void) add_step(req, out, OP_CAPTURE, amount);
	}
}

static void
do_void(Request *req, Outcome *out, int64_t now)
{
	Charge *c = out->charge;

	if (req->order.void_stops && !c->voided &&
		(c->status == CH_REQUIRES_ACTION || c->status == CH_PENDING))
	{
		c->status = CH_DECLINED;
		c->error = "cancelled";
		c->resolve_at = 0;
		c->voided = true;
		return;
	}
	if (!may_step(&req->order, c, out))
		return;
	if ((c->captured > 0 && !settings.unsettled) || accepted_amount(&captures, c) > 0)
		refuse(out, 409, "already_captured", "the charge has been captured; refund it");
	else if (charge_expired(c, now))
		refuse(out, 409, "authorization_expired", "the authorization has expired");
	else if (c->fault.kind == PGW_FAULT_VOID_FAIL)
		refuse(out, 409, "void_refused", "the void was refused");
	else if (bank_accepts(OP_VOID))
		accept_step(add_step(req, out, OP_VOID, c->amount), now);
	else
	{
		c->voided = true;
		(void) add_step(req, out, OP_VOID, c->amount);
	}
}

/* Book a refund of a checked amount, as the charge's fault wants it. */
static void
book_refund(Request *req, Outcome *out, int64_t amount, int64_t now)
{
	Charge *c = out->charge;
	Step *s = add_step(req, out, OP_REFUND, amount);

	s->status = RE_SUCCEEDED;
	switch (c->fault.kind)
	{
		case PGW_FAULT_REFUND_FAIL:
			if (c->fault.arg < 0 || c->refusals < c->fault.arg)
			{
				c->refusals++;
				s->status = RE_FAILED;
				s->error = "refund_refused";
				return;
			}
			break;
		case PGW_FAULT_REFUND_PENDING_DONE:
		case PGW_FAULT_REFUND_PENDING_FAIL:
			s->status = RE_PENDING;
			s->resolve_at = now + c->fault.arg;
			s->resolve_to =
				c->fault.kind == PGW_FAULT_REFUND_PENDING_DONE ? RE_SUCCEEDED : RE_FAILED;
			break;
		case PGW_FAULT_REFUND_LATER_REVERSED:
			s->resolve_at = now + c->fault.arg;
			s->resolve_to = RE_FAILED;
			break;
		default:
			if (bank_accepts(OP_REFUND))
				accept_step(s, now);
			break;
	}
	c->refunded += amount;
}

/* Settle what was done to one charge: a refund that failed gives its amount back. */
static void
settle_steps(Charge *c, int64_t now)
{
	static List *const lists[] = {&refunds, &captures, &voids};

	if (c->fault.kind != PGW_FAULT_REFUND_PENDING_DONE &&
		c->fault.kind != PGW_FAULT_REFUND_PENDING_FAIL &&
		c->fault.kind != PGW_FAULT_REFUND_LATER_REVERSED && settings.accepted_max == 0)
		return;
	for (int l = 0; l < 3; l++)
		for (size_t i = 0; i < lists[l]->count; i++)
		{
			Step *s = lists[l]->items[i];

			if (s->charge == c)
				step_settle(s, now);
		}
}

static void
do_refund(Request *req, Outcome *out, int64_t now)
{
	Charge *c = out->charge;
	int64_t left = c->captured - c->refunded;
	int64_t amount = req->order.amount < 0 ? left : req->order.amount;

	if (!may_step(&req->order, c, out))
		return;
	if (c->captured == 0)
		refuse(out, 409, "not_captured", "nothing has been captured; void it");
	else if (settings.unsettled)
		refuse(out, 409, "not_settled", "the charge is not settled yet; void it");
	else if (settings.over_refunds)
		book_refund(req, out, req->order.amount < 0 ? c->captured : amount, now);
	else if (left == 0)
		refuse(out, 409, "already_refunded", "the whole amount has been refunded");
	else if (amount > left)
		refuse(out, 409, "amount_too_large", "more than what is left to refund");
	else if (settings.refunds_by_void && amount == c->captured)
	{
		c->voided = true;
		(void) add_step(req, out, OP_VOID, amount);
	}
	else
		book_refund(req, out, amount, now);
}

/*
 * Cancel whatever is known by a reference, in whatever state it is, and never
 * accept that reference again.  Doing it twice does no harm.
 */
static void
do_cancel(Request *req, Outcome *out, int64_t now)
{
	const char *reference = req->order.reference;
	Charge *next;

	reference_block(reference);
	out->result = "blocked";
	for (Charge *c = charge_by_reference(reference, NULL); c != NULL; c = next)
	{
		next = charge_by_reference(reference, c);
		charge_settle(c, now);
		settle_steps(c, now);
		out->charge = c;
		if (c->status == CH_PENDING || c->status == CH_REQUIRES_ACTION)
		{
			c->status = CH_DECLINED;
			c->error = "cancelled";
			c->resolve_at = 0;
			out->result = "stopped";
			continue;
		}
		if (c->status == CH_DECLINED || c->voided)
		{
			if (strcmp(out->result, "blocked") == 0)
				out->result = "nothing_to_do";
			continue;
		}
		if (c->captured < c->amount)
		{
			if (c->fault.kind == PGW_FAULT_VOID_FAIL)
			{
				refuse(out, 409, "void_refused", "the void was refused");
				return;
			}
			c->voided = true;
			(void) add_step(req, out, OP_VOID, c->amount - c->captured);
			out->result = "voided";
		}
		if (c->captured > c->refunded)
		{
			book_refund(req, out, c->captured - c->refunded, now);
			if (out->step->status == RE_FAILED)
			{
				refuse(out, 409, "refund_refused", "the refund was refused");
				return;
			}
			out->result = "refunded";
		}
		else if (strcmp(out->result, "blocked") == 0)
			out->result = "nothing_to_do";
	}
}

static void
do_lookup(Request *req, Outcome *out, int64_t now)
{
	Order *o = &req->order;

	if (strcmp(o->lookup, "charges") == 0)
	{
		Charge *c = NULL;

		if (settings.lookup_ignores_reference && (out->charge = charge_newest()) != NULL)
		{
			charge_settle(out->charge, now);
			settle_steps(out->charge, now);
			return;
		}

		/* the newest approved one, else the newest one */
		while ((c = charge_by_reference(o->reference, c)) != NULL)
		{
			charge_settle(c, now);
			settle_steps(c, now);
			if (c->created_at > now - settings.lookup_lag)
				continue;
			out->matches++;
			if (out->charge == NULL ||
				(out->charge->status != CH_APPROVED && c->status == CH_APPROVED))
				out->charge = c;
		}
		if (out->charge != NULL && settings.lookup_lag > 0 &&
			charge_as_of(out->charge, now - settings.lookup_lag, &req->shown))
			out->charge = &req->shown;
	}
	else
	{
		out->step = step_by_reference(strcmp(o->lookup, "refunds") == 0 ? OP_REFUND : OP_CAPTURE,
									  o->reference);
		/* what was accepted shows up later */
		if (out->step != NULL && out->step->status == RE_PENDING && out->step->resolve_at == 0 &&
			out->step->created_at > now - settings.lookup_lag)
			out->step = NULL;
		if (out->step != NULL)
			out->charge = out->step->charge;
	}
	if (out->charge == NULL)
		refuse(out, 404, "not_found", "no such reference");
}

/* Carry out the order of a request. */
void
bank_do(Request *req, Outcome *out)
{
	Order *o = &req->order;
	int64_t now = now_ms();

	memset(out, 0, sizeof(*out));
	if (o->charge_id != NULL)
	{
		out->charge = charge_by_id(o->charge_id);
		if (out->charge == NULL)
		{
			refuse(out, 404, "not_found", "no such charge");
			return;
		}
		charge_settle(out->charge, now);
		settle_steps(out->charge, now);
	}
	switch (o->op)
	{
		case OP_CHARGE:
		case OP_AUTHORIZE:
			do_charge(req, out, now);
			break;
		case OP_CAPTURE:
			do_capture(req, out, now);
			break;
		case OP_VOID:
			do_void(req, out, now);
			break;
		case OP_REFUND:
			if (o->or_void && out->charge->captured + accepted_amount(&captures, out->charge) == 0)
				do_void(req, out, now);
			else
				do_refund(req, out, now);
			break;
		case OP_CANCEL:
			do_cancel(req, out, now);
			break;
		case OP_LOOKUP:
			if (o->charge_id == NULL)
				do_lookup(req, out, now);
			else if (o->accepts_only && settings.lookup_lag > 0)
			{
				/* what was accepted is done later: a charge is there, and nothing taken yet */
				if (!charge_as_of(out->charge, now - settings.lookup_lag, &req->shown))
				{
					req->shown = *out->charge;
					req->shown.captured = req->shown.refunded = 0;
				}
				out->charge = &req->shown;
			}
			break;
		default:
			break;
	}
}
