/*
 * visit_attempts.c - an attempt of the worker's queue is visited: the step that its row calls for,
 * in a transaction, and what follows from it after the commit
 *
 * Orderings that matter
 *     - An attempt with a call under way is left alone: the call's result asks for the next step.
 *       Without one, Created and taken with no next step planned means that a worker ended between
 *       intent and answer.
 *     - What was written in apply is committed and flushed before the call that it made becomes
 *       ready to be sent.
 *     - Locks are taken without waiting: the attempt's row, then the payments row.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "attempt/attempt_alerts.h"
#include "attempt/dispatch.h"
#include "bank_call/waiting_callers.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "base/error_detail.h"
#include "core/base/uuid7.h"
#include "exchange/log_rate.h"
#include "exchange/write_failures.h"
#include "outcome/caller_committed.h"
#include "outcome/record_decision.h"
#include "queue/bank_answers.h"
#include "queue/due_attempts.h"
#include "queue/next_scan.h"
#include "queue/send_after_flush.h"
#include "queue/visit_attempts.h"
#include "shard/home_slots.h"
#include "store/outcome_message.h"
#include "store/tables.h"

/* An attempt whose row is busy is visited again after 1, 2 ... BUSY_MAX times so long. */
#define BUSY_DELAY_MS 50
#define BUSY_MAX 20
#define FAILED_DELAY_MS 100
#define LOCKED_DELAY_MS 250 /* a relation is locked */

static void workitem_apply(PgwBatchItem *item);
static void workitem_committed(PgwBatchItem *item);
static void workitem_failed(PgwBatchItem *item, int sqlstate);
static void workitem_broken(PgwBatchItem *item, bool committed);

const PgwBatchItemOps pgw_visit_ops = {"attempts", workitem_apply, workitem_committed,
									   workitem_failed, workitem_broken};

/*
 * An operation tells its own end when the worker writes it; what an operator has decided is told
 * here. Equal ones in one commit are sent once.
 */
static void
notify(const PgwAttempt *attempt)
{
	PgwPayment p;

	if (attempt->kind != PGW_KIND_PAYMENT)
	{
		if (attempt->status == PGW_COMPLETED || attempt->status == PGW_FAILED)
			pgw_store_notify(&attempt->payment_id, attempt->kind,
							 attempt->status == PGW_COMPLETED ? "completed" : "failed");
		return;
	}
	/*
	 * the row names one attempt: what another attempt of the same payment came to is not its
	 * outcome
	 */
	if (pgw_store_payment_by_id(&attempt->payment_id, &p) &&
		memcmp(&p.transaction_id, &attempt->transaction_id, sizeof(pg_uuid_t)) == 0)
		pgw_store_notify_payment(&p);
}

/*
 * The usual end of a call: its caller has saved and committed. Nothing is left to do but to tell,
 * and that needs no lock, nor a flush: what it tells of is durable, and the message is nowhere but
 * in memory.
 */
static bool
only_told(PgwWorkItem *workitem)
{
	PgwAttempt attempt;

	if (!workitem->notify || !pgw_store_attempt_by_id(&workitem->transaction_id, &attempt) ||
		attempt.kind != PGW_KIND_PAYMENT || attempt.status != PGW_COMPLETED ||
		attempt.next_step_at != 0 || pgw_attempt_of_other_database(&attempt))
		return false;
	workitem->status = attempt.status;
	notify(&attempt);
	workitem->item.leaves_nothing = true;
	return true;
}

static void
forget_call(PgwWorkItem *workitem)
{
	if (workitem->step.call != NULL)
		pgw_call_free(workitem->step.call);
	workitem->step.call = NULL;
}

/* Whatever a step has set: its transaction was rolled back, or this is another visit. */
static void
forget_last_visit(PgwWorkItem *workitem)
{
	PgwStep *step = &workitem->step;

	forget_call(workitem);
	step->try_later = step->blocked = step->takes_long = false;
	step->next_step_now = step->unwatched = step->contradicted = step->at_rest = false;
	step->made_at_bank = false;
	step->dispute_opened = step->dispute_closed = step->dispute_unclear = false;
	step->wake_at = 0;
	step->parked_for[0] = '\0';
	memset(&step->other_attempt, 0, sizeof(step->other_attempt));
	step->other_was_told = false;
	workitem->alert = false;
	workitem->status = PGW_STATE_NONE;
}

/*
 * The next step has its time in the row, and that need not be on any list here: the tables are
 * looked through then.  What is visited right after the commit needs no look.
 */
static void
wake_for_next_step(const PgwAttempt *attempt, TimestampTz planned, const PgwStep *step)
{
	if (step->wake_at != 0)
		pgw_next_scan_wake(step->wake_at);
	else if (attempt->next_step_at != 0 && attempt->next_step_at != planned && !step->next_step_now)
		pgw_next_scan_wake(attempt->next_step_at);
}

/* The step that its row calls for: the row is locked, or its first change is the lock. */
static PgwRecordResult
visit(PgwWorkItem *workitem, PgwAttempt *attempt)
{
	TimestampTz planned = attempt->next_step_at;
	PgwRecordResult result = pgw_attempt_next_step(attempt, &workitem->step);

	wake_for_next_step(attempt, planned, &workitem->step);
	return result;
}

static void
workitem_apply(PgwBatchItem *item)
{
	PgwWorkItem *workitem = (PgwWorkItem *) item;
	PgwAttempt attempt;
	PgwRecordResult result = PGW_RECORD_NOTHING_LEFT;
	PgwState before;
	bool busy = false;

	forget_last_visit(workitem);
	if (pgw_call_under_way(&workitem->transaction_id) && !workitem->notify)
		return;
	if (only_told(workitem))
		return;
	if (!pgw_store_take_attempt_at(&workitem->transaction_id, NULL, false, &attempt, &busy))
	{
		workitem->step.try_later = busy;
		return;
	}
	/* what is submitted is written when it is begun, and that is its lock */
	if (!attempt.submitted || attempt.status != PGW_CREATED)
		(void) pgw_store_hold_attempt(&attempt);
	if (pgw_attempt_of_other_database(&attempt))
		return;
	if (!pgw_slot_hold_worked(&attempt.payment_id, &busy))
	{
		workitem->step.try_later = busy;
		return;
	}
	pgw_attempt_alert_note(&attempt, workitem->correlation, workitem->bank);
	before = attempt.status;
	/*
	 * its caller may have ended it, or replication changed it, without a look at open_work; what is
	 * submitted and not begun is only changed with its row
	 */
	if (!attempt.submitted || attempt.status != PGW_CREATED)
		pgw_store_relist(&attempt);
	if (!pgw_call_under_way(&workitem->transaction_id))
		result = visit(workitem, &attempt);
	(void) pgw_store_hold_attempt(&attempt);
	workitem->status = attempt.status;
	workitem->alert = attempt.status != before && (attempt.status == PGW_REQUIRES_MANUAL_REVIEW ||
												   attempt.status == PGW_FAILED);
	if (workitem->alert)
		/* the bank may have changed */
		pgw_attempt_alert_note(&attempt, workitem->correlation, workitem->bank);
	workitem->step.try_later |= result == PGW_RECORD_ROW_BUSY;
	if (workitem->notify && !workitem->step.try_later && result != PGW_RECORD_SAVED)
		notify(&attempt); /* saving has notified */
}

static void
workitem_committed(PgwBatchItem *item)
{
	static const pg_uuid_t nobody = {{0}};
	PgwWorkItem *workitem = (PgwWorkItem *) item;

	Assert(InterruptHoldoffCount > 0);
	pgw_lanes_give_up(&workitem->step.place);
	if (!item->leaves_nothing && !workitem->step.try_later && workitem->step.parked_for[0] == '\0')
		pgw_write_succeeded(PGW_WRITE_STEP);
	(void) pgw_waiters_answer(&workitem->transaction_id, workitem->status);
	if (workitem->alert)
		pgw_attempt_alert(&workitem->transaction_id, workitem->status, workitem->correlation,
						  workitem->bank);
	if (workitem->step.unwatched)
		pgw_attempt_alert_unwatched(&workitem->transaction_id, workitem->correlation,
									workitem->bank);
	if (workitem->step.contradicted)
		pgw_attempt_alert_contradicted(&workitem->transaction_id, workitem->correlation,
									   workitem->bank);
	if (workitem->step.made_at_bank)
		pgw_attempt_alert_told_at_bank(&workitem->transaction_id, workitem->correlation,
									   workitem->bank);
	if (workitem->step.dispute_opened)
		pgw_attempt_alert_dispute("dispute_opened", &workitem->transaction_id,
								  workitem->correlation, workitem->bank);
	if (workitem->step.dispute_closed)
		pgw_attempt_alert_dispute("dispute_closed", &workitem->transaction_id,
								  workitem->correlation, workitem->bank);
	if (workitem->step.dispute_unclear)
		pgw_attempt_alert_dispute("dispute_unclear", &workitem->transaction_id,
								  workitem->correlation, workitem->bank);
	if (workitem->step.call != NULL && workitem->step.call->evidence)
	{
		/* an answer already, and goes the way of any */
		pgw_bank_answers_add(workitem->step.call);
		workitem->step.call = NULL;
	}
	if (workitem->step.call != NULL)
	{
		if (workitem->status == PGW_REFUNDING)
			PGW_DEBUG_POINT("compensation_committed");
		else if (workitem->step.call->submitted && workitem->status == PGW_CREATED)
			PGW_DEBUG_POINT("submit_committed");
		pgw_call_ready(workitem->step.call);
		workitem->step.call = NULL;
	}
	if (workitem->step.other_was_told)
		pgw_due_add_notified(&workitem->step.other_attempt, "");
	else if (memcmp(&workitem->step.other_attempt, &nobody, sizeof(pg_uuid_t)) != 0)
		pgw_due_add_step(&workitem->step.other_attempt);
	if (workitem->step.next_step_now)
		pgw_due_add_step(&workitem->transaction_id);
	workitem->failures = 0;
	if (workitem->step.parked_for[0] == '\0' && workitem->step.try_later)
		workitem->times_busy =
			workitem->step.takes_long ? BUSY_MAX : Min(workitem->times_busy + 1, BUSY_MAX);
	if (workitem->step.try_later && !workitem->step.blocked)
		pgw_attempt_alert_busy(&workitem->busy_since, &workitem->transaction_id,
							   workitem->correlation, workitem->bank);
	if (workitem->step.parked_for[0] != '\0' || workitem->step.try_later)
		pgw_due_postpone(workitem, BUSY_DELAY_MS * workitem->times_busy);
	else
		pfree(workitem);
}

static void
workitem_failed(PgwBatchItem *item, int sqlstate)
{
	PgwWorkItem *workitem = (PgwWorkItem *) item;
	uint64 more;

	pgw_lanes_give_up(&workitem->step.place);
	forget_call(workitem);
	workitem->step.parked_for[0] = '\0';
	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		/* somebody's DDL is in the way: pgw.health() shows it */
		pgw_due_postpone(workitem, LOCKED_DELAY_MS);
		return;
	}

	/*
	 * The error is in the log.  Nothing was changed: it is tried again, at longer and longer
	 * distances.
	 */
	if (workitem->failures++ == 0)
		pgw_write_failed(PGW_WRITE_STEP, sqlstate);
	if (pgw_log_due("work failed", unpack_sql_state(sqlstate), &more))
		ereport(WARNING,
				(errmsg("pgw: work on an attempt failed (SQLSTATE %s)", unpack_sql_state(sqlstate)),
				 pgw_errdetail_attempt(workitem->correlation, &workitem->transaction_id, NULL,
									   workitem->bank[0] != '\0' ? workitem->bank : NULL, NULL),
				 pgw_log_more(more)));
	if (workitem->failures >= PGW_FAILING_ALERT)
		pgw_attempt_alert_failing(&workitem->transaction_id, workitem->correlation, workitem->bank);
	pgw_due_postpone(
		workitem, Min(FAILED_DELAY_MS << Min(workitem->failures, 16), PGW_VISIT_LONGEST_DELAY_MS));
}

/* The tables say what is left to do. */
static void
workitem_broken(PgwBatchItem *item, bool committed)
{
	PgwWorkItem *workitem = (PgwWorkItem *) item;

	pgw_lanes_give_up(&workitem->step.place);
	/* evidence is found again */
	if (workitem->step.call != NULL && committed && !workitem->step.call->evidence)
		pgw_call_ready(workitem->step.call); /* its intent is durable */
	else
		forget_call(workitem);
	pgw_next_scan_full(
		TimestampTzPlusMilliseconds(pgw_now(), committed ? 0 : PGW_VISIT_LONGEST_DELAY_MS));
	pfree(workitem);
}
