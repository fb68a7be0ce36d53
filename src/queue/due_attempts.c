/*
 * due_attempts.c - work that is found in the tables, one attempt at a time: which steps are due, and when to look again
 *
 * Owns the list of attempts to look at.  An id gets on it by a signal, by the scan for what is due, or because a result asks for
 * the next step; what is to be done is decided under the attempt's row lock, by the row alone.  So a doubled or stale id is harmless.
 *
 * What needs a bank that has no room waits in that bank's lane (bank_lanes.c), what has not begun goes there before anybody looks at it.  A lane has so
 * many places; what finds none is forgotten here, because it is due in the tables, and the scan asks for it when the lane is low.
 *
 * Orderings that matter
 *	- An attempt with a call under way is left alone: the call's result asks for the next step.  Without one, Created and taken with no next
 *	  attempt planned means that a worker ended between intent and answer.
 *	- What was written in apply is committed and flushed before the call that it made becomes ready to be sent.
 *	- Locks are taken without waiting: the attempt's row, then the payments row.
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
#include "store/tables_internal.h"

#define SIGNALS_MAX 512
#define LISTED_MAX 4096			/* more is left to the scan, which keeps no memory */
#define BUSY_DELAY_MS 50
#define BUSY_ALERT_MS (5 * 60 * 1000)
#define NOT_CONFIGURED_DELAY_MS 30000
#define UNDECIDED_DELAY_MS 5000
#define FAILED_DELAY_MS 100
#define LOCKED_DELAY_MS 250		/* a relation is locked */
#define LONGEST_FAILED_DELAY_MS 30000
#define EXPIRY_CHECK_MS 10000

static MemoryContext attempts_context;
static HTAB *listed;			/* transaction_id -> the item on one of these lists */
static dlist_head attempts;
static uint64 pushed = 0;		/* onto it, ever */
static uint64 popped = 0;		/* from it, ever */
static dlist_head arrived;		/* in their bank's lane, not yet known whether there is room */
static dlist_head postponed;	/* until not_before */
static TimestampTz next_postponed = 0;	/* the first of them, or earlier; 0: none */
static TimestampTz scan_at = 0; /* something was put off in the table until then */
static bool full_wanted = false;	/* ... or was lost track of */

typedef struct Listed
{
	pg_uuid_t	transaction_id; /* key */
	PgwAttempt *attempt;
} Listed;

static void attempt_apply(PgwItem *item);
static void attempt_committed(PgwItem *item);
static void attempt_failed(PgwItem *item, int sqlstate);
static void attempt_broken(PgwItem *item, bool committed);

static const PgwItemOps attempt_ops = {"attempts", attempt_apply, attempt_committed, attempt_failed, attempt_broken};

void
pgw_attempts_init(void)
{
	HASHCTL		ctl;

	attempts_context = AllocSetContextCreate(TopMemoryContext, "pgw attempts", ALLOCSET_DEFAULT_SIZES);
	ctl.keysize = sizeof(pg_uuid_t);
	ctl.entrysize = sizeof(Listed);
	ctl.hcxt = attempts_context;
	listed = hash_create("pgw attempts", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	dlist_init(&attempts);
	dlist_init(&arrived);
	dlist_init(&postponed);
}

static void
push(PgwAttempt *a)
{
	dlist_push_tail(&attempts, &a->item.node);
	pushed++;
}

/* A new item and its entry: never one without the other. */
static PgwAttempt *
enlist(const pg_uuid_t *transaction_id)
{
	PgwAttempt *a;
	Listed	   *entry;

	PGW_DEBUG_POINT("listing");
	a = MemoryContextAllocZero(attempts_context, sizeof(PgwAttempt));
	a->transaction_id = *transaction_id;
	a->item.ops = &attempt_ops;
	PG_TRY();
	{
		entry = hash_search(listed, transaction_id, HASH_ENTER, NULL);
	}
	PG_CATCH();
	{
		pfree(a);
		PG_RE_THROW();
	}
	PG_END_TRY();
	entry->attempt = a;
	return a;
}

/* The item of this id that has not been looked at yet, or a new one. */
static PgwAttempt *
add(const pg_uuid_t *transaction_id, bool *found)
{
	PgwAttempt *a;
	Listed	   *entry = hash_search(listed, transaction_id, HASH_FIND, found);

	if (*found)
		return entry->attempt;
	a = enlist(transaction_id);
	push(a);
	return a;
}

/* In its bank's lane it has been asked for as well, and is counted when it is looked at, or when it is known to wait for room. */
static void
count(PgwAttempt *a)
{
	if (a->counted)
		return;
	a->counted = true;
	popped++;
}

void
pgw_attempts_look(const pg_uuid_t *transaction_id, bool looked, bool untold)
{
	bool		found;
	PgwAttempt *a = add(transaction_id, &found);

	a->looked |= looked;
	a->untold |= untold;
}

bool
pgw_calls_add_attempt(const uint8 *transaction_id)
{
	pg_uuid_t	id;
	bool		found;

	memcpy(id.data, transaction_id, UUID_LEN);
	if (pgw_call_under_way(&id))
		return false;			/* its result asks for the next step */
	(void) add(&id, &found);
	return !found;
}

bool
pgw_calls_add_expired(const uint8 *transaction_id)
{
	pg_uuid_t	id;
	bool		found;
	Listed	   *entry;

	memcpy(id.data, transaction_id, UUID_LEN);
	entry = hash_search(listed, &id, HASH_FIND, &found);
	if (!found || !entry->attempt->place.turn.waiting)
		return pgw_calls_add_attempt(transaction_id);
	/* out of its lane, where it would wait for a room that it needs no more */
	pgw_lanes_leave(&entry->attempt->place);
	if (!entry->attempt->counted)
		dlist_delete(&entry->attempt->item.node);
	count(entry->attempt);
	entry->attempt->counted = false;
	push(entry->attempt);
	return true;
}

PgwQueued
pgw_calls_queue_attempt(const uint8 *transaction_id, const char *bank, PgwLane lane, uint32 merchant)
{
	PgwAttempt *a;
	pg_uuid_t	id;
	bool		found;

	memcpy(id.data, transaction_id, UUID_LEN);
	(void) hash_search(listed, &id, HASH_FIND, &found);
	if (found || pgw_call_under_way(&id))
		return PGW_QUEUED_KNOWN;
	pgw_lanes_know(bank);		/* so that nothing below needs memory but the item itself */
	a = enlist(&id);
	if (!pgw_lanes_wait(&a->place, bank, lane, merchant, &a->item, false))
	{
		hash_search(listed, &id, HASH_REMOVE, NULL);
		pfree(a);
		return PGW_QUEUED_NO_PLACE;
	}
	pushed++;
	dlist_push_tail(&arrived, &a->item.node);
	return PGW_QUEUED_NEW;
}

bool
pgw_calls_list_full(void)
{
	return pushed - popped >= LISTED_MAX;
}

uint64
pgw_calls_listed(void)
{
	return pushed;
}

bool
pgw_calls_looked(uint64 n)
{
	return popped >= n;
}

void
pgw_calls_take_signals(bool *rescan)
{
	static PgwSignal signals[SIGNALS_MAX];
	static bool missed = false;
	int			n;

	*rescan = missed && !pgw_calls_list_full();
	missed &= !*rescan;
	do
	{
		bool		lost;

		n = pgw_exchange_signals(signals, SIGNALS_MAX, &lost);
		*rescan |= lost;
		for (int i = 0; i < n; i++)
		{
			const PgwSignal *s = &signals[i];
			const char *bank = s->kind == PGW_SIGNAL_SUBMITTED ? pgw_lanes_bank(s->bank) : NULL;
			bool		found;

			/* where there is no place for it, it is due in the tables */
			if (bank != NULL)
				(void) pgw_calls_queue_attempt(s->transaction_id.data, bank, s->new_charge ? PGW_LANE_QUEUED : PGW_LANE_FOLLOW_UP, s->merchant);
			else if (s->kind == PGW_SIGNAL_SUBMITTED && pgw_calls_list_full())
				missed = true;
			else
			{
				/* ABORTED: the same look; giving back what the caller left is decided there */
				PgwAttempt *a = add(&s->transaction_id, &found);

				a->notify |= s->kind == PGW_SIGNAL_COMMITTED;
			}
		}
	} while (n == SIGNALS_MAX);
}

/* ---------------------------------------------------------------- what the steps share */

void
pgw_calls_wake_at(TimestampTz when)
{
	if (scan_at == 0 || when < scan_at)
		scan_at = when;
}

void
pgw_calls_rescan_at(TimestampTz when)
{
	full_wanted = true;
	pgw_calls_wake_at(when);
}

void
pgw_attempts_put_off(PgwTransaction *t, TimestampTz when)
{
	t->next_attempt_at = when;
	pgw_store_update_transaction(t);
	if (when != 0)
		pgw_calls_wake_at(when);
}

static void
not_configured(PgwTransaction *t, PgwAttempt *a, const char *code, const char *why)
{
	char		correlation[37];

	pgw_uuid_to_text(t->correlation_id.data, correlation);
	ereport(WARNING,
			(errmsg("pgw: an attempt cannot go on now: %s", code),
			 errdetail("correlation id %s, bank \"%s\"%s%s", correlation, t->bank, why[0] ? ": " : "", why)));
	pgw_put_off(t, a, code, TimestampTzPlusMilliseconds(pgw_now(), NOT_CONFIGURED_DELAY_MS));
}

static PgwLane
lane_of(const PgwTransaction *t)
{
	if (t->kind != PGW_KIND_PAYMENT)
		return PGW_LANE_FOLLOW_UP;
	switch (t->status)
	{
		case PGW_CREATED:
			return t->taken ? PGW_LANE_CHARGE : PGW_LANE_QUEUED;
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
 * To its bank's lane, after the commit.  The lane may be full then, so its row has to say that it is due.  Not one that is Created: there "nothing
 * due" means that a request may be under way, and a planned try that none is.
 */
static void
park(PgwTransaction *t, PgwAttempt *a, const char *bank)
{
	strlcpy(a->parked_for, bank, sizeof(a->parked_for));
	a->lane = lane_of(t);
	a->merchant = pgw_turns_key(t->merchant);
	a->must_stay = t->next_attempt_at == 0 && t->status == PGW_CREATED;
	if (t->next_attempt_at == 0 && !a->must_stay)
		pgw_attempts_put_off(t, pgw_now());
}

PgwBank *
pgw_attempts_bank(PgwTransaction *t, PgwAttempt *a, bool may_charge)
{
	PgwBank    *bank;
	bool		unreadable = false;

	/* A new charge goes to the bank as it is now, and its intent says so; whatever follows goes where that went. */
	if (may_charge)
		bank = t->bank != NULL ? pgw_config_bank(t->bank) : NULL;
	else
		bank = pgw_config_bank_of(t->bank, t->bank_version, &unreadable);

	/* A table is locked, or the caller may have seen a newer configuration: that is no reason to be put off, and pgw.health() shows the lock. */
	if (unreadable || (may_charge && (bank == NULL || !bank->enabled) && !pgw_config_is_current()))
	{
		a->later = a->blocked = true;
		return NULL;
	}

	/* A disabled bank takes no new charge; what it has is still looked up and given back. */
	if (bank == NULL || (may_charge && !bank->enabled) || bank->connector == NULL)
	{
		not_configured(t, a, bank == NULL ? "unknown_bank" : bank->connector == NULL ? "connector_invalid" : "bank_disabled", "");
		return NULL;
	}
	if (!may_charge && t->bank_version == 0)
		t->bank_version = pgw_config_version_of(bank);
	/* room that was given to it is its own, at the bank that gave it; else it takes what nobody waits for */
	if (a->place.lanes != NULL && strcmp(pgw_lanes_name(&a->place), bank->name) != 0)
		pgw_lanes_give_up(&a->place);
	if (a->place.lanes == NULL && !pgw_lanes_room(bank->name, lane_of(t), false))
	{
		park(t, a, bank->name);
		return NULL;
	}
	return bank;
}

bool
pgw_attempts_call(PgwTransaction *t, PgwAttempt *a, PgwBank *bank, PgwOp op, const char *reference, PgwCallParams *params)
{
	PgwConnectorError err = {.message = ""};
	const char *code = NULL;
	TimestampTz when;

	a->call = pgw_call_new(&t->transaction_id, &t->correlation_id, t->submitted);
	a->call->op = op;
	a->call->answer.retry_after_s = -1;
	if (t->card_last4 != NULL)
		strlcpy(a->call->card_last4, t->card_last4, sizeof(a->call->card_last4));
	if (reference != NULL)
		strlcpy(a->call->reference, reference, sizeof(a->call->reference));
	/* What a look-up's answer allows belongs to that try: put off for want of a token, it would have to look again, which takes one, too. */
	if (!pgw_call_allowed(a->call, bank->health_name, t->retries > 0 && !a->looked && !a->untold, &when))
	{
		pgw_call_free(a->call);
		a->call = NULL;
		/* a row less to write, and at the end of the cooldown only as many are looked at as can be sent */
		if (lane_of(t) == PGW_LANE_QUEUED && pgw_lanes_left_alone(bank->name))
			park(t, a, bank->name);
		else
			pgw_put_off(t, a, "bank_unavailable", when);
		return false;
	}
	pgw_lanes_give_up(&a->place);	/* its call takes it */
	if (pgw_call_render(a->call, bank, params, &code, &err))
	{
		a->call->put_off_since = t->put_off_since;
		pgw_put_off_over(t);
		return true;
	}
	pgw_call_free(a->call);
	a->call = NULL;
	not_configured(t, a, code, err.message);
	return false;
}

/* ---------------------------------------------------------------- alerts */

void
pgw_calls_note(const PgwTransaction *t, char *correlation, char *bank)
{
	pgw_uuid_to_text(t->correlation_id.data, correlation);
	strlcpy(bank, t->bank != NULL ? t->bank : "", NAMEDATALEN);
}

/* After the commit: a person is needed, or one more has failed. */
void
pgw_calls_alert(const pg_uuid_t *transaction_id, PgwState status, const char *correlation, const char *bank)
{
	char		id[37];

	pgw_uuid_to_text(transaction_id->data, id);
	if (status == PGW_REQUIRES_MANUAL_REVIEW)
		pgw_alert("review_required", id, bank, transaction_id, correlation, "a transaction needs manual review: see pgw.manual_reviews");
	else if (status == PGW_REFUNDING)
		pgw_alert("capture_refused", id, bank, transaction_id, correlation,
				  "the bank refused to capture what it had authorized: the payment has failed after its caller's commit");
	else
		pgw_alert_failed(bank);
}

void
pgw_calls_alert_busy(TimestampTz *since, const pg_uuid_t *transaction_id, const char *correlation, const char *bank)
{
	TimestampTz now = pgw_now();
	char		id[37];

	if (*since == 0 || *since > now)
		*since = now;
	if (now < TimestampTzPlusMilliseconds(*since, BUSY_ALERT_MS))
		return;
	pgw_uuid_to_text(transaction_id->data, id);
	pgw_alert("row_busy", id, bank, transaction_id, correlation,
			  "a transaction holds the row of a payment, whose outcome cannot be written: look for idle and prepared transactions");
}

/* Somebody gave back, or captured, at the bank itself; or the bank did what nobody asked for. */
void
pgw_calls_alert_differs(const pg_uuid_t *transaction_id, const PgwAnswer *shown, const char *correlation, const char *bank)
{
	char		id[37];
	char		captured[32] = "not said";
	char		refunded[32] = "not said";
	char		message[256];

	pgw_uuid_to_text(transaction_id->data, id);
	if (shown->captured >= 0)
		snprintf(captured, sizeof(captured), INT64_FORMAT, shown->captured);
	if (shown->refunded >= 0 || shown->has_amount)
		snprintf(refunded, sizeof(refunded), INT64_FORMAT, shown->refunded >= 0 ? shown->refunded : shown->amount);
	snprintf(message, sizeof(message), "the bank shows more than pgw has asked for: captured %s, given back %s", captured, refunded);
	pgw_alert("bank_shows_more", id, bank, transaction_id, correlation, message);
}

/* The database does not take what is to be written: a trigger that raises, a full disk. */
void
pgw_calls_alert_failing(const pg_uuid_t *transaction_id, const char *correlation, const char *bank)
{
	char		id[37];

	pgw_uuid_to_text(transaction_id->data, id);
	pgw_alert("work_failing", id, bank, transaction_id, correlation, "work on a transaction fails again and again: see the server's log");
}

/* ---------------------------------------------------------------- the item */

/* An operation tells its own end when the worker writes it; what an operator has decided is told here. Equal ones in one commit are sent once. */
static void
notify(const PgwTransaction *t)
{
	PgwPayment	p;

	if (t->kind != PGW_KIND_PAYMENT)
	{
		if (t->status == PGW_COMPLETED || t->status == PGW_FAILED)
			pgw_store_notify(&t->payment_id, t->kind, t->status == PGW_COMPLETED ? "completed" : "failed");
		return;
	}
	/* the row votes for an attempt: what another one of the same payment came to is not its outcome */
	if (pgw_store_payment_by_id(&t->payment_id, &p) && memcmp(&p.transaction_id, &t->transaction_id, sizeof(pg_uuid_t)) == 0)
		pgw_store_notify_payment(&p);
}

/* The payments row of an attempt that needs nothing more of the bank. */
static PgwVote
settle(PgwTransaction *t, PgwAttempt *a)
{
	PgwVote		vote = pgw_vote_finish(t);

	if (t->status == PGW_REFUNDING)
		return vote;			/* its next step is the bank's business, and the payments row is looked at again after it */
	if (vote == PGW_VOTE_UNDECIDED)
		pgw_attempts_put_off(t, TimestampTzPlusMilliseconds(pgw_now(), UNDECIDED_DELAY_MS));
	else if (vote != PGW_VOTE_BUSY && vote != PGW_VOTE_FOREIGN && t->next_attempt_at != 0 && t->watch_until == 0)
		pgw_attempts_put_off(t, 0);
	return vote;
}

static PgwVote
work(PgwTransaction *t, PgwAttempt *a)
{
	PgwVote		vote = PGW_VOTE_NOTHING;

	if (t->kind != PGW_KIND_PAYMENT)
	{
		pgw_operations_work(t, a);
		return vote;
	}
	switch (t->status)
	{
		case PGW_CREATED:
			if (!t->taken)
				pgw_charges_submitted(t, a);
			else if (t->next_attempt_at != 0)
				pgw_charges_again(t, a);
			else
				pgw_resolve_lost(t, a);
			break;
		case PGW_BANK_UNKNOWN:
			pgw_resolve_work(t, a);
			break;
		case PGW_BANK_APPROVED:
			vote = pgw_vote_finish(t);
			if (vote == PGW_VOTE_ROLLED_BACK)
				pgw_compensate_rolled_back(t, a);
			a->again = t->status == PGW_SAVED;	/* its capture is next, once this is durable */
			if (t->status == PGW_COMPLETED && t->next_attempt_at != 0)
				pgw_calls_wake_at(t->next_attempt_at);
			break;
		case PGW_SAVED:
			pgw_capture_work(t, a);
			break;
		case PGW_REFUNDING:
			vote = settle(t, a);
			if (vote != PGW_VOTE_FOREIGN)
				pgw_compensate_work(t, a);
			break;
		case PGW_FAILED:
			vote = settle(t, a);
			if (vote != PGW_VOTE_BUSY && vote != PGW_VOTE_UNDECIDED && t->watch_until != 0)
				pgw_resolve_failed(t, a);
			break;
		case PGW_REFUNDED:
			vote = settle(t, a);
			if (vote != PGW_VOTE_BUSY && vote != PGW_VOTE_UNDECIDED)
				pgw_watch_refund(t, a);
			break;
		case PGW_REQUIRES_MANUAL_REVIEW:
			vote = settle(t, a);
			break;
		case PGW_COMPLETED:
			pgw_watch_authorization(t, a);
			break;
		case PGW_STATE_NONE:
		case PGW_NSTATES:
			break;
	}
	return vote;
}

/* The usual end of a call: its caller has saved and committed. Nothing is left to do but to tell, and that needs no lock. */
static bool
only_told(PgwAttempt *a)
{
	PgwTransaction t;

	if (!a->notify || !pgw_store_transaction_by_id(&a->transaction_id, &t) || t.kind != PGW_KIND_PAYMENT ||
		t.status != PGW_COMPLETED || t.next_attempt_at != 0 || pgw_vote_is_foreign(&t))
		return false;
	a->status = t.status;
	notify(&t);
	return true;
}

static void
attempt_apply(PgwItem *item)
{
	PgwAttempt *a = (PgwAttempt *) item;
	PgwTransaction t;
	PgwVote		vote = PGW_VOTE_NOTHING;
	PgwState	before;
	bool		busy = false;

	a->alert = a->unwatched = a->blocked = false;
	a->later = a->again = false;
	a->parked_for[0] = '\0';
	a->status = PGW_STATE_NONE;
	memset(&a->other, 0, sizeof(a->other));
	if (a->call != NULL)
	{
		/* made in a transaction that was rolled back */
		pgw_call_free(a->call);
		a->call = NULL;
	}
	if (pgw_call_under_way(&a->transaction_id) && !a->notify)
		return;
	if (only_told(a))
		return;
	if (!pgw_store_lock_transaction(&a->transaction_id, false, &t, &busy))
	{
		a->later = busy;
		return;
	}
	if (pgw_vote_is_foreign(&t))
		return;
	pgw_calls_note(&t, a->correlation, a->bank);
	before = t.status;
	if (!pgw_call_under_way(&a->transaction_id))
		vote = work(&t, a);
	a->status = t.status;
	a->alert = t.status != before && (t.status == PGW_REQUIRES_MANUAL_REVIEW || t.status == PGW_FAILED);
	if (a->alert)
		pgw_calls_note(&t, a->correlation, a->bank);	/* the bank may have changed */
	a->later |= vote == PGW_VOTE_BUSY;
	if (a->notify && !a->later && vote != PGW_VOTE_SAVED)
		notify(&t);				/* saving has notified */
}

static void
postpone(PgwAttempt *a, int64 delay_ms)
{
	bool		found;
	Listed	   *entry = hash_search(listed, &a->transaction_id, HASH_ENTER, &found);

	if (found)
	{
		/* somebody asked for another look meanwhile */
		entry->attempt->notify |= a->notify;
		entry->attempt->busy_since = a->busy_since;
		entry->attempt->looked |= a->looked;
		entry->attempt->untold |= a->untold;
		pfree(a);
		return;
	}
	entry->attempt = a;
	if (a->parked_for[0] != '\0')
	{
		if (pgw_lanes_wait(&a->place, a->parked_for, a->lane, a->merchant, &a->item, a->must_stay))
			return;
		hash_search(listed, &a->transaction_id, HASH_REMOVE, NULL);
		pfree(a);				/* it is due in the tables */
		return;
	}
	a->not_before = TimestampTzPlusMilliseconds(pgw_now(), delay_ms);
	if (next_postponed == 0 || a->not_before < next_postponed)
		next_postponed = a->not_before;
	dlist_push_tail(&postponed, &a->item.node);
}

static void
attempt_committed(PgwItem *item)
{
	static const pg_uuid_t nobody = {{0}};
	PgwAttempt *a = (PgwAttempt *) item;

	pgw_lanes_give_up(&a->place);
	(void) pgw_waiters_answer(&a->transaction_id, a->status);
	if (a->alert)
		pgw_calls_alert(&a->transaction_id, a->status, a->correlation, a->bank);
	if (a->unwatched)
		pgw_put_off_tell(a);
	if (a->call != NULL)
	{
		if (a->status == PGW_REFUNDING)
			PGW_DEBUG_POINT("compensation_committed");
		else if (a->call->submitted && a->status == PGW_CREATED)
			PGW_DEBUG_POINT("submit_committed");
		pgw_call_ready(a->call);
		a->call = NULL;
	}
	if (memcmp(&a->other, &nobody, sizeof(pg_uuid_t)) != 0)
		pgw_attempts_look(&a->other, false, false);
	if (a->again)
		pgw_attempts_look(&a->transaction_id, false, false);
	a->failures = 0;
	if (a->parked_for[0] == '\0' && a->later)
		a->busy = Min(a->busy + 1, PGW_BUSY_MAX);
	if (a->later && !a->blocked)
		pgw_calls_alert_busy(&a->busy_since, &a->transaction_id, a->correlation, a->bank);
	if (a->parked_for[0] != '\0' || a->later)
		postpone(a, BUSY_DELAY_MS * a->busy);
	else
		pfree(a);
}

static void
attempt_failed(PgwItem *item, int sqlstate)
{
	PgwAttempt *a = (PgwAttempt *) item;
	char		id[37];

	pgw_lanes_give_up(&a->place);
	pgw_uuid_to_text(a->transaction_id.data, id);
	if (a->call != NULL)
		pgw_call_free(a->call);
	a->call = NULL;
	a->parked_for[0] = '\0';
	if (sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
	{
		/* somebody's DDL is in the way: pgw.health() shows it */
		postpone(a, LOCKED_DELAY_MS);
		return;
	}

	/* The error is in the log.  Nothing was changed: it is tried again, at longer and longer distances. */
	a->failures++;
	ereport(WARNING, (errmsg("pgw: work on an attempt failed (SQLSTATE %s)", unpack_sql_state(sqlstate)),
					  errdetail("transaction %s, correlation id %s", id, a->correlation)));
	if (a->failures >= PGW_FAILING_ALERT)
		pgw_calls_alert_failing(&a->transaction_id, a->correlation, a->bank);
	postpone(a, Min(FAILED_DELAY_MS << Min(a->failures, 16), LONGEST_FAILED_DELAY_MS));
}

/* The tables say what is left to do. */
static void
attempt_broken(PgwItem *item, bool committed)
{
	PgwAttempt *a = (PgwAttempt *) item;

	pgw_lanes_give_up(&a->place);
	if (a->call != NULL && committed)
		pgw_call_ready(a->call);	/* its intent is durable */
	else if (a->call != NULL)
		pgw_call_free(a->call);
	pgw_calls_rescan_at(TimestampTzPlusMilliseconds(pgw_now(), committed ? 0 : LONGEST_FAILED_DELAY_MS));
	pfree(a);
}

/* ---------------------------------------------------------------- when */

bool
pgw_calls_scan_due(TimestampTz now, bool *full)
{
	if (scan_at == 0 || scan_at > now)
		return false;
	scan_at = 0;				/* what is put off again sets it again */
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
		PgwAttempt *a = dlist_container(PgwAttempt, item.node, iter.cur);

		if (!pgw_is_due(a->not_before, now, LONGEST_FAILED_DELAY_MS))
		{
			if (next_postponed == 0 || a->not_before < next_postponed)
				next_postponed = a->not_before;
			continue;
		}
		dlist_delete(iter.cur);
		a->counted = false;
		push(a);
	}
}

/* Whoever asks from here on gets a look of its own: this one may have happened before what he saw. */
static void
take(PgwAttempt *a, dlist_head *items)
{
	count(a);
	hash_search(listed, &a->transaction_id, HASH_REMOVE, NULL);
	dlist_push_tail(items, &a->item.node);
}

void
pgw_attempts_collect(dlist_head *items, int *looks)
{
	take_postponed(pgw_now());
	for (; *looks > 0 && !dlist_is_empty(&attempts); (*looks)--)
		take(dlist_container(PgwAttempt, item.node, dlist_pop_head_node(&attempts)), items);
}

void
pgw_attempts_admit(PgwItem *item, dlist_head *items)
{
	PgwAttempt *a = (PgwAttempt *) item;

	if (!a->counted)
		dlist_delete(&a->item.node);	/* from those that have just arrived */
	take(a, items);
}

void
pgw_attempts_none_admitted(void)
{
	/* what expires while it waits is found in the tables */
	if (!dlist_is_empty(&arrived))
		pgw_calls_wake_at(TimestampTzPlusMilliseconds(pgw_now(), EXPIRY_CHECK_MS));
	while (!dlist_is_empty(&arrived))
		count(dlist_container(PgwAttempt, item.node, dlist_pop_head_node(&arrived)));
}

TimestampTz
pgw_calls_next_due(void)
{
	TimestampTz next = scan_at;
	TimestampTz others[5] = {pgw_results_next_due(), pgw_requests_next_due(), pgw_bank_next_probe(), pgw_lanes_next_due(), next_postponed};

	for (int i = 0; i < lengthof(others); i++)
	{
		if (others[i] != 0 && (next == 0 || others[i] < next))
			next = others[i];
	}
	if (!dlist_is_empty(&attempts))
		next = 1;				/* at once: a committed result has asked for a look */
	return next;
}
