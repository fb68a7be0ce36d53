/*
 * recovery_scan.c - looking through the tables for what nobody has told the worker of, or what it
 * has had no place for
 *
 * Owns the order of that: each bank by itself, so that what waits for one that has no room is
 * neither read nor kept; of what has begun at most as many of each lane as it has places for; of
 * what waits, the merchants in turn.
 *
 * What is found goes onto the lists of due_attempts.c: what has begun is looked at, as a row alone
 * says what its next step is, and may then wait for its bank; what has not begun waits there at
 * once.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "bank_call/bank_lanes.h"
#include "core/base/mutant.h"
#include "queue/due_attempts.h"
#include "queue/next_scan.h"
#include "queue/queue.h"
#include "store/find_due.h"
#include "store/open_work.h"
#include "store/tables.h"
#include "worker/recovery_scan.h"

#define PAGE_MAX 2000
#define DUE_MAX (2 * PGW_LANE_QUEUED * PGW_LANE_PLACES)
#define WAITING_MAX (2 * PGW_LANE_PLACES) /* what is in the lane already is among them */
#define MERCHANTS_AT_ONCE 64
#define EACH_MIN 8
#define LATE_COMMIT_MS 60000

static void
sooner(TimestampTz *next, TimestampTz when)
{
	if (when != 0 && (*next == 0 || when < *next))
		*next = when;
}

static int
find_begun(const char *bank, TimestampTz now, PgwDue *due, TimestampTz *next)
{
	int places[PGW_NLANES] = {0};
	bool cut;
	bool progress = false;
	TimestampTz when;
	int n;

	for (int lane = 0; lane < PGW_LANE_QUEUED; lane++)
		places[lane] = pgw_lanes_places(bank, (PgwLane) lane);
	n = pgw_store_begun(bank, places, now, due, DUE_MAX, &cut, &when);
	for (int i = 0; i < n; i++)
		progress |= pgw_due_add(due[i].transaction_id.data);
	pgw_lanes_note_backlog(bank, PGW_BACKLOG_BEGUN, cut, progress);
	sooner(next, when);
	return n;
}

/* Of one kind, and the next merchants. */
static int
find_waiting_kind(const char *bank, PgwKind kind, PgwLane lane, TimestampTz now, PgwDue *due,
				  bool *more, bool *progress)
{
	PgwMerchantCursor *cursor = pgw_lanes_cursor(bank, (int) kind);
	int each = Max(EACH_MIN, PGW_LANE_PLACES / Max(cursor->merchants, 1));
	bool from_first = cursor->after[0] == '\0';
	int merchants;
	char last[sizeof(cursor->after)];
	TimestampTz first;
	bool cut;
	int n;

	if (pgw_lanes_places(bank, lane) == 0)
	{
		*more = true;
		return 0;
	}
	n = pgw_store_waiting(bank, kind, cursor->after, MERCHANTS_AT_ONCE, each, cursor->from, now,
						  due, WAITING_MAX, &merchants, last, sizeof(last), &cut, &first);
	for (int i = 0; i < n; i++)
	{
		PgwQueued queued =
			pgw_due_add_waiting(due[i].transaction_id.data, bank, lane, due[i].merchant);

		*progress |= queued == PGW_QUEUED_NEW;
		*more |= queued == PGW_QUEUED_NO_PLACE;
	}
	*more |= cut || !from_first; /* those before it have not been asked for */
	*progress |= !from_first;
	cursor->merchants = merchants;
	if (merchants >= MERCHANTS_AT_ONCE || n >= WAITING_MAX)
		strlcpy(cursor->after, last, sizeof(cursor->after));
	else
	{
		cursor->after[0] = '\0'; /* from the first one again */
		/*
		 * all merchants are seen; what is committed later than that after its call is found by its
		 * signal, or by the next full scan
		 */
		if (from_first && first != 0)
			cursor->from = Max(cursor->from, TimestampTzPlusMilliseconds(first, -LATE_COMMIT_MS));
	}
	return n;
}

static int
find_waiting(const char *bank, bool full, TimestampTz now, PgwDue *due)
{
	static const PgwKind operations[] = {PGW_KIND_CAPTURE, PGW_KIND_VOID, PGW_KIND_REFUND};
	bool more = false;
	bool progress = false;
	int n = 0;

	for (int kind = PGW_KIND_PAYMENT; full && kind <= PGW_KIND_REFUND; kind++)
		pgw_lanes_cursor(bank, kind)->from = 0;
	for (int i = 0; i < lengthof(operations); i++)
		n += find_waiting_kind(bank, operations[i], PGW_LANE_FOLLOW_UP, now, due, &more, &progress);
	n += find_waiting_kind(bank, PGW_KIND_PAYMENT, PGW_LANE_QUEUED, now, due, &more, &progress);
	pgw_lanes_note_backlog(bank, PGW_BACKLOG_WAITING, more, progress);
	return n;
}

static int
add_expired(const PgwDue *due, int n)
{
	for (int i = 0; i < n; i++)
		(void) pgw_due_add_expired(due[i].transaction_id.data);
	return n;
}

static int
add_all(const PgwDue *due, int n)
{
	for (int i = 0; i < n; i++)
		(void) pgw_due_add(due[i].transaction_id.data);
	return n;
}

/*
 * What is on its way, and was made within the last seconds: the worker's own, or those of one that
 * is gone.
 */
static int
find_behind_mark(pg_uuid_t *from)
{
	pg_uuid_t *ids = palloc(PAGE_MAX * sizeof(pg_uuid_t));
	int n = PGW_MUTATED(BEHIND_MARK) ? 0 : pgw_store_find_unlisted(from, NULL, ids, PAGE_MAX);

	for (int i = 0; i < n; i++)
		(void) pgw_due_add(ids[i].data);
	if (n > 0)
		*from = ids[n - 1];
	pfree(ids);
	return n;
}

int
pgw_scan_page(PgwScan *scan, TimestampTz now)
{
	PgwDue *due = palloc(DUE_MAX * sizeof(PgwDue));
	int found = 0;
	int n;
	TimestampTz when;

	while (scan->stage == PGW_SCAN_BANKS && found < PAGE_MAX && !pgw_due_list_full())
	{
		if (pgw_store_next_bank(scan->bank, scan->bank, sizeof(scan->bank)))
		{
			found += find_begun(scan->bank, now, due, &scan->next_due);
			found += find_waiting(scan->bank, scan->full, now, due);
		}
		else
			scan->stage = PGW_SCAN_EXPIRED;
	}
	if (scan->stage == PGW_SCAN_EXPIRED && found < PAGE_MAX)
	{
		n = add_expired(due, pgw_store_expired(now, due, PAGE_MAX, &when));
		sooner(&scan->next_due, when);
		if (n == PAGE_MAX)
			sooner(&scan->next_due, now); /* the others, when these have been looked at */
		found += n;
		scan->stage = PGW_SCAN_LEFT;
		scan->more = scan->full;
	}
	else if (scan->stage == PGW_SCAN_LEFT)
	{
		n = add_all(due, pgw_store_left(&scan->after, due, PAGE_MAX));
		if (n > 0)
			scan->after = due[n - 1].transaction_id;
		found += n;
		if (n < PAGE_MAX)
		{
			scan->stage = PGW_SCAN_BEHIND_MARK;
			pgw_store_read_mark(&scan->after);
		}
	}
	else if (scan->stage == PGW_SCAN_BEHIND_MARK)
	{
		n = find_behind_mark(&scan->after);
		found += n;
		scan->more = n == PAGE_MAX;
	}
	pfree(due);
	return found;
}

void
pgw_scan_refill(const char *bank, bool begun, bool waiting, TimestampTz now)
{
	PgwDue *due = palloc(DUE_MAX * sizeof(PgwDue));
	TimestampTz next = 0;

	if (begun)
		(void) find_begun(bank, now, due, &next);
	if (waiting)
		(void) find_waiting(bank, false, now, due);
	if (next != 0)
		pgw_next_scan_wake(next);
	pfree(due);
}
