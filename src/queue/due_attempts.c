/*
 * due_attempts.c - work that is found in the tables, one attempt at a time: which steps are due,
 * and when to look again
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

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bank_call/call.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "core/base/uuid7.h"
#include "observe/alerts.h"
#include "store/notify_payments.h"
#include "store/tables.h"

#define SIGNALS_MAX 512
#define LISTED_MAX 4096 /* more is left to the scan, which keeps no memory */
#define BUSY_DELAY_MS 50
#define BUSY_ALERT_MS (5 * 60 * 1000)
#define NOT_CONFIGURED_DELAY_MS 30000
#define UNDECIDED_DELAY_MS 5000
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
static TimestampTz scan_at = 0;        /* something was put off in the table until then */
static bool full_wanted = false;       /* ... or was lost track of */

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

	workitem->resend_allowed |= resend_allowed;
	workitem->lookup_inconclusive |= lookup_inconclusive;
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
	if (!found || !entry->workitem->place.turn.waiting)
		return pgw_due_add(transaction_id);
	/* out of its lane, where it would wait for a room that it needs no more */
	pgw_lanes_leave(&entry->workitem->place);
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
	if (!pgw_lanes_wait(&workitem->place, bank, lane, merchant, &workitem->item, false))
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

/* ---------------------------------------------------------------- what the steps share */

void
pgw_due_wake_at(TimestampTz when)
{
	if (scan_at == 0 || when < scan_at)
		scan_at = when;
}

void
pgw_due_rescan_at(TimestampTz when)
{
	full_wanted = true;
	pgw_due_wake_at(when);
}

void
pgw_step_reschedule(PgwAttempt *attempt, TimestampTz when)
{
	attempt->next_step_at = when;
	pgw_store_update_attempt(attempt);
	if (when != 0)
		pgw_due_wake_at(when);
}

static void
not_configured(PgwAttempt *attempt, PgwWorkItem *workitem, const char *code, const char *why)
{
	char correlation[37];

	pgw_uuid_to_text(attempt->correlation_id.data, correlation);
	ereport(WARNING, (errmsg("pgw: an attempt cannot go on now: %s", code),
					  errdetail("correlation id %s, bank \"%s\"%s%s", correlation, attempt->bank,
								why[0] ? ": " : "", why)));
	pgw_put_off(attempt, workitem, code,
				TimestampTzPlusMilliseconds(pgw_now(), NOT_CONFIGURED_DELAY_MS));
}

static PgwLane
lane_of(const PgwAttempt *attempt)
{
	if (attempt->kind != PGW_KIND_PAYMENT)
		return PGW_LANE_FOLLOW_UP;
	switch (attempt->status)
	{
		case PGW_CREATED:
			return attempt->taken_by_worker ? PGW_LANE_CHARGE : PGW_LANE_QUEUED;
		case PGW_BANK_APPROVED:
		case PGW_REFUNDING:
			return PGW_LANE_GIVE_BACK;
		case PGW_SAVED:
			return PGW_LANE_FOLLOW_UP;
		default:
			return PGW_LANE_LOOKUP;
	}
}

/*
 * To its bank's lane, after the commit.  The lane may be full then, so its row has to say that it
 * is due.  Not one that is Created: there "nothing due" means that a request may be under way, and
 * a planned try that none is.
 */
static void
park(PgwAttempt *attempt, PgwWorkItem *workitem, const char *bank)
{
	strlcpy(workitem->parked_for, bank, sizeof(workitem->parked_for));
	workitem->lane = lane_of(attempt);
	workitem->merchant = pgw_turns_key(attempt->merchant);
	workitem->must_stay = attempt->next_step_at == 0 && attempt->status == PGW_CREATED;
	if (attempt->next_step_at == 0 && !workitem->must_stay)
		pgw_step_reschedule(attempt, pgw_now());
}

PgwBank *
pgw_step_bank(PgwAttempt *attempt, PgwWorkItem *workitem, bool may_charge)
{
	PgwBank *bank;
	bool unreadable = false;

	/*
	 * A new charge goes to the bank as it is now, and its intent says so; whatever follows goes
	 * where that went.
	 */
	if (may_charge)
		bank = attempt->bank != NULL ? pgw_config_bank(attempt->bank) : NULL;
	else
		bank = pgw_config_bank_of(attempt->bank, attempt->bank_version, &unreadable);

	/*
	 * A table is locked, or the caller may have seen a newer configuration: that is no reason to be
	 * put off, and pgw.health() shows the lock.
	 */
	if (unreadable || (may_charge && (bank == NULL || !bank->enabled) && !pgw_config_is_current()))
	{
		workitem->try_later = workitem->blocked = true;
		return NULL;
	}

	/* A disabled bank takes no new charge; what it has is still looked up and given back. */
	if (bank == NULL || (may_charge && !bank->enabled) || bank->connector == NULL)
	{
		not_configured(attempt, workitem,
					   bank == NULL              ? "unknown_bank"
					   : bank->connector == NULL ? "connector_invalid"
												 : "bank_disabled",
					   "");
		return NULL;
	}
	if (!may_charge && attempt->bank_version == 0)
		attempt->bank_version = pgw_config_version_of(bank);
	/*
	 * room that was given to it is its own, at the bank that gave it; else it takes what nobody
	 * waits for
	 */
	if (workitem->place.lanes != NULL && strcmp(pgw_lanes_name(&workitem->place), bank->name) != 0)
		pgw_lanes_give_up(&workitem->place);
	if (workitem->place.lanes == NULL && !pgw_lanes_room(bank->name, lane_of(attempt), false))
	{
		park(attempt, workitem, bank->name);
		return NULL;
	}
	return bank;
}

bool
pgw_step_call(PgwAttempt *attempt, PgwWorkItem *workitem, PgwBank *bank, PgwBankOp op,
			  const char *reference, PgwCallParams *params)
{
	PgwConnectorError err = {.message = ""};
	const char *code = NULL;
	TimestampTz when;

	workitem->call =
		pgw_call_new(&attempt->transaction_id, &attempt->correlation_id, attempt->submitted);
	workitem->call->op = op;
	workitem->call->answer.retry_after_s = -1;
	if (attempt->card_last4 != NULL)
		strlcpy(workitem->call->card_last4, attempt->card_last4,
				sizeof(workitem->call->card_last4));
	if (reference != NULL)
		strlcpy(workitem->call->reference, reference, sizeof(workitem->call->reference));
	/*
	 * A resend that a look-up has just allowed is part of the same retry and takes no second token;
	 * if it had to wait for one, it would need another look-up, which costs a token as well.
	 */
	if (!pgw_call_allowed(workitem->call, bank->health_name,
						  attempt->step_tries > 0 && !workitem->resend_allowed &&
							  !workitem->lookup_inconclusive,
						  &when))
	{
		pgw_call_free(workitem->call);
		workitem->call = NULL;
		/*
		 * a row less to write, and at the end of the cooldown only as many are looked at as can be
		 * sent
		 */
		if (lane_of(attempt) == PGW_LANE_QUEUED && pgw_lanes_left_alone(bank->name))
			park(attempt, workitem, bank->name);
		else
			pgw_put_off(attempt, workitem, "bank_unavailable", when);
		return false;
	}
	pgw_lanes_give_up(&workitem->place); /* its call takes it */
	if (pgw_call_render(workitem->call, bank, params, &code, &err))
	{
		workitem->call->put_off_since = attempt->put_off_since;
		pgw_put_off_over(attempt);
		return true;
	}
	pgw_call_free(workitem->call);
	workitem->call = NULL;
	not_configured(attempt, workitem, code, err.message);
	return false;
}

/* ---------------------------------------------------------------- alerts */

void
pgw_attempt_alert_note(const PgwAttempt *attempt, char *correlation, char *bank)
{
	pgw_uuid_to_text(attempt->correlation_id.data, correlation);
	strlcpy(bank, attempt->bank != NULL ? attempt->bank : "", NAMEDATALEN);
}

/* After the commit: a person is needed, or one more has failed. */
void
pgw_attempt_alert(const pg_uuid_t *transaction_id, PgwState status, const char *correlation,
				  const char *bank)
{
	char id[37];

	pgw_uuid_to_text(transaction_id->data, id);
	if (status == PGW_REQUIRES_MANUAL_REVIEW)
		pgw_alert("review_required", id, bank, transaction_id, correlation,
				  "a transaction needs manual review: see pgw.manual_reviews");
	else if (status == PGW_REFUNDING)
		pgw_alert(
			"capture_refused", id, bank, transaction_id, correlation,
			"the bank refused to capture what it had authorized: the payment has failed after its caller's commit");
	else
		pgw_alert_failed(bank);
}

void
pgw_attempt_alert_busy(TimestampTz *since, const pg_uuid_t *transaction_id, const char *correlation,
					   const char *bank)
{
	TimestampTz now = pgw_now();
	char id[37];

	if (*since == 0 || *since > now)
		*since = now;
	if (now < TimestampTzPlusMilliseconds(*since, BUSY_ALERT_MS))
		return;
	pgw_uuid_to_text(transaction_id->data, id);
	pgw_alert(
		"row_busy", id, bank, transaction_id, correlation,
		"a transaction holds the row of a payment, whose outcome cannot be written: look for idle and prepared transactions");
}

/* Somebody gave back, or captured, at the bank itself; or the bank did what nobody asked for. */
void
pgw_attempt_alert_differs(const pg_uuid_t *transaction_id, const PgwAnswer *shown,
						  const char *correlation, const char *bank)
{
	char id[37];
	char captured[32] = "not said";
	char refunded[32] = "not said";
	char message[256];

	pgw_uuid_to_text(transaction_id->data, id);
	if (shown->captured >= 0)
		snprintf(captured, sizeof(captured), INT64_FORMAT, shown->captured);
	if (shown->refunded >= 0 || shown->has_amount)
		snprintf(refunded, sizeof(refunded), INT64_FORMAT,
				 shown->refunded >= 0 ? shown->refunded : shown->amount);
	snprintf(message, sizeof(message),
			 "the bank shows more than pgw has asked for: captured %s, given back %s", captured,
			 refunded);
	pgw_alert("bank_shows_more", id, bank, transaction_id, correlation, message);
}

/* The database does not take what is to be written: a trigger that raises, a full disk. */
void
pgw_attempt_alert_failing(const pg_uuid_t *transaction_id, const char *correlation,
						  const char *bank)
{
	char id[37];

	pgw_uuid_to_text(transaction_id->data, id);
	pgw_alert("work_failing", id, bank, transaction_id, correlation,
			  "work on a transaction fails again and again: see the server's log");
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

/* The payments row of an attempt that needs nothing more of the bank. */
static PgwRecordResult
write_payment(PgwAttempt *attempt, PgwWorkItem *workitem)
{
	PgwRecordResult result = pgw_record_for_caller(attempt);

	if (attempt->status == PGW_REFUNDING)
		/* its next step is the bank's business, and the payments row is looked at again after it */
		return result;
	if (result == PGW_RECORD_UNDECIDED)
		pgw_step_reschedule(attempt, TimestampTzPlusMilliseconds(pgw_now(), UNDECIDED_DELAY_MS));
	else if (result != PGW_RECORD_ROW_BUSY && result != PGW_RECORD_OTHER_DATABASE &&
			 attempt->next_step_at != 0 && attempt->watch_until == 0)
		pgw_step_reschedule(attempt, 0);
	return result;
}

static PgwRecordResult
work(PgwAttempt *attempt, PgwWorkItem *workitem)
{
	PgwRecordResult result = PGW_RECORD_NOTHING_LEFT;

	if (attempt->kind != PGW_KIND_PAYMENT)
	{
		pgw_step_operation(attempt, workitem);
		return result;
	}
	switch (attempt->status)
	{
		case PGW_CREATED:
			if (!attempt->taken_by_worker)
				pgw_step_charge_submitted(attempt, workitem);
			else if (attempt->next_step_at != 0)
				pgw_step_charge_retry(attempt, workitem);
			else
				pgw_step_charge_lost(attempt, workitem);
			break;
		case PGW_BANK_UNKNOWN:
			pgw_step_unknown_outcome(attempt, workitem);
			break;
		case PGW_BANK_APPROVED:
			result = pgw_record_for_caller(attempt);
			if (result == PGW_RECORD_ROLLED_BACK)
				pgw_step_rolled_back(attempt, workitem);
			/* its capture is next, once this is durable */
			workitem->next_step_now = attempt->status == PGW_SAVED;
			if (attempt->status == PGW_COMPLETED && attempt->next_step_at != 0)
				pgw_due_wake_at(attempt->next_step_at);
			break;
		case PGW_SAVED:
			pgw_step_capture(attempt, workitem);
			break;
		case PGW_REFUNDING:
			result = write_payment(attempt, workitem);
			if (result != PGW_RECORD_OTHER_DATABASE)
				pgw_step_compensation(attempt, workitem);
			break;
		case PGW_FAILED:
			result = write_payment(attempt, workitem);
			if (result != PGW_RECORD_ROW_BUSY && result != PGW_RECORD_UNDECIDED &&
				attempt->watch_until != 0)
				pgw_step_charge_failed(attempt, workitem);
			break;
		case PGW_REFUNDED:
			result = write_payment(attempt, workitem);
			if (result != PGW_RECORD_ROW_BUSY && result != PGW_RECORD_UNDECIDED)
				pgw_step_watch_refund(attempt, workitem);
			break;
		case PGW_REQUIRES_MANUAL_REVIEW:
			result = write_payment(attempt, workitem);
			break;
		case PGW_COMPLETED:
			pgw_step_watch_authorization(attempt, workitem);
			break;
		case PGW_STATE_NONE:
		case PGW_NSTATES:
			break;
	}
	return result;
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
workitem_apply(PgwBatchItem *item)
{
	PgwWorkItem *workitem = (PgwWorkItem *) item;
	PgwAttempt attempt;
	PgwRecordResult result = PGW_RECORD_NOTHING_LEFT;
	PgwState before;
	bool busy = false;

	workitem->alert = workitem->unwatched = workitem->blocked = false;
	workitem->try_later = workitem->next_step_now = false;
	workitem->parked_for[0] = '\0';
	workitem->status = PGW_STATE_NONE;
	memset(&workitem->other_attempt, 0, sizeof(workitem->other_attempt));
	if (workitem->call != NULL)
	{
		/* made in a transaction that was rolled back */
		pgw_call_free(workitem->call);
		workitem->call = NULL;
	}
	if (pgw_call_under_way(&workitem->transaction_id) && !workitem->notify)
		return;
	if (only_told(workitem))
		return;
	if (!pgw_store_lock_attempt(&workitem->transaction_id, false, &attempt, &busy))
	{
		workitem->try_later = busy;
		return;
	}
	if (pgw_attempt_of_other_database(&attempt))
		return;
	pgw_attempt_alert_note(&attempt, workitem->correlation, workitem->bank);
	before = attempt.status;
	if (!pgw_call_under_way(&workitem->transaction_id))
		result = work(&attempt, workitem);
	workitem->status = attempt.status;
	workitem->alert = attempt.status != before && (attempt.status == PGW_REQUIRES_MANUAL_REVIEW ||
												   attempt.status == PGW_FAILED);
	if (workitem->alert)
		/* the bank may have changed */
		pgw_attempt_alert_note(&attempt, workitem->correlation, workitem->bank);
	workitem->try_later |= result == PGW_RECORD_ROW_BUSY;
	if (workitem->notify && !workitem->try_later && result != PGW_RECORD_SAVED)
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
		entry->workitem->resend_allowed |= workitem->resend_allowed;
		entry->workitem->lookup_inconclusive |= workitem->lookup_inconclusive;
		pfree(workitem);
		return;
	}
	entry->workitem = workitem;
	if (workitem->parked_for[0] != '\0')
	{
		if (pgw_lanes_wait(&workitem->place, workitem->parked_for, workitem->lane,
						   workitem->merchant, &workitem->item, workitem->must_stay))
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

	pgw_lanes_give_up(&workitem->place);
	(void) pgw_waiters_answer(&workitem->transaction_id, workitem->status);
	if (workitem->alert)
		pgw_attempt_alert(&workitem->transaction_id, workitem->status, workitem->correlation,
						  workitem->bank);
	if (workitem->unwatched)
		pgw_put_off_tell(workitem);
	if (workitem->call != NULL)
	{
		if (workitem->status == PGW_REFUNDING)
			PGW_DEBUG_POINT("compensation_committed");
		else if (workitem->call->submitted && workitem->status == PGW_CREATED)
			PGW_DEBUG_POINT("submit_committed");
		pgw_call_ready(workitem->call);
		workitem->call = NULL;
	}
	if (memcmp(&workitem->other_attempt, &nobody, sizeof(pg_uuid_t)) != 0)
		pgw_due_add_step(&workitem->other_attempt, false, false);
	if (workitem->next_step_now)
		pgw_due_add_step(&workitem->transaction_id, false, false);
	workitem->failures = 0;
	if (workitem->parked_for[0] == '\0' && workitem->try_later)
		workitem->times_busy = Min(workitem->times_busy + 1, PGW_BUSY_MAX);
	if (workitem->try_later && !workitem->blocked)
		pgw_attempt_alert_busy(&workitem->busy_since, &workitem->transaction_id,
							   workitem->correlation, workitem->bank);
	if (workitem->parked_for[0] != '\0' || workitem->try_later)
		postpone(workitem, BUSY_DELAY_MS * workitem->times_busy);
	else
		pfree(workitem);
}

static void
workitem_failed(PgwBatchItem *item, int sqlstate)
{
	PgwWorkItem *workitem = (PgwWorkItem *) item;
	char id[37];

	pgw_lanes_give_up(&workitem->place);
	pgw_uuid_to_text(workitem->transaction_id.data, id);
	if (workitem->call != NULL)
		pgw_call_free(workitem->call);
	workitem->call = NULL;
	workitem->parked_for[0] = '\0';
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

	pgw_lanes_give_up(&workitem->place);
	if (workitem->call != NULL && committed)
		pgw_call_ready(workitem->call); /* its intent is durable */
	else if (workitem->call != NULL)
		pgw_call_free(workitem->call);
	pgw_due_rescan_at(
		TimestampTzPlusMilliseconds(pgw_now(), committed ? 0 : LONGEST_FAILED_DELAY_MS));
	pfree(workitem);
}

/* ---------------------------------------------------------------- when */

bool
pgw_due_scan_due(TimestampTz now, bool *full)
{
	if (scan_at == 0 || scan_at > now)
		return false;
	scan_at = 0; /* what is put off again sets it again */
	*full |= full_wanted;
	full_wanted = false;
	return true;
}

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
pgw_due_collect(dlist_head *items, int *looks)
{
	take_postponed(pgw_now());
	for (; *looks > 0 && !dlist_is_empty(&attempts); (*looks)--)
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
		pgw_due_wake_at(TimestampTzPlusMilliseconds(pgw_now(), EXPIRY_CHECK_MS));
	while (!dlist_is_empty(&arrived))
		count(dlist_container(PgwWorkItem, item.node, dlist_pop_head_node(&arrived)));
}

TimestampTz
pgw_due_next_at(void)
{
	TimestampTz next = scan_at;
	TimestampTz others[5] = {pgw_results_next_due(), pgw_requests_next_due(), pgw_bank_next_probe(),
							 pgw_lanes_next_due(), next_postponed};

	for (int i = 0; i < lengthof(others); i++)
	{
		if (others[i] != 0 && (next == 0 || others[i] < next))
			next = others[i];
	}
	if (!dlist_is_empty(&attempts))
		next = 1; /* at once: a committed result has asked for a look */
	return next;
}
