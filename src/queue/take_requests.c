/*
 * take_requests.c - what callers of process_payment ask: from their slots to the intent that is to
 * be recorded
 *
 *      slot ---> waiting (bank_lanes.c) ---> rendered ---> record_intents.c
 *
 * Owns the requests that wait for room at their bank; in which order they get it is bank_lanes.c's.
 * A slot's body is ours from take to answer.
 *
 * Orderings that matter
 *     - Cards: rendered before the intent, so that a request that cannot be rendered leaves no
 *       trace.
 *     - Requests are read from the slots before the transaction that records them takes its xid
 *       (batch.c).
 *     - A call that has been taken off one list is in nobody's hands but ours until it is on
 *       another: an ERROR in between puts it off (keep()), or its caller would wait for nobody.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "bank/bank_config.h"
#include "bank/call_permission.h"
#include "bank/choose_bank.h"
#include "bank_call/echoed_card.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "core/base/none_if_empty.h"
#include "core/payment/charge_rules.h"
#include "exchange/taken_slots.h"
#include "queue/record_intents.h"
#include "queue/take_requests.h"
#include "store/events.h"
#include "store/tables.h"

#define TAKE_MAX 256
#define BUSY_DELAY_MS 20
#define SWEEP_MS 10
#define ERRORS_MAX 5 /* of one request: then its caller is told */

static dlist_head waiting = DLIST_STATIC_INIT(waiting); /* for room at their bank, linked by .all */
static dlist_head at_once = DLIST_STATIC_INIT(at_once); /* need none: refused */
/* until not_before: a row was busy (rendered), or our configuration is older than its backend's */
static dlist_head put_off = DLIST_STATIC_INIT(put_off);
/* some of them wait for the configuration to be read again */
static bool config_wanted = false;


bool
pgw_requests_want_config(void)
{
	return config_wanted && !dlist_is_empty(&put_off);
}

void
pgw_requests_forget_slots(void)
{
	dlist_iter iter;

	dlist_foreach(iter, &waiting) dlist_container(PgwCall, all, iter.cur)->slot = -1;
	pgw_calls_forget_slots(&at_once);
	pgw_calls_forget_slots(&put_off);
}

/* ---------------------------------------------------------------- requests of waiting callers */

static bool
render_request(PgwCall *call, PgwBank *bank, const char **error_code, PgwConnectorError *err)
{
	PgwSlotRequest *r = pgw_exchange_request(call->slot);
	PgwCallParams params;
	PgwTrace trace;
	size_t room;
	bool ok;

	memset(&params, 0, sizeof(params));
	params.amount = r->amount;
	params.currency = r->currency;
	params.token = pgw_none_if_empty(r->token);
	params.card_number = pgw_none_if_empty(r->card_number);
	params.card_expiry_month = r->card_expiry_month;
	params.card_expiry_year = r->card_expiry_year;
	params.card_cvv = pgw_none_if_empty(r->card_cvv);
	params.card_holder = pgw_none_if_empty(r->card_holder);
	params.merchant = r->merchant;
	params.reference = pgw_none_if_empty(r->reference);
	params.bank_fields = pgw_none_if_empty(r->bank_fields);
	pgw_call_trace(&params, params.bank_fields, &trace);
	params.customer = pgw_none_if_empty(pgw_slot_customer(r, &room));
	ok = pgw_call_render(call, bank, &params, error_code, err);
	if (ok)
		pgw_echo_keep(call, r);
	call->customer_sent = ok && call->rendered->has_customer;
	explicit_bzero(&params, sizeof(params));
	return ok;
}

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
	return pgw_config_next_bank(after, r->amount, r->currency,
								pgw_means_of(r->token, r->card_number),
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

void
pgw_requests_put_off(PgwCall *call)
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
	pgw_call_answer_error(call, bank == NULL ? "unknown_bank" : "bank_disabled", "");
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
	call = pgw_call_new(&r->transaction_id, &r->payment_id, &r->correlation_id, false);
	call->slot = slot;
	call->config_reads = r->config_changing ? pgw_config_reads() + 1 : 0;
	call->item.ops = &pgw_intent_ops;
	if (is_gone(call))
	{
		/* nobody reads it: nothing was recorded, nothing is sent */
		pgw_call_answer_error(call, "internal_error", "");
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
		pgw_call_answer_error(call, "internal_error",
							  "the request could not be prepared: see the server's log");
		return;
	}
	pgw_call_unrender(call); /* it may lack a part, and may go to another bank */
	pgw_requests_put_off(call);
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
		pgw_call_answer_error(call, code, err.message);
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
		if (!pgw_call_allowed(call, b->name, PGW_FIRST_TRY, &when))
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
		pgw_call_answer_error(call, "internal_error", ""); /* nobody reads it */
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
			pgw_call_answer_error(call, "internal_error", "");
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
			pgw_call_answer_error(call, "internal_error", "");
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
		pgw_call_answer_error(call, "internal_error", "");
	}
}

void
pgw_requests_refuse_waiting(const char *error_code)
{
	while (!dlist_is_empty(&waiting))
		pgw_call_answer_error(dlist_container(PgwCall, all, dlist_pop_head_node(&waiting)),
							  error_code, "");
	while (!dlist_is_empty(&at_once))
		pgw_call_answer_error(dlist_container(PgwCall, item.node, dlist_pop_head_node(&at_once)),
							  error_code, "");
	while (!dlist_is_empty(&put_off))
		pgw_call_answer_error(dlist_container(PgwCall, item.node, dlist_pop_head_node(&put_off)),
							  error_code, "");
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
