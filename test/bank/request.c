/*-------------------------------------------------------------------------
 *
 * request.c
 *		From a complete request to an answer: routing, idempotency, faults.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "bank.h"

/* An error in the dialect of the request. */
void
answer_error(Request *req, int status, const char *code, const char *message)
{
	req->status = status;
	req->answered = true;
	req->out.len = 0;
	if (req->dialect != NULL)
		req->dialect->error(req, status, code, message);
	else
		v1_error(req, status, code, message);
}

static void
answer_text(Request *req, int status, const char *text)
{
	req->status = status;
	req->answered = true;
	req->out.len = 0;
	buf_puts(&req->out, text);
}

/* ---- idempotency ---- */

static uint64_t
fingerprint(const Request *req)
{
	uint64_t h = hash_bytes(req->method, strlen(req->method), HASH_START);

	h = hash_bytes(req->path, strlen(req->path) + 1, h);
	return hash_bytes(req->body.data ? req->body.data : "", req->body.len, h);
}

/* Answers true if the request needs no more work. */
static bool
key_begin(Request *req)
{
	uint64_t print;
	KeyEntry *k;
	int64_t now;

	if (req->key == NULL || !req->dialect->keys || !settings.idempotency ||
		req->order.op == OP_LOOKUP || req->order.op == OP_PING)
		return false;
	now = now_ms();
	print = fingerprint(req);
	k = key_find(req->key, now);
	if (k == NULL)
	{
		(void) key_add(req->key, print, now);
		req->key_held = true;
		return false;
	}
	if (k->print != print)
		answer_error(req, 422, "idempotency_mismatch", "this key was used for another request");
	else if (!k->stored || now < k->ready_at)
		answer_error(req, 409, "key_in_use", "a request with this key is being processed");
	else
	{
		answer_text(req, k->status, k->body);
		req->replayed = true;
	}
	return true;
}

/* Keep the answer for the key, or give the key free. */
static void
key_end(Request *req, bool keep, int64_t ready_at)
{
	KeyEntry *k;

	if (!req->key_held)
		return;
	req->key_held = false;
	k = key_find(req->key, now_ms());
	if (k == NULL || k->stored)
		return; /* everything was reset meanwhile */
	if (!keep)
	{
		key_remove(req->key);
		return;
	}
	k->stored = true;
	k->ready_at = ready_at;
	k->status = req->status;
	k->body = xstrdup(req->out.data ? req->out.data : "");
}

/* ---- faults ---- */

/* A fault that strikes before anything is done. */
static void
strike_before(Request *req, FaultKind kind)
{
	switch (kind)
	{
		case PGW_FAULT_500_BEFORE:
			answer_error(req, 500, "internal_error", "something went wrong");
			break;
		case PGW_FAULT_429:
			answer_error(req, 429, "rate_limited", "too many requests");
			req->retry_after = 1;
			break;
		case PGW_FAULT_503:
			answer_error(req, 503, "not_processed", "nothing was done");
			break;
		case PGW_FAULT_TIMEOUT_BEFORE:
			answer_error(req, 0, "none", "none");
			req->delivery = D_NEVER;
			break;
		default:
			answer_error(req, 0, "none", "none");
			req->delivery = D_RESET;
			break;
	}
	key_end(req, false, 0);
}

/* A fault that changes the answer after the work. */
static void
strike_after(Request *req, FaultKind kind)
{
	switch (kind)
	{
		case PGW_FAULT_TIMEOUT_AFTER:
			req->delivery = D_NEVER;
			break;
		case PGW_FAULT_RESET_AFTER:
			req->delivery = D_RESET;
			break;
		case PGW_FAULT_CLOSE_HEADERS:
			req->delivery = D_CLOSE_HEADERS;
			break;
		case PGW_FAULT_TRUNCATED:
			req->delivery = D_TRUNCATED;
			break;
		case PGW_FAULT_HUGE:
			req->delivery = D_HUGE;
			break;
		case PGW_FAULT_NOT_JSON:
			answer_text(req, req->status, "<html><body>It works!</body></html>");
			break;
		case PGW_FAULT_EMPTY:
			answer_text(req, req->status, "");
			break;
		default:
			break;
	}
}

/*
 * The document of another payment: the newest charge of another reference, and of its captures or
 * refunds the newest.  Where there is none, the answer stays as it is.
 */
static void
take_other_document(Operation op, Outcome *out)
{
	const List *steps = op == OP_CAPTURE ? &captures : op == OP_VOID ? &voids : &refunds;
	Charge *own = out->charge;

	if (out->step != NULL)
	{
		for (size_t i = steps->count; i > 0; i--)
		{
			Step *s = steps->items[i - 1];

			if (strcmp(s->charge->reference, own->reference) == 0)
				continue;
			out->step = s;
			out->charge = s->charge;
			return;
		}
		return;
	}
	for (size_t i = charges.count; i > 0; i--)
	{
		Charge *c = charges.items[i - 1];

		if (strcmp(c->reference, own->reference) != 0 && c->status == CH_APPROVED)
		{
			out->charge = c;
			return;
		}
	}
}

/*
 * Is the answer remembered for its key?  A vendor says so: "all" answers once the work has begun,
 * or those of success only.
 */
static bool
is_kept(const Request *req, const Outcome *out)
{
	const char *kept = json_object_get_string(dialect_member(req->dialect->data, "remembers"));

	if (kept != NULL)
		return strcmp(kept, "all") == 0 || (req->status >= 200 && req->status < 300);
	return req->status != 400 && req->status != 401 &&
		   (req->status < 500 || out->charge != NULL || out->result != NULL);
}

/* Do the work of a request, form the answer, apply what comes after it. */
static void
work(Request *req)
{
	Outcome out;
	Fault fault = req->order.fault;
	bool keep;

	bank_do(req, &out);
	if (out.charge != NULL && out.http == 0)
	{
		FaultKind own = out.charge->fault.kind;

		if ((req->order.op == OP_CAPTURE && own == PGW_FAULT_CAPTURE_TIMEOUT_AFTER) ||
			(req->order.op == OP_VOID && own == PGW_FAULT_VOID_TIMEOUT_AFTER) ||
			(req->order.op == OP_REFUND && own == PGW_FAULT_REFUND_TIMEOUT_AFTER))
			fault.kind = PGW_FAULT_TIMEOUT_AFTER;
		if (fault.kind == PGW_FAULT_OTHER_ANSWER)
			take_other_document(req->order.op, &out);
	}
	req->dialect->answer(req, &out, &fault);
	req->answered = true;
	if (fault.kind == PGW_FAULT_500_AFTER)
		answer_error(req, 500, "internal_error", "something went wrong");
	keep = is_kept(req, &out);
	key_end(req, keep, now_ms() + (req->late ? 0 : req->delay));
	strike_after(req, fault.kind);
}

/* The work of a request that was to be done after its delay. */
void
request_finish_late(Request *req)
{
	state_lock();
	work(req);
	req->late = false;
	ledger_log_answer(req);
	state_unlock();
}

static void
bank_request(Request *req)
{
	Order *o = &req->order;
	bool parsed;

	o->op = OP_OTHER;
	o->amount = -1;
	o->fault.kind = PGW_FAULT_NONE;
	o->fault.arg = -1;
	parsed = req->dialect->parse(req);
	ledger_count(o->op);
	ledger_log(req);

	if (settings.delay_max > 0)
	{
		long range = settings.delay_max - settings.delay_min + 1;

		req->delay =
			settings.delay_min + (range > 1 ? (long) (random_next() % (uint64_t) range) : 0);
	}
	if (settings.drop)
	{
		answer_error(req, 0, "none", "none");
		req->delivery = D_CLOSE;
		return;
	}
	if (settings.down)
	{
		answer_error(req, 503, "not_processed", "the bank is closed");
		return;
	}
	if (!parsed)
		return; /* answered by the parser */
	if (o->op == OP_LOOKUP && !settings.lookup)
	{
		answer_error(req, 501, "unsupported", "there is no look-up");
		return;
	}
	if (key_begin(req))
		return;

	if (o->fault.kind == PGW_FAULT_NONE)
		o->fault = fault_by_chance(o->op);
	if (pgw_fault_is_before(o->fault.kind))
	{
		char what[MAX_CODE] = "fault";

		what[0] = (char) ('A' + o->fault.kind);
		if (o->fault.arg < 0 || o->reference == NULL ||
			count_attempt(what, o->reference) < o->fault.arg)
		{
			strike_before(req, o->fault.kind);
			return;
		}
		o->fault.kind = PGW_FAULT_NONE;
	}
	if (o->fault.kind == PGW_FAULT_SLOW || o->fault.kind == PGW_FAULT_LATE ||
		o->fault.kind == PGW_FAULT_NOTIFY_BEFORE)
		req->delay += o->fault.arg;
	if (o->fault.kind == PGW_FAULT_LATE)
	{
		req->late = true;
		return;
	}
	work(req);
}

static bool
under(const char *path, const char *root)
{
	size_t len = strlen(root);

	return strncmp(path, root, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* Answer a complete request.  Takes the state lock. */
void
request_handle(Request *req)
{
	state_lock();
	req->dialect = dialect_of(req->path);
	if (req->dialect != NULL)
	{
		bank_request(req);
		ledger_log_answer(req);
	}
	else if (req->body_too_large)
		answer_error(req, 413, "invalid_request", "the request is too large");
	else if (under(req->path, "/ledger"))
		ledger_handle(req);
	else if (under(req->path, "/notifications"))
		notify_handle(req);
	else if (under(req->path, "/control"))
		control_handle(req);
	else
		answer_error(req, 404, "not_found", "no such page");
	state_unlock();
}

void
request_free(Request *req)
{
	Order *o = &req->order;

	free(o->charge_id);
	free(o->reference);
	free(o->merchant);
	free(o->merchant_reference);
	free(o->reason);
	free(req->path);
	free(req->key);
	free(req->correlation);
	free(req->traceparent);
	free(req->tracestate);
	json_object_put(req->params);
	buf_free(&req->body);
	buf_free(&req->out);
	free(req);
}
