/*
 * pause_submits.c - who submits faster than the worker can send pauses
 *
 * The worker says for how long, for each payment (core/pacing/submit_pause.h).  A session pauses
 * for all that it has submitted since it last did, so one that submits a hundred in a transaction
 * pauses for a hundred.  Only at a call before which its transaction has written nothing: who
 * holds rows that others may wait for is not held up.
 *
 * Owns: setting pgw.submit_max_pause; how many payments this session has not paused for yet.
 * Locks: none is held.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "client_api/pause_submits.h"
#include "core/base/mutant.h"
#include "exchange/told_pause.h"

static int max_pause = 200;
static uint32 owed = 0;

void
pgw_submit_pause_setting(void)
{
	DefineCustomIntVariable(
		"pgw.submit_max_pause",
		"How long a session that submits payments faster than the worker can send them pauses at most.",
		"Only at the first of a transaction, and only while that has written nothing; 0: never.",
		&max_pause, 200, 0, 10000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

/* Who has written anything; who has locked a row, too. */
static bool
holds_rows(void)
{
	return TransactionIdIsValid(GetTopTransactionIdIfAny()) && !PGW_MUTATED(PAUSE_HOLDING_ROWS);
}

static void
sleep_ms(long ms)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);

	for (; ms > 0; ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
pgw_submit_pause(void)
{
	uint32 each_us = pgw_submit_pause_each_us();
	long ms;

	owed = each_us == 0 ? 0 : Min(owed + 1, 1000);
	if (owed == 0 || holds_rows())
		return;
	ms = (long) ((uint64) each_us * owed / 1000);
	if (ms == 0)
		return; /* together with the next ones */
	owed = 0;
	sleep_ms(Min(ms, max_pause));
}
