/*
 * due_attempts.c - work that is found in the tables, one attempt at a time
 *
 * Owns the list of attempts to visit.  An id gets on it by a signal, by the scan for what is due,
 * or because a result asks for the next step; what is to be done is decided under the attempt's row
 * lock, by the row alone (visit_attempts.c).  So a doubled or stale id is harmless.
 *
 * What needs a bank that has no room waits in that bank's lane (bank_lanes.c), what has not begun
 * goes there before anybody looks at it.  A lane has so many places; what finds none is forgotten
 * here, because it is due in the tables, and the scan asks for it when the lane is low.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bank_call/bank_lanes.h"
#include "bank_call/call.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "exchange/signal_ring.h"
#include "queue/due_attempts.h"
#include "queue/next_scan.h"
#include "queue/visit_attempts.h"
#include "store/tables.h"

#define SIGNALS_MAX 512
#define LISTED_MAX 4096 /* more is left to the scan, which keeps no memory */
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

typedef struct WorkItemEntry
{
	pg_uuid_t transaction_id; /* key */
	PgwWorkItem *workitem;
} WorkItemEntry;

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
	workitem->item.ops = &pgw_visit_ops;
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
pgw_due_add_step(const pg_uuid_t *transaction_id)
{
	bool found;

	(void) add(transaction_id, &found);
}

void
pgw_due_go_on(const PgwCall *call)
{
	bool found;
	PgwWorkItem *workitem = add(&call->transaction_id, &found);

	workitem->step.resend_allowed |= call->resend_allowed;
	workitem->step.lookup_inconclusive |= call->lookup_inconclusive;
	workitem->step.token_owed |= call->token_owed;
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

void
pgw_due_add_notified(const pg_uuid_t *transaction_id, const char *bank_reference)
{
	PgwWorkItem *workitem;
	bool found;

	if (pgw_call_under_way(transaction_id))
		return;
	workitem = add(transaction_id, &found);
	workitem->step.bank_spoke = true;
	if (bank_reference[0] != '\0')
		strlcpy(workitem->step.said_reference, bank_reference,
				sizeof(workitem->step.said_reference));
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

/*
 * The bank has spoken of it.  A call that is under way tells more, and where the list is full its
 * plan stands: it is a hint only.
 */
static void
take_notified(const PgwSignal *s)
{
	PgwWorkItem *workitem;
	char said[PGW_HINT_SIZE];
	bool found;

	if (pgw_call_under_way(&s->transaction_id) || pgw_due_list_full())
		return;
	workitem = add(&s->transaction_id, &found);
	workitem->step.bank_spoke = true;
	if (pgw_exchange_hint(&s->transaction_id, said))
		strlcpy(workitem->step.said_reference, said, sizeof(workitem->step.said_reference));
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
			if (s->kind == PGW_SIGNAL_NOTIFIED)
				take_notified(s);
			else if (bank != NULL)
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

void
pgw_due_postpone(PgwWorkItem *workitem, int64 delay_ms)
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
		entry->workitem->step.token_owed |= workitem->step.token_owed;
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

/* ---------------------------------------------------------------- when */

static void
take_postponed(TimestampTz now)
{
	dlist_mutable_iter iter;

	if (next_postponed == 0 || !pgw_is_due(next_postponed, now, PGW_VISIT_LONGEST_DELAY_MS))
		return;
	next_postponed = 0;
	dlist_foreach_modify(iter, &postponed)
	{
		PgwWorkItem *workitem = dlist_container(PgwWorkItem, item.node, iter.cur);

		if (!pgw_is_due(workitem->not_before, now, PGW_VISIT_LONGEST_DELAY_MS))
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
