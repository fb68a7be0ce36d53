/*
 * record_intents.c - the intent of a caller's request, recorded before anything is sent; or the
 * takeover of an earlier attempt instead
 *
 *      take_requests.c ---> items ---(commit)---> send_after_flush.c: sent once it is flushed
 *                             |
 *                             +--- an earlier attempt with this id: adoption.c ---(commit)--->
 *                                  answered, or waiting_callers.c
 *
 * Orderings that matter
 *     - The slot is marked recorded in committed(), with interrupts held since before the commit:
 *       a worker that ends cannot leave a durable intent in a slot that the next worker would take
 *       for a fresh request.  (The attempt's id would be a duplicate key then as well.)
 *     - The slot is bound after that, right before the request leaves (send_after_flush.c) or its
 *       caller is made to wait for an earlier attempt: a caller that leaves earlier has withdrawn,
 *       whatever its intent's commit waits for, and no payments row names an attempt that is not
 *       recorded.
 *     - Cards: wiped from the slot in committed().
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "attempt/adoption.h"
#include "attempt/unsent_charge.h"
#include "bank_call/waiting_callers.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "core/base/none_if_empty.h"
#include "core/card/token_object.h"
#include "core/payment/charge_rules.h"
#include "exchange/taken_slots.h"
#include "exchange/write_failures.h"
#include "outcome/record_decision.h"
#include "queue/due_attempts.h"
#include "queue/next_scan.h"
#include "queue/record_intents.h"
#include "queue/send_after_flush.h"
#include "queue/take_requests.h"
#include "shard/home_slots.h"
#include "store/events.h"
#include "store/tables.h"

#define LOCKED_PATIENCE_MS 2000 /* of an intent whose tables are locked by somebody */

static void request_apply(PgwBatchItem *item);
static void request_committed(PgwBatchItem *item);
static void request_failed(PgwBatchItem *item, int sqlstate);
static void request_broken(PgwBatchItem *item, bool committed);

const PgwBatchItemOps pgw_intent_ops = {"intents", request_apply, request_committed, request_failed,
										request_broken};

static char *
copy(const char *s)
{
	return s[0] != '\0' ? pstrdup(s) : NULL;
}

static void
fill_transaction(PgwAttempt *attempt, const PgwSlotRequest *r, const PgwCall *call)
{
	char mark[PGW_TOKEN_MARK_SIZE];

	memset(attempt, 0, sizeof(*attempt));
	attempt->transaction_id = r->transaction_id;
	attempt->payment_id = r->payment_id;
	attempt->client_request_id = pstrdup(r->client_request_id);
	attempt->merchant = pstrdup(r->merchant);
	attempt->kind = PGW_KIND_PAYMENT;
	attempt->live = true;
	attempt->amount = r->amount;
	attempt->currency = pstrdup(r->currency);
	attempt->capture = (PgwCaptureMode) r->capture;
	attempt->token = copy(pgw_token_to_keep(r->token, mark));
	attempt->card_last4 = copy(r->card_last4);
	attempt->card_brand = copy(r->card_brand);
	attempt->card_expiry_month = r->card_expiry_month;
	attempt->card_expiry_year = r->card_expiry_year;
	attempt->bank = pstrdup(call->bank->name);
	attempt->bank_version = pgw_config_version_of(call->bank);
	attempt->livemode = call->bank->livemode;
	attempt->bank_requested = copy(r->bank_requested);
	attempt->reference = copy(r->reference);
	attempt->bank_fields = copy(r->bank_fields);
	attempt->card_echoed = call->card_echoed;
	attempt->customer_sent = call->customer_sent && !PGW_MUTATED(CUSTOMER_REPEATED);
	attempt->own_request.key = pstrdup(call->reference);
	attempt->own_request.key_used_at = call->said_at;
	attempt->caller_xid = r->caller_xid;
	attempt->caller_subxid = r->caller_subxid;
	attempt->system_identifier = (int64) GetSystemIdentifier();
	attempt->database_oid = MyDatabaseId;
	attempt->own_request.asked_at = pgw_now();
	attempt->requests_sent = 1;
	attempt->correlation_id = r->correlation_id;
	attempt->created_at = attempt->updated_at = attempt->own_request.asked_at;
	attempt->actor = &r->actor;
}

/* No bank that could take it is called just now. */
static void
record_refusal(PgwAttempt *attempt, const PgwCall *call)
{
	PgwDecision d;

	pgw_charge_refused(&d);
	attempt->own_request.key_used_at = attempt->own_request.asked_at = 0;
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

	call->not_home = false;
	call->takeover = call->wait_for_outcome = call->row_was_busy = call->has_next_step = false;
	call->skipped = call->slot < 0 || pgw_exchange_abandoned(call->slot);
	if (call->skipped)
		/* the caller left, or the extension was being dropped meanwhile */
		return;
	r = pgw_exchange_request(call->slot);
	/* its caller has looked, too, and what he has seen can have changed since */
	call->skipped = call->not_home = !pgw_slot_is_worked(&r->payment_id);
	if (call->skipped)
		return;
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
		pgw_step_charge_record_intent(&attempt, true, pgw_none_if_empty(call->switched_from),
									  call->op);
	call->row_place = attempt.place.tid;
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
		pgw_due_add_step(&earlier);
	pgw_call_free(call);
}

/* The intent is durable, or will be by the time that it matters: send_after_flush.c sends it. */
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

	Assert(InterruptHoldoffCount > 0);
	if (!call->skipped && !call->row_was_busy && !call->takeover)
		pgw_write_succeeded(PGW_WRITE_INTENT);
	if (call->skipped)
		/* of a caller who has left nobody reads it: the slot becomes free */
		pgw_call_answer_error(call, call->not_home ? "wrong_shard" : "internal_error", "");
	else if (call->row_was_busy)
	{
		/* the earlier attempt's row is locked for a moment */
		pgw_requests_put_off(call);
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
locked_out(PgwCall *call, int sqlstate)
{
	TimestampTz now = pgw_now();

	if (call->locked_since == 0)
		call->locked_since = now;
	if (TimestampDifferenceExceeds(call->locked_since, now, LOCKED_PATIENCE_MS))
	{
		/* locks are watched by themselves */
		if (sqlstate == ERRCODE_QUERY_CANCELED)
			pgw_write_failed(PGW_WRITE_INTENT, sqlstate);
		pgw_call_answer_error(call, "worker_busy",
							  "a table of pgw is locked, or a trigger on it takes too long");
		return;
	}
	pgw_requests_put_off(call);
}

static void
request_failed(PgwBatchItem *item, int sqlstate)
{
	PgwCall *call = (PgwCall *) item;

	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_QUERY_CANCELED)
	{
		locked_out(call, sqlstate);
		return;
	}

	/*
	 * The one-live-attempt index: an earlier attempt with this id is not finished.  Nothing was
	 * sent for this one.
	 */
	if (sqlstate == ERRCODE_UNIQUE_VIOLATION)
		pgw_call_answer_error(call, "request_in_flight",
							  "an earlier attempt with this id is not finished");
	else
	{
		if (!PGW_MUTATED(INTENT_FAILURES))
			pgw_write_failed(PGW_WRITE_INTENT, sqlstate);
		pgw_call_answer_error(call, "not_recorded", pgw_batch_error());
	}
}

static void
request_broken(PgwBatchItem *item, bool committed)
{
	PgwCall *call = (PgwCall *) item;

	if (!committed || call->skipped)
		pgw_call_answer_error(call, call->not_home ? "wrong_shard" : "internal_error", "");
	else if (call->takeover)
	{
		/* Its caller has what is known of the earlier attempt, and the scan takes that on. */
		Assert(!call->row_was_busy);
		if (call->slot >= 0)
			(void) pgw_exchange_answer(call->slot, &call->reply);
		pgw_next_scan_full(pgw_now());
		pgw_call_free(call);
	}
	else
		recorded(call);
}
