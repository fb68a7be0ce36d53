/*
 * scan_turns.h - when the worker looks through the tables: one page a turn
 */
#ifndef PGW_WORKER_SCAN_TURNS_H
#define PGW_WORKER_SCAN_TURNS_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "database/batch.h"
#include "worker/recovery_scan.h"

/*
 * One scan for those who called pgw.run_recovery(), from its first page to the end of the calls
 * that it led to.
 */
typedef struct PgwScanRound
{
	enum
	{
		ROUND_NONE = 0,
		ROUND_SCANS,
		ROUND_LOOKS,
		ROUND_CALLS
	} stage;
	uint64 asked;     /* it answers all calls up to this one */
	uint64 last_look; /* ROUND_LOOKS */
	uint64 last_call; /* ROUND_CALLS */
} PgwScanRound;

/* All zero at the worker's start, but for wanted. */
typedef struct PgwScanTurns
{
	bool wanted;       /* something may have been lost on its way to the worker: a full scan */
	PgwScan scan;      /* .more: one is under way */
	TimestampTz next;  /* of the full scans that come by themselves */
	TimestampTz again; /* its last page failed: not before this; 0: it did not */
	TimestampTz next_age_check; /* of what has become too old, with a scan */
	PgwScanRound round;
} PgwScanTurns;

extern void pgw_scan_turns_init(void); /* _PG_init: the setting */

/*
 * A page of the scan that is under way or due, in a transaction of its own.  Returns
 * PGW_BATCH_NO_EXTENSION if it has found none any more.
 */
extern PgwBatchEnd pgw_scan_turn(PgwScanTurns *turns, TimestampTz now);

/* After a turn whose results are committed: those who called pgw.run_recovery() may be answered. */
extern void pgw_scan_round_turn(PgwScanTurns *turns);

/* Is there a page that need not wait? */
extern bool pgw_scan_has_page(const PgwScanTurns *turns);

#endif
