/*
 * call.c - one call of a bank: its beginning and end, its request, its permission, and what its end
 * says of the bank
 *
 * Owns the calls of this process and their index by attempt.  On which list a call is, and when it
 * is sent, is the queue's (queue/).
 *
 * Invariants
 *     - At most one call of an attempt exists at a time (by_attempt): whatever asks for another
 *       look meanwhile leaves it alone, and the call's result asks for the next step.
 *     - A permit of the bank's breaker is reported exactly once: with the call's end, or as unused.
 *     - Cards: the rendered request is wiped when it is freed.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "bank_call/call.h"
#include "bank_call/echoed_card.h"
#include "base/clock.h"
#include "base/error_detail.h"
#include "base/new_id.h"
#include "base/schedule.h"
#include "core/base/money.h"
#include "core/base/uuid7.h"
#include "exchange/taken_slots.h"
#include "observe/alerts.h"
#include "observe/metrics.h"
#include "store/tables.h"

static MemoryContext calls_context;
static HTAB *by_attempt; /* transaction_id -> its call */
static uint64 last_serial = 0;

typedef struct CallEntry
{
	pg_uuid_t transaction_id; /* key */
	PgwCall *call;
} CallEntry;

void
pgw_calls_init(void)
{
	HASHCTL ctl;

	calls_context = AllocSetContextCreate(TopMemoryContext, "pgw calls", ALLOCSET_DEFAULT_SIZES);
	ctl.keysize = sizeof(pg_uuid_t);
	ctl.entrysize = sizeof(CallEntry);
	ctl.hcxt = calls_context;
	by_attempt = hash_create("pgw calls", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

bool
pgw_call_under_way(const pg_uuid_t *transaction_id)
{
	return hash_search(by_attempt, transaction_id, HASH_FIND, NULL) != NULL;
}

PgwCall *
pgw_call_new(const pg_uuid_t *transaction_id, const pg_uuid_t *payment_id,
			 const pg_uuid_t *correlation_id, bool submitted)
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
	if (payment_id != NULL)
		call->payment_id = *payment_id;
	pgw_uuid_to_hex32(transaction_id->data, call->reference);
	pgw_uuid_to_text(correlation_id->data, call->correlation);
	return call;
}

int
pgw_call_errdetail(const PgwCall *call, const char *rest)
{
	static const pg_uuid_t none = {{0}};
	bool of_payment = memcmp(&call->payment_id, &none, sizeof(none)) != 0;

	return pgw_errdetail_attempt(call->correlation, of_payment ? &call->transaction_id : NULL,
								 of_payment ? &call->payment_id : NULL,
								 call->bank != NULL ? call->bank->name : NULL, rest);
}

void
pgw_call_forget_request(PgwCall *call)
{
	if (call->rendered == NULL)
		return;
	pgw_rendered_free(call->rendered);
	pfree(call->rendered);
	call->rendered = NULL;
}

void
pgw_call_forget_pages(PgwCall *call)
{
	if (call->pages == NULL)
		return;
	explicit_bzero(call->pages, sizeof(PgwPages));
	pfree(call->pages);
	call->pages = NULL;
}

/* Time that is left of what a question may take, all its pages together. */
static long
ms_left(const PgwCall *call)
{
	instr_time took;

	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, call->began);
	return call->bank->request_timeout_ms - (long) INSTR_TIME_GET_MILLISEC(took);
}

int
pgw_call_timeout_ms(const PgwCall *call)
{
	return call->pages == NULL ? call->bank->request_timeout_ms : (int) Max(ms_left(call), 1);
}

bool
pgw_call_next_page(PgwCall *call)
{
	PgwAnswer *a = &call->answer;
	const char *id = call->bank_reference[0] != '\0' ? call->bank_reference : NULL;

	if (call->pages == NULL && a->next_page[0] == '\0')
		return false;
	if (call->pages == NULL)
	{
		call->pages = MemoryContextAllocZero(calls_context, sizeof(PgwPages));
		call->first_path_len = call->rendered->path.len;
	}
	if (!pgw_pages_add(call->pages, a))
		return false;
	/* *a says nothing from here on, and stays so where the next page is not asked for */
	return ms_left(call) > 0 &&
		   pgw_connector_next_page(call->bank->connector, call->op, id, call->pages->cursor,
								   call->first_path_len, &call->rendered->path);
}

/* Give back an unused permit; allocates nothing. */
static void
return_permit(PgwCall *call)
{
	if (call->has_permit)
		pgw_bank_report(call->bank_name, call->op, &call->permit, PGW_VERDICT_UNUSED);
	call->has_permit = false;
}

void
pgw_call_unrender(PgwCall *call)
{
	pgw_call_forget_request(call);
	pgw_echo_forget(call);
	pgw_lanes_give_up(&call->place);
	return_permit(call);
	if (call->bank != NULL)
		pgw_config_drop(call->bank);
	call->bank = NULL;
}

void
pgw_call_free(PgwCall *call)
{
	pgw_call_forget_request(call);
	pgw_call_forget_pages(call);
	pgw_echo_forget(call);
	pgw_lanes_leave(&call->place);
	pgw_lanes_give_up(&call->place);
	return_permit(call);
	if (call->indexed)
		hash_search(by_attempt, &call->transaction_id, HASH_REMOVE, NULL);
	if (call->bank != NULL)
		pgw_config_drop(call->bank);
	if (call->ask != NULL)
		pfree(call->ask);
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
pgw_call_allowed(PgwCall *call, const char *bank, PgwRetryKind kind, TimestampTz *when)
{
	if (call->has_permit)
		return true;
	call->has_permit = pgw_bank_allows(bank, call->op, kind, &call->permit, when);
	/* the random half of the id */
	memcpy(&call->permit.payment, call->transaction_id.data + 8, sizeof(call->permit.payment));
	strlcpy(call->bank_name, bank, sizeof(call->bank_name));
	return call->has_permit;
}

/* Its file is there and has what the connector names; err says which name there is not. */
static bool
has_secret(const PgwBank *bank, PgwConnectorError *err)
{
	const char *const *names;
	bool named = pgw_connector_secret_names(bank->connector, &names) > 0;

	if (bank->secret != NULL || (bank->secret_name == NULL && !named))
		return true;
	if (bank->secret_name == NULL)
		snprintf(err->message, sizeof(err->message),
				 "the connector's {{secret.%s}} needs a file, and the bank's row names no secret",
				 names[0]);
	else if (bank->secret_lacks != NULL)
		snprintf(err->message, sizeof(err->message),
				 "the connector's {{secret.%s}} has no line in the secret's file",
				 bank->secret_lacks);
	return false;
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
	if (!has_secret(bank, err))
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
	strlcpy(call->operation_reference,
			params->operation_reference != NULL ? params->operation_reference : "",
			sizeof(call->operation_reference));
	params->correlation_id = call->correlation;
	params->base_url = bank->base_url;
	if (call->said_at == 0)
		call->said_at = pgw_now();
	params->now = pgw_unix_microseconds(call->said_at);
	params->secrets = pgw_secret_values(bank->secret);
	params->settings = bank->settings;

	call->rendered = MemoryContextAllocZero(calls_context, sizeof(PgwRendered));
	pgw_rendered_init(call->rendered);
	if (!pgw_connector_render(bank->connector, call->op, params, call->rendered, err))
	{
		pgw_call_forget_request(call);
		return false;
	}
	pgw_config_hold(bank);
	call->bank = bank;
	call->secret = pgw_secret_hold(bank->secret);
	pgw_lanes_begin(&call->place, bank->name,
					call->op == PGW_OP_CHARGE || call->op == PGW_OP_AUTHORIZE);
	return true;
}

bool
pgw_call_key_remembered(const PgwCall *call)
{
	return pgw_capabilities_key_remembered(pgw_connector_capabilities(call->bank->connector),
										   call->op, pgw_schedule_age_s(call->said_at));
}

void
pgw_call_trace(PgwCallParams *params, const char *bank_fields, PgwTrace *trace)
{
	if (!pgw_trace_of_fields(bank_fields, trace))
		return;
	params->traceparent = pgw_trace_header(trace->parent);
	if (params->traceparent != NULL)
		params->tracestate = pgw_trace_header(trace->state);
}

void
pgw_calls_forget_slots(dlist_head *calls)
{
	dlist_iter iter;

	dlist_foreach(iter, calls) dlist_container(PgwCall, item.node, iter.cur)->slot = -1;
}

/* ---------------------------------------------------------------- its end */

void
pgw_call_answer_error(PgwCall *call, const char *code, const char *detail)
{
	PgwSlotAnswer a;

	memset(&a, 0, sizeof(a));
	a.kind = PGW_ANSWER_ERROR;
	strlcpy(a.error_code, code, sizeof(a.error_code));
	strlcpy(a.detail, detail, sizeof(a.detail));
	if (call->slot >= 0)
		(void) pgw_exchange_answer(call->slot, &a);
	pgw_call_free(call);
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

	pgw_metrics_bank_credentials_rejected(call->bank->name, call->bank->livemode);
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

static void
tell_other_mode(const PgwCall *call)
{
	char message[256];

	snprintf(message, sizeof(message),
			 "bank \"%s\" answers to %s that %s: its key or address is that of the other mode",
			 call->bank->name, pgw_op_name(call->op),
			 call->bank->livemode != call->charged_in_other_mode ? "it is a test"
																 : "it is no test");
	pgw_alert("livemode_mismatch", call->bank->name, call->bank->name, NULL, call->correlation,
			  message);
}

static PgwCallVerdict
verdict_of(const PgwCall *call, bool is_ask)
{
	if (call->our_fault)
		return PGW_VERDICT_UNUSED;
	if (is_ask)
		return pgw_breaker_ask_verdict(call->transport, call->http_status);
	return pgw_breaker_verdict(call->transport, call->http_status, call->answer.outcome);
}

void
pgw_call_report(PgwCall *call)
{
	/*
	 * Anybody can have a notification asked for, and so decides what the bank answers: it counts
	 * for the breaker of such calls alone, never for the bank's health, its key or its retries.
	 */
	bool is_ask = call->op == PGW_OP_VERIFY_NOTIFICATION;
	PgwCallVerdict verdict = verdict_of(call, is_ask);

	if (is_ask)
		call->credentials_rejected = false;
	if (call->credentials_rejected || call->answer.other_mode)
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
	pgw_metrics_bank_call(call->bank->name, call->bank->livemode, call->op, call->transport,
						  call->answer.outcome,
						  is_ask ? PGW_BANK_HEALTH_UNKNOWN : health_of(verdict), &call->began);
	if (call->credentials_rejected)
		tell_credentials_rejected(call);
	if (call->answer.echoed)
		pgw_echo_tell(call);
	if (call->answer.other_mode)
		tell_other_mode(call);
}

/* ---------------------------------------------------------------- debug points */

const char *
pgw_call_debug_name(const PgwCall *call, const char *what, const char *otherwise)
{
	static char name[NAMEDATALEN];

	if (call->after == NULL)
		return otherwise;
	snprintf(name, sizeof(name), "%s_%s", call->after, what);
	return name;
}
