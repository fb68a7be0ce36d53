/*
 * test_operations.c - what the bank inside the worker does: charge, capture, void, refund, cancel,
 * look up
 *
 * The rules of docs/bank-protocol.md, over what of the ledger a request can concern.  What happens
 * with time (a pending charge that is decided, a refund that is taken back) is brought up to date
 * when it is looked at.
 *
 * Owns nothing.  Invariants
 *     - Of a reference there is one charge at most, and none after its cancellation.
 *     - captured <= amount, refunded <= captured; a pending refund counts, a failed one does not.
 */
#include <stdio.h>
#include <string.h>

#include "core/test_bank/test_bank_internal.h"

#define AUTHORIZATION_MS (INT64_C(7) * 86400 * 1000)

void
pgw_test_work_refuse(PgwTestWork *w, int status, const char *code, const char *message)
{
	pgw_test_refuse(w->answer, status, code, message);
	w->refused = true;
}

/* ---------------------------------------------------------------- the ledger */

PgwFault
pgw_test_fault_of(const PgwTestEntry *charge)
{
	PgwFault fault = {PGW_FAULT_NONE, -1, NULL};

	(void) pgw_fault_by_token(charge->fault, &fault);
	return fault;
}

bool
pgw_test_is_charge(const PgwTestEntry *e)
{
	return e->kind == PGW_TEST_CHARGE || e->kind == PGW_TEST_AUTHORIZATION;
}

static PgwTestEntry *
charge_by_id(PgwTestLedger *ledger, const char *id)
{
	for (int i = 0; i < ledger->n; i++)
	{
		if (pgw_test_is_charge(&ledger->entries[i]) && strcmp(ledger->entries[i].id, id) == 0)
			return &ledger->entries[i];
	}
	return NULL;
}

static PgwTestEntry *
by_reference(PgwTestLedger *ledger, PgwTestKind kind, const char *reference)
{
	for (int i = 0; i < ledger->n; i++)
	{
		if (ledger->entries[i].kind == kind && strcmp(ledger->entries[i].reference, reference) == 0)
			return &ledger->entries[i];
	}
	return NULL;
}

PgwTestEntry *
pgw_test_by_key(PgwTestLedger *ledger, const char *key)
{
	for (int i = 0; key[0] != '\0' && i < ledger->n; i++)
	{
		if (strcmp(ledger->entries[i].key, key) == 0)
			return &ledger->entries[i];
	}
	return NULL;
}

PgwTestEntry *
pgw_test_add_entry(PgwTestWork *w, PgwTestKind kind, const char *prefix, const char *of)
{
	PgwTestEntry *e = &w->ledger->entries[w->ledger->n++];

	memset(e, 0, sizeof(*e));
	e->is_new = true;
	e->kind = kind;
	pgw_test_id(e->id, prefix, of);
	e->status = PGW_TEST_SUCCEEDED;
	snprintf(e->reference, sizeof(e->reference), "%s", w->order->reference);
	e->amount = w->order->amount;
	snprintf(e->currency, sizeof(e->currency), "%s", w->order->currency);
	e->created_at = w->now;
	return e;
}

/* A capture, void or refund: named by its own reference, or by its key where it has none. */
static PgwTestEntry *
add_step(PgwTestWork *w, PgwTestKind kind, const char *prefix, int64_t amount)
{
	const char *of = w->order->key[0] != '\0' ? w->order->key : w->order->reference;

	w->step = pgw_test_add_entry(w, kind, prefix, of);
	w->step->amount = amount;
	snprintf(w->step->currency, sizeof(w->step->currency), "%s", w->charge->currency);
	snprintf(w->step->charge_id, sizeof(w->step->charge_id), "%s", w->charge->id);
	return w->step;
}

/* ---------------------------------------------------------------- what time has brought */

static void
decide_due_charge(PgwTestEntry *c, int64_t now)
{
	if (c->decided_at == 0 || now < c->decided_at)
		return;
	c->decided_at = 0;
	c->status = c->decided_as;
	c->changed = true;
	if (c->status != PGW_TEST_APPROVED)
		strcpy(c->code, "do_not_honor");
	else if (c->kind == PGW_TEST_CHARGE)
		c->captured = c->amount;
}

static void
decide_due_refunds(PgwTestLedger *ledger, PgwTestEntry *charge, int64_t now)
{
	for (int i = 0; i < ledger->n; i++)
	{
		PgwTestEntry *s = &ledger->entries[i];

		if (s->kind != PGW_TEST_REFUND || strcmp(s->charge_id, charge->id) != 0 ||
			s->decided_at == 0 || now < s->decided_at)
			continue;
		if (s->decided_as == PGW_TEST_FAILED)
		{
			snprintf(s->code, sizeof(s->code), "%s",
					 s->status == PGW_TEST_PENDING ? "refund_refused" : "refund_reversed");
			charge->refunded -= s->amount;
			charge->changed = true;
		}
		s->decided_at = 0;
		s->status = s->decided_as;
		s->changed = true;
	}
}

void
pgw_test_decide_due(PgwTestLedger *ledger, int64_t now)
{
	for (int i = 0; i < ledger->n; i++)
	{
		if (!pgw_test_is_charge(&ledger->entries[i]))
			continue;
		decide_due_charge(&ledger->entries[i], now);
		decide_due_refunds(ledger, &ledger->entries[i], now);
	}
}

/* ---------------------------------------------------------------- operations */

static void
decide_charge(PgwTestEntry *c, const PgwTestOrder *o, int64_t now)
{
	switch (o->fault.kind)
	{
		case PGW_FAULT_DECLINE:
			c->status = PGW_TEST_DECLINED;
			break;
		case PGW_FAULT_AUTH_REQUIRED:
			c->status = PGW_TEST_REQUIRES_ACTION;
			break;
		case PGW_FAULT_CHARGE_PENDING_DONE:
		case PGW_FAULT_CHARGE_PENDING_FAIL:
			c->status = PGW_TEST_PENDING;
			c->decided_at = now + o->fault.arg;
			c->decided_as = o->fault.kind == PGW_FAULT_CHARGE_PENDING_DONE ? PGW_TEST_APPROVED
																		   : PGW_TEST_DECLINED;
			break;
		default:
			c->status = PGW_TEST_APPROVED;
			if (c->kind == PGW_TEST_CHARGE)
				c->captured = c->amount;
			else
				c->expires_at = now + (o->fault.kind == PGW_FAULT_AUTH_EXPIRES ? o->fault.arg
																			   : AUTHORIZATION_MS);
			break;
	}
	if (o->fault.code != NULL)
		snprintf(c->code, sizeof(c->code), "%s", o->fault.code);
	if (c->status == PGW_TEST_APPROVED || c->status == PGW_TEST_PENDING)
		snprintf(c->authorization_code, sizeof(c->authorization_code), "A%05u",
				 (unsigned) ((uint64_t) o->fingerprint % 100000));
}

static void
do_charge(PgwTestWork *w)
{
	const PgwTestOrder *o = w->order;
	PgwTestEntry *c;

	if (by_reference(w->ledger, PGW_TEST_CANCELLATION, o->reference) != NULL)
	{
		pgw_test_work_refuse(w, 409, "reference_cancelled", "this reference has been cancelled");
		return;
	}
	if (charge_by_id(w->ledger, o->charge_id) != NULL)
	{
		pgw_test_work_refuse(w, 409, "reference_in_use", "there is a charge with this reference");
		return;
	}
	c = pgw_test_add_entry(w,
						   o->op == PGW_TEST_OP_CHARGE ? PGW_TEST_CHARGE : PGW_TEST_AUTHORIZATION,
						   "ch", o->reference);
	snprintf(c->fault, sizeof(c->fault), "%s", o->fault_name);
	snprintf(c->brand, sizeof(c->brand), "%s", o->brand);
	snprintf(c->last4, sizeof(c->last4), "%s", o->last4);
	decide_charge(c, o, w->now);
	w->charge = c;
}

/* Is the charge in a state in which later steps make sense at all? */
static bool
may_step(PgwTestWork *w)
{
	const PgwTestEntry *c = w->charge;

	if (c->status != PGW_TEST_APPROVED)
		pgw_test_work_refuse(w, 409, "not_approved", "the charge is not approved");
	else if (c->voided)
		pgw_test_work_refuse(w, 409, "already_voided", "the authorization has been voided");
	else if (w->order->currency[0] != '\0' && strcmp(w->order->currency, c->currency) != 0)
		pgw_test_work_refuse(w, 400, "invalid_request", "the currency is not that of the charge");
	return !w->refused;
}

static void
do_capture(PgwTestWork *w)
{
	PgwTestEntry *c = w->charge;
	int64_t left = c->amount - c->captured;
	int64_t amount = w->order->amount < 0 ? left : w->order->amount;

	if (!may_step(w))
		return;
	if (c->kind == PGW_TEST_CHARGE || left == 0)
		pgw_test_work_refuse(w, 409, "already_captured", "the whole amount has been captured");
	else if (c->expires_at != 0 && w->now >= c->expires_at)
		pgw_test_work_refuse(w, 409, "authorization_expired", "the authorization has expired");
	else if (amount > left)
		pgw_test_work_refuse(w, 409, "amount_too_large", "more than what is left to capture");
	else if (pgw_test_fault_of(c).kind == PGW_FAULT_CAPTURE_FAIL)
		pgw_test_work_refuse(w, 409, "capture_refused", "the capture was refused");
	else
	{
		c->captured += amount;
		c->changed = true;
		(void) add_step(w, PGW_TEST_CAPTURE, "cp", amount);
	}
}

static void
do_void(PgwTestWork *w)
{
	PgwTestEntry *c = w->charge;

	if (!may_step(w))
		return;
	if (c->captured > 0)
		pgw_test_work_refuse(w, 409, "already_captured", "the charge has been captured; refund it");
	else if (c->expires_at != 0 && w->now >= c->expires_at)
		pgw_test_work_refuse(w, 409, "authorization_expired", "the authorization has expired");
	else if (pgw_test_fault_of(c).kind == PGW_FAULT_VOID_FAIL)
		pgw_test_work_refuse(w, 409, "void_refused", "the void was refused");
	else
	{
		c->voided = true;
		c->changed = true;
		(void) add_step(w, PGW_TEST_VOID, "vo", c->amount);
	}
}

/* A refund of a checked amount, as the charge's token wants it. */
static void
book_refund(PgwTestWork *w, int64_t amount)
{
	PgwTestEntry *c = w->charge;
	PgwFault fault = pgw_test_fault_of(c);
	PgwTestEntry *s = add_step(w, PGW_TEST_REFUND, "re", amount);

	c->changed = true;
	if (fault.kind == PGW_FAULT_REFUND_FAIL && (fault.arg < 0 || c->refusals < fault.arg))
	{
		c->refusals++;
		s->status = PGW_TEST_FAILED;
		strcpy(s->code, "refund_refused");
		return;
	}
	if (fault.kind == PGW_FAULT_REFUND_PENDING_DONE || fault.kind == PGW_FAULT_REFUND_PENDING_FAIL)
		s->status = PGW_TEST_PENDING;
	if (s->status == PGW_TEST_PENDING || fault.kind == PGW_FAULT_REFUND_LATER_REVERSED)
	{
		s->decided_at = w->now + fault.arg;
		s->decided_as =
			fault.kind == PGW_FAULT_REFUND_PENDING_DONE ? PGW_TEST_SUCCEEDED : PGW_TEST_FAILED;
	}
	c->refunded += amount;
}

static void
do_refund(PgwTestWork *w)
{
	PgwTestEntry *c = w->charge;
	int64_t left = c->captured - c->refunded;
	int64_t amount = w->order->amount < 0 ? left : w->order->amount;

	if (!may_step(w))
		return;
	if (c->captured == 0)
		pgw_test_work_refuse(w, 409, "not_captured", "nothing has been captured; void it");
	else if (left == 0)
		pgw_test_work_refuse(w, 409, "already_refunded", "the whole amount has been refunded");
	else if (amount > left)
		pgw_test_work_refuse(w, 409, "amount_too_large", "more than what is left to refund");
	else
		book_refund(w, amount);
}

/* The charge of a cancelled reference, in whatever state it is. */
static void
undo_charge(PgwTestWork *w)
{
	PgwTestEntry *c = w->charge;

	if (c->status == PGW_TEST_PENDING || c->status == PGW_TEST_REQUIRES_ACTION)
	{
		c->status = PGW_TEST_DECLINED;
		strcpy(c->code, "cancelled");
		c->decided_at = 0;
		c->changed = true;
		w->result = "stopped";
		return;
	}
	w->result = "nothing_to_do";
	if (c->status == PGW_TEST_DECLINED || c->voided)
		return;
	if (c->captured < c->amount)
	{
		if (pgw_test_fault_of(c).kind == PGW_FAULT_VOID_FAIL)
		{
			pgw_test_work_refuse(w, 409, "void_refused", "the void was refused");
			return;
		}
		c->voided = true;
		c->changed = true;
		(void) add_step(w, PGW_TEST_VOID, "vo", c->amount - c->captured);
		w->result = "voided";
	}
	if (c->captured > c->refunded)
	{
		book_refund(w, c->captured - c->refunded);
		if (w->step->status == PGW_TEST_FAILED)
			pgw_test_work_refuse(w, 409, "refund_refused", "the refund was refused");
		w->result = "refunded";
	}
}

/* Never accept that reference again.  Doing it twice does no harm. */
static void
do_cancel(PgwTestWork *w)
{
	PgwTestEntry *blocked = by_reference(w->ledger, PGW_TEST_CANCELLATION, w->order->reference);

	if (blocked == NULL)
		(void) pgw_test_add_entry(w, PGW_TEST_CANCELLATION, "ca", w->order->reference);
	w->result = "blocked";
	w->charge = charge_by_id(w->ledger, w->order->charge_id);
	if (w->charge != NULL)
		undo_charge(w);
}

static void
do_look(PgwTestWork *w)
{
	const PgwTestOrder *o = w->order;

	if (o->op == PGW_TEST_OP_LOOKUP_CHARGE)
		w->charge = charge_by_id(w->ledger, o->charge_id);
	else
		w->step = by_reference(
			w->ledger, o->op == PGW_TEST_OP_LOOKUP_REFUND ? PGW_TEST_REFUND : PGW_TEST_CAPTURE,
			o->reference);
	if (w->charge == NULL && w->step == NULL)
		pgw_test_work_refuse(w, 404, "not_found", "no such reference");
}

void
pgw_test_carry_out(PgwTestWork *w)
{
	PgwTestOp op = w->order->op;

	if (op == PGW_TEST_OP_CAPTURE || op == PGW_TEST_OP_VOID || op == PGW_TEST_OP_REFUND)
	{
		w->charge = charge_by_id(w->ledger, w->order->charge_id);
		if (w->charge == NULL)
			pgw_test_work_refuse(w, 404, "not_found", "no such charge");
		else if (op == PGW_TEST_OP_CAPTURE)
			do_capture(w);
		else if (op == PGW_TEST_OP_VOID)
			do_void(w);
		else
			do_refund(w);
	}
	else if (op == PGW_TEST_OP_CHARGE || op == PGW_TEST_OP_AUTHORIZE)
		do_charge(w);
	else if (op == PGW_TEST_OP_CANCEL)
		do_cancel(w);
	else if (op != PGW_TEST_OP_PING)
		do_look(w);
}
