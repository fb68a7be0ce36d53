/*
 * write_results.c - a bank call's result on its way into the tables, and back to the caller who
 * waits
 *
 * Owns the calls whose transfer is over, until their result is committed.  What it means is decided
 * by the attempt's state: unknown_outcome.c, compensation.c, capture_on_commit.c,
 * requested_operation.c, watch_after_end.c.
 *
 * Orderings that matter
 *     - A waiting caller's result may commit asynchronously: the caller's own commit has a later
 *       LSN and is forced to be synchronous, and after a crash in between the attempt is "started,
 *       no answer".  Results that nobody waits for are flushed.
 *     - The answer is put into the slot only after the commit, so that the caller finds the row.
 *     - A result is written once: the state is looked at under the row's lock, and every result
 *       leaves Created (or is a look at BankUnknown).
 *     - Locks: the attempt's row, then a submitted payment's row, both without waiting; busy
 *       means again a little later.
 */
#include "postgres.h"

#include "utils/elog.h"
#include "utils/timestamp.h"

#include "bank_call/call.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "core/base/error_codes.h"
#include "core/base/mutant.h"
#include "store/tables.h"

#define BUSY_DELAY_MS 100
#define FAILED_DELAY_MS 1000
#define LOCKED_DELAY_MS 100 /* somebody's DDL is in the way */
#define LONGEST_FAILED_DELAY_MS 30000

static dlist_head done; /* not_before says when */

static void result_apply(PgwBatchItem *item);
static void result_committed(PgwBatchItem *item);
static void result_failed(PgwBatchItem *item, int sqlstate);
static void result_broken(PgwBatchItem *item, bool committed);

const PgwBatchItemOps pgw_result_ops = {"results", result_apply, result_committed, result_failed,
										result_broken};

void
pgw_results_init(void)
{
	dlist_init(&done);
}

void
pgw_results_add(PgwCall *call)
{
	call->item.ops = &pgw_result_ops;
	dlist_push_tail(&done, &call->item.node);
}

static void
retry_later(PgwCall *call, int ms)
{
	call->not_before = TimestampTzPlusMilliseconds(pgw_now(), ms);
	pgw_results_add(call);
}

bool
pgw_results_pending(void)
{
	return !dlist_is_empty(&done);
}

TimestampTz
pgw_results_next_due(void)
{
	TimestampTz next = 0;
	dlist_iter iter;

	dlist_foreach(iter, &done)
	{
		PgwCall *call = dlist_container(PgwCall, item.node, iter.cur);
		TimestampTz when = Max(call->not_before, 1); /* 0 means none */

		if (next == 0 || when < next)
			next = when;
	}
	return next;
}

void
pgw_results_forget(void)
{
	pgw_calls_forget_in(&done);
}

/* Sort them by whether somebody waits. */
void
pgw_results_collect(TimestampTz now, dlist_head *awaited, dlist_head *others)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &done)
	{
		PgwCall *call = dlist_container(PgwCall, item.node, iter.cur);

		if (!pgw_is_due(call->not_before, now, LONGEST_FAILED_DELAY_MS))
			continue;
		dlist_delete(iter.cur);
		dlist_push_tail(call->slot >= 0 && !pgw_exchange_abandoned(call->slot) ? awaited : others,
						&call->item.node);
	}
}

static void
reply_with(PgwCall *call, PgwState status)
{
	memset(&call->reply, 0, sizeof(call->reply));
	call->reply.kind = PGW_ANSWER_OUTCOME;
	call->reply.transaction_id = call->transaction_id;
	call->reply.status = status;
}

/* What it means is decided by the attempt's state, under its lock. */
static void
take_result(PgwCall *call, PgwAttempt *attempt)
{
	bool payment = attempt->kind == PGW_KIND_PAYMENT;

	if (!payment || attempt->status == PGW_SAVED || attempt->status == PGW_REFUNDING ||
		attempt->status == PGW_COMPLETED)
		pgw_charge_id_check_subject(call, attempt);
	switch (attempt->status)
	{
		case PGW_CREATED:
		case PGW_BANK_UNKNOWN:
			if (payment)
				pgw_answer_charge(call, attempt);
			else
				pgw_answer_operation(call, attempt);
			return;
		case PGW_SAVED:
			pgw_answer_capture(call, attempt);
			return;
		case PGW_REFUNDING:
			pgw_answer_compensation(call, attempt);
			return;
		case PGW_REFUNDED:
			pgw_answer_watched_refund(call, attempt);
			return;
		case PGW_COMPLETED:
			if (payment)
				pgw_answer_watched_authorization(call, attempt);
			else
				pgw_answer_watched_refund(call, attempt);
			return;
		case PGW_FAILED:
			if (!payment)
				break;
			pgw_answer_late_charge(call, attempt);
			return;
		default:
			break;
	}
	ereport(WARNING, (errmsg("pgw: an answer came for an attempt in state %s, and is not used",
							 pgw_state_name(attempt->status)),
					  errdetail("correlation id %s", call->correlation)));
}

/* A decline is the card's affair, and no alert. */
static bool
is_alarming(const PgwAttempt *attempt, PgwState before)
{
	if (attempt->status == before)
		return false;
	return attempt->status == PGW_REQUIRES_MANUAL_REVIEW ||
		   (attempt->status == PGW_REFUNDING && before == PGW_SAVED) ||
		   (attempt->status == PGW_FAILED && !pgw_error_is_decline(attempt->error_code));
}

static void
result_apply(PgwBatchItem *item)
{
	PgwCall *call = (PgwCall *) item;
	PgwAttempt attempt;
	PgwState before;
	bool busy = false;

	call->alert = call->differs = false;
	call->row_was_busy = call->has_next_step = call->resend_allowed = call->lookup_inconclusive =
		false;
	reply_with(call, PGW_BANK_UNKNOWN);
	if (!pgw_store_lock_attempt(&call->transaction_id, false, &attempt, &busy))
	{
		call->row_was_busy = busy;
		return;
	}
	before = attempt.status;
	pgw_put_off_over(&attempt);
	take_result(call, &attempt);
	call->alert = is_alarming(&attempt, before) && !call->withdrawn;
	reply_with(call, attempt.status);
	PGW_DEBUG_POINT("result_apply");
}

/* For a test: an answer that names the attempt of the call before. */
static void
confuse(PgwSlotAnswer *reply)
{
	static pg_uuid_t before;
	pg_uuid_t mine = reply->transaction_id;

	if (PGW_DEBUG_FLAG("wrong_attempt"))
		reply->transaction_id = before;
	before = mine;
}

/* Tell the caller, if there is one. true: nobody, so the attempt has to be looked at here. */
static bool
tell(PgwCall *call)
{
	bool told = pgw_waiters_answer(&call->transaction_id, (PgwState) call->reply.status);
	int slot = call->slot;

	call->slot = -1;
	if (slot < 0)
		return !told;
	/* in doubt, or to be tried again: the next step may tell, and the caller still has time */
	if ((call->reply.status == PGW_BANK_UNKNOWN || call->reply.status == PGW_CREATED) &&
		!pgw_exchange_abandoned(slot) &&
		pgw_waiters_add(&call->transaction_id, slot, call->deadline))
		return false;
	confuse(&call->reply);
	told |= pgw_exchange_answer(slot, &call->reply); /* an abandoned one becomes free */
	return !told;
}

static void
result_committed(PgwBatchItem *item)
{
	PgwCall *call = (PgwCall *) item;
	bool look;

	if (call->row_was_busy)
	{
		PGW_DEBUG_POINT("result_later");
		pgw_attempt_alert_busy(&call->busy_since, &call->transaction_id, call->correlation,
							   call->bank->name);
		retry_later(call, BUSY_DELAY_MS);
		return;
	}
	PGW_DEBUG_POINT("result_committed");
	if (call->alert)
		pgw_attempt_alert(&call->transaction_id, (PgwState) call->reply.status, call->correlation,
						  call->bank->name);
	if (call->differs)
		pgw_attempt_alert_differs(&call->transaction_id, &call->answer, call->correlation,
								  call->bank->name);
	look = tell(call);
	/* What an answered caller writes itself is its own; every other step is the worker's. */
	if (call->reply.status != PGW_BANK_APPROVED && call->reply.status != PGW_FAILED)
		look = call->has_next_step;
	else if (call->reply.status == PGW_FAILED && call->answer.outcome == PGW_OUT_REQUIRES_ACTION)
		look = true;
	if (look)
		pgw_due_add_step(&call->transaction_id, call->resend_allowed, call->lookup_inconclusive);
	pgw_call_free(call);
}

static void
result_failed(PgwBatchItem *item, int sqlstate)
{
	PgwCall *call = (PgwCall *) item;

	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		retry_later(call, LOCKED_DELAY_MS);
		return;
	}
	ereport(WARNING, (errmsg("pgw: an answer of the bank could not be written (SQLSTATE %s)",
							 unpack_sql_state(sqlstate)),
					  errdetail("correlation id %s", call->correlation)));
	if (call->failures + 1 >= PGW_FAILING_ALERT)
		pgw_attempt_alert_failing(&call->transaction_id, call->correlation, call->bank->name);
	/*
	 * A caller does not wait for what may take long: the charge may stand, and the answer is kept
	 * here until it can be written.
	 */
	if (++call->failures == PGW_FAILING_ALERT && call->slot >= 0)
	{
		reply_with(call, PGW_BANK_UNKNOWN);
		(void) pgw_exchange_answer(call->slot, &call->reply);
		call->slot = -1;
	}
	retry_later(call, Min(FAILED_DELAY_MS * call->failures, LONGEST_FAILED_DELAY_MS));
}

static void
result_broken(PgwBatchItem *item, bool committed)
{
	PgwCall *call = (PgwCall *) item;

	/* later: nothing of it was written, and the answer is in here only */
	if (!committed || (call->row_was_busy && !PGW_MUTATED(BETWEEN_LISTS)))
	{
		retry_later(call, committed ? BUSY_DELAY_MS : LONGEST_FAILED_DELAY_MS);
		return;
	}
	(void) tell(call);            /* if that was not done yet */
	pgw_due_rescan_at(pgw_now()); /* the next step, if there is one */
	pgw_call_free(call);
}
