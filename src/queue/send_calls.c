/*
 * send_calls.c - bank calls: from a durable intent out over HTTP, and their answers in
 *
 *      slot ---> take_requests.c ----+--(commit)---> ready --(flushed)--> HTTP ---> write_results.c
 *      ---(commit)---> slot answered
 *      tables -> due_attempts.c -----+                                                    |
 *                  ^----------------------------- next step ------------------------------+
 *
 * Owns the calls and their lists; all in this process only.
 *
 * Orderings that matter
 *     - A request leaves only from `ready`, only when the log is flushed up to the commit of its
 *       intent (invariant 5); a call gets there only in committed().  A crash before that flush:
 *       nothing was sent.  After it: the row says BankProcessingStarted, so it is never sent
 *       blindly again.
 *     - Intents of callers commit without waiting for their flush: while the disk writes, what
 *       else has come is worked on.  Most often a client's commit has flushed them by then; at the
 *       latest the end of the next turn does.
 *     - Nobody is charged for a caller that has gone: a caller's slot is bound right before its
 *       request is handed to HTTP.  Who left before has withdrawn, and the attempt becomes Failed;
 *       who leaves after that leaves a payment that names it, or rolls back.
 *     - At most one call of an attempt exists at a time (by_attempt): whatever asks for another
 *       look meanwhile leaves it alone, and the call's result asks for the next step.
 *     - Cards: wiped from the rendered body as soon as libcurl has its copy; what an answer is
 *       compared with, as soon as it is judged.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "storage/latch.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bank_call/call.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/debug_points.h"
#include "base/new_id.h"
#include "core/base/money.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "http/http.h"
#include "observe/alerts.h"
#include "observe/metrics.h"

#define MAX_ANSWER_BYTES (1024 * 1024)

/*
 * In one transaction.  What callers wait for has no flush of its own, so it comes in small ones:
 * the first callers go on while the next are served, and they do not all come back at the same
 * moment.
 */
#define CALLERS_AT_ONCE 32

static MemoryContext calls_context;
static HTAB *by_attempt; /* transaction_id -> its call */
static uint64 last_serial = 0;
static dlist_head ready;
static dlist_head in_transfer; /* linked by .all */
/* items whose commit may be asynchronous: results that a caller waits for */
static dlist_head awaited_results;
static dlist_head intents;         /* requests: durable before they are sent, see send_ready() */
static dlist_head flushed;         /* items whose commit must be durable: all others */
static bool left_in_ready = false; /* the last turn has left calls in `ready` */
static bool more_to_admit = false; /* ... or some unadmitted that have room */

/* ---------------------------------------------------------------- calls */

typedef struct CallEntry
{
	pg_uuid_t transaction_id; /* key */
	PgwCall *call;
} CallEntry;

bool
pgw_call_under_way(const pg_uuid_t *transaction_id)
{
	return hash_search(by_attempt, transaction_id, HASH_FIND, NULL) != NULL;
}

PgwCall *
pgw_call_new(const pg_uuid_t *transaction_id, const pg_uuid_t *correlation_id, bool submitted)
{
	PgwCall *call = MemoryContextAllocZero(calls_context, sizeof(PgwCall));
	CallEntry *entry;
	bool found;

	PG_TRY();
	{
		entry = hash_search(by_attempt, transaction_id, HASH_ENTER, &found);
	}
	PG_CATCH();
	{
		/* out of memory: none is lost to that, however often it is tried */
		pfree(call);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (!found)
		entry->call = call;
	call->indexed = !found;
	call->serial = ++last_serial;
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
pgw_call_return_permit(PgwCall *call)
{
	if (call->has_permit)
		pgw_bank_report(call->bank_name, call->op, &call->permit, PGW_VERDICT_UNUSED);
	call->has_permit = false;
}

void
pgw_call_unrender(PgwCall *call)
{
	free_rendered(call);
	pgw_echo_forget(call);
	pgw_lanes_give_up(&call->place);
	pgw_call_return_permit(call);
	if (call->bank != NULL)
		pgw_config_drop(call->bank);
	call->bank = NULL;
}

void
pgw_call_free(PgwCall *call)
{
	free_rendered(call);
	pgw_echo_forget(call);
	pgw_lanes_leave(&call->place);
	pgw_lanes_give_up(&call->place);
	pgw_call_return_permit(call);
	if (call->indexed)
		hash_search(by_attempt, &call->transaction_id, HASH_REMOVE, NULL);
	if (call->bank != NULL)
		pgw_config_drop(call->bank);
	Assert(!call->in_transfer); /* HTTP does not know it any more */
	explicit_bzero(call, sizeof(PgwCall));
#ifdef PGW_DEBUG_POINTS
	memset(call, 0x7f, sizeof(PgwCall)); /* who still looks at it is to stumble */
#endif
	pfree(call);
}

const char *
pgw_call_new_key(void)
{
	char key[33];
	pg_uuid_t id;

	pgw_new_id(&id);
	pgw_uuid_to_hex32(id.data, key);
	return pstrdup(key);
}

uint64
pgw_calls_serial(void)
{
	return last_serial;
}

bool
pgw_calls_over(uint64 serial)
{
	HASH_SEQ_STATUS seq;
	CallEntry *entry;

	hash_seq_init(&seq, by_attempt);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->call->slot < 0 && entry->call->serial <= serial)
		{
			hash_seq_term(&seq);
			return false;
		}
	}
	return true;
}

bool
pgw_call_allowed(PgwCall *call, const char *bank, bool retry, TimestampTz *when)
{
	if (call->has_permit)
		return true;
	call->has_permit = pgw_bank_allows(bank, call->op, retry, &call->permit, when);
	/* the random half of the id */
	memcpy(&call->permit.payment, call->transaction_id.data + 8, sizeof(call->permit.payment));
	strlcpy(call->bank_name, bank, sizeof(call->bank_name));
	return call->has_permit;
}

static PgwBankHealth
health_of(PgwCallVerdict verdict)
{
	if (verdict == PGW_VERDICT_SUCCESS || verdict == PGW_VERDICT_ALIVE)
		return PGW_BANK_HEALTHY;
	return verdict == PGW_VERDICT_FAILURE ? PGW_BANK_FAILING : PGW_BANK_HEALTH_UNKNOWN;
}

static void
tell_credentials_rejected(const PgwCall *call)
{
	char message[256];

	pgw_metrics_bank_credentials_rejected(call->bank->name);
	if (call->bank->secret_name == NULL || call->bank->secret_name[0] == '\0')
		snprintf(message, sizeof(message),
				 "bank \"%s\" wants a key (HTTP status %ld): its row in pgw.banks names no secret",
				 call->bank->name, call->http_status);
	else
		snprintf(
			message, sizeof(message),
			"bank \"%s\" refuses our key (HTTP status %ld): mend file \"%s\" in pgw.secrets_dir",
			call->bank->name, call->http_status, call->bank->secret_name);
	pgw_alert("credentials_rejected", call->bank->name, call->bank->name, NULL, call->correlation,
			  message);
}

/* What its end says of its bank. */
static void
report(PgwCall *call)
{
	PgwCallVerdict verdict =
		call->our_fault
			? PGW_VERDICT_UNUSED
			: pgw_breaker_verdict(call->transport, call->http_status, call->answer.outcome);

	if (call->credentials_rejected)
		verdict = PGW_VERDICT_FAILURE; /* nothing can be done there until somebody mends it */
	/* a ping stands in for a charge */
	if (call->op == PGW_OP_PING && verdict == PGW_VERDICT_SUCCESS)
		verdict =
			call->answer.outcome == PGW_OUT_APPROVED ? PGW_VERDICT_ALIVE : PGW_VERDICT_FAILURE;
	if (call->has_permit)
		pgw_bank_report(call->bank_name, call->op, &call->permit, verdict);
	call->has_permit = false;
	if (call->bank == NULL)
		/*
		 * a ping that could not be made, for want of its bank, connector or key: no call to count
		 */
		return;
	pgw_metrics_bank_call(call->bank->name, call->op, call->transport, call->answer.outcome,
						  health_of(verdict), &call->began);
	if (call->credentials_rejected)
		tell_credentials_rejected(call);
	if (call->answer.echoed)
		pgw_echo_tell(call);
}

/*
 * The transfer is over, one way or another.  Telling of it can raise, and must not lose the call.
 */
static void
finish(PgwCall *call, long http_status)
{
	call->http_status = http_status;
	pgw_echo_forget(call);
	pgw_lanes_closed(&call->place);
	if (call->op != PGW_OP_PING)
	{
		pgw_results_add(call);
		report(call);
		return;
	}
	PG_TRY();
	{
		report(call);
	}
	PG_FINALLY();
	{
		pgw_call_free(call);
	}
	PG_END_TRY();
}

bool
pgw_call_render(PgwCall *call, PgwBank *bank, PgwCallParams *params, const char **error_code,
				PgwConnectorError *err)
{
	const PgwCurrency *currency = pgw_currency_find(params->currency);

	memset(err, 0, sizeof(*err));
	*error_code = "connector_invalid";
	if (bank->connector == NULL || currency == NULL ||
		!pgw_connector_has(bank->connector, call->op))
		return false;
	pgw_config_refresh_secret(bank);
	if (bank->secret_name != NULL && bank->secret == NULL)
	{
		*error_code = "secret_missing";
		return false;
	}
	/* so that nothing can fail between the rendered request and its place */
	pgw_lanes_ensure(bank->name);
	strlcpy(call->currency, params->currency, sizeof(call->currency));
	call->iso_exponent = currency->exponent;
	params->has_amount = params->amount > 0;
	params->iso_exponent = currency->exponent;
	params->transaction_ref = call->reference;
	if (params->original_ref == NULL)
		params->original_ref = call->reference;
	params->idempotency_key = call->reference;
	strlcpy(call->original, params->original_ref, sizeof(call->original));
	strlcpy(call->bank_reference, params->bank_reference != NULL ? params->bank_reference : "",
			sizeof(call->bank_reference));
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
	pgw_lanes_begin(&call->place, bank->name,
					call->op == PGW_OP_CHARGE || call->op == PGW_OP_AUTHORIZE);
	return true;
}

/* Its transfer is over for us, and that is not the bank's fault. */
static void
give_up(PgwCall *call)
{
	if (call->in_transfer)
	{
		/* HTTP may still have its answer, and would come with a call that is freed by then */
		if (!PGW_MUTATED(DISOWN))
			pgw_http_disown(call->transfer);
		dlist_delete(&call->all);
	}
	call->in_transfer = false;
	free_rendered(call);
	pgw_echo_forget(call);
	pgw_lanes_closed(&call->place);
	if (call->op == PGW_OP_PING)
		pgw_call_free(call);
	else
		pgw_results_add(call);
}

/* ---------------------------------------------------------------- HTTP */

void
pgw_call_ready(PgwCall *call)
{
	call->intent_end = XactLastCommitEnd;
	dlist_push_tail(&ready, &call->item.node);
}

/* NULL: never sent. */
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
	/*
	 * without keys at the bank, a silent resend by libcurl on a dead reused connection would charge
	 * twice
	 */
	req.fresh_connection = !pgw_connector_capabilities(call->bank->connector)->idempotency &&
						   !PGW_MUTATED(RESEND_GUARD);
	req.connect_timeout_ms = call->bank->connect_timeout_ms;
	req.total_timeout_ms = call->bank->request_timeout_ms;
	req.max_body = MAX_ANSWER_BYTES;
	req.ca_file = call->bank->ca_file;
	req.max_connection_age_s = pgw_connection_max_age;
	transfer = pgw_http_start(&req, call, error);
	explicit_bzero(url, strlen(url));
	pfree(url);
	return transfer;
}

/* "capture_sent", "operation_answered"; of other calls: otherwise. */
static pg_attribute_unused() const
	char *debug_name(const PgwCall *call, const char *what, const char *otherwise)
{
	static char name[NAMEDATALEN];

	if (call->after == NULL)
		return otherwise;
	snprintf(name, sizeof(name), "%s_%s", call->after, what);
	return name;
}

static void
send_call(PgwCall *call)
{
	const char *error = NULL;
	char correlation[sizeof(call->correlation)];

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
	free_rendered(call);
	if (call->in_transfer)
	{
		dlist_push_tail(&in_transfer, &call->all);
		PGW_DEBUG_POINT(debug_name(call, "sent", "sent"));
		return;
	}
	strlcpy(correlation, call->correlation, sizeof(correlation));
	call->transport = PGW_TRANSPORT_NEVER_SENT;
	/* out of memory, or a request that libcurl does not take: the bank has not been asked */
	call->our_fault = true;
	finish(call, 0);
	ereport(LOG, (errmsg("pgw: call not started: %s", error),
				  errdetail("correlation id %s", correlation)));
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

/* Those whose intent is durable; with flush, all: see the head of this file. */
static void
send_ready(bool flush)
{
	XLogRecPtr durable;

	/*
	 * A termination ends a wait for the synchronous standby, and the commit is then only local:
	 * leave before anything is sent that the next primary might not know of.
	 */
	CHECK_FOR_INTERRUPTS();
	if (dlist_is_empty(&ready))
		return;
	if (flush && !PGW_MUTATED(INTENT_FLUSH))
		XLogFlush(dlist_tail_element(PgwCall, item.node, &ready)->intent_end);
	durable = pgw_flush_rec_ptr();
	while (!dlist_is_empty(&ready))
	{
		PgwCall *call = dlist_head_element(PgwCall, item.node, &ready);

		if (call->intent_end > durable && !PGW_MUTATED(INTENT_FLUSH))
			return;
		dlist_delete(&call->item.node);
		if (call->slot >= 0)
			PGW_DEBUG_POINT("intent_flushed");
		else if (call->awaited)
			PGW_DEBUG_POINT("retry_flushed");
		if (still_wanted(call))
			send_call(call);
		else
			withdraw(call);
	}
}

static bool
has_synchronous_standby(void)
{
	return SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0';
}

/* Is there something to do before the disk has to be waited for? */
static bool
more_has_come(void)
{
	return MyLatch->is_set || pgw_results_pending();
}

/*
 * A near bank may have answered by the time that all is sent; driving uses up what would have made
 * the descriptor readable, so look here too. No call is put off twice.
 */
static void
send_and_receive(void)
{
	send_ready(left_in_ready);
	pgw_calls_take_answers();
	left_in_ready = !dlist_is_empty(&ready) && more_has_come();
	if (dlist_is_empty(&ready) || left_in_ready)
		return;
	send_ready(true);
	pgw_calls_take_answers();
}

static void
take_answer(PgwCall *call, const PgwHttpDone *done)
{
	PgwSought sought;
	PgwQuestion question = {.op = call->op,
							.sought = &sought,
							.transaction_ref = call->reference,
							.original_ref = call->original,
							.bank_reference =
								call->bank_reference[0] != '\0' ? call->bank_reference : NULL,
							.currency = call->currency,
							.iso_exponent = call->iso_exponent};

	switch (done->result)
	{
		case PGW_HTTP_ANSWERED:
			pgw_echo_sought(call, &sought);
			pgw_connector_judge(call->bank->connector, &question, done->status, done->retry_after,
								done->body->data, done->body->len, &call->answer);
			call->transport = PGW_TRANSPORT_ANSWERED;

			call->credentials_rejected = pgw_secret_refused(call->op, done->status, &call->answer);

			/*
			 * Sent twice by libcurl: that the bank did not take the second says nothing of the
			 * first.
			 */
			if (done->resent && (call->answer.outcome == PGW_OUT_NOT_PROCESSED ||
								 call->answer.outcome == PGW_OUT_REJECTED))
				call->answer.outcome = PGW_OUT_UNKNOWN;
			if (call->answer.outcome == PGW_OUT_UNKNOWN)
				ereport(
					LOG,
					(call->answer.other_reference
						 ? errmsg(
							   "pgw: the bank's answer names another payment, or not the one that was asked about (HTTP status %ld)",
							   done->status)
						 : errmsg("pgw: the bank's answer was not understood (HTTP status %ld)",
								  done->status),
					 errdetail("correlation id %s, bank \"%s\"", call->correlation,
							   call->bank->name)));
			return;
		case PGW_HTTP_NEVER_SENT:
			call->transport = PGW_TRANSPORT_NEVER_SENT;
			call->our_fault = done->our_fault;
			break;
		case PGW_HTTP_MAYBE_SENT:
			call->transport = PGW_TRANSPORT_MAYBE_SENT;
			break;
	}
	ereport(
		LOG,
		(errmsg("pgw: bank call failed: %s", done->error != NULL ? done->error : "unknown reason"),
		 errdetail("correlation id %s, bank \"%s\", %s", call->correlation, call->bank->name,
				   done->result == PGW_HTTP_NEVER_SENT ? "never sent" : "may have been sent")));
}

/*
 * An ERROR on the way must not lose the call: then it may have reached the bank, and that is all
 * that is known.
 */
static void
take_in(PgwCall *call, const PgwHttpDone *done)
{
	long status = done->status;

	call->transport = PGW_TRANSPORT_MAYBE_SENT;
	call->in_transfer = false;
	dlist_delete(&call->all);
	PG_TRY();
	{
		take_answer(call, done);
		PGW_DEBUG_POINT(
			debug_name(call, "answered",
					   call->in_doubt || call->op == PGW_OP_VOID || call->op == PGW_OP_REFUND
						   ? "refund_answered"
						   : "answer_arrived"));
	}
	PG_CATCH();
	{
		pgw_http_release(done->handle);
		finish(call, 0);
		PG_RE_THROW();
	}
	PG_END_TRY();
	pgw_http_release(done->handle);
	finish(call, status);
}

void
pgw_calls_take_answers(void)
{
	PgwHttpDone done;

	pgw_http_drive();
	while (pgw_http_next_done(&done))
	{
		PgwCall *call = done.tag;

		/* no call: it was given up, and has its result already */
		if (call != NULL)
			take_in(call, &done);
		else
			pgw_http_release(done.handle);
	}
}

/* ---------------------------------------------------------------- the whole */

void
pgw_calls_init(void)
{
	HASHCTL ctl;

	calls_context = AllocSetContextCreate(TopMemoryContext, "pgw calls", ALLOCSET_DEFAULT_SIZES);
	ctl.keysize = sizeof(pg_uuid_t);
	ctl.entrysize = sizeof(CallEntry);
	ctl.hcxt = calls_context;
	by_attempt = hash_create("pgw calls", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	dlist_init(&ready);
	dlist_init(&in_transfer);
	dlist_init(&awaited_results);
	dlist_init(&intents);
	dlist_init(&flushed);
	pgw_lanes_init();
	pgw_requests_init();
	pgw_waiters_init();
	pgw_results_init();
	pgw_due_init();
}

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
static void
send_probes(void)
{
	PgwBreakerPermit permit;
	const char *name;

	while ((name = pgw_bank_to_probe(&permit)) != NULL)
	{
		pg_uuid_t id;
		PgwCall *call;

		pgw_new_id(&id);
		call = pgw_call_new(&id, &id, false); /* an ERROR: the permit lapses by itself */
		call->op = PGW_OP_PING;
		call->permit = permit;
		call->has_permit = true;
		strlcpy(call->bank_name, name, sizeof(call->bank_name));
		if (render_ping(call))
			pgw_call_ready(call);
		else
		{
			call->transport = PGW_TRANSPORT_NEVER_SENT;
			finish(call, 0);
		}
	}
}

/* Whoever has room at his bank now; of attempts so many at most. */
static void
admit(int *looks)
{
	pgw_requests_collect(&intents);
	while (*looks > 0)
	{
		PgwBatchItem *item = pgw_lanes_next();

		if (item == NULL)
		{
			pgw_due_none_admitted();
			break;
		}
		if (item->ops == &pgw_request_ops)
			pgw_requests_admit(item, &intents);
		else
		{
			pgw_due_admit(item, &flushed);
			(*looks)--;
		}
	}
	more_to_admit = *looks == 0;
}

PgwBatchEnd
pgw_calls_run(bool admit_new)
{
	PgwBatchEnd end = PGW_BATCH_DONE;
	int looks = PGW_LOOKS_AT_ONCE;

	pgw_waiters_sweep();
	pgw_results_collect(pgw_now(), &awaited_results, &flushed);
	if (admit_new)
	{
		admit(&looks);
		pgw_due_collect(&flushed, &looks);
		send_probes();
	}

	/*
	 * Callers that wait come first: answers, and in between what those who had theirs ask next, so
	 * that the bank has work meanwhile.  Only in between: callers who are refused at once could go
	 * on asking for ever.
	 */
	while (end == PGW_BATCH_DONE &&
		   (!dlist_is_empty(&awaited_results) || !dlist_is_empty(&intents)))
	{
		bool answers = !dlist_is_empty(&awaited_results);

		end = pgw_batch_run(&awaited_results, CALLERS_AT_ONCE, false);
		if (admit_new && answers)
		{
			pgw_requests_take();
			admit(&looks);
		}
		/* without a flush of its own, unless a standby has to have it */
		if (end == PGW_BATCH_DONE)
			end = pgw_batch_run(&intents, CALLERS_AT_ONCE, has_synchronous_standby());
		send_ready(false);
	}

	/*
	 * Whatever became of a batch: what is in `ready` is committed.  After each, so that banks work
	 * on it while the next one is written.
	 */
	do
	{
		if (end == PGW_BATCH_DONE)
			end = pgw_batch_run(&flushed, PGW_LOOKS_AT_ONCE, true);
		send_and_receive();
	} while (end == PGW_BATCH_DONE && !dlist_is_empty(&flushed));
	return end;
}

bool
pgw_calls_in_flight(void)
{
	return !dlist_is_empty(&in_transfer) || !dlist_is_empty(&ready) ||
		   !dlist_is_empty(&awaited_results) || !dlist_is_empty(&intents) ||
		   !dlist_is_empty(&flushed) || pgw_results_pending();
}

bool
pgw_calls_have_more(void)
{
	return left_in_ready || more_to_admit;
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

/* Of a list of items, the calls. */
void
pgw_calls_forget_in(dlist_head *items)
{
	dlist_iter iter;

	dlist_foreach(iter, items)
	{
		PgwBatchItem *item = dlist_container(PgwBatchItem, node, iter.cur);

		if (item->ops == &pgw_request_ops || item->ops == &pgw_result_ops)
			((PgwCall *) item)->slot = -1;
	}
}

void
pgw_calls_forget_slots(void)
{
	dlist_iter iter;

	pgw_requests_forget();
	pgw_waiters_forget();
	pgw_calls_forget_in(&ready);
	pgw_calls_forget_in(&awaited_results);
	pgw_calls_forget_in(&intents);
	pgw_calls_forget_in(&flushed);
	pgw_results_forget();
	dlist_foreach(iter, &in_transfer) dlist_container(PgwCall, all, iter.cur)->slot = -1;
}
