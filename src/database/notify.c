/*
 * notify.c - the worker's NOTIFY, which never stops what it tells of
 *
 * A notification is part of the transaction that it tells of, so listeners hear of nothing that was
 * rolled back.  The price: when the server's queue is full (one session that has executed LISTEN
 * and sits in a transaction for long can fill it, for the whole cluster), the commit fails, and the
 * step of a payment with it.  Money does not wait for listeners: the transaction is then run again
 * without its notifications, and so is what follows for a while.  What is left out is not told
 * later.  A notification says "look"; who relies on hearing of all of them looks from time to time
 * anyhow, as after a lost connection.
 *
 * Owns: until when nothing is told; process-local, the worker's.
 */
#include "postgres.h"

#include "commands/async.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "database/notify.h"

#define SILENT_MS 10000

static TimestampTz silent_until = 0;
static bool told = false; /* something, in the transaction that runs */
static uint64 left_out = 0;

void
pgw_notify_begin(void)
{
	told = false;
}

void
pgw_notify(const char *channel, const char *payload)
{
	if (silent_until != 0 && pgw_is_due(silent_until, pgw_now(), SILENT_MS))
	{
		ereport(LOG, (errmsg("pgw: notifications are sent again; " UINT64_FORMAT " were left out",
							 left_out)));
		silent_until = 0;
		left_out = 0;
	}
	if (silent_until != 0)
	{
		left_out++;
		return;
	}
	Async_Notify(channel, payload);
	told = true;
}

void
pgw_notify_before_commit(void)
{
	/* as PreCommit_Notify() raises it */
	if (told && PGW_DEBUG_FLAG("notify_full"))
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("too many notifications in the NOTIFY queue")));
}

bool
pgw_notify_failed(int sqlstate)
{
	if (!told || sqlstate != ERRCODE_PROGRAM_LIMIT_EXCEEDED || PGW_MUTATED(NOTIFY_STOPS))
		return false;
	told = false;
	silent_until = TimestampTzPlusMilliseconds(pgw_now(), SILENT_MS);
	ereport(
		WARNING,
		(errmsg("pgw: the NOTIFY queue is full: payments go on without notifications for a while"),
		 errhint(
			 "pg_notification_queue_usage() says how full it is; a session that has executed LISTEN and is in a transaction for long keeps it so.")));
	return true;
}
