/*
 * unreplicated.c - what this server shows as committed, and its standbys may not have
 *
 * A commit is shown to others when its wait for the synchronous standbys is over.  But what the
 * log held when the server crashed is shown once that has recovered, whether or not its wait had
 * ended; a wait that is cancelled, or whose session is terminated, ends with a warning; and one
 * ends when the names of the standbys are taken away.  The standby that may be promoted does not
 * have such a commit: there the caller's vote is missing, and the charge is given back.  So nobody
 * is told of a payment, by a repeated call or by one that reads it, while there may be such
 * commits: he waits until the standbys have them, or until his time is up.
 *
 * Owns: `unreplicated` of PgwShared, atomic: up to where in the log such commits may be; 0: nobody
 * has looked since shared memory was made; NOWHERE: nobody waited for standbys then, and no wait
 * has been cut short since.  It only grows.
 *
 * Orderings that matter
 *     - It is begun at the end of the log as that is at the first look, which is after recovery.
 *       What has been committed since then was waited for, or noted, so it is only too far.
 *     - The server calls back after it has made a commit visible: for that moment one whose wait
 *       was cut short can be seen and is not noted.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "access/xloginsert.h"
#include "catalog/pg_control.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "core/base/mutant.h"
#include "exchange/exchange_shmem.h"
#include "exchange/fencing_delay.h"
#include "exchange/unreplicated.h"

#define NOWHERE ((XLogRecPtr) 1) /* in front of every record */
#define POLL_FIRST_MS 1
#define POLL_MAX_MS 50

void
pgw_unreplicated_attach(void)
{
	pg_atomic_init_u64(&pgw_shared->unreplicated, 0);
}

static void
raise_to(XLogRecPtr end)
{
	uint64 before = pg_atomic_read_u64(&pgw_shared->unreplicated);

	while (before < end && !pg_atomic_compare_exchange_u64(&pgw_shared->unreplicated, &before, end))
		;
}

void
pgw_unreplicated_begin(void)
{
	if (pg_atomic_read_u64(&pgw_shared->unreplicated) == 0)
		raise_to(pgw_at_standbys() == PG_UINT64_MAX ? NOWHERE : GetFlushRecPtr(NULL));
}

void
pgw_unreplicated_note(XLogRecPtr commit_end)
{
	if (pgw_shared == NULL || pgw_at_standbys() >= commit_end)
		return;
	pgw_unreplicated_begin();
	raise_to(commit_end);
}

/*
 * A standby that has everything says so when something comes, and else every ten seconds
 * (wal_receiver_status_interval): so something comes.
 */
static void
have_standbys_answer(void)
{
	XLogRecPtr written = XactLastRecEnd;
	int nothing = 0;

	XLogBeginInsert();
	XLogRegisterData((char *) &nothing, sizeof(nothing));
	XLogFlush(XLogInsert(RM_XLOG_ID, XLOG_NOOP));
	/* The transaction has not written for that: its commit would have to wait for it. */
	XactLastRecEnd = written;
}

bool
pgw_wait_until_replicated(TimestampTz deadline)
{
	XLogRecPtr end;
	long pause_ms = POLL_FIRST_MS;

	if (pgw_shared == NULL || !pgw_waits_for_standbys() || RecoveryInProgress())
		return true;
	pgw_unreplicated_begin();
	end = pg_atomic_read_u64(&pgw_shared->unreplicated);
	if (end == NOWHERE || pgw_replicated_up_to() >= end || PGW_MUTATED(TOLD_UNREPLICATED))
		return true;
	have_standbys_answer();
	while (pgw_replicated_up_to() < end)
	{
		TimestampTz now = GetCurrentTimestamp();

		if (now >= deadline)
			return false;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(pause_ms, TimestampDifferenceMilliseconds(now, deadline) + 1),
						 WAIT_EVENT_SYNC_REP);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		pause_ms = Min(pause_ms * 2, POLL_MAX_MS);
	}
	return true;
}
