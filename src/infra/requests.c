/*
 * requests.c - what callers of process_payment ask: the intent of a new attempt, or the takeover of an earlier one
 *
 *	 slot ---> waiting ---> items ---(commit, flushed)---> calls.c: ready
 *	           (bank full)    |
 *	                          +--- an earlier attempt with this id: adopt.c ---(commit, flushed)---> answered, or waiters.c
 *
 * Owns the requests that wait for room at their bank.  A slot's body is ours from take to answer.
 *
 * Orderings that matter
 *	- The slot is marked recorded in committed(), with interrupts held since before the commit: a worker that ends cannot leave a durable
 *	  intent in a slot that the next worker would take for a fresh request.  (The attempt's id would be a duplicate key then as well.)
 *	- The slot is bound after that, right before the request leaves (calls.c) or its caller is made to wait for an earlier attempt: a caller
 *	  that leaves earlier has withdrawn, whatever its intent's commit waits for, and no payments row names an attempt that is not recorded.
 *	- Cards: rendered before the intent (a request that cannot be rendered leaves no trace), wiped from the slot in committed().
 *	- Requests are read from the slots before the transaction that records them takes its xid (batch.c).
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "core/mutant.h"
#include "infra/calls_internal.h"
#include "infra/clock.h"
#include "infra/debug.h"

#define TAKE_MAX 256
#define BUSY_DELAY_MS 20
#define LOCKED_PATIENCE_MS 2000	/* of an intent whose tables are locked by somebody */

static dlist_head waiting;
static bool config_wanted = false;	/* some of them wait for the configuration to be read again */

void
pgw_requests_init(void)
{
	dlist_init(&waiting);
}

bool
pgw_requests_want_config(void)
{
	return config_wanted && !dlist_is_empty(&waiting);
}

void
pgw_requests_forget(void)
{
	pgw_calls_forget_in(&waiting);
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
		(void) pgw_exchange_answer(call->slot, &a);
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
	ok = pgw_call_render(call, bank, &params, error_code, err);
	explicit_bzero(&params, sizeof(params));
	return ok;
}

static void request_apply(PgwItem *item);
static void request_committed(PgwItem *item);
static void request_failed(PgwItem *item, int sqlstate);
static void request_broken(PgwItem *item, bool committed);

const PgwItemOps pgw_request_ops = {"intents", request_apply, request_committed, request_failed, request_broken};

static void
take_one(int slot)
{
	const PgwSlotRequest *r = pgw_exchange_request(slot);
	PgwCall    *call;

	PGW_DEBUG_POINT("take_one");
	call = pgw_call_new(&r->transaction_id, &r->correlation_id, false);
	call->slot = slot;
	call->config_reads = r->unsettled ? pgw_config_reads() + 1 : 0;
	call->item.ops = &pgw_request_ops;
	dlist_push_tail(&waiting, &call->item.node);
}

void
pgw_calls_take_requests(void)
{
	int			slots[TAKE_MAX];
	int			n = pgw_exchange_take(slots, TAKE_MAX);
	volatile int i = 0;

	PG_TRY();
	{
		for (; i < n; i++)
			take_one(slots[i]);
	}
	PG_CATCH();
	{
		/* out of memory: what has no call goes back into its place, or its caller would wait for nobody */
		if (!PGW_MUTATED(TAKEN_LOST))
			pgw_exchange_give_back(slots + i, n - i);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (n > 0)
		PGW_DEBUG_POINT("taken");
}

/*
 * The bank that takes it now: the chosen one, or, where the caller named none and that one is left alone, the next by priority.  NULL: none;
 * *refused: because they are left alone.
 */
static PgwBank *
bank_for(PgwCall *call, PgwBank *bank, bool *refused)
{
	const PgwSlotRequest *r = pgw_exchange_request(call->slot);
	TimestampTz when;

	call->op = pgw_flow_operation((PgwCaptureMode) r->capture, false);
	call->deadline = r->deadline;
	*refused = false;
	for (PgwBank *b = bank; b != NULL;)
	{
		if (!pgw_call_bank_has_room(b))
		{
			*refused = false;	/* it waits, also where the banks before this one are left alone */
			return NULL;
		}
		if (pgw_call_allowed(call, b->name, false, &when))
		{
			if (b != bank)
				strlcpy(call->switched_from, bank->name, sizeof(call->switched_from));
			*refused = false;
			return b;
		}
		*refused = true;
		if (r->bank_requested[0] != '\0')
			break;
		b = pgw_config_next_bank(b, r->amount, r->currency, r->card_number[0] != '\0', (PgwCaptureMode) r->capture);
	}
	return NULL;
}

/*
 * The caller has chosen its bank by a configuration that this process has not read yet: from an older one it is neither answered nor served, or the
 * request would go to where the bank was.
 */
static bool
config_is_older(const PgwCall *call)
{
	bool		unsettled;

	return (pgw_config_number(&unsettled) < pgw_exchange_request(call->slot)->generation || pgw_config_reads() < call->config_reads) &&
		!PGW_MUTATED(OLD_CONFIG);
}

static void
admit_one(PgwCall *call, dlist_head *items)
{
	bool		gone = call->slot < 0 || pgw_exchange_abandoned(call->slot);
	PgwBank    *bank = gone ? NULL : pgw_config_bank(pgw_exchange_request(call->slot)->bank);
	PgwBank    *chosen;
	const char *code = NULL;
	PgwConnectorError err;

	if (!gone && call->rendered == NULL && config_is_older(call))
	{
		pgw_config_reread();
		config_wanted = true;
		return;
	}
	if (gone)
		code = "internal_error";	/* nobody reads it: nothing was recorded, nothing is sent */
	else if (bank == NULL)
		code = "unknown_bank";
	else if (!bank->enabled)
		code = "bank_disabled";
	if (code == NULL && call->rendered == NULL)
	{
		chosen = bank;
		bank = bank_for(call, chosen, &call->refused);
		if (bank == NULL && !call->refused)
			return;				/* no room */
		if (bank == NULL)
			bank = chosen;
	}
	dlist_delete(&call->item.node);
	err.message[0] = '\0';
	if (code != NULL || (call->rendered == NULL && !render_request(call, bank, &code, &err)))
		answer_error(call, code, err.message);
	else
		dlist_push_tail(items, &call->item.node);
}

/* From waiting to intents, as far as the banks' limits allow; the others keep their order. */
void
pgw_requests_admit(dlist_head *items)
{
	dlist_mutable_iter iter;

	config_wanted = false;
	dlist_foreach_modify(iter, &waiting)
	{
		PgwCall    *call = dlist_container(PgwCall, item.node, iter.cur);

		if (call->rendered != NULL && call->not_before > pgw_now())
			continue;
		admit_one(call, items);
	}
}

void
pgw_calls_refuse_waiting(const char *error_code)
{
	while (!dlist_is_empty(&waiting))
		answer_error(dlist_container(PgwCall, item.node, dlist_pop_head_node(&waiting)), error_code, "");
}

TimestampTz
pgw_requests_next_due(void)
{
	TimestampTz next = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &waiting)
	{
		PgwCall    *call = dlist_container(PgwCall, item.node, iter.cur);

		if (call->rendered != NULL && (next == 0 || call->not_before < next))
			next = call->not_before;
	}
	return next;
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
	t->bank_version = pgw_config_version_of(call->bank);
	t->bank_requested = copy(r->bank_requested);
	t->reference = copy(r->reference);
	t->bank_fields = r->bank_fields[0] != '\0' ? pstrdup(r->bank_fields) : pstrdup("{}");
	t->bank_key = pstrdup(call->reference);
	t->bank_key_used_at = pgw_now();
	t->caller_xid = r->caller_xid;
	t->caller_subxid = r->caller_subxid;
	t->system_identifier = (int64) GetSystemIdentifier();
	t->database_oid = MyDatabaseId;
	t->bank_asked_at = t->bank_key_used_at;
	t->attempts = 1;
	t->correlation_id = r->correlation_id;
	t->created_at = t->updated_at = t->bank_key_used_at;
}

static void
record_intent(PgwTransaction *t, const PgwCall *call)
{
	PgwEvent	events[3];
	int			n = 0;

	memset(events, 0, sizeof(events));
	events[n++] = (PgwEvent) {.type = PGW_EV_TRANSACTION_STARTED, .from = PGW_STATE_NONE, .to = PGW_CREATED};
	if (call->switched_from[0] != '\0')
		events[n++] = (PgwEvent) {.type = PGW_EV_BANK_SWITCHED, .from = PGW_CREATED, .to = PGW_CREATED,
			.extra = psprintf("\"from_bank\": %s", pgw_store_json_string(call->switched_from))};
	events[n++] = (PgwEvent) {.type = PGW_EV_BANK_PROCESSING_STARTED, .from = PGW_CREATED, .to = PGW_CREATED};
	for (int i = 0; i < n; i++)
		events[i].operation = pgw_op_name(call->op);
	pgw_store_advance(t, true, events, n);
}

/* No bank that could take it is called just now. */
static void
record_refusal(PgwTransaction *t, const PgwCall *call)
{
	PgwFlowDecision d;

	pgw_flow_refused(&d);
	t->bank_key_used_at = t->bank_asked_at = 0;
	t->bank_version = 0;
	t->attempts = 0;
	pgw_vote_record_new(t, &d, pgw_op_name(call->op));
}

static void
request_apply(PgwItem *item)
{
	PgwCall    *call = (PgwCall *) item;
	const PgwSlotRequest *r;
	PgwTransaction t;

	call->takeover = call->wait = call->later = call->look = false;
	call->skipped = call->slot < 0 || pgw_exchange_abandoned(call->slot);
	if (call->skipped)
		return;					/* the caller left, or the extension was being dropped meanwhile */
	r = pgw_exchange_request(call->slot);
	call->takeover = pgw_adopt_for_request(call, r);
	if (call->takeover)
	{
		PGW_DEBUG_POINT("adoption_apply");
		return;
	}
	fill_transaction(&t, r, call);
	if (call->refused)
		record_refusal(&t, call);
	else
		record_intent(&t, call);
	PGW_DEBUG_POINT("intent_apply");
}

/* The earlier attempt's outcome goes to this caller, now or when it is known. */
static void
taken_over(PgwCall *call)
{
	pg_uuid_t	earlier = call->reply.transaction_id;
	bool		told = false;

	if (call->wait)
	{
		pgw_exchange_mark_recorded(call->slot, &earlier);
		pgw_exchange_wipe(call->slot);	/* the earlier attempt has its own */
		PGW_DEBUG_POINT("adoption_committed");
		told = pgw_exchange_bind(call->slot) && pgw_waiters_add(&earlier, call->slot, call->deadline);
	}
	else
		PGW_DEBUG_POINT("adoption_committed");
	if (!told)
		told = pgw_exchange_answer(call->slot, &call->reply);
	call->slot = -1;
	/* nobody hears of it: the vote that it was adopted for is over */
	if (call->look || (!told && call->reply.kind == PGW_ANSWER_OUTCOME))
		pgw_attempts_look(&earlier, false, false);
	pgw_call_free(call);
}

/* The intent is durable, or will be by the time that it matters: calls.c sends it. */
static void
recorded(PgwCall *call)
{
	pgw_exchange_mark_recorded(call->slot, &call->transaction_id);
	pgw_exchange_wipe(call->slot);
	pgw_call_ready(call);
}

static void
request_committed(PgwItem *item)
{
	PgwCall    *call = (PgwCall *) item;

	if (call->skipped)
		answer_error(call, "internal_error", "");	/* nobody reads it: the slot becomes free */
	else if (call->later)
	{
		/* the earlier attempt's row is locked for a moment */
		call->not_before = TimestampTzPlusMilliseconds(pgw_now(), BUSY_DELAY_MS);
		dlist_push_head(&waiting, &call->item.node);
	}
	else if (call->takeover)
		taken_over(call);
	else if (call->refused)
	{
		memset(&call->reply, 0, sizeof(call->reply));
		call->reply.kind = PGW_ANSWER_OUTCOME;
		call->reply.transaction_id = call->transaction_id;
		call->reply.status = PGW_FAILED;
		(void) pgw_exchange_answer(call->slot, &call->reply);
		pgw_call_free(call);
	}
	else
	{
		PGW_DEBUG_POINT("intent_committed");
		recorded(call);
	}
}

/*
 * DDL holds what has to be written, or something of a user's on pgw's tables took too long.  Nothing was written.  Not for long: this caller may be
 * whom the DDL waits for (table_locks.c says when).
 */
static void
locked_out(PgwCall *call)
{
	TimestampTz now = pgw_now();

	if (call->locked_since == 0)
		call->locked_since = now;
	if (TimestampDifferenceExceeds(call->locked_since, now, LOCKED_PATIENCE_MS))
	{
		answer_error(call, "worker_busy", "a table of pgw is locked, or a trigger on it takes too long");
		return;
	}
	call->not_before = TimestampTzPlusMilliseconds(now, BUSY_DELAY_MS);
	dlist_push_tail(&waiting, &call->item.node);
}

static void
request_failed(PgwItem *item, int sqlstate)
{
	PgwCall    *call = (PgwCall *) item;

	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_QUERY_CANCELED)
	{
		locked_out(call);
		return;
	}

	/* The one-live-attempt index: an earlier attempt with this id is not finished.  Nothing was sent for this one. */
	if (sqlstate == ERRCODE_UNIQUE_VIOLATION)
		answer_error(call, "request_in_flight", "an earlier attempt with this id is not finished");
	else
		answer_error(call, "internal_error", "the attempt could not be recorded");
}

static void
request_broken(PgwItem *item, bool committed)
{
	PgwCall    *call = (PgwCall *) item;

	if (!committed || call->skipped)
		answer_error(call, "internal_error", "");
	else if (call->takeover)
	{
		/* Its caller has what is known of the earlier attempt, and the scan takes that on. */
		Assert(!call->later);
		if (call->slot >= 0)
			(void) pgw_exchange_answer(call->slot, &call->reply);
		pgw_calls_wake_at(pgw_now());
		pgw_call_free(call);
	}
	else
		recorded(call);
}
