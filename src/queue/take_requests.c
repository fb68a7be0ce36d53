/*
 * take_requests.c - what callers of process_payment ask: the intent of a new attempt, or the
 * takeover of an earlier one
 *
 *      slot ---> waiting ---> items ---(commit, flushed)---> send_calls.c: ready
 *             (bank_lanes.c)    |
 *                               +--- an earlier attempt with this id: adoption.c ---(commit,
 *                               flushed)---> answered, or waiting_callers.c
 *
 * Owns the requests that wait for room at their bank; in which order they get it is bank_lanes.c's.
 * A slot's body is ours from take to answer.
 *
 * Orderings that matter
 *     - The slot is marked recorded in committed(), with interrupts held since before the commit:
 *       a worker that ends cannot leave a durable intent in a slot that the next worker would take
 *       for a fresh request.  (The attempt's id would be a duplicate key then as well.)
 *     - The slot is bound after that, right before the request leaves (send_calls.c) or its
 *       caller is made to wait for an earlier attempt: a caller that leaves earlier has withdrawn,
 *       whatever its intent's commit waits for, and no payments row names an attempt that is not
 *       recorded.
 *     - Cards: rendered before the intent (a request that cannot be rendered leaves no trace),
 *       wiped from the slot in committed().
 *     - Requests are read from the slots before the transaction that records them takes its xid
 *       (batch.c).
 *     - A call that has been taken off one list is in nobody's hands but ours until it is on
 *       another: an ERROR in between puts it off (keep()), or its caller would wait for nobody.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "bank_call/call.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "store/events.h"
#include "store/tables.h"

#define TAKE_MAX 256
#define BUSY_DELAY_MS 20
#define SWEEP_MS 10
#define LOCKED_PATIENCE_MS 2000 /* of an intent whose tables are locked by somebody */
#define ERRORS_MAX 5            /* of one request: then its caller is told */

static dlist_head waiting; /* for room at their bank, linked by .all */
static dlist_head at_once; /* need none: refused */
/* until not_before: a row was busy (rendered), or our configuration is older than its backend's */
static dlist_head put_off;
/* some of them wait for the configuration to be read again */
static bool config_wanted = false;

void
pgw_requests_init(void)
{
	dlist_init(&waiting);
	dlist_init(&at_once);
	dlist_init(&put_off);
}

bool
pgw_requests_want_config(void)
{
	return config_wanted && !dlist_is_empty(&put_off);
}

void
pgw_requests_forget(void)
{
	dlist_iter iter;

	dlist_foreach(iter, &waiting) dlist_container(PgwCall, all, iter.cur)->slot = -1;
	pgw_calls_forget_in(&at_once);
	pgw_calls_forget_in(&put_off);
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
	bool ok;

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
	if (ok)
		pgw_echo_keep(call, r);
	explicit_bzero(&params, sizeof(params));
	return ok;
}

static void request_apply(PgwBatchItem *item);
static void request_committed(PgwBatchItem *item);
static void request_failed(PgwBatchItem *item, int sqlstate);
static void request_broken(PgwBatchItem *item, bool committed);

const PgwBatchItemOps pgw_request_ops = {"intents", request_apply, request_committed,
										 request_failed, request_broken};

/* ---------------------------------------------------------------- waiting for room */

static bool
is_gone(const PgwCall *call)
{
	return call->slot < 0 || pgw_exchange_abandoned(call->slot);
}

/*
 * The next bank that may take it: the chosen one (after: NULL) or, where the caller named none and
 * that one is left alone, those that follow it by priority.
 */
static PgwBank *
next_bank(const PgwCall *call, PgwBank *chosen, PgwBank *after)
{
	const PgwSlotRequest *r = pgw_exchange_request(call->slot);

	if (after == NULL)
		return chosen;
	if (r->bank_requested[0] != '\0')
		return NULL;
	return pgw_config_next_bank(after, r->amount, r->currency, r->card_number[0] != '\0',
								(PgwCaptureMode) r->capture);
}

static void
wait_for(PgwCall *call, const PgwBank *bank)
{
	/* always: as many wait as have a slot */
	(void) pgw_lanes_wait(&call->place, bank->name, PGW_LANE_CHARGE,
						  pgw_turns_key(pgw_exchange_request(call->slot)->merchant), &call->item,
						  true);
	dlist_push_tail(&waiting, &call->all);
}

/* It is recorded as failed: every bank that could take it is left alone just now. */
static void
refuse(PgwCall *call)
{
	call->refused = true;
	dlist_push_tail(&at_once, &call->item.node);
}

static void
put_off_for_now(PgwCall *call)
{
	call->not_before = TimestampTzPlusMilliseconds(pgw_now(), BUSY_DELAY_MS);
	dlist_push_tail(&put_off, &call->item.node);
}

/*
 * The caller has chosen its bank by a configuration that this process has not read yet: from an
 * older one it is neither answered nor served, or the request would go to where the bank was.
 */
static bool
config_is_older(const PgwCall *call)
{
	bool config_changing;

	return (pgw_config_number(&config_changing) < pgw_exchange_request(call->slot)->generation ||
			pgw_config_reads() < call->config_reads) &&
		   !PGW_MUTATED(OLD_CONFIG);
}

/*
 * The bank that its backend chose.  NULL: it takes nothing, and the call is answered; or it is put
 * off until we know as much as its backend did.
 */
static PgwBank *
chosen_bank(PgwCall *call)
{
	PgwBank *bank = pgw_config_bank(pgw_exchange_request(call->slot)->bank);

	if (config_is_older(call))
	{
		pgw_config_reread();
		config_wanted = true;
		/* the next turn reads it */
		call->not_before = TimestampTzPlusMilliseconds(pgw_now(), 1);
		dlist_push_tail(&put_off, &call->item.node);
		return NULL;
	}
	if (bank != NULL && bank->enabled)
		return bank;
	answer_error(call, bank == NULL ? "unknown_bank" : "bank_disabled", "");
	return NULL;
}

/* Into the lane of the first bank that is not left alone. */
static void
enter(PgwCall *call)
{
	const PgwSlotRequest *r = pgw_exchange_request(call->slot);
	PgwBank *chosen;
	PgwBank *b;

	PGW_DEBUG_POINT("entering");
	chosen = chosen_bank(call);
	if (chosen == NULL)
		return;
	call->refused = false;
	call->op = pgw_charge_operation((PgwCaptureMode) r->capture, false);
	call->deadline = r->deadline;
	for (b = chosen; b != NULL && pgw_bank_is_shut(b->name, call->op);
		 b = next_bank(call, chosen, b))
		;
	if (b != NULL)
		wait_for(call, b);
	else
		refuse(call);
}

static void
take_one(int slot)
{
	const PgwSlotRequest *r = pgw_exchange_request(slot);
	PgwCall *call;

	PGW_DEBUG_POINT("take_one");
	call = pgw_call_new(&r->transaction_id, &r->correlation_id, false);
	call->slot = slot;
	call->config_reads = r->config_changing ? pgw_config_reads() + 1 : 0;
	call->item.ops = &pgw_request_ops;
	if (is_gone(call))
	{
		/* nobody reads it: nothing was recorded, nothing is sent */
		answer_error(call, "internal_error", "");
		return;
	}
	PG_TRY();
	{
		enter(call);
	}
	PG_CATCH();
	{
		/*
		 * its slot is given back; were the call left, its attempt would count as under way for ever
		 */
		if (!PGW_MUTATED(BETWEEN_LISTS))
			pgw_call_free(call);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

void
pgw_requests_take(void)
{
	int slots[TAKE_MAX];
	int n;
	volatile int i = 0;

	/* so that nothing below needs memory but the call itself */
	pgw_lanes_ensure_configured();
	n = pgw_exchange_take(slots, TAKE_MAX);

	PG_TRY();
	{
		for (; i < n; i++)
			take_one(slots[i]);
	}
	PG_CATCH();
	{
		/*
		 * out of memory: what has no call goes back into its place, or its caller would wait for
		 * nobody
		 */
		if (!PGW_MUTATED(TAKEN_LOST))
			pgw_exchange_give_back(slots + i, n - i);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (n > 0)
		PGW_DEBUG_POINT("taken");
}

/* Nothing of it was sent or recorded. Needs no memory. */
static void
keep(PgwCall *call)
{
	if (PGW_MUTATED(BETWEEN_LISTS))
		return;
	if (++call->failures >= ERRORS_MAX)
	{
		answer_error(call, "internal_error",
					 "the request could not be prepared: see the server's log");
		return;
	}
	pgw_call_unrender(call); /* it may lack a part, and may go to another bank */
	put_off_for_now(call);
}

/* The call is on no list: to(call, items) puts it onto one, or ends it. */
static void
hand_on(void (*to)(PgwCall *call, dlist_head *items), PgwCall *call, dlist_head *items)
{
	PG_TRY();
	{
		PGW_DEBUG_POINT("handing_on");
		to(call, items);
	}
	PG_CATCH();
	{
		keep(call);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static void
render(PgwCall *call, PgwBank *bank, dlist_head *items)
{
	PgwConnectorError err;
	const char *code = NULL;

	err.message[0] = '\0';
	if (render_request(call, bank, &code, &err))
		dlist_push_tail(items, &call->item.node);
	else
		answer_error(call, code, err.message);
}

/* The first bank that takes it now, in the order of priority, where there is room. */
static void
admit(PgwCall *call, dlist_head *items)
{
	char waited_for[NAMEDATALEN];
	PgwBank *chosen;
	TimestampTz when;

	strlcpy(waited_for, pgw_lanes_name(&call->place), sizeof(waited_for));
	pgw_lanes_give_up(&call->place);
	chosen = chosen_bank(call);
	if (chosen == NULL)
		return;
	for (PgwBank *b = chosen; b != NULL; b = next_bank(call, chosen, b))
	{
		if (pgw_bank_is_shut(b->name, call->op))
			continue;
		if (strcmp(b->name, waited_for) != 0 && !pgw_lanes_room(b->name, PGW_LANE_CHARGE, true))
		{
			wait_for(call, b);
			return;
		}
		if (!pgw_call_allowed(call, b->name, false, &when))
			continue;
		if (b != chosen)
			strlcpy(call->switched_from, chosen->name, sizeof(call->switched_from));
		render(call, b, items);
		return;
	}
	refuse(call);
}

/* Its bank has room. Which bank that is may have changed while it waited. */
void
pgw_requests_admit(PgwBatchItem *item, dlist_head *items)
{
	PgwCall *call = (PgwCall *) item;

	dlist_delete(&call->all);
	if (is_gone(call))
		answer_error(call, "internal_error", ""); /* nobody reads it */
	else
		hand_on(admit, call, items);
	if (!dlist_is_empty(&at_once))
		pgw_requests_collect(items);
}

/* It is recorded as refused; the event names its bank. */
static void
render_refused(PgwCall *call, dlist_head *items)
{
	PgwBank *bank = chosen_bank(call);

	if (bank != NULL)
		render(call, bank, items);
}

static void
go_on(PgwCall *call, dlist_head *items)
{
	if (call->rendered != NULL)
		dlist_push_tail(items, &call->item.node);
	else
		enter(call);
}

/* Whoever has left, and what was put off for a moment. */
void
pgw_requests_collect(dlist_head *items)
{
	static TimestampTz swept = 0;
	TimestampTz now = pgw_now();
	dlist_mutable_iter iter;

	config_wanted = false;
	while (!dlist_is_empty(&at_once))
	{
		PgwCall *call = dlist_container(PgwCall, item.node, dlist_pop_head_node(&at_once));

		if (is_gone(call))
			answer_error(call, "internal_error", "");
		else
			hand_on(render_refused, call, items);
	}
	dlist_foreach_modify(iter, &put_off)
	{
		PgwCall *call = dlist_container(PgwCall, item.node, iter.cur);

		if (!pgw_is_due(call->not_before, now, BUSY_DELAY_MS) && !is_gone(call))
			continue;
		dlist_delete(iter.cur);
		if (is_gone(call))
			answer_error(call, "internal_error", "");
		else
			hand_on(go_on, call, items);
	}
	if (!pgw_is_due(TimestampTzPlusMilliseconds(swept, SWEEP_MS), now, SWEEP_MS))
		return;
	swept = now;
	dlist_foreach_modify(iter, &waiting)
	{
		PgwCall *call = dlist_container(PgwCall, all, iter.cur);

		if (!is_gone(call))
			continue;
		dlist_delete(iter.cur);
		answer_error(call, "internal_error", "");
	}
}

void
pgw_requests_refuse_waiting(const char *error_code)
{
	while (!dlist_is_empty(&waiting))
		answer_error(dlist_container(PgwCall, all, dlist_pop_head_node(&waiting)), error_code, "");
	while (!dlist_is_empty(&at_once))
		answer_error(dlist_container(PgwCall, item.node, dlist_pop_head_node(&at_once)), error_code,
					 "");
	while (!dlist_is_empty(&put_off))
		answer_error(dlist_container(PgwCall, item.node, dlist_pop_head_node(&put_off)), error_code,
					 "");
}

TimestampTz
pgw_requests_next_due(void)
{
	TimestampTz next = dlist_is_empty(&at_once) ? 0 : 1;
	dlist_iter iter;

	dlist_foreach(iter, &put_off)
	{
		PgwCall *call = dlist_container(PgwCall, item.node, iter.cur);

		if (next == 0 || call->not_before < next)
			next = call->not_before;
	}
	return next;
}

/* ---------------------------------------------------------------- the intent */

static char *
copy(const char *s)
{
	return s[0] != '\0' ? pstrdup(s) : NULL;
}

static void
fill_transaction(PgwAttempt *attempt, const PgwSlotRequest *r, const PgwCall *call)
{
	memset(attempt, 0, sizeof(*attempt));
	attempt->transaction_id = r->transaction_id;
	attempt->payment_id = r->payment_id;
	attempt->client_request_id = pstrdup(r->client_request_id);
	attempt->merchant = pstrdup(r->merchant);
	attempt->kind = PGW_KIND_PAYMENT;
	attempt->taken_by_worker = true;
	attempt->amount = r->amount;
	attempt->currency = pstrdup(r->currency);
	attempt->capture = (PgwCaptureMode) r->capture;
	attempt->token = copy(r->token);
	attempt->card_last4 = copy(r->card_last4);
	attempt->card_brand = copy(r->card_brand);
	attempt->card_expiry_month = r->card_expiry_month;
	attempt->card_expiry_year = r->card_expiry_year;
	attempt->bank = pstrdup(call->bank->name);
	attempt->bank_version = pgw_config_version_of(call->bank);
	attempt->bank_requested = copy(r->bank_requested);
	attempt->reference = copy(r->reference);
	attempt->bank_fields = r->bank_fields[0] != '\0' ? pstrdup(r->bank_fields) : pstrdup("{}");
	attempt->bank_key = pstrdup(call->reference);
	attempt->bank_key_used_at = pgw_now();
	attempt->caller_xid = r->caller_xid;
	attempt->caller_subxid = r->caller_subxid;
	attempt->system_identifier = (int64) GetSystemIdentifier();
	attempt->database_oid = MyDatabaseId;
	attempt->bank_asked_at = attempt->bank_key_used_at;
	attempt->requests_sent = 1;
	attempt->correlation_id = r->correlation_id;
	attempt->created_at = attempt->updated_at = attempt->bank_key_used_at;
}

static void
record_intent(PgwAttempt *attempt, const PgwCall *call)
{
	PgwEvent events[3];
	int n = 0;

	memset(events, 0, sizeof(events));
	events[n++] =
		(PgwEvent){.type = PGW_EV_TRANSACTION_STARTED, .from = PGW_STATE_NONE, .to = PGW_CREATED};
	if (call->switched_from[0] != '\0')
		events[n++] = (PgwEvent){
			.type = PGW_EV_BANK_SWITCHED,
			.from = PGW_CREATED,
			.to = PGW_CREATED,
			.extra = psprintf("\"from_bank\": %s", pgw_store_json_string(call->switched_from))};
	events[n++] =
		(PgwEvent){.type = PGW_EV_BANK_PROCESSING_STARTED, .from = PGW_CREATED, .to = PGW_CREATED};
	for (int i = 0; i < n; i++)
		events[i].operation = pgw_op_name(call->op);
	pgw_store_advance(attempt, true, events, n);
}

/* No bank that could take it is called just now. */
static void
record_refusal(PgwAttempt *attempt, const PgwCall *call)
{
	PgwDecision d;

	pgw_charge_refused(&d);
	attempt->bank_key_used_at = attempt->bank_asked_at = 0;
	attempt->bank_version = 0;
	attempt->requests_sent = 0;
	pgw_record_new_attempt(attempt, &d, pgw_op_name(call->op));
}

static void
request_apply(PgwBatchItem *item)
{
	PgwCall *call = (PgwCall *) item;
	const PgwSlotRequest *r;
	PgwAttempt attempt;

	call->takeover = call->wait_for_outcome = call->row_was_busy = call->has_next_step = false;
	call->skipped = call->slot < 0 || pgw_exchange_abandoned(call->slot);
	if (call->skipped)
		/* the caller left, or the extension was being dropped meanwhile */
		return;
	r = pgw_exchange_request(call->slot);
	call->takeover = pgw_adopt_for_request(call, r);
	if (call->takeover)
	{
		PGW_DEBUG_POINT("adoption_apply");
		return;
	}
	fill_transaction(&attempt, r, call);
	if (call->refused)
		record_refusal(&attempt, call);
	else
		record_intent(&attempt, call);
	PGW_DEBUG_POINT("intent_apply");
}

/* The earlier attempt's outcome goes to this caller, now or when it is known. */
static void
taken_over(PgwCall *call)
{
	pg_uuid_t earlier = call->reply.transaction_id;
	bool told = false;

	if (call->wait_for_outcome)
	{
		pgw_exchange_mark_recorded(call->slot, &earlier);
		pgw_exchange_wipe(call->slot); /* the earlier attempt has its own */
		PGW_DEBUG_POINT("adoption_committed");
		told =
			pgw_exchange_bind(call->slot) && pgw_waiters_add(&earlier, call->slot, call->deadline);
	}
	else
		PGW_DEBUG_POINT("adoption_committed");
	if (!told)
		told = pgw_exchange_answer(call->slot, &call->reply);
	call->slot = -1;
	/* nobody hears of it: the caller that it was adopted for is gone */
	if (call->has_next_step || (!told && call->reply.kind == PGW_ANSWER_OUTCOME))
		pgw_due_add_step(&earlier, false, false);
	pgw_call_free(call);
}

/* The intent is durable, or will be by the time that it matters: send_calls.c sends it. */
static void
recorded(PgwCall *call)
{
	pgw_exchange_mark_recorded(call->slot, &call->transaction_id);
	pgw_exchange_wipe(call->slot);
	call->failures = 0; /* of its result, from here on */
	pgw_call_ready(call);
}

static void
request_committed(PgwBatchItem *item)
{
	PgwCall *call = (PgwCall *) item;

	if (call->skipped)
		answer_error(call, "internal_error", ""); /* nobody reads it: the slot becomes free */
	else if (call->row_was_busy)
	{
		/* the earlier attempt's row is locked for a moment */
		put_off_for_now(call);
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
 * DDL holds what has to be written, or something of a user's on pgw's tables took too long.
 * Nothing was written.  Not for long: this caller may be whom the DDL waits for (table_locks.c says
 * when).
 */
static void
locked_out(PgwCall *call)
{
	TimestampTz now = pgw_now();

	if (call->locked_since == 0)
		call->locked_since = now;
	if (TimestampDifferenceExceeds(call->locked_since, now, LOCKED_PATIENCE_MS))
	{
		answer_error(call, "worker_busy",
					 "a table of pgw is locked, or a trigger on it takes too long");
		return;
	}
	put_off_for_now(call);
}

static void
request_failed(PgwBatchItem *item, int sqlstate)
{
	PgwCall *call = (PgwCall *) item;

	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_QUERY_CANCELED)
	{
		locked_out(call);
		return;
	}

	/*
	 * The one-live-attempt index: an earlier attempt with this id is not finished.  Nothing was
	 * sent for this one.
	 */
	if (sqlstate == ERRCODE_UNIQUE_VIOLATION)
		answer_error(call, "request_in_flight", "an earlier attempt with this id is not finished");
	else
		answer_error(call, "internal_error", "the attempt could not be recorded");
}

static void
request_broken(PgwBatchItem *item, bool committed)
{
	PgwCall *call = (PgwCall *) item;

	if (!committed || call->skipped)
		answer_error(call, "internal_error", "");
	else if (call->takeover)
	{
		/* Its caller has what is known of the earlier attempt, and the scan takes that on. */
		Assert(!call->row_was_busy);
		if (call->slot >= 0)
			(void) pgw_exchange_answer(call->slot, &call->reply);
		pgw_due_rescan_at(pgw_now());
		pgw_call_free(call);
	}
	else
		recorded(call);
}
