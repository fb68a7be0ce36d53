/*
 * due_attempts.c - work that is found in the tables, one attempt at a time
 *
 * Owns the list of attempts to look at.  An id gets on it by a signal, by the scan for what is due,
 * or because a result asks for the next step; what is to be done is decided under the attempt's row
 * lock, by the row alone.  So a doubled or stale id is harmless.
 *
 * What needs a bank that has no room waits in that bank's lane (bank_lanes.c), what has not begun
 * goes there before anybody looks at it.  A lane has so many places; what finds none is forgotten
 * here, because it is due in the tables, and the scan asks for it when the lane is low.
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
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "attempt/attempt_alerts.h"
#include "attempt/dispatch.h"
#include "bank_call/bank_lanes.h"
#include "bank_call/waiting_callers.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "core/base/uuid7.h"
#include "exchange/signal_ring.h"
#include "observe/alerts.h"
#include "outcome/caller_committed.h"
#include "outcome/record_decision.h"
#include "queue/due_attempts.h"
#include "queue/next_scan.h"
#include "queue/send_calls.h"
#include "store/notify_payments.h"
#include "store/tables.h"

#define SIGNALS_MAX 512
#define LISTED_MAX 4096 /* more is left to the scan, which keeps no memory */
/* An attempt whose row is busy is visited again after 1, 2 ... BUSY_MAX times so long. */
#define BUSY_DELAY_MS 50
#define BUSY_MAX 20
#define FAILED_DELAY_MS 100
#define LOCKED_DELAY_MS 250 /* a relation is locked */
#define LONGEST_FAILED_DELAY_MS 30000
#define EXPIRY_CHECK_MS 10000

static MemoryContext attempts_context;
static HTAB *by_attempt; /* transaction_id -> the item on one of these lists */
static dlist_head attempts;
static uint64 enqueued = 0; /* items put onto it, ever */
static uint64 dequeued = 0; /* items taken from it, ever */
/* in their bank's lane, not yet known whether there is room */
static dlist_head arrived;
static dlist_head postponed;           /* until not_before */
static TimestampTz next_postponed = 0; /* the first of them, or earlier; 0: none */

/*
 * An entry of the worker's queue: an attempt to visit. What is to be done with it is decided by its
 * row alone.
 */
typedef struct PgwWorkItem
{
	PgwBatchItem item; /* first */
	pg_uuid_t transaction_id;
	bool notify;    /* the caller has committed: tell the listeners */
	int times_busy; /* times in a row that a row was locked */
	TimestampTz busy_since;
	int failures; /* times that its transaction failed, in a row */
	TimestampTz not_before;
	/* as visited, or as waiting for room: see pgw_due_dequeued() */
	bool counted;

	PgwStep step;

	/* set by apply */
	PgwState status;      /* after the commit; PGW_STATE_NONE: not looked at */
	bool alert;           /* it has failed, or needs a person, since this visit */
	char correlation[37]; /* of the row, when it was locked */
	char bank[NAMEDATALEN];
} PgwWorkItem;

typedef struct WorkItemEntry
{
	pg_uuid_t transaction_id; /* key */
	PgwWorkItem *workitem;
} WorkItemEntry;

static void workitem_apply(PgwBatchItem *item);
static void workitem_committed(PgwBatchItem *item);
static void workitem_failed(PgwBatchItem *item, int sqlstate);
static void workitem_broken(PgwBatchItem *item, bool committed);

static const PgwBatchItemOps workitem_ops = {"attempts", workitem_apply, workitem_committed,
											 workitem_failed, workitem_broken};

void
pgw_due_init(void)
{
	HASHCTL ctl;

	attempts_context =
		AllocSetContextCreate(TopMemoryContext, "pgw attempts", ALLOCSET_DEFAULT_SIZES);
	ctl.keysize = sizeof(pg_uuid_t);
	ctl.entrysize = sizeof(WorkItemEntry);
	ctl.hcxt = attempts_context;
	by_attempt = hash_create("pgw attempts", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	dlist_init(&attempts);
	dlist_init(&arrived);
	dlist_init(&postponed);
}

static void
enqueue(PgwWorkItem *workitem)
{
	dlist_push_tail(&attempts, &workitem->item.node);
	enqueued++;
}

/* A new item and its entry: never one without the other. */
static PgwWorkItem *
enlist(const pg_uuid_t *transaction_id)
{
	PgwWorkItem *workitem;
	WorkItemEntry *entry;

	PGW_DEBUG_POINT("listing");
	workitem = MemoryContextAllocZero(attempts_context, sizeof(PgwWorkItem));
	workitem->transaction_id = *transaction_id;
	workitem->item.ops = &workitem_ops;
	PG_TRY();
	{
		entry = hash_search(by_attempt, transaction_id, HASH_ENTER, NULL);
	}
	PG_CATCH();
	{
		pfree(workitem);
		PG_RE_THROW();
	}
	PG_END_TRY();
	entry->workitem = workitem;
	return workitem;
}

/* The item of this id that has not been looked at yet, or a new one. */
static PgwWorkItem *
add(const pg_uuid_t *transaction_id, bool *found)
{
	PgwWorkItem *workitem;
	WorkItemEntry *entry = hash_search(by_attempt, transaction_id, HASH_FIND, found);

	if (*found)
		return entry->workitem;
	workitem = enlist(transaction_id);
	enqueue(workitem);
	return workitem;
}

/*
 * An item in its bank's lane was counted as enqueued, too. It counts as dequeued when it is
 * visited, or as soon as it is known to wait for room.
 */
static void
count(PgwWorkItem *workitem)
{
	if (workitem->counted)
		return;
	workitem->counted = true;
	dequeued++;
}

void
pgw_due_add_step(const pg_uuid_t *transaction_id, bool resend_allowed, bool lookup_inconclusive)
{
	bool found;
	PgwWorkItem *workitem = add(transaction_id, &found);

	workitem->step.resend_allowed |= resend_allowed;
	workitem->step.lookup_inconclusive |= lookup_inconclusive;
}

bool
pgw_due_add(const uint8 *transaction_id)
{
	pg_uuid_t id;
	bool found;

	memcpy(id.data, transaction_id, UUID_LEN);
	if (pgw_call_under_way(&id))
		return false; /* its result asks for the next step */
	(void) add(&id, &found);
	return !found;
}

bool
pgw_due_add_expired(const uint8 *transaction_id)
{
	pg_uuid_t id;
	bool found;
	WorkItemEntry *entry;

	memcpy(id.data, transaction_id, UUID_LEN);
	entry = hash_search(by_attempt, &id, HASH_FIND, &found);
	if (!found || !entry->workitem->step.place.turn.waiting)
		return pgw_due_add(transaction_id);
	/* out of its lane, where it would wait for a room that it needs no more */
	pgw_lanes_leave(&entry->workitem->step.place);
	if (!entry->workitem->counted)
		dlist_delete(&entry->workitem->item.node);
	count(entry->workitem);
	entry->workitem->counted = false;
	enqueue(entry->workitem);
	return true;
}

PgwQueued
pgw_due_add_waiting(const uint8 *transaction_id, const char *bank, PgwLane lane, uint32 merchant)
{
	PgwWorkItem *workitem;
	pg_uuid_t id;
	bool found;

	memcpy(id.data, transaction_id, UUID_LEN);
	(void) hash_search(by_attempt, &id, HASH_FIND, &found);
	if (found || pgw_call_under_way(&id))
		return PGW_QUEUED_KNOWN;
	pgw_lanes_ensure(bank); /* so that nothing below needs memory but the item itself */
	workitem = enlist(&id);
	if (!pgw_lanes_wait(&workitem->step.place, bank, lane, merchant, &workitem->item, false))
	{
		hash_search(by_attempt, &id, HASH_REMOVE, NULL);
		pfree(workitem);
		return PGW_QUEUED_NO_PLACE;
	}
	enqueued++;
	dlist_push_tail(&arrived, &workitem->item.node);
	return PGW_QUEUED_NEW;
}

bool
pgw_due_list_full(void)
{
	return enqueued - dequeued >= LISTED_MAX;
}

uint64
pgw_due_enqueued(void)
{
	return enqueued;
}

bool
pgw_due_dequeued(uint64 n)
{
	return dequeued >= n;
}

void
pgw_due_take_signals(bool *rescan)
{
	static PgwSignal signals[SIGNALS_MAX];
	static bool missed = false;
	int n;

	*rescan = missed && !pgw_due_list_full();
	missed &= !*rescan;
	do
	{
		bool lost;

		n = pgw_exchange_signals(signals, SIGNALS_MAX, &lost);
		*rescan |= lost;
		for (int i = 0; i < n; i++)
		{
			const PgwSignal *s = &signals[i];
			const char *bank = s->kind == PGW_SIGNAL_SUBMITTED ? pgw_lanes_bank(s->bank) : NULL;
			bool found;

			/* where there is no place for it, it is due in the tables */
			if (bank != NULL)
				(void) pgw_due_add_waiting(s->transaction_id.data, bank,
										   s->new_charge ? PGW_LANE_QUEUED : PGW_LANE_FOLLOW_UP,
										   s->merchant);
			else if (s->kind == PGW_SIGNAL_SUBMITTED && pgw_due_list_full())
				missed = true;
			else
			{
				/* ABORTED: the same look; giving back what the caller left is decided there */
				PgwWorkItem *workitem = add(&s->transaction_id, &found);

				workitem->notify |= s->kind == PGW_SIGNAL_COMMITTED;
			}
		}
	} while (n == SIGNALS_MAX);
}

/* ---------------------------------------------------------------- the item */

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
 * and that needs no lock.
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
	step->next_step_now = step->unwatched = false;
	step->wake_at = 0;
	step->parked_for[0] = '\0';
	memset(&step->other_attempt, 0, sizeof(step->other_attempt));
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

/* The step that its row calls for, under the row's lock. */
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
	if (!pgw_store_lock_attempt(&workitem->transaction_id, false, &attempt, &busy))
	{
		workitem->step.try_later = busy;
		return;
	}
	if (pgw_attempt_of_other_database(&attempt))
		return;
	pgw_attempt_alert_note(&attempt, workitem->correlation, workitem->bank);
	before = attempt.status;
	if (!pgw_call_under_way(&workitem->transaction_id))
		result = visit(workitem, &attempt);
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
postpone(PgwWorkItem *workitem, int64 delay_ms)
{
	bool found;
	WorkItemEntry *entry = hash_search(by_attempt, &workitem->transaction_id, HASH_ENTER, &found);

	if (found)
	{
		/* somebody asked for another look meanwhile */
		entry->workitem->notify |= workitem->notify;
		entry->workitem->busy_since = workitem->busy_since;
		entry->workitem->step.resend_allowed |= workitem->step.resend_allowed;
		entry->workitem->step.lookup_inconclusive |= workitem->step.lookup_inconclusive;
		pfree(workitem);
		return;
	}
	entry->workitem = workitem;
	if (workitem->step.parked_for[0] != '\0')
	{
		if (pgw_lanes_wait(&workitem->step.place, workitem->step.parked_for, workitem->step.lane,
						   workitem->step.merchant, &workitem->item, workitem->step.must_stay))
			return;
		hash_search(by_attempt, &workitem->transaction_id, HASH_REMOVE, NULL);
		pfree(workitem); /* it is due in the tables */
		return;
	}
	workitem->not_before = TimestampTzPlusMilliseconds(pgw_now(), delay_ms);
	if (next_postponed == 0 || workitem->not_before < next_postponed)
		next_postponed = workitem->not_before;
	dlist_push_tail(&postponed, &workitem->item.node);
}

static void
workitem_committed(PgwBatchItem *item)
{
	static const pg_uuid_t nobody = {{0}};
	PgwWorkItem *workitem = (PgwWorkItem *) item;

	Assert(InterruptHoldoffCount > 0);
	pgw_lanes_give_up(&workitem->step.place);
	(void) pgw_waiters_answer(&workitem->transaction_id, workitem->status);
	if (workitem->alert)
		pgw_attempt_alert(&workitem->transaction_id, workitem->status, workitem->correlation,
						  workitem->bank);
	if (workitem->step.unwatched)
		pgw_attempt_alert_unwatched(&workitem->transaction_id, workitem->correlation,
									workitem->bank);
	if (workitem->step.call != NULL)
	{
		if (workitem->status == PGW_REFUNDING)
			PGW_DEBUG_POINT("compensation_committed");
		else if (workitem->step.call->submitted && workitem->status == PGW_CREATED)
			PGW_DEBUG_POINT("submit_committed");
		pgw_call_ready(workitem->step.call);
		workitem->step.call = NULL;
	}
	if (memcmp(&workitem->step.other_attempt, &nobody, sizeof(pg_uuid_t)) != 0)
		pgw_due_add_step(&workitem->step.other_attempt, false, false);
	if (workitem->step.next_step_now)
		pgw_due_add_step(&workitem->transaction_id, false, false);
	workitem->failures = 0;
	if (workitem->step.parked_for[0] == '\0' && workitem->step.try_later)
		workitem->times_busy =
			workitem->step.takes_long ? BUSY_MAX : Min(workitem->times_busy + 1, BUSY_MAX);
	if (workitem->step.try_later && !workitem->step.blocked)
		pgw_attempt_alert_busy(&workitem->busy_since, &workitem->transaction_id,
							   workitem->correlation, workitem->bank);
	if (workitem->step.parked_for[0] != '\0' || workitem->step.try_later)
		postpone(workitem, BUSY_DELAY_MS * workitem->times_busy);
	else
		pfree(workitem);
}

static void
workitem_failed(PgwBatchItem *item, int sqlstate)
{
	PgwWorkItem *workitem = (PgwWorkItem *) item;
	char id[37];

	pgw_lanes_give_up(&workitem->step.place);
	pgw_uuid_to_text(workitem->transaction_id.data, id);
	forget_call(workitem);
	workitem->step.parked_for[0] = '\0';
	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		/* somebody's DDL is in the way: pgw.health() shows it */
		postpone(workitem, LOCKED_DELAY_MS);
		return;
	}

	/*
	 * The error is in the log.  Nothing was changed: it is tried again, at longer and longer
	 * distances.
	 */
	workitem->failures++;
	ereport(WARNING,
			(errmsg("pgw: work on an attempt failed (SQLSTATE %s)", unpack_sql_state(sqlstate)),
			 errdetail("transaction %s, correlation id %s", id, workitem->correlation)));
	if (workitem->failures >= PGW_FAILING_ALERT)
		pgw_attempt_alert_failing(&workitem->transaction_id, workitem->correlation, workitem->bank);
	postpone(workitem,
			 Min(FAILED_DELAY_MS << Min(workitem->failures, 16), LONGEST_FAILED_DELAY_MS));
}

/* The tables say what is left to do. */
static void
workitem_broken(PgwBatchItem *item, bool committed)
{
	PgwWorkItem *workitem = (PgwWorkItem *) item;

	pgw_lanes_give_up(&workitem->step.place);
	if (workitem->step.call != NULL && committed)
		pgw_call_ready(workitem->step.call); /* its intent is durable */
	else
		forget_call(workitem);
	pgw_next_scan_full(
		TimestampTzPlusMilliseconds(pgw_now(), committed ? 0 : LONGEST_FAILED_DELAY_MS));
	pfree(workitem);
}

/* ---------------------------------------------------------------- when */

static void
take_postponed(TimestampTz now)
{
	dlist_mutable_iter iter;

	if (next_postponed == 0 || !pgw_is_due(next_postponed, now, LONGEST_FAILED_DELAY_MS))
		return;
	next_postponed = 0;
	dlist_foreach_modify(iter, &postponed)
	{
		PgwWorkItem *workitem = dlist_container(PgwWorkItem, item.node, iter.cur);

		if (!pgw_is_due(workitem->not_before, now, LONGEST_FAILED_DELAY_MS))
		{
			if (next_postponed == 0 || workitem->not_before < next_postponed)
				next_postponed = workitem->not_before;
			continue;
		}
		dlist_delete(iter.cur);
		workitem->counted = false;
		enqueue(workitem);
	}
}

/*
 * From here on a new request makes a new item: this one may read the row before the change that the
 * requester saw.
 */
static void
take(PgwWorkItem *workitem, dlist_head *items)
{
	count(workitem);
	hash_search(by_attempt, &workitem->transaction_id, HASH_REMOVE, NULL);
	dlist_push_tail(items, &workitem->item.node);
}

void
pgw_due_collect(dlist_head *items, int *visits)
{
	take_postponed(pgw_now());
	for (; *visits > 0 && !dlist_is_empty(&attempts); (*visits)--)
		take(dlist_container(PgwWorkItem, item.node, dlist_pop_head_node(&attempts)), items);
}

void
pgw_due_admit(PgwBatchItem *item, dlist_head *items)
{
	PgwWorkItem *workitem = (PgwWorkItem *) item;

	if (!workitem->counted)
		dlist_delete(&workitem->item.node); /* from those that have just arrived */
	take(workitem, items);
}

void
pgw_due_none_admitted(void)
{
	/* what expires while it waits is found in the tables */
	if (!dlist_is_empty(&arrived))
		pgw_next_scan_wake(TimestampTzPlusMilliseconds(pgw_now(), EXPIRY_CHECK_MS));
	while (!dlist_is_empty(&arrived))
		count(dlist_container(PgwWorkItem, item.node, dlist_pop_head_node(&arrived)));
}

TimestampTz
pgw_due_next_at(void)
{
	if (!dlist_is_empty(&attempts))
		return 1; /* at once: a committed result has asked for a look */
	return next_postponed;
}
