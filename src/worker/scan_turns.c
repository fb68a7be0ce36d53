/*
 * scan_turns.c - when the worker looks through the tables: one page a turn
 *
 * Owns: pgw.recovery_interval.  The state stands in the PgwScanTurns of the worker.
 */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/timestamp.h"

#include "bank_call/bank_lanes.h"
#include "base/clock.h"
#include "database/batch.h"
#include "observe/alerts.h"
#include "observe/metrics.h"
#include "queue/due_attempts.h"
#include "queue/next_scan.h"
#include "queue/send_after_flush.h"
#include "restore/pause.h"
#include "worker/recovery_scan.h"
#include "worker/scan_turns.h"

#define SCAN_RETRY_MS 500

static int recovery_interval = 300;

void
pgw_scan_turns_init(void)
{
	DefineCustomIntVariable(
		"pgw.recovery_interval", "How often the worker looks for work that no signal told it of.",
		NULL, &recovery_interval, 300, 1, 86400, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

static int64
interval_ms(void)
{
	return (int64) recovery_interval * 1000;
}

typedef struct Due
{
	PgwScan scan;
	int n;
} Due;

static void
find_due(void *arg)
{
	Due *due = arg;

	due->n = pgw_scan_page(&due->scan, pgw_now());
	/* after the look: what a restore has brought came with its mark */
	pgw_pause_check();
}

typedef struct Refill
{
	const char *bank;
	bool begun;
	bool waiting;
} Refill;

static void
refill(void *arg)
{
	const Refill *r = arg;

	pgw_scan_refill(r->bank, r->begun, r->waiting, pgw_now());
	pgw_pause_check();
}

/* The lanes of a bank are low, and the tables have more. */
static PgwBatchEnd
refill_lanes(TimestampTz now)
{
	Refill r;

	r.bank = pgw_lanes_wanting(now, &r.begun, &r.waiting);
	return r.bank != NULL ? pgw_batch_transaction(refill, &r, false, NULL) : PGW_BATCH_DONE;
}

static bool
begin_round(PgwScanRound *round)
{
	uint64 asked = pgw_recovery_asked();

	if (round->stage != ROUND_NONE || asked <= round->asked)
		return false;
	round->asked = asked;
	round->stage = ROUND_SCANS;
	return true;
}

/*
 * Is a new one due, and which?  A full one for those who have called pgw.run_recovery(), where
 * something may have been lost, and now and then.
 */
static bool
begin_scan(PgwScanTurns *turns, TimestampTz now)
{
	bool full =
		begin_round(&turns->round) || turns->wanted || pgw_is_due(turns->next, now, interval_ms());

	if (!pgw_next_scan_due(now, &full) && !full)
		return false;
	turns->wanted = false;
	memset(&turns->scan, 0, sizeof(turns->scan));
	turns->scan.more = true;
	turns->scan.full = full;
	if (full)
		turns->next = TimestampTzPlusMilliseconds(now, interval_ms());
	return true;
}

/* A page has been read, and its transaction is over. */
static void
page_read(PgwScanTurns *turns, const Due *due, TimestampTz now)
{
	bool over = !due->scan.more;

	/* a scan may come more often, for what is due */
	if (over && pgw_is_due(turns->next_age_check, now, interval_ms()))
	{
		turns->next_age_check = TimestampTzPlusMilliseconds(now, interval_ms());
		pgw_alerts_check_ages(now);
	}
	turns->scan = due->scan;
	if (due->scan.next_due != 0)
		pgw_next_scan_wake(due->scan.next_due);
	pgw_recovery_found(due->n, over);
	if (turns->round.stage == ROUND_SCANS && over)
	{
		turns->round.last_look = pgw_due_enqueued();
		turns->round.stage = ROUND_LOOKS;
	}
}

/* One page a turn, so that a long list delays nobody. */
PgwBatchEnd
pgw_scan_turn(PgwScanTurns *turns, TimestampTz now)
{
	Due due;
	PgwBatchEnd end;

	if (pgw_due_list_full())
		return PGW_BATCH_DONE;
	if (turns->again != 0 && !pgw_is_due(turns->again, now, SCAN_RETRY_MS))
		return PGW_BATCH_DONE;
	if (!turns->scan.more && !begin_scan(turns, now))
		return refill_lanes(now);
	due.scan = turns->scan;
	end = pgw_batch_transaction(find_due, &due, false, NULL);
	if (end == PGW_BATCH_DONE)
	{
		turns->again = 0;
		page_read(turns, &due, now);
	}
	else
	{
		/*
		 * A locked or altered table stays so for a while: the same page at once would take a
		 * processor, and fill the disk with the error's log lines.
		 */
		turns->wanted = true;
		turns->again = TimestampTzPlusMilliseconds(now, SCAN_RETRY_MS);
	}
	return end;
}

bool
pgw_scan_has_page(const PgwScanTurns *turns)
{
	return turns->scan.more && turns->again == 0 && !pgw_due_list_full();
}

/* The looks that were taken are committed. */
void
pgw_scan_round_turn(PgwScanTurns *turns)
{
	PgwScanRound *round = &turns->round;

	if (round->stage == ROUND_LOOKS && pgw_due_dequeued(round->last_look))
	{
		round->last_call = pgw_calls_serial();
		round->stage = ROUND_CALLS;
	}
	if (round->stage == ROUND_CALLS && pgw_calls_over(round->last_call))
	{
		round->stage = ROUND_NONE;
		pgw_recovery_finish(round->asked);
	}
}
