/*
 * test_wire.c - the bank inside the worker: requests to "test:", answered without a wire
 *
 *     start --> (its delay) --> booked in a transaction, COMMIT, flush --> (its delay) --> done
 *
 * Everything else is as with a bank far away: slots, batches, intents, rendered requests, judged
 * answers, look-ups, recovery.  Only the HTTP call is missing: what it would send is read here
 * (core/test_bank/test_request.c), what the bank does with it is decided there, too, and its ledger
 * is a table (ledger_table.c).
 *
 * Design
 *     - The cut is at the URL: "test:" is this file's and no other is, so a request can neither go
 *       to a bank from here nor come here from the live path.  Which rows of pgw.banks may have it
 *       is table_rules/config_rules.c's.
 *     - A ledger in the intent's or the result's transaction would forget with it, and no answer
 *       could ever be lost.  So it is booked in a transaction of its own, after the intent's flush
 *       (send_after_flush.c starts nothing before) and before the result's transaction (which
 *       begins when the answer is given out).
 *     - It forgets with the cluster: what a restored backup or a standby that was promoted too
 *       early has lost, this bank has lost with it.  Tests of that need the simulator.
 *
 * Owns the requests that are under way to it.  A worker that ends loses them, as a connection
 * would: they count as "may have been sent", and are found out by a look-up.
 *
 * Orderings that matter
 *     - An answer is given out only when its booking is committed and flushed.  Else a crash would
 *       leave a result that the bank knows nothing of.
 *     - Nothing of a card outlives pgw_test_wire_start(), but its last four digits.
 *
 * Locks: those of ledger_table.c.  What cannot be booked just now is tried again, less and less
 * often, until the request's time is over; then it was provably not processed, and that is no fault
 * of a bank's.
 *
 * Bounds: real payments share this worker.  So a ledger that takes no rows costs it a few
 * transactions at a time (MOST_FAILURES), and those who have given up on a late bank a list of
 * MOST_LEFT.
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/ilist.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "core/test_bank/test_bank.h"
#include "database/batch.h"
#include "test_bank/ledger_table.h"
#include "test_bank/test_wire.h"

#define DEFAULT_TIMEOUT_MS 30000
#define RETRY_MS 100 /* of what cannot be booked: twice as long after each time */
#define MOST_RETRY_MS 3200
#define MOST_FAILURES 8 /* then it is the ledger that is at fault */
#define MOST_LEFT 1000

typedef struct Transfer
{
	dlist_node node;
	void *tag;
	PgwTestOrder order;
	PgwTestAnswer answer;
	bool booked;          /* committed and flushed; or there was nothing to book */
	bool late;            /* it works after its delay, whether or not anybody still waits */
	TimestampTz due;      /* of the booking; then of the answer */
	TimestampTz deadline; /* DT_NOEND: nobody waits for it */
	int retry_ms;
	PgwHttpResult result;
	const char *error;
	bool our_fault;
	char retry_after[12];
} Transfer;

static dlist_head under_way = DLIST_STATIC_INIT(under_way);
static dlist_head done_queue = DLIST_STATIC_INIT(done_queue);
static int left = 0; /* of those under way: how many nobody waits for */

bool
pgw_test_wire_takes(const char *url)
{
	return strncmp(url, PGW_TEST_BANK_URL, sizeof(PGW_TEST_BANK_URL) - 1) == 0;
}

/* ---------------------------------------------------------------- start */

static const char *
key_of(const PgwHttpRequest *req)
{
	static const char name[] = "Idempotency-Key: ";

	for (int i = 0; i < req->nheaders; i++)
	{
		if (strncmp(req->headers[i], name, sizeof(name) - 1) == 0)
			return req->headers[i] + sizeof(name) - 1;
	}
	return NULL;
}

static Transfer *
new_transfer(void *tag)
{
	Transfer *t = MemoryContextAllocZero(TopMemoryContext, sizeof(Transfer));

	t->tag = tag;
	t->retry_ms = RETRY_MS;
	pgw_test_answer_init(&t->answer);
	return t;
}

void *
pgw_test_wire_start(const PgwHttpRequest *req, void *tag, const char **error)
{
	Transfer *t;
	TimestampTz now = GetCurrentTimestamp();
	int64 delay = 0;
	PgwTestRequest in = {.method = req->method,
						 .key = key_of(req),
						 .body = req->body,
						 .body_len = req->body_len,
						 .now = pgw_ledger_ms(pgw_now())};

	*error = NULL;
	if (!pgw_test_wire_takes(req->url))
	{
		*error = "not an address of the test bank";
		return NULL;
	}
	in.path = req->url + sizeof(PGW_TEST_BANK_URL) - 1;
	t = new_transfer(tag);
	/* refused at once: nothing is booked */
	t->booked = !pgw_test_order_read(&t->order, &in, &t->answer);
	if (!t->booked)
		delay = pgw_test_bank_delay(&t->order, &t->late);
	t->due = TimestampTzPlusMilliseconds(now, t->late ? delay : 0);
	t->deadline = TimestampTzPlusMilliseconds(now, req->total_timeout_ms > 0 ? req->total_timeout_ms
																			 : DEFAULT_TIMEOUT_MS);
	dlist_push_tail(&under_way, &t->node);
	return t;
}

void
pgw_test_wire_disown(void *transfer)
{
	((Transfer *) transfer)->tag = NULL;
}

void
pgw_test_wire_release(void *handle)
{
	Transfer *t = handle;

	pgw_test_answer_free(&t->answer);
	pfree(t);
}

/* ---------------------------------------------------------------- booking */

typedef struct Booking
{
	Transfer **transfers;
	int n;
} Booking;

static void
book(Transfer *t)
{
	PgwTestLedger ledger;

	/* a transaction may be run twice */
	pgw_test_answer_free(&t->answer);
	pgw_test_answer_init(&t->answer);
	pgw_ledger_load(&ledger, &t->order);
	pgw_test_bank_decide(&t->order, &ledger, pgw_ledger_ms(pgw_now()), &t->answer);
	pgw_ledger_save(&ledger);
	pgw_buf_free(&ledger.kept);
}

static void
book_all(void *arg)
{
	Booking *b = arg;

	for (int i = 0; i < b->n; i++)
		book(b->transfers[i]);
}

typedef enum BookingEnd
{
	BOOKED,
	LEDGER_AWAY, /* somebody has locked it, or alters the extension: nobody's fault, and soon over
				  */
	NOT_BOOKED
} BookingEnd;

static BookingEnd
try_booking(Booking *b)
{
	TimestampTz now;
	PgwBatchEnd end;
	bool work_too;
	int sqlstate = 0;

	end = pgw_batch_transaction(book_all, b, !PGW_MUTATED(LEDGER_FLUSH), &sqlstate);
	if (end == PGW_BATCH_FAILED && sqlstate != ERRCODE_LOCK_NOT_AVAILABLE)
		return NOT_BOOKED;
	if (end != PGW_BATCH_DONE)
		return LEDGER_AWAY;
	now = GetCurrentTimestamp();
	for (int i = 0; i < b->n; i++)
	{
		Transfer *t = b->transfers[i];
		int64 delay = pgw_test_bank_delay(&t->order, &work_too);

		t->booked = true;
		t->due = TimestampTzPlusMilliseconds(now, work_too ? 0 : delay);
	}
	PGW_DEBUG_POINT("test_bank_booked");
	return BOOKED;
}

static void
try_later(Transfer *t, TimestampTz now, bool at_fault)
{
	t->due = TimestampTzPlusMilliseconds(now, at_fault ? t->retry_ms : RETRY_MS);
	if (at_fault)
		t->retry_ms = Min(2 * t->retry_ms, MOST_RETRY_MS);
}

/*
 * Each by itself, so that only the bad ones have to try again.  Whom too many failures keep from it
 * comes next: those that have failed are less often in its way from now on.
 */
static void
book_each(Booking *all, TimestampTz now)
{
	int failures = 0;

	for (int i = 0; i < all->n; i++)
	{
		Booking one = {.transfers = &all->transfers[i], .n = 1};
		BookingEnd end = LEDGER_AWAY;

		if (failures < MOST_FAILURES)
			end = all->n == 1 ? NOT_BOOKED : try_booking(&one);
		if (end != BOOKED)
			try_later(all->transfers[i], now, end == NOT_BOOKED);
		failures += end == NOT_BOOKED;
	}
}

static void
book_all_together(Booking *all, TimestampTz now)
{
	BookingEnd end = try_booking(all);

	if (end == NOT_BOOKED)
		book_each(all, now);
	for (int i = 0; end == LEDGER_AWAY && i < all->n; i++)
		try_later(all->transfers[i], now, false);
}

static void
book_due(TimestampTz now)
{
	Booking all = {.n = 0};
	int most = 0;
	dlist_iter iter;

	dlist_foreach(iter, &under_way) most++;
	all.transfers = palloc(most * sizeof(Transfer *));
	dlist_foreach(iter, &under_way)
	{
		Transfer *t = dlist_container(Transfer, node, iter.cur);

		if (!t->booked && t->due <= now)
			all.transfers[all.n++] = t;
	}
	if (all.n > 0)
		book_all_together(&all, now);
	pfree(all.transfers);
}

/* ---------------------------------------------------------------- answers */

static void
end(Transfer *t, PgwHttpResult result, const char *error)
{
	t->result = result;
	t->error = error;
	if (t->answer.retry_after > 0)
		snprintf(t->retry_after, sizeof(t->retry_after), "%d", t->answer.retry_after);
	left -= t->deadline == DT_NOEND;
	dlist_delete(&t->node);
	dlist_push_tail(&done_queue, &t->node);
}

/*
 * Whoever asked has given up, and the bank will work all the same: at once, when so much is left to
 * it that it would fill the memory.
 */
static void
leave_to_itself(const Transfer *t)
{
	Transfer *orphan = new_transfer(NULL);

	orphan->order = t->order;
	orphan->late = true;
	orphan->due = left < MOST_LEFT ? t->due : GetCurrentTimestamp();
	orphan->deadline = DT_NOEND;
	left++;
	dlist_push_tail(&under_way, &orphan->node);
}

/* The request's time is over. */
static void
expire(Transfer *t)
{
	if (t->booked)
	{
		end(t, PGW_HTTP_MAYBE_SENT, "timed out");
		return;
	}
	if (t->late)
	{
		leave_to_itself(t);
		end(t, PGW_HTTP_MAYBE_SENT, "timed out");
		return;
	}
	t->our_fault = true;
	end(t, PGW_HTTP_NEVER_SENT, "the test bank's ledger cannot be written");
}

static void
deliver(Transfer *t)
{
	switch (t->answer.delivery)
	{
		case PGW_TEST_ANSWERED:
			end(t, PGW_HTTP_ANSWERED, NULL);
			break;
		case PGW_TEST_SILENT:
			t->due = t->deadline; /* an orphan ends at once: nobody waits */
			if (t->deadline == DT_NOEND)
				end(t, PGW_HTTP_MAYBE_SENT, "timed out");
			break;
		case PGW_TEST_BROKEN:
			end(t, PGW_HTTP_MAYBE_SENT, "connection broken");
			break;
		case PGW_TEST_TOO_LARGE:
			end(t, PGW_HTTP_MAYBE_SENT, "answer too large");
			break;
	}
}

void
pgw_test_wire_drive(void)
{
	TimestampTz now;
	dlist_mutable_iter iter;

	if (dlist_is_empty(&under_way))
		return;
	Assert(!IsTransactionState());
	book_due(GetCurrentTimestamp());
	now = GetCurrentTimestamp();
	dlist_foreach_modify(iter, &under_way)
	{
		Transfer *t = dlist_container(Transfer, node, iter.cur);

		if (t->deadline <= now)
			expire(t);
		else if (t->booked && t->due <= now)
			deliver(t);
	}
}

bool
pgw_test_wire_next_done(PgwHttpDone *done)
{
	Transfer *t;

	if (dlist_is_empty(&done_queue))
		return false;
	t = dlist_container(Transfer, node, dlist_pop_head_node(&done_queue));
	memset(done, 0, sizeof(*done));
	done->tag = t->tag;
	done->result = t->result;
	done->status = t->result == PGW_HTTP_ANSWERED ? t->answer.status : 0;
	done->our_fault = t->our_fault;
	done->body = &t->answer.body;
	done->retry_after = t->retry_after[0] != '\0' ? t->retry_after : NULL;
	done->error = t->error;
	done->handle = t;
	return true;
}

long
pgw_test_wire_timeout_ms(void)
{
	TimestampTz next = DT_NOEND;
	dlist_iter iter;

	if (!dlist_is_empty(&done_queue))
		return 0;
	if (dlist_is_empty(&under_way))
		return -1;
	dlist_foreach(iter, &under_way)
	{
		Transfer *t = dlist_container(Transfer, node, iter.cur);

		next = Min(next, Min(t->due, t->deadline));
	}
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next);
}
