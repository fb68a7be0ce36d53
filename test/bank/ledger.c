/*-------------------------------------------------------------------------
 *
 * ledger.c
 *		The truth for reconciliation, and the log of the latest requests.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bank.h"

#define LOG_SIZE 50000

typedef struct LogEntry
{
	uint64_t number;
	int64_t at;
	Operation op;
	Delivery delivery;
	bool done;
	bool replayed;
	int status;
	char method[8];
	char path[128];
	char key[96];
	char correlation[96];
	char traceparent[96];
	char tracestate[96];
	char reference[68];
	char last4[LAST4_LEN];
} LogEntry;

static LogEntry log_entries[LOG_SIZE];
static uint64_t log_count;
static uint64_t total;
static uint64_t totals[OP_COUNT];

void
ledger_count(Operation op)
{
	total++;
	totals[op]++;
}

void
ledger_reset(void)
{
	total = 0;
	memset(totals, 0, sizeof(totals));
	log_count = 0;
	memset(log_entries, 0, sizeof(log_entries));
}

/* Note a request when it comes in. */
void
ledger_log(Request *req)
{
	LogEntry *e = &log_entries[log_count % LOG_SIZE];

	req->log_slot = (size_t) (log_count % LOG_SIZE);
	req->log_number = ++log_count;
	e->number = req->log_number;
	e->at = now_ms();
	e->op = req->order.op;
	e->done = false;
	e->replayed = false;
	e->status = 0;
	e->delivery = D_NORMAL;
	copy_masked(e->method, sizeof(e->method), req->method);
	copy_masked(e->path, sizeof(e->path), req->path);
	copy_masked(e->key, sizeof(e->key), req->key);
	copy_masked(e->correlation, sizeof(e->correlation), req->correlation);
	copy_masked(e->traceparent, sizeof(e->traceparent), req->traceparent);
	copy_masked(e->tracestate, sizeof(e->tracestate), req->tracestate);
	copy_masked(e->reference, sizeof(e->reference), req->order.reference);
	memcpy(e->last4, req->order.last4, sizeof(e->last4));
}

/* Note what it was answered. */
void
ledger_log_answer(Request *req)
{
	LogEntry *e = &log_entries[req->log_slot];

	if (!req->answered || e->number != req->log_number)
		return;
	e->done = true;
	e->replayed = req->replayed;
	e->delivery = req->delivery;
	if (req->delivery == D_NORMAL || req->delivery == D_TRUNCATED || req->delivery == D_HUGE)
		e->status = req->status;
}

static void
put_log(Buf *b, uint64_t limit)
{
	static const char *const deliveries[] = {
		"normal", "never", "reset", "closed", "closed_in_headers", "truncated", "huge"};
	uint64_t n = log_count < LOG_SIZE ? log_count : LOG_SIZE;

	if (limit > n)
		limit = n;
	buf_puts(b, "{\"log\":[");
	for (uint64_t i = 0; i < limit; i++)
	{
		const LogEntry *e = &log_entries[(log_count - 1 - i) % LOG_SIZE];

		buf_printf(
			b, "%s\n{\"number\":%llu,\"at_ms\":%lld,\"operation\":\"%s\",\"method\":", i ? "," : "",
			(unsigned long long) e->number, (long long) e->at, operation_names[e->op]);
		buf_json(b, e->method);
		buf_puts(b, ",\"path\":");
		buf_json(b, e->path);
		buf_puts(b, ",\"idempotency_key\":");
		buf_json(b, e->key[0] ? e->key : NULL);
		buf_puts(b, ",\"correlation_id\":");
		buf_json(b, e->correlation[0] ? e->correlation : NULL);
		buf_puts(b, ",\"traceparent\":");
		buf_json(b, e->traceparent[0] ? e->traceparent : NULL);
		buf_puts(b, ",\"tracestate\":");
		buf_json(b, e->tracestate[0] ? e->tracestate : NULL);
		buf_puts(b, ",\"reference\":");
		buf_json(b, e->reference[0] ? e->reference : NULL);
		buf_puts(b, ",\"last4\":");
		buf_json(b, e->last4[0] ? e->last4 : NULL);
		buf_printf(b, ",\"status\":%d,\"delivery\":\"%s\",\"replayed\":%s,\"finished\":%s}",
				   e->status, deliveries[e->delivery], e->replayed ? "true" : "false",
				   e->done ? "true" : "false");
	}
	buf_puts(b, "\n]}\n");
}

static void
put_steps(Buf *b, const char *name, List *list, int64_t now)
{
	static const char *const statuses[] = {"succeeded", "pending", "failed"};

	buf_printf(b, "],\n\"%s\":[", name);
	for (size_t i = 0; i < list->count; i++)
	{
		Step *s = list->items[i];

		step_settle(s, now);
		buf_printf(
			b, "%s\n{\"id\":\"%s\",\"charge\":\"%s\",\"charge_reference\":\"%s\",\"reference\":",
			i ? "," : "", s->id, s->charge->id, s->charge->reference);
		buf_json(b, s->reference);
		buf_puts(b, ",\"idempotency_key\":");
		buf_json(b, s->key);
		buf_printf(b,
				   ",\"amount\":%lld,\"currency\":\"%s\",\"status\":\"%s\",\"created_at_ms\":%lld,"
				   "\"dialect\":\"%s\"}",
				   (long long) s->amount, s->charge->currency, statuses[s->status],
				   (long long) s->created_at, s->charge->dialect);
	}
}

static void
put_ledger(Buf *b)
{
	static const char *const statuses[] = {"approved", "declined", "pending", "requires_action"};
	int64_t now = now_ms();

	/* a refund that failed meanwhile gives its amount back first */
	for (size_t i = 0; i < refunds.count; i++)
		step_settle(refunds.items[i], now);

	buf_puts(b, "{\"charges\":[");
	for (size_t i = 0; i < charges.count; i++)
	{
		Charge *c = charges.items[i];

		charge_settle(c, now);
		buf_printf(b, "%s\n{\"id\":\"%s\",\"reference\":\"%s\",\"idempotency_key\":", i ? "," : "",
				   c->id, c->reference);
		buf_json(b, c->key);
		buf_puts(b, ",\"merchant\":");
		buf_json(b, c->merchant);
		buf_puts(b, ",\"merchant_reference\":");
		buf_json(b, c->merchant_reference);
		buf_printf(
			b,
			",\"amount\":%lld,\"currency\":\"%s\",\"status\":\"%s\",\"authorized\":%lld,"
			"\"captured\":%lld,\"refunded\":%lld,\"voided\":%s,\"expired\":%s,\"last4\":\"%s\","
			"\"created_at_ms\":%lld,\"dialect\":\"%s\"}",
			(long long) c->amount, c->currency, statuses[c->status], (long long) c->authorized,
			(long long) c->captured, (long long) c->refunded, c->voided ? "true" : "false",
			charge_expired(c, now) ? "true" : "false", c->last4, (long long) c->created_at,
			c->dialect);
	}
	put_steps(b, "captures", &captures, now);
	put_steps(b, "refunds", &refunds, now);
	put_steps(b, "voids", &voids, now);
	buf_puts(b, "],\n\"disputes\":[");
	disputes_put(b);
	buf_printf(b, "],\n\"requests\":%llu,\"requests_by_operation\":{", (unsigned long long) total);
	for (int op = 0; op < OP_COUNT; op++)
		buf_printf(b, "%s\"%s\":%llu", op ? "," : "", operation_names[op],
				   (unsigned long long) totals[op]);
	buf_puts(b, "}}\n");
}

void
ledger_handle(Request *req)
{
	req->status = 200;
	req->answered = true;
	if (strcmp(req->method, "GET") != 0)
		answer_error(req, 405, "method_not_allowed", "only GET");
	else if (strcmp(req->path, "/ledger") == 0)
		put_ledger(&req->out);
	else if (strcmp(req->path, "/ledger/log") == 0)
	{
		const char *limit =
			MHD_lookup_connection_value(req->connection, MHD_GET_ARGUMENT_KIND, "limit");

		put_log(&req->out, limit ? strtoull(limit, NULL, 10) : 100);
	}
	else
		answer_error(req, 404, "not_found", "no such page");
}
