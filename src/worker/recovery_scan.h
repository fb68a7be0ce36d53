/*
 * recovery_scan.h - looking through the tables for what nobody has told the worker of, or what it
 * has had no place for
 */
#ifndef PGW_WORKER_RECOVERY_SCAN_H
#define PGW_WORKER_RECOVERY_SCAN_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

/*
 * One walk: bank by bank what is due, then what has expired, then (full) what is open with nothing
 * due, and what is behind the mark.  Zeroed, but for more and full: at its beginning.
 */
typedef struct PgwScan
{
	bool more; /* it is not over */
	bool full;
	enum
	{
		PGW_SCAN_BANKS = 0,
		PGW_SCAN_EXPIRED,
		PGW_SCAN_LEFT,
		PGW_SCAN_BEHIND_MARK
	} stage;
	char bank[64];   /* the last one that was looked at */
	pg_uuid_t after; /* the last id of what is left */
	/* when more becomes due, as far as the tables know; 0: nothing */
	TimestampTz next_due;
} PgwScan;

/* In a transaction: the next page; how many attempts it has found. */
extern int pgw_scan_page(PgwScan *scan, TimestampTz now);

/* In a transaction: fill the low lanes of one bank again. */
extern void pgw_scan_refill(const char *bank, bool begun, bool waiting, TimestampTz now);

#endif
