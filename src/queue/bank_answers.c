/*
 * bank_answers.c - a bank's answer, all its way: from libcurl into the tables, and back to the
 * caller who waits
 *
 *      HTTP ---> judged ---> done ---> batch: the attempt's row ---(commit)---> the caller's slot,
 *                                                                               the next step
 *
 * Owns the calls whose transfer is over, until their result is committed.  What an answer says is
 * found out by the bank's connector; what that means is decided by the attempt's state
 * (attempt/dispatch.c).
 *
 * Orderings that matter
 *     - What an answer repeats of its request is known until it is judged, and is wiped then.
 *     - A waiting caller's result may commit asynchronously: the caller's own commit has a later
 *       LSN and is forced to be synchronous, and after a crash in between the attempt is "started,
 *       no answer".  Results that nobody waits for are flushed, and so are those that repeat the
 *       card: what was lost of them in a crash would be kept when a look-up says it again.
 *     - The answer is put into the slot only after the commit, so that the caller finds the row.
 *     - A result is written once: it counts only if the state that it was judged by is still that
 *       of the row when it is written or locked (PgwRowLocation), and every result leaves Created
 *       (or is a look at BankUnknown).
 *     - Locks: the attempt's row, then a submitted payment's row, both without waiting; busy
 *       means again a little later.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/elog.h"
#include "utils/timestamp.h"

#include "attempt/attempt_alerts.h"
#include "attempt/dispatch.h"
#include "attempt/evidence.h"
#include "attempt/put_off.h"
#include "bank_call/echoed_card.h"
#include "bank_call/waiting_callers.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "core/bank_message/http_date.h"
#include "core/bank_message/key_refused.h"
#include "core/base/error_codes.h"
#include "core/base/mutant.h"
#include "core/payment/charge_rules.h"
#include "exchange/log_rate.h"
#include "exchange/taken_slots.h"
#include "exchange/write_failures.h"
#include "http/http.h"
#include "observe/metrics.h"
#include "queue/ask_banks.h"
#include "queue/bank_answers.h"
#include "queue/send_after_flush.h"
#include "queue/try_banks.h"
#include "queue/due_attempts.h"
#include "queue/next_scan.h"
#include "store/tables.h"
#include "test_bank/test_wire.h"

#define BUSY_DELAY_MS 100
#define FAILED_DELAY_MS 1000
#define LOCKED_DELAY_MS 100 /* somebody's DDL is in the way */
#define LONGEST_FAILED_DELAY_MS 30000

static dlist_head done; /* not_before says when */

static void result_apply(PgwBatchItem *item);
static void result_committed(PgwBatchItem *item);
static void result_failed(PgwBatchItem *item, int sqlstate);
static void result_broken(PgwBatchItem *item, bool committed);

const PgwBatchItemOps pgw_bank_answer_ops = {"results", result_apply, result_committed,
											 result_failed, result_broken};

void
pgw_bank_answers_init(void)
{
	dlist_init(&done);
}

void
pgw_bank_answers_add(PgwCall *call)
{
	call->item.ops = &pgw_bank_answer_ops;
	dlist_push_tail(&done, &call->item.node);
}

static void
retry_later(PgwCall *call, int ms)
{
	call->not_before = TimestampTzPlusMilliseconds(pgw_now(), ms);
	pgw_bank_answers_add(call);
}

bool
pgw_bank_answers_pending(void)
{
	return !dlist_is_empty(&done);
}

TimestampTz
pgw_bank_answers_next_due(void)
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
pgw_bank_answers_forget_slots(void)
{
	pgw_calls_forget_slots(&done);
}

/* Sort them by whether somebody waits, and need not have them flushed. */
void
pgw_bank_answers_collect(TimestampTz now, dlist_head *awaited, dlist_head *others)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &done)
	{
		PgwCall *call = dlist_container(PgwCall, item.node, iter.cur);

		if (!pgw_is_due(call->not_before, now, LONGEST_FAILED_DELAY_MS))
			continue;
		dlist_delete(iter.cur);
		dlist_push_tail(call->slot >= 0 && !pgw_exchange_abandoned(call->slot) &&
								!call->answer.card_echoed
							? awaited
							: others,
						&call->item.node);
	}
}

/* ---------------------------------------------------------------- in from libcurl */

/* Telling of it can raise, and must not lose the call. */
void
pgw_bank_answers_over(PgwCall *call, long http_status)
{
	call->http_status = http_status;
	pgw_call_forget_request(call);
	pgw_call_forget_pages(call);
	pgw_echo_forget(call);
	pgw_lanes_closed(&call->place);
	if (call->op != PGW_OP_PING && call->trial == 0 && call->ask == NULL)
	{
		pgw_bank_answers_add(call);
		pgw_call_report(call);
		return;
	}
	PG_TRY();
	{
		pgw_call_report(call);
	}
	PG_FINALLY();
	{
		if (call->trial != 0)
			pgw_trial_over(call);
		else if (call->ask != NULL)
			pgw_ask_over(call);
		else
			pgw_call_free(call);
	}
	PG_END_TRY();
}

static bool
moves_money_of_charge(PgwBankOp op)
{
	return pgw_op_moves_money(op) && op != PGW_OP_CHARGE && op != PGW_OP_AUTHORIZE;
}

/* True: it is a page of a list, and the next one is to be asked for. */
static bool
judge(PgwCall *call, const PgwHttpDone *done)
{
	uint64 more;
	PgwEchoSought sought;
	PgwGivenAnswer given;
	PgwQuestion question = {
		.op = call->op,
		.transaction_ref = call->reference,
		.original_ref = call->original,
		.bank_reference = call->bank_reference[0] != '\0' ? call->bank_reference : NULL,
		.operation_reference =
			call->operation_reference[0] != '\0' ? call->operation_reference : NULL,
		.livemode = call->bank->livemode != call->charged_in_other_mode,
		.currency = call->currency,
		.iso_exponent = call->iso_exponent};

	switch (done->result)
	{
		case PGW_HTTP_ANSWERED:
			pgw_echo_sought(call, &sought, &question);
			given = (PgwGivenAnswer){.status = done->status,
									 .retry_after = done->retry_after,
									 .headers = done->headers,
									 .body = done->body->data,
									 .len = done->body->len};
			pgw_connector_judge(call->bank->connector, &question, &given, &call->answer);
			call->transport = PGW_TRANSPORT_ANSWERED;
			if (pgw_call_next_page(call))
				return true;

			call->credentials_rejected = pgw_secret_refused(call->op, done->status, &call->answer);

			/*
			 * Sent twice by libcurl: that the bank did not take the second says nothing of the
			 * first.  What follows a charge is a repetition then, as one of ours is: the bank may
			 * say no to it because the first has done it.
			 */
			if (done->resent && (call->answer.outcome == PGW_OUT_NOT_PROCESSED ||
								 call->answer.outcome == PGW_OUT_REJECTED))
				call->answer.outcome = PGW_OUT_UNKNOWN;
			if (done->resent && moves_money_of_charge(call->op) && !PGW_MUTATED(RESENT_REFUSED))
				call->in_doubt = true;
			if (call->answer.outcome == PGW_OUT_UNKNOWN &&
				pgw_log_due("not understood", call->bank->name, &more))
				ereport(
					LOG,
					(call->answer.other_mode
						 ? errmsg("pgw: the bank's answer is of the other mode (HTTP status %ld)",
								  done->status)
					 : call->answer.other_reference
						 ? errmsg(
							   "pgw: the bank's answer names another payment, or not the one that was asked about (HTTP status %ld)",
							   done->status)
						 : errmsg("pgw: the bank's answer was not understood (HTTP status %ld)",
								  done->status),
					 pgw_call_errdetail(call, pgw_op_name(call->op)), pgw_log_more(more)));
			return false;
		case PGW_HTTP_NEVER_SENT:
			call->transport = PGW_TRANSPORT_NEVER_SENT;
			call->our_fault = done->our_fault;
			break;
		case PGW_HTTP_MAYBE_SENT:
			call->transport = PGW_TRANSPORT_MAYBE_SENT;
			break;
	}
	if (pgw_log_due("bank call failed", call->bank->name, &more))
		ereport(LOG, (errmsg("pgw: bank call failed: %s",
							 done->error != NULL ? done->error : "unknown reason"),
					  pgw_call_errdetail(call, done->result == PGW_HTTP_NEVER_SENT
												   ? "never sent"
												   : "may have been sent"),
					  pgw_log_more(more)));
	return false;
}

static void
look_at_clock(const PgwCall *call, const PgwHttpDone *done)
{
	instr_time took;
	int64 ahead_s;

	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, call->began);
	if (pgw_clock_ahead(done->date, pgw_unix_seconds(GetCurrentTimestamp()),
						(int64) INSTR_TIME_GET_MILLISEC(took), &ahead_s))
		pgw_metrics_bank_clock(call->bank->name, call->bank->livemode, ahead_s);
}

/*
 * An ERROR on the way must not lose the call: then it may have reached the bank, and that is all
 * that is known.
 */
static void
take_in(PgwCall *call, const PgwHttpDone *done, void (*release)(void *))
{
	long status = done->status;
	volatile bool goes_on = false;

	call->transport = PGW_TRANSPORT_MAYBE_SENT;
	call->in_transfer = false;
	dlist_delete(&call->all);
	PG_TRY();
	{
		goes_on = judge(call, done);
		if (done->date != NULL)
			look_at_clock(call, done);
		if (call->trial != 0 && !goes_on)
			pgw_trial_note(call, done);
		if (call->ask != NULL && !goes_on)
			pgw_ask_note(call, done);
		PGW_DEBUG_POINT(pgw_call_debug_name(call, "answered",
											call->in_doubt || call->op == PGW_OP_VOID ||
													call->op == PGW_OP_REFUND
												? "refund_answered"
												: "answer_arrived"));
	}
	PG_CATCH();
	{
		release(done->handle);
		pgw_bank_answers_over(call, 0);
		PG_RE_THROW();
	}
	PG_END_TRY();
	release(done->handle);
	if (goes_on)
		pgw_call_ready_again(call);
	else
		pgw_bank_answers_over(call, status);
}

static void
take_all(bool (*next_done)(PgwHttpDone *done), void (*release)(void *handle))
{
	PgwHttpDone done;

	while (next_done(&done))
	{
		PgwCall *call = done.tag;

		/* no call: it was given up, and has its result already */
		if (call != NULL)
			take_in(call, &done, release);
		else
			release(done.handle);
	}
}

void
pgw_bank_answers_take(void)
{
	Assert(!IsTransactionState());
	pgw_http_drive();
	take_all(pgw_http_next_done, pgw_http_release);
	pgw_test_wire_drive();
	take_all(pgw_test_wire_next_done, pgw_test_wire_release);
}

/* ---------------------------------------------------------------- into the tables */

static void
reply_with(PgwCall *call, PgwState status)
{
	memset(&call->reply, 0, sizeof(call->reply));
	call->reply.kind = PGW_ANSWER_OUTCOME;
	call->reply.transaction_id = call->transaction_id;
	call->reply.status = status;
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

/*
 * What the worker does next has its time in the row, and that need not be on any list here.  Not
 * where an answered caller writes the end itself, nor what is visited right after the commit.
 */
static void
wake_for_next_step(const PgwCall *call, const PgwAttempt *attempt, PgwState before,
				   TimestampTz planned)
{
	bool callers_own = attempt->status != before &&
					   (attempt->status == PGW_BANK_APPROVED || attempt->status == PGW_FAILED);

	if (attempt->next_step_at != 0 && attempt->next_step_at != planned && !callers_own &&
		!(call->has_next_step && attempt->next_step_at <= pgw_now()))
		pgw_next_scan_wake(attempt->next_step_at);
}

static void
result_apply(PgwBatchItem *item)
{
	PgwCall *call = (PgwCall *) item;
	PgwAttempt attempt;
	PgwState before;
	TimestampTz planned;
	bool busy = false;

	call->alert = call->differs = call->failed_later = false;
	call->made_at_bank = call->unexplained = false;
	call->row_was_busy = call->has_next_step = call->resend_allowed = call->lookup_inconclusive =
		false;
	reply_with(call, PGW_BANK_UNKNOWN);
	if (!pgw_store_take_attempt_at(&call->transaction_id, &call->row_place, false, &attempt, &busy))
	{
		call->row_was_busy = busy;
		return;
	}
	PGW_DEBUG_POINT("result_taken");
	before = attempt.status;
	planned = attempt.next_step_at;
	/* found in another state: it still waits, and is looked at as what that makes of it */
	if (call->evidence && before != call->evidence_state)
	{
		reply_with(call, attempt.status);
		return;
	}
	pgw_put_off_over(&attempt);
	pgw_attempt_take_answer(call, &attempt);
	/* in the same commit: what was taken is not taken again */
	if (call->evidence && !call->row_was_busy)
		pgw_evidence_taken(call);
	/* what was decided without a change of the row counts, too, only if nobody has changed it */
	(void) pgw_store_hold_attempt(&attempt);
	wake_for_next_step(call, &attempt, before, planned);
	call->alert = is_alarming(&attempt, before) && !call->withdrawn;
	reply_with(call, attempt.status);
	call->reply.place = attempt.place.tid;
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

/* That refunds can be written does not say that payments can. */
static PgwWriteKind
write_kind(const PgwCall *call)
{
	return call->op == PGW_OP_CHARGE || call->op == PGW_OP_AUTHORIZE ? PGW_WRITE_ANSWER
																	 : PGW_WRITE_STEP;
}

static void
result_committed(PgwBatchItem *item)
{
	PgwCall *call = (PgwCall *) item;
	bool look;

	Assert(InterruptHoldoffCount > 0);
	if (call->row_was_busy)
	{
		PGW_DEBUG_POINT("result_later");
		pgw_attempt_alert_busy(&call->busy_since, &call->transaction_id, call->correlation,
							   call->bank->name);
		retry_later(call, BUSY_DELAY_MS);
		return;
	}
	/* what found its attempt in another state has written nothing, and names no place */
	if (ItemPointerIsValid(&call->reply.place))
		pgw_write_succeeded(write_kind(call));
	PGW_DEBUG_POINT("result_committed");
	if (call->alert)
		pgw_attempt_alert(&call->transaction_id, (PgwState) call->reply.status, call->correlation,
						  call->bank->name);
	if (call->failed_later)
		pgw_attempt_alert_failed_later(&call->transaction_id, call->correlation, call->bank->name);
	if (call->differs)
		pgw_attempt_alert_differs(&call->transaction_id, &call->answer, call->correlation,
								  call->bank->name);
	if (call->made_at_bank || call->unexplained)
		pgw_attempt_alert_made_at_bank(&call->transaction_id, &call->answer, call->unexplained,
									   call->correlation, call->bank->name);
	look = tell(call);
	/* What an answered caller writes itself is its own; every other step is the worker's. */
	if (call->reply.status != PGW_BANK_APPROVED && call->reply.status != PGW_FAILED)
		look = call->has_next_step;
	else if (call->reply.status == PGW_FAILED && call->answer.outcome == PGW_OUT_REQUIRES_ACTION)
		look = true;
	if (look)
		pgw_due_go_on(call);
	pgw_call_free(call);
}

static void
result_failed(PgwBatchItem *item, int sqlstate)
{
	uint64 more;
	PgwCall *call = (PgwCall *) item;

	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		retry_later(call, LOCKED_DELAY_MS);
		return;
	}
	if (pgw_log_due("an answer was not written", unpack_sql_state(sqlstate), &more))
		ereport(WARNING, (errmsg("pgw: an answer of the bank could not be written (SQLSTATE %s)",
								 unpack_sql_state(sqlstate)),
						  pgw_call_errdetail(call, NULL), pgw_log_more(more)));
	if (call->failures == 0 && !PGW_MUTATED(ANSWER_FAILURES))
		pgw_write_failed(write_kind(call), sqlstate);
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
	(void) tell(call);             /* if that was not done yet */
	pgw_next_scan_full(pgw_now()); /* the next step, if there is one */
	pgw_call_free(call);
}
