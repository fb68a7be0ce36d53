/*
 * send_after_flush.c - bank calls: from a durable intent out over HTTP
 *
 * Owns the calls that are ready to be sent, and those that are with libcurl.
 *
 * Orderings that matter
 *     - A request leaves only from `ready`, only when the log is flushed up to the commit of its
 *       intent (invariant 5); a call gets there only in committed().  A crash before that flush:
 *       nothing was sent.  After it: the row says BankProcessingStarted, so it is never sent
 *       blindly again.
 *     - With a synchronous standby what moves money leaves only when its intent is there, too, and
 *       nothing leaves for a while after the standby was given up (fencing_delay.c).
 *     - Nothing leaves while the worker is paused, whenever its intent was written.
 *     - A repetition leaves only while the bank remembers its key: asked here once more, since the
 *       waits above have no bound.
 *     - Nobody is charged for a caller that has gone: a caller's slot is bound right before its
 *       request is handed to HTTP.  Who left before has withdrawn, and the attempt becomes Failed;
 *       who leaves after that leaves a payment that names it, or rolls back.  Nor for one who has
 *       submitted it to be sent by a time that has passed.
 *     - Cards: wiped from the rendered body as soon as libcurl has its copy.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "bank_call/echoed_card.h"
#include "bank_call/waiting_callers.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "base/error_detail.h"
#include "base/new_id.h"
#include "core/base/mutant.h"
#include "exchange/fencing_delay.h"
#include "exchange/log_rate.h"
#include "exchange/taken_slots.h"
#include "http/http.h"
#include "queue/ask_banks.h"
#include "queue/bank_answers.h"
#include "queue/send_after_flush.h"
#include "queue/try_banks.h"
#include "restore/pause.h"
#include "store/tables.h"
#include "test_bank/test_wire.h"

#define MAX_ANSWER_BYTES (1024 * 1024)

static dlist_head ready = DLIST_STATIC_INIT(ready);
static dlist_head in_transfer = DLIST_STATIC_INIT(in_transfer); /* linked by .all */

/* Its transfer is over for us, and that is not the bank's fault. */
static void
give_up(PgwCall *call)
{
	if (call->in_transfer)
	{
		/* HTTP may still have its answer, and would come with a call that is freed by then */
		if (pgw_test_wire_takes(call->bank->base_url))
			pgw_test_wire_disown(call->transfer);
		else if (!PGW_MUTATED(DISOWN))
			pgw_http_disown(call->transfer);
		dlist_delete(&call->all);
	}
	call->in_transfer = false;
	pgw_call_forget_request(call);
	pgw_echo_forget(call);
	pgw_lanes_closed(&call->place);
	if (call->trial != 0)
		pgw_trial_over(call);
	else if (call->ask != NULL)
		pgw_ask_over(call);
	else if (call->op == PGW_OP_PING)
		pgw_call_free(call);
	else
		pgw_bank_answers_add(call);
}

/* ---------------------------------------------------------------- HTTP */

void
pgw_call_ready(PgwCall *call)
{
	Assert(call->rendered != NULL && !call->in_transfer);
	call->intent_end = XactLastCommitEnd;
	dlist_push_tail(&ready, &call->item.node);
}

/*
 * Without keys for it at the bank, a silent resend by libcurl on a dead reused connection would
 * charge twice; and where the bank forgets under the key what was no success, as it may have been
 * the first time.  A look-up may come twice.
 */
static bool
must_not_come_twice(const PgwCall *call)
{
	const PgwKeyRule *key = &pgw_connector_capabilities(call->bank->connector)->keys[call->op];

	return pgw_op_moves_money(call->op) &&
		   (!key->honoured || (key->forgets_errors && !PGW_MUTATED(RESEND_FORGOTTEN)));
}

static void *
start_http(PgwCall *call, const char **error)
{
	PgwRendered *r = call->rendered;
	PgwHttpRequest req;
	char *headers[PGW_MAX_HEADERS];
	size_t base = strlen(call->bank->base_url);
	char *url;
	void *transfer;

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
	req.fresh_connection = must_not_come_twice(call) && !PGW_MUTATED(RESEND_GUARD);
	/* certificates are shown when a connection is made */
	req.certificates = call->trial != 0;
	req.fresh_connection |= call->trial != 0;
	req.connect_timeout_ms = call->bank->connect_timeout_ms;
	req.total_timeout_ms = pgw_call_timeout_ms(call);
	req.nanswer_headers = pgw_connector_answer_headers(call->bank->connector, &req.answer_headers);
	req.max_body = MAX_ANSWER_BYTES;
	req.ca_file = call->bank->ca_file;
	req.max_connection_age_s = pgw_connection_max_age;
	/* the one place where the bank inside the worker is something else */
	transfer = pgw_test_wire_takes(url) ? pgw_test_wire_start(&req, call, error)
										: pgw_http_start(&req, call, error);
	explicit_bzero(url, strlen(url));
	pfree(url);
	return transfer;
}

void
pgw_call_ready_again(PgwCall *call)
{
	Assert(call->rendered != NULL && !call->in_transfer);
	/* in front: the last one's intent is the one up to which the log is flushed */
	dlist_push_head(&ready, &call->item.node);
	SetLatch(MyLatch);
}

static void
send_call(PgwCall *call)
{
	uint64 more;
	const char *error = NULL;
	char correlation[sizeof(call->correlation)];
	pg_uuid_t transaction_id;
	pg_uuid_t payment_id;

	if (call->pages == NULL)
		INSTR_TIME_SET_CURRENT(call->began);
	PG_TRY();
	{
		PGW_DEBUG_POINT("sending");
		call->transfer = start_http(call, &error);
	}
	PG_CATCH();
	{
		/* raised before HTTP had it: on no list now, and so lost if it were left */
		call->transport = PGW_TRANSPORT_NEVER_SENT;
		call->our_fault = true;
		give_up(call);
		PG_RE_THROW();
	}
	PG_END_TRY();
	call->in_transfer = call->transfer != NULL;
	/* a look-up has no card in it; its further pages are the same request with another path */
	if (!call->in_transfer ||
		!pgw_connector_has_pages(call->bank->connector, call->op,
								 call->bank_reference[0] != '\0' ? call->bank_reference : NULL))
		pgw_call_forget_request(call);
	if (call->in_transfer)
	{
		dlist_push_tail(&in_transfer, &call->all);
		/* a look at another attempt, which comes when it is due, has a name of its own */
		PGW_DEBUG_POINT(
			pgw_call_debug_name(call, "sent", call->slot >= 0 ? "sent" : "sent_by_itself"));
		return;
	}
	call->transport = PGW_TRANSPORT_NEVER_SENT;
	/* out of memory, or a request that libcurl does not take: the bank has not been asked */
	call->our_fault = true;
	strlcpy(correlation, call->correlation, sizeof(correlation));
	transaction_id = call->transaction_id;
	payment_id = call->payment_id;
	pgw_bank_answers_over(call, 0);
	if (pgw_log_due("call not started", NULL, &more))
		ereport(LOG, (errmsg("pgw: call not started: %s", error),
					  pgw_errdetail_attempt(correlation, &transaction_id, &payment_id, NULL, NULL),
					  pgw_log_more(more)));
}

/* It may have waited for a standby beyond the time until which it was to be sent. */
static bool
expired(const PgwCall *call)
{
	return pgw_has_expired(call->expires_at, pgw_now()) && !PGW_MUTATED(EXPIRED_AT_INTENT);
}

/*
 * Does anybody want it to be sent?  The caller's slot is bound by that, so the answer stays true.
 * A caller on the waiters' list was bound when it came there: if it leaves from here on, its
 * pending payment names the attempt.
 */
static bool
still_wanted(const PgwCall *call)
{
	if (call->slot >= 0)
		return pgw_exchange_bind(call->slot);
	if (expired(call))
		return false;
	return !call->awaited || pgw_waiters_until(&call->transaction_id, pgw_now()) ||
		   PGW_MUTATED(GONE_BEFORE_SEND);
}

/*
 * Durable, and not sent: the attempt ends as Failed, unless another caller has taken it over
 * meanwhile.
 */
static void
withdraw(PgwCall *call)
{
	if (call->slot >= 0)
		/* nobody reads it: the slot becomes free */
		(void) pgw_exchange_answer(call->slot, &call->reply);
	call->slot = -1;
	call->withdrawn = true;
	call->transport = PGW_TRANSPORT_NEVER_SENT;
	give_up(call);
}

/*
 * Between the intent and here there may have been a wait without bound for a standby, or the delay
 * after one was given up.  The bank would do once more what it has forgotten; so it is not sent,
 * and what becomes of it is decided again, by how old the key is then.
 */
static bool
key_forgotten(const PgwCall *call)
{
	return call->in_doubt && call->relies_on_key && !pgw_call_key_remembered(call) &&
		   !PGW_MUTATED(KEY_AT_INTENT);
}

/* In doubt it stays, for the request before it. */
static void
give_up_repetition(PgwCall *call)
{
	Assert(call->in_doubt && call->slot < 0);
	call->transport = PGW_TRANSPORT_NEVER_SENT;
	call->our_fault = true; /* says nothing of the bank */
	give_up(call);
}

/*
 * A wait for the standby may have ended in some other way.  What only asks need not be known there.
 */
static bool
may_leave(const PgwCall *call, XLogRecPtr durable, XLogRecPtr replicated)
{
	if (call->intent_end > durable && !PGW_MUTATED(INTENT_FLUSH))
		return false;
	return call->intent_end <= replicated || !pgw_op_moves_money(call->op) || PGW_MUTATED(FENCING);
}

/* Those whose intent is durable; with flush, all: see the head of this file. */
void
pgw_calls_send(bool flush)
{
	XLogRecPtr replicated;
	XLogRecPtr durable;

	Assert(!IsTransactionState());
	/*
	 * A termination ends a wait for the synchronous standby, and the commit is then only local:
	 * leave before anything is sent that the next primary might not know of.  So does the death of
	 * the postmaster, of which that wait tells by ProcDiePending alone.
	 */
	if (ProcDiePending)
		InterruptPending = true;
	CHECK_FOR_INTERRUPTS();
	if (dlist_is_empty(&ready) || (!pgw_pause_works() && !PGW_MUTATED(SENT_IN_PAUSE)))
		return;
	pgw_fencing_look();
	/* nor while there are settings to read: they may be those that take the standby away */
	if (pgw_fencing_ms_left() > 0 || (pgw_waits_for_standbys() && ConfigReloadPending))
		return;
	replicated = pgw_replicated_up_to();
	if (flush && !PGW_MUTATED(INTENT_FLUSH))
		XLogFlush(dlist_tail_element(PgwCall, item.node, &ready)->intent_end);
	durable = GetFlushRecPtr(NULL);
	while (!dlist_is_empty(&ready))
	{
		PgwCall *call = dlist_head_element(PgwCall, item.node, &ready);

		if (!may_leave(call, durable, replicated))
			return;
		dlist_delete(&call->item.node);
		if (call->slot >= 0)
			PGW_DEBUG_POINT("intent_flushed");
		else if (call->awaited)
			PGW_DEBUG_POINT("retry_flushed");
		/* a question that has begun goes on to its end, whoever waits for it */
		if (key_forgotten(call))
			give_up_repetition(call);
		else if (call->pages != NULL || still_wanted(call))
			send_call(call);
		else
			withdraw(call);
	}
}

/* ---------------------------------------------------------------- pings */

static bool
render_ping(PgwCall *call)
{
	PgwBank *bank = pgw_config_bank(call->bank_name);
	PgwCallParams params;
	PgwConnectorError err;
	const char *code;
	volatile bool ok = false;

	memset(&params, 0, sizeof(params));
	params.currency = "EUR"; /* a ping names none; rendering wants one */
	PG_TRY();
	{
		ok = bank != NULL && pgw_call_render(call, bank, &params, &code, &err);
	}
	PG_CATCH();
	{
		pgw_call_free(call);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return ok;
}

/* A bank whose breaker waits for its ping gets one. */
void
pgw_calls_send_probes(void)
{
	PgwBreakerPermit permit;
	const char *name;

	while ((name = pgw_bank_to_probe(&permit)) != NULL)
	{
		pg_uuid_t id;
		PgwCall *call;

		pgw_new_id(&id);
		call = pgw_call_new(&id, NULL, &id, false); /* an ERROR: the permit lapses by itself */
		call->op = PGW_OP_PING;
		call->permit = permit;
		call->has_permit = true;
		strlcpy(call->bank_name, name, sizeof(call->bank_name));
		if (render_ping(call))
			pgw_call_ready(call);
		else
		{
			call->transport = PGW_TRANSPORT_NEVER_SENT;
			pgw_bank_answers_over(call, 0);
		}
	}
}

void
pgw_calls_give_up(void)
{
	while (!dlist_is_empty(&ready))
	{
		PgwCall *call = dlist_container(PgwCall, item.node, dlist_pop_head_node(&ready));

		call->transport = PGW_TRANSPORT_NEVER_SENT;
		give_up(call);
	}
	while (!dlist_is_empty(&in_transfer))
	{
		PgwCall *call = dlist_head_element(PgwCall, all, &in_transfer);

		call->transport = PGW_TRANSPORT_MAYBE_SENT;
		give_up(call);
	}
}

/* ---------------------------------------------------------------- all of them */

bool
pgw_calls_ready(void)
{
	return !dlist_is_empty(&ready);
}

bool
pgw_calls_in_transfer(void)
{
	return !dlist_is_empty(&in_transfer);
}

void
pgw_calls_sent_forget_slots(void)
{
	dlist_iter iter;

	pgw_calls_forget_slots(&ready);
	dlist_foreach(iter, &in_transfer) dlist_container(PgwCall, all, iter.cur)->slot = -1;
}
