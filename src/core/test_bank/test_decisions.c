/*
 * test_decisions.c - a request to the bank inside the worker, from its order to its answer: keys,
 * faults, and the answer's document
 *
 * Owns nothing.  Invariant: a key is for one request; the same again gets the stored answer, and
 * nothing is done.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/buf_json.h"
#include "core/test_bank/test_bank_internal.h"

/* ---------------------------------------------------------------- answers */

static void
put_part(PgwBuf *b, const char *name, const PgwTestEntry *e, PgwFaultKind fault)
{
	pgw_buf_json_name(b, name);
	pgw_buf_json_open(b, '{');
	if (pgw_test_is_charge(e))
		pgw_test_put_charge(b, e, fault);
	else
		pgw_test_put_step(b, e, fault);
	pgw_buf_json_close(b, '}');
}

static void
put_cancellation(PgwTestWork *w)
{
	PgwBuf *b = &w->answer->body;

	pgw_buf_json_member(b, "reference", w->order->reference);
	pgw_buf_json_member(b, "result", w->result);
	if (w->charge != NULL)
		put_part(b, "charge", w->charge, PGW_FAULT_NONE);
	if (w->step != NULL && w->step->kind == PGW_TEST_REFUND)
		put_part(b, "refund", w->step, PGW_FAULT_NONE);
}

static void
answer(PgwTestWork *w)
{
	PgwBuf *b = &w->answer->body;
	PgwTestOp op = w->order->op;

	w->answer->status = 200;
	pgw_buf_json_open(b, '{');
	pgw_buf_json_name(b, "livemode");
	pgw_buf_puts(b, "false");
	if (op == PGW_TEST_OP_PING)
		pgw_buf_json_member(b, "status", "ok");
	else if (op == PGW_TEST_OP_CANCEL)
		put_cancellation(w);
	else if (op == PGW_TEST_OP_REFUND || w->charge == NULL)
		pgw_test_put_step(b, w->step, w->fault);
	else
		pgw_test_put_charge(b, w->charge, w->fault);
	if (op == PGW_TEST_OP_CAPTURE)
		put_part(b, "capture", w->step, w->fault);
	pgw_buf_json_close(b, '}');

	if ((op == PGW_TEST_OP_REFUND && w->step->status != PGW_TEST_FAILED) ||
		op == PGW_TEST_OP_CAPTURE ||
		((op == PGW_TEST_OP_CHARGE || op == PGW_TEST_OP_AUTHORIZE) &&
		 w->charge->status != PGW_TEST_DECLINED))
		w->answer->status = 201;
}

/* A fault that changes the answer after the work; the stored one is whole. */
static void
strike_after(PgwTestWork *w)
{
	PgwTestAnswer *a = w->answer;

	switch (w->fault)
	{
		case PGW_FAULT_TIMEOUT_AFTER:
			a->delivery = PGW_TEST_SILENT;
			break;
		case PGW_FAULT_RESET_AFTER:
		case PGW_FAULT_CLOSE_HEADERS:
		case PGW_FAULT_TRUNCATED:
			a->delivery = PGW_TEST_BROKEN;
			break;
		case PGW_FAULT_HUGE:
			a->delivery = PGW_TEST_TOO_LARGE;
			break;
		case PGW_FAULT_NOT_JSON:
			pgw_buf_reset(&a->body);
			pgw_buf_puts(&a->body, "<html><body>It works!</body></html>");
			break;
		case PGW_FAULT_EMPTY:
			pgw_buf_reset(&a->body);
			break;
		default:
			break;
	}
}

/*
 * The key, and what it is answered from now on, stand in the row that the request has added; else
 * in a row of their own.
 */
static void
keep_answer(PgwTestWork *w)
{
	PgwTestEntry *e = NULL;

	if (w->order->key[0] == '\0' || w->answer->status == 400 || w->answer->status == 401)
		return;
	for (int i = 0; i < w->ledger->n && e == NULL; i++)
	{
		if (w->ledger->entries[i].is_new)
			e = &w->ledger->entries[i];
	}
	if (e == NULL)
	{
		e = pgw_test_add_entry(w, PGW_TEST_REFUSAL, "no", w->order->key);
		e->status = w->refused ? PGW_TEST_FAILED : PGW_TEST_SUCCEEDED;
		snprintf(e->charge_id, sizeof(e->charge_id), "%s", w->charge != NULL ? w->charge->id : "");
		/* it names nothing that a look-up would find */
		e->reference[0] = '\0';
	}
	snprintf(e->key, sizeof(e->key), "%s", w->order->key);
	e->fingerprint = w->order->fingerprint;
	e->answer_status = w->answer->status;
	/* a copy: what is delivered of it may be less */
	pgw_buf_append(&w->ledger->kept, w->answer->body.data, w->answer->body.len);
	e->answer = w->ledger->kept.data;
}

/* The key was used before: true, and it has its answer. */
static bool
is_repetition(PgwTestWork *w)
{
	const PgwTestEntry *e = pgw_test_by_key(w->ledger, w->order->key);

	if (e == NULL)
		return false;
	if (e->fingerprint != w->order->fingerprint)
		pgw_test_work_refuse(w, 422, "idempotency_mismatch",
							 "this key was used for another request");
	else
	{
		w->answer->status = e->answer_status;
		pgw_buf_puts(&w->answer->body, e->answer != NULL ? e->answer : "");
	}
	return true;
}

/* ---------------------------------------------------------------- before anything is done */

static int
tries_before(const PgwTestWork *w)
{
	int n = 0;

	for (int i = 0; i < w->ledger->n; i++)
	{
		const PgwTestEntry *e = &w->ledger->entries[i];

		n += e->kind == PGW_TEST_TRY && strcmp(e->fault, w->order->fault_name) == 0 &&
			 strcmp(e->reference, w->order->reference) == 0;
	}
	return n;
}

/* true: nothing is done; the key is free again. */
static bool
strike_before(PgwTestWork *w)
{
	const PgwFault *f = &w->order->fault;

	if (!pgw_fault_is_before(f->kind))
		return false;
	if (f->arg >= 0)
	{
		int n = tries_before(w);
		PgwTestEntry *e;

		if (n >= f->arg)
			return false;
		e = pgw_test_add_entry(w, PGW_TEST_TRY, "tr", w->order->reference);
		snprintf(e->id + strlen(e->id), PGW_TEST_ID - strlen(e->id), "_%d", n + 1);
		e->status = PGW_TEST_FAILED;
		snprintf(e->fault, sizeof(e->fault), "%s", w->order->fault_name);
	}
	switch (f->kind)
	{
		case PGW_FAULT_500_BEFORE:
			pgw_test_work_refuse(w, 500, "internal_error", "something went wrong");
			break;
		case PGW_FAULT_429:
			pgw_test_work_refuse(w, 429, "rate_limited", "too many requests");
			w->answer->retry_after = 1;
			break;
		case PGW_FAULT_503:
			pgw_test_work_refuse(w, 503, "not_processed", "nothing was done");
			break;
		case PGW_FAULT_TIMEOUT_BEFORE:
			w->answer->delivery = PGW_TEST_SILENT;
			break;
		default:
			w->answer->delivery = PGW_TEST_BROKEN;
			break;
	}
	return true;
}

/* What the answer suffers: by the request's own token, or by that of the charge before. */
static PgwFaultKind
fault_of_answer(const PgwTestWork *w)
{
	PgwTestOp op = w->order->op;
	PgwFaultKind of_charge;

	if (w->charge == NULL || w->refused)
		return w->order->fault.kind;
	of_charge = pgw_test_fault_of(w->charge).kind;
	if ((op == PGW_TEST_OP_CAPTURE && of_charge == PGW_FAULT_CAPTURE_TIMEOUT_AFTER) ||
		(op == PGW_TEST_OP_VOID && of_charge == PGW_FAULT_VOID_TIMEOUT_AFTER) ||
		(op == PGW_TEST_OP_REFUND && of_charge == PGW_FAULT_REFUND_TIMEOUT_AFTER))
		return PGW_FAULT_TIMEOUT_AFTER;
	return w->order->fault.kind;
}

void
pgw_test_bank_decide(const PgwTestOrder *order, PgwTestLedger *ledger, int64_t now,
					 PgwTestAnswer *a)
{
	PgwTestWork w = {.order = order, .ledger = ledger, .now = now, .answer = a};

	pgw_test_decide_due(ledger, now);
	if (is_repetition(&w) || strike_before(&w))
		return;
	pgw_test_carry_out(&w);
	w.fault = fault_of_answer(&w);
	if (!w.refused)
		answer(&w);
	if (w.fault == PGW_FAULT_500_AFTER)
		pgw_test_refuse(a, 500, "internal_error", "something went wrong");
	keep_answer(&w);
	strike_after(&w);
}

int64_t
pgw_test_bank_delay(const PgwTestOrder *order, bool *work_too)
{
	PgwFaultKind kind = order->fault.kind;

	*work_too = kind == PGW_FAULT_LATE;
	return kind == PGW_FAULT_LATE || kind == PGW_FAULT_SLOW ? order->fault.arg : 0;
}
