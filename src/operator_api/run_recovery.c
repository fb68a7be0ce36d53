/*
 * run_recovery.c - pgw.run_recovery(): a scan by the worker, now, and what came of it
 *
 * Owns nothing: the worker scans, and the counters are observe/metrics.h's.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "exchange/signal_ring.h"
#include "observe/metrics.h"
#include "sql_function/check_access.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_version.h"
#include "sql_function/require_worker.h"

#define LONGEST_RECOVERY_MS 60000
#define RECOVERY_POLL_MS 20

PG_FUNCTION_INFO_V1(pgw_run_recovery_1_0);

/* false: the time is up. */
static bool
wait_for_recovery(uint64 asked, TimestampTz deadline)
{
	while (pgw_recovery_done() < asked)
	{
		if (GetCurrentTimestamp() >= deadline)
			return false;
		pgw_require_worker();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, RECOVERY_POLL_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return true;
}

Datum
pgw_run_recovery_1_0(PG_FUNCTION_ARGS)
{
	PgwRecoveryFigures before;
	PgwRecoveryFigures after;
	TupleDesc desc;
	Datum values[7];
	bool nulls[7] = {false};
	uint64 asked;
	bool complete;

	pgw_require(GetUserId(), "operator", NULL);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != lengthof(values))
		elog(ERROR, "unexpected result type of pgw.run_recovery()");
	pgw_require_version();
	pgw_require_worker();
	pgw_recovery_figures(&before);
	asked = pgw_recovery_ask();
	if (asked == 0)
		pgw_raise("internal_error", NULL,
				  "More databases use pgw than it can count for; see docs/monitoring.md.");
	(void) pgw_exchange_rescan(MyDatabaseId);
	complete = wait_for_recovery(
		asked, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LONGEST_RECOVERY_MS));
	pgw_recovery_figures(&after);

	values[0] = Int64GetDatum((int64) (after.looked_at - before.looked_at));
	values[1] = Int64GetDatum((int64) (after.resolved - before.resolved));
	values[2] = Int64GetDatum((int64) (after.given_back - before.given_back));
	values[3] = Int64GetDatum((int64) (after.to_review - before.to_review));
	values[4] = Int64GetDatum((int64) (after.retried - before.retried));
	values[5] = Int64GetDatum((int64) (after.calls - before.calls));
	values[6] = BoolGetDatum(complete);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
