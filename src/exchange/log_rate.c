/*
 * log_rate.c - lines of the log, so many of each cause
 *
 * Owns: PgwShared.lines and its spinlock, which is held for a walk over some kB of memory, and by
 * nobody who can raise an error.  No lock that an ERROR may have left behind would do, as what is
 * told here are errors.
 *
 * The time is pgw_now(), which a test build can move.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "exchange/exchange_shmem.h"
#include "exchange/log_rate.h"

bool
pgw_log_due(const char *kind, const char *about, uint64 *more)
{
	TimestampTz now;
	uint64 key;
	uint64_t left_out;
	bool due;

	*more = 0;
	if (pgw_shared == NULL)
		return true;
	now = pgw_now();
	key = hash_bytes_extended((const unsigned char *) kind, strlen(kind), MyDatabaseId);
	if (about != NULL)
		key = hash_bytes_extended((const unsigned char *) about, strlen(about), key);
	SpinLockAcquire(&pgw_shared->lines_lock);
	due = pgw_line_due(&pgw_shared->lines, key, now, &left_out);
	SpinLockRelease(&pgw_shared->lines_lock);
	*more = left_out;
	return due;
}

int
pgw_log_more(uint64 more)
{
	if (more > 0) /* errcontext() is two calls, no expression to choose */
		errcontext(UINT64_FORMAT " more like it before it were left out", more);
	return 0;
}
