/*
 * calls.c - bank calls: from a waiting caller's request to the intent, out over HTTP, and back into the tables
 *
 *	 slot ──► waiting ──► intent ──(commit, flushed)──► ready ──► HTTP ──► results.c ──(commit)──► slot answered
 *	          (bank full)                  ▲
 *	 attempts.c (submitted) ───────────────┘
 *
 * Owns the calls and their lists; all in this process only.  A slot's body is ours from take to answer.
 *
 * Orderings that matter
 *	- A request leaves only from `ready`, and a call gets there only in committed(), after the flushed commit of its intent (invariant 5).
 *	  A crash before that commit: nothing was sent.  After it: the row says BankProcessingStarted, so it is never sent blindly again.
 *	- The slot is marked sent in committed(), with interrupts held since before the commit: a worker that ends cannot leave a durable
 *	  intent in a slot that the next worker would take for a fresh request.  (The attempt's id would be a duplicate key then as well.)
 *	- Cards: rendered before the intent (a request that cannot be rendered leaves no trace), wiped from the slot in committed(), from
 *	  the rendered body as soon as libcurl has its copy.
 *	- Requests are read from the slots before the transaction that records them takes its xid (batch.c).
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/money.h"
#include "core/uuid7.h"
#include "infra/calls_internal.h"
#include "infra/http.h"

#define TAKE_MAX 256
#define MAX_ANSWER_BYTES (1024 * 1024)

static MemoryContext calls_context;
static dlist_head waiting;
static dlist_head ready;
static dlist_head out;			/* linked by .all */
static dlist_head soon;			/* items whose commit may be asynchronous: results that a caller waits for */
static dlist_head flushed;		/* items whose commit must be durable: all others */

/* ---------------------------------------------------------------- calls */

PgwCall *
pgw_call_new(const pg_uuid_t *transaction_id, const pg_uuid_t *correlation_id, bool submitted)
{
	PgwCall    *call = MemoryContextAllocZero(calls_context, sizeof(PgwCall));

	call->slot = -1;
	call->submitted = submitted;
	call->transaction_id = *transaction_id;
	pgw_uuid_to_hex32(transaction_id->data, call->reference);
	pgw_uuid_to_text(correlation_id->data, call->correlation);
	return call;
}

static void
free_rendered(PgwCall *call)
{
	if (call->rendered == NULL)
		return;
	pgw_rendered_free(call->rendered);
	pfree(call->rendered);
	call->rendered = NULL;
}

void
pgw_call_free(PgwCall *call)
{
	free_rendered(call);
	if (call->bank != NULL)
		pgw_config_drop(call->bank);
	explicit_bzero(call, sizeof(PgwCall));
	pfree(call);
}

bool
pgw_call_bank_has_room(const PgwBank *bank)
{
	return bank->max_in_flight <= 0 || bank->in_flight < bank->max_in_flight;
}

bool
pgw_call_render(PgwCall *call, PgwBank *bank, PgwCallParams *params, const char **error_code, PgwConnectorError *err)
{
	const PgwCurrency *currency = pgw_currency_find(params->currency);

	memset(err, 0, sizeof(*err));
	*error_code = "connector_invalid";
	if (bank->connector == NULL || currency == NULL || !pgw_connector_has(bank->connector, call->op))
		return false;
	if (bank->secret_name != NULL && bank->secret == NULL)
	{
		*error_code = "secret_missing";
		return false;
	}
	strlcpy(call->currency, params->currency, sizeof(call->currency));
	call->iso_exponent = currency->exponent;
	params->has_amount = true;
	params->iso_exponent = currency->exponent;
	params->transaction_ref = call->reference;
	params->original_ref = call->reference;
	params->idempotency_key = call->reference;
	params->correlation_id = call->correlation;
	params->secret = bank->secret;
	params->settings = bank->settings;

	call->rendered = MemoryContextAllocZero(calls_context, sizeof(PgwRendered));
	pgw_rendered_init(call->rendered);
	if (!pgw_connector_render(bank->connector, call->op, params, call->rendered, err))
	{
		free_rendered(call);
		return false;
	}
	pgw_config_hold(bank);
	call->bank = bank;
	return true;
}

static const char *
none(const char *s)
{
	return s[0] != '\0' ? s : NULL;
}

/* ---------------------------------------------------------------- requests of waiting callers */

static void
answer_error(PgwCall *call, const char *code, const char *detail)
{
	PgwSlotAnswer a;

	memset(&a, 0, sizeof(a));
	a.kind = PGW_ANSWER_ERROR;
	strlcpy(a.error_code, code, sizeof(a.error_code));
	strlcpy(a.detail, detail, sizeof(a.detail));
	if (call->slot >= 0)
		pgw_exchange_answer(call->slot, &a);
	pgw_call_free(call);
}

static bool
render_request(PgwCall *call, PgwBank *bank, const char **error_code, PgwConnectorError *err)
{
	const PgwSlotRequest *r = pgw_exchange_request(call->slot);
	PgwCallParams params;
	bool		ok;

	memset(&params, 0, sizeof(params));
	params.amount = r->amount;
	params.currency = r->currency;
	params.token = none(r->token);
	params.card_number = none(r->card_number);
	params.card_expiry_month = r->card_expiry_month;
	params.card_expiry_year = r->card_expiry_year;
	params.card_cvv = none(r->card_cvv);
	params.card_holder = none(r->card_holder);
	params.merchant = r->merchant;
	params.reference = none(r->reference);
	params.bank_fields = none(r->bank_fields);
	call->op = pgw_flow_operation((PgwCaptureMode) r->capture, false);
	ok = pgw_call_render(call, bank, &params, error_code, err);
	explicit_bzero(&params, sizeof(params));
	return ok;
}

static void process_apply(PgwItem *item);
static void process_committed(PgwItem *item);
static void process_failed(PgwItem *item, int sqlstate);

const PgwItemOps pgw_process_ops = {"intents", process_apply, process_committed, process_failed};

void
pgw_calls_take_requests(void)
{
	int			slots[TAKE_MAX];
	int			n = pgw_exchange_take(slots, TAKE_MAX);

	for (int i = 0; i < n; i++)
	{
		const PgwSlotRequest *r = pgw_exchange_request(slots[i]);
		PgwCall    *call = pgw_call_new(&r->transaction_id, &r->correlation_id, false);

		call->slot = slots[i];
		call->item.ops = &pgw_process_ops;
		dlist_push_tail(&waiting, &call->item.node);
	}
}

/* From waiting to intents, as far as the banks' limits allow; the others keep their order. */
static void
admit(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &waiting)
	{
		PgwCall    *call = dlist_container(PgwCall, item.node, iter.cur);
		PgwBank    *bank = call->slot >= 0 ? pgw_config_bank(pgw_exchange_request(call->slot)->bank) : NULL;
		const char *code = NULL;
		PgwConnectorError err;

		if (call->slot < 0 || pgw_exchange_abandoned(call->slot))
			code = "internal_error";	/* nobody reads it: nothing was recorded, nothing is sent */
		else if (bank == NULL)
			code = "unknown_bank";
		else if (!bank->enabled)
			code = "bank_disabled";
		if (code == NULL && !pgw_call_bank_has_room(bank))
			continue;
		dlist_delete(iter.cur);
		err.message[0] = '\0';
		if (code != NULL || !render_request(call, bank, &code, &err))
			answer_error(call, code, err.message);
		else
			dlist_push_tail(&flushed, &call->item.node);
	}
}

static char *
copy(const char *s)
{
	return s[0] != '\0' ? pstrdup(s) : NULL;
}

static void
fill_transaction(PgwTransaction *t, const PgwSlotRequest *r, const PgwCall *call)
{
	memset(t, 0, sizeof(*t));
	t->transaction_id = r->transaction_id;
	t->payment_id = r->payment_id;
	t->client_request_id = pstrdup(r->client_request_id);
	t->merchant = pstrdup(r->merchant);
	t->kind = PGW_KIND_PAYMENT;
	t->taken = true;
	t->amount = r->amount;
	t->currency = pstrdup(r->currency);
	t->capture = (PgwCaptureMode) r->capture;
	t->token = copy(r->token);
	t->card_last4 = copy(r->card_last4);
	t->card_brand = copy(r->card_brand);
	t->card_expiry_month = r->card_expiry_month;
	t->card_expiry_year = r->card_expiry_year;
	t->bank = pstrdup(call->bank->name);
	t->bank_requested = copy(r->bank_requested);
	t->reference = copy(r->reference);
	t->bank_fields = r->bank_fields[0] != '\0' ? pstrdup(r->bank_fields) : pstrdup("{}");
	t->bank_key = pstrdup(call->reference);
	t->bank_key_used_at = GetCurrentTimestamp();
	t->caller_xid = r->caller_xid;
	t->caller_subxid = r->caller_subxid;
	t->system_identifier = (int64) GetSystemIdentifier();
	t->database_oid = MyDatabaseId;
	t->attempts = 1;
	t->correlation_id = r->correlation_id;
	t->created_at = t->updated_at = t->bank_key_used_at;
}

static void
process_apply(PgwItem *item)
{
	PgwCall    *call = (PgwCall *) item;
	PgwTransaction t;
	PgwEvent	events[2] = {
		{.type = PGW_EV_TRANSACTION_STARTED, .from = PGW_STATE_NONE, .to = PGW_CREATED},
		{.type = PGW_EV_BANK_PROCESSING_STARTED, .from = PGW_CREATED, .to = PGW_CREATED},
	};

	if (call->slot < 0)
		return;					/* the extension was being dropped meanwhile */
	events[0].operation = events[1].operation = pgw_op_name(call->op);
	fill_transaction(&t, pgw_exchange_request(call->slot), call);
	pgw_store_advance(&t, true, events, 2);
}

static void
process_committed(PgwItem *item)
{
	PgwCall    *call = (PgwCall *) item;

	if (call->slot < 0)
	{
		pgw_call_free(call);	/* no intent was written */
		return;
	}
	pgw_exchange_mark_sent(call->slot);
	pgw_exchange_wipe(call->slot);
	pgw_call_ready(call);
}

static void
process_failed(PgwItem *item, int sqlstate)
{
	PgwCall    *call = (PgwCall *) item;

	/* The one-live-attempt index: an earlier attempt with this id is not finished and its caller is gone.  Nothing was sent for this one. */
	if (sqlstate == ERRCODE_UNIQUE_VIOLATION)
		answer_error(call, "request_in_flight", "an earlier attempt with this id is not finished");
	else
		answer_error(call, "internal_error", "the attempt could not be recorded");
}

/* ---------------------------------------------------------------- HTTP */

void
pgw_call_ready(PgwCall *call)
{
	dlist_push_tail(&ready, &call->item.node);
}

static bool
start_http(PgwCall *call, const char **error)
{
	PgwRendered *r = call->rendered;
	PgwHttpRequest req;
	char	   *headers[PGW_MAX_HEADERS];
	size_t		base = strlen(call->bank->base_url);
	char	   *url;
	bool		ok;

	while (base > 0 && call->bank->base_url[base - 1] == '/')
		base--;
	url = psprintf("%.*s%s", (int) base, call->bank->base_url, r->path.data);
	for (int i = 0; i < r->nheaders; i++)
		headers[i] = r->headers[i].data;

	memset(&req, 0, sizeof(req));
	req.method = r->method;
	req.url = url;
	req.headers = headers;
	req.nheaders = r->nheaders;
	req.body = r->has_body ? r->body.data : NULL;
	req.body_len = r->has_body ? r->body.len : 0;
	/* without keys at the bank, a silent resend by libcurl on a dead reused connection would charge twice */
	req.fresh_connection = !pgw_connector_capabilities(call->bank->connector)->idempotency;
	req.connect_timeout_ms = call->bank->connect_timeout_ms;
	req.total_timeout_ms = call->bank->request_timeout_ms;
	req.max_body = MAX_ANSWER_BYTES;
	req.ca_file = call->bank->ca_file;
	ok = pgw_http_start(&req, call, error);
	explicit_bzero(url, strlen(url));
	pfree(url);
	return ok;
}

/* Everything here has a durable intent: see the head of this file. */
static void
send_ready(void)
{
	while (!dlist_is_empty(&ready))
	{
		PgwCall    *call = dlist_container(PgwCall, item.node, dlist_pop_head_node(&ready));
		const char *error = NULL;

		call->out = start_http(call, &error);
		free_rendered(call);
		if (call->out)
		{
			dlist_push_tail(&out, &call->all);
			continue;
		}
		ereport(LOG, (errmsg("pgw: call not started: %s", error),
					  errdetail("correlation id %s, bank \"%s\"", call->correlation, call->bank->name)));
		call->transport = PGW_TRANSPORT_NEVER_SENT;
		pgw_call_result(call);
	}
}

static void
take_answer(PgwCall *call, const PgwHttpDone *done)
{
	switch (done->result)
	{
		case PGW_HTTP_ANSWERED:
			call->transport = PGW_TRANSPORT_ANSWERED;
			pgw_connector_judge(call->bank->connector, call->op, done->status, done->retry_after,
								done->body->data, done->body->len, call->currency, call->iso_exponent, &call->answer);
			if (call->answer.outcome == PGW_OUT_UNKNOWN)
				ereport(LOG, (errmsg("pgw: the bank's answer was not understood (HTTP status %ld)", done->status),
							  errdetail("correlation id %s, bank \"%s\"", call->correlation, call->bank->name)));
			return;
		case PGW_HTTP_NEVER_SENT:
			call->transport = PGW_TRANSPORT_NEVER_SENT;
			break;
		case PGW_HTTP_MAYBE_SENT:
			call->transport = PGW_TRANSPORT_MAYBE_SENT;
			break;
	}
	ereport(LOG, (errmsg("pgw: bank call failed: %s", done->error != NULL ? done->error : "unknown reason"),
				  errdetail("correlation id %s, bank \"%s\", %s", call->correlation, call->bank->name,
							done->result == PGW_HTTP_NEVER_SENT ? "never sent" : "may have been sent")));
}

void
pgw_calls_take_answers(void)
{
	PgwHttpDone done;

	pgw_http_drive();
	while (pgw_http_next_done(&done))
	{
		PgwCall    *call = done.tag;

		/* a call that was given up has its result already, and is no longer ours to look at */
		if (call != NULL && call->out)
		{
			take_answer(call, &done);
			call->out = false;
			dlist_delete(&call->all);
			pgw_call_result(call);
		}
		pgw_http_release(done.handle);
	}
}

/* ---------------------------------------------------------------- the whole */

void
pgw_calls_init(void)
{
	calls_context = AllocSetContextCreate(TopMemoryContext, "pgw calls", ALLOCSET_DEFAULT_SIZES);
	dlist_init(&waiting);
	dlist_init(&ready);
	dlist_init(&out);
	dlist_init(&soon);
	dlist_init(&flushed);
	pgw_results_init();
	pgw_attempts_init();
}

PgwBatchEnd
pgw_calls_run(bool admit_new)
{
	PgwBatchEnd end;

	pgw_results_collect(GetCurrentTimestamp(), &soon, &flushed);
	if (admit_new)
	{
		admit();
		pgw_attempts_collect(&flushed);
	}

	/* callers that wait come first, and without a flush; then everything else shares one flush */
	end = pgw_batch_run(&soon, false);
	if (end == PGW_BATCH_DONE)
		end = pgw_batch_run(&flushed, true);
	/* whatever became of the batches: what is in `ready` is durable */
	send_ready();
	/* A near bank may have answered by now; driving uses up what would have made the descriptor readable, so look here too. */
	pgw_calls_take_answers();
	return end;
}

bool
pgw_calls_in_flight(void)
{
	return !dlist_is_empty(&out) || !dlist_is_empty(&ready) || !dlist_is_empty(&soon) || !dlist_is_empty(&flushed) ||
		pgw_results_pending();
}

void
pgw_calls_give_up(void)
{
	while (!dlist_is_empty(&ready))
	{
		PgwCall    *call = dlist_container(PgwCall, item.node, dlist_pop_head_node(&ready));

		call->transport = PGW_TRANSPORT_NEVER_SENT;
		pgw_call_result(call);
	}
	while (!dlist_is_empty(&out))
	{
		PgwCall    *call = dlist_container(PgwCall, all, dlist_pop_head_node(&out));

		call->out = false;
		call->transport = PGW_TRANSPORT_MAYBE_SENT;
		pgw_call_result(call);
	}
}

/* Of a list of items, the calls. */
void
pgw_calls_forget_in(dlist_head *items)
{
	dlist_iter	iter;

	dlist_foreach(iter, items)
	{
		PgwItem    *item = dlist_container(PgwItem, node, iter.cur);

		if (item->ops == &pgw_process_ops || item->ops == &pgw_result_ops)
			((PgwCall *) item)->slot = -1;
	}
}

void
pgw_calls_forget_slots(void)
{
	dlist_iter	iter;

	pgw_calls_forget_in(&waiting);
	pgw_calls_forget_in(&ready);
	pgw_calls_forget_in(&soon);
	pgw_calls_forget_in(&flushed);
	pgw_results_forget();
	dlist_foreach(iter, &out)
		dlist_container(PgwCall, all, iter.cur)->slot = -1;
}
