/*
 * queue.c - the worker's work in flight, as one queue: what goes into which transaction, in which
 * order, and what is sent after it
 *
 *      slot ---> take_requests.c ---> record_intents.c --+--(commit)---> send_after_flush.c --->
 * HTTP tables -> due_attempts.c -------------------------+                                  | ^ |
 *                  +----------- next step ---(commit)--- bank_answers.c <-------------------+
 *
 * Owns the lists of items that are ready for a batch: results that a caller waits for, intents of
 * callers, and all others.  All of it belongs to this process only.
 *
 * Orderings that matter
 *     - Intents of callers commit without waiting for their flush: while the disk writes, what
 *       else has come is worked on.  Most often a client's commit has flushed them by then; at the
 *       latest the end of the next turn does.
 *     - Whatever became of a batch, what send_after_flush.c has as ready is committed; it is sent
 * when it is flushed, too.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "attempt/step.h"
#include "bank/call_permission.h"
#include "bank_call/bank_lanes.h"
#include "bank_call/call.h"
#include "bank_call/waiting_callers.h"
#include "base/clock.h"
#include "exchange/fencing_delay.h"
#include "queue/ask_banks.h"
#include "queue/bank_answers.h"
#include "queue/due_attempts.h"
#include "queue/next_scan.h"
#include "queue/queue.h"
#include "queue/record_intents.h"
#include "queue/send_after_flush.h"
#include "queue/take_requests.h"
#include "queue/try_banks.h"

/* Visits in one flushed transaction, and at one turn: then answers and waiting callers have theirs.
 */
#define VISITS_AT_ONCE 200

/*
 * In one transaction.  What callers wait for has no flush of its own, so it comes in small ones:
 * the first callers go on while the next are served, and they do not all come back at the same
 * moment.
 */
#define CALLERS_AT_ONCE 32

/* items whose commit may be asynchronous: results that a caller waits for */
static dlist_head awaited_results = DLIST_STATIC_INIT(awaited_results);
/* of requests: durable before they are sent, see pgw_calls_send() */
static dlist_head intents = DLIST_STATIC_INIT(intents);
/* items whose commit must be durable: all others */
static dlist_head flushed = DLIST_STATIC_INIT(flushed);
static bool left_in_ready = false; /* the last turn has left calls that are ready to be sent */
static bool more_to_admit = false; /* ... or some unadmitted that have room */

void
pgw_queue_init(void)
{
	pgw_calls_init();
	pgw_lanes_init();
	pgw_waiters_init();
	pgw_bank_answers_init();
	pgw_due_init();
	pgw_step_worker_begins();
}

/* Whoever has room at his bank now; of attempts so many at most. */
static void
admit(int *visits)
{
	pgw_requests_collect(&intents);
	while (*visits > 0)
	{
		PgwBatchItem *item = pgw_lanes_next();

		if (item == NULL)
		{
			pgw_due_none_admitted();
			break;
		}
		if (item->ops == &pgw_intent_ops)
			pgw_requests_admit(item, &intents);
		else
		{
			pgw_due_admit(item, &flushed);
			(*visits)--;
		}
	}
	more_to_admit = *visits == 0;
}

/* Is there something to do before the disk has to be waited for? */
static bool
more_has_come(void)
{
	return MyLatch->is_set || pgw_bank_answers_pending();
}

/*
 * A near bank may have answered by the time that all is sent; driving uses up what would have made
 * the descriptor readable, so look here too. No call is put off twice.
 */
static void
send_and_receive(void)
{
	bool again = left_in_ready;

	pgw_calls_send(again);
	pgw_bank_answers_take();
	/* what is held back (fencing_delay.c) is no reason to turn at full speed */
	left_in_ready = !again && pgw_calls_ready() && more_has_come();
	if (!pgw_calls_ready() || left_in_ready)
		return;
	pgw_calls_send(true);
	pgw_bank_answers_take();
}

PgwBatchEnd
pgw_queue_run(bool admit_new)
{
	PgwBatchEnd end = PGW_BATCH_DONE;
	int visits = VISITS_AT_ONCE;

	more_to_admit = false; /* a pause would leave it as it is, and the worker at work for nothing */
	pgw_waiters_sweep();
	pgw_bank_answers_collect(pgw_now(), &awaited_results, &flushed);
	pgw_asks_record();
	pgw_asks_sweep();
	if (admit_new)
	{
		admit(&visits);
		pgw_due_collect(&flushed, &visits);
		pgw_calls_send_probes();
		pgw_trials_send();
		pgw_asks_send();
	}

	/*
	 * Callers that wait come first: answers, and in between what those who had theirs ask next, so
	 * that the bank has work meanwhile.  Only in between: callers who are refused at once could go
	 * on asking for ever.
	 */
	while (end == PGW_BATCH_DONE &&
		   (!dlist_is_empty(&awaited_results) || !dlist_is_empty(&intents)))
	{
		bool answers = !dlist_is_empty(&awaited_results);

		end = pgw_batch_run(&awaited_results, CALLERS_AT_ONCE, false);
		if (admit_new && answers)
		{
			pgw_requests_take();
			admit(&visits);
		}
		/* without a flush of its own, unless a standby has to have it */
		if (end == PGW_BATCH_DONE)
			end = pgw_batch_run(&intents, CALLERS_AT_ONCE, pgw_waits_for_standbys());
		pgw_calls_send(false);
	}

	/*
	 * Whatever became of a batch: what is in `ready` is committed.  After each, so that banks work
	 * on it while the next one is written.
	 */
	do
	{
		if (end == PGW_BATCH_DONE)
			end = pgw_batch_run(&flushed, VISITS_AT_ONCE, true);
		send_and_receive();
	} while (end == PGW_BATCH_DONE && !dlist_is_empty(&flushed));
	return end;
}

bool
pgw_queue_in_flight(void)
{
	return pgw_calls_in_transfer() || pgw_calls_ready() || !dlist_is_empty(&awaited_results) ||
		   !dlist_is_empty(&intents) || !dlist_is_empty(&flushed) || pgw_bank_answers_pending();
}

bool
pgw_queue_has_more(void)
{
	return left_in_ready || more_to_admit;
}

bool
pgw_queue_behind(void)
{
	return more_to_admit;
}

TimestampTz
pgw_queue_next_at(void)
{
	TimestampTz next = 0;
	TimestampTz each[] = {pgw_next_scan_time(),        pgw_due_next_at(),
						  pgw_bank_answers_next_due(), pgw_requests_next_due(),
						  pgw_bank_next_probe(),       pgw_lanes_next_due(),
						  pgw_trials_next_at(),        pgw_asks_next_at()};

	for (int i = 0; i < lengthof(each); i++)
	{
		if (each[i] != 0 && (next == 0 || each[i] < next))
			next = each[i];
	}
	return next;
}

void
pgw_queue_forget_slots(void)
{
	dlist_iter iter;

	pgw_requests_forget_slots();
	pgw_waiters_forget();
	pgw_calls_forget_slots(&awaited_results);
	pgw_calls_forget_slots(&intents);
	dlist_foreach(iter, &flushed)
	{
		PgwBatchItem *item = dlist_container(PgwBatchItem, node, iter.cur);

		if (item->ops == &pgw_bank_answer_ops)
			((PgwCall *) item)->slot = -1;
	}
	pgw_bank_answers_forget_slots();
	pgw_calls_sent_forget_slots();
}
