/*
 * keep_webhooks.c - the process that sends webhooks, while there is something for it
 *
 * Owns: its handle, and whether an endpoint is enabled, as of a generation of the configuration.
 * It ends with this worker, however that ends, so that it never stands in the way of who wants the
 * database empty, and never sends from one that the worker has not looked at.  It gives up its slot
 * of max_worker_processes where another database's worker has none: payments come first.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/database_worker.h"
#include "core/base/mutant.h"
#include "database/batch.h"
#include "database/statements.h"
#include "database/table_locks.h"
#include "exchange/config_generation.h"
#include "exchange/worker_entries.h"
#include "worker/keep_webhooks.h"

#define FIRST_RETRY_MS 1000 /* doubled at each end ... */
#define LONGEST_RETRY_MS (60 * 1000)
#define HEALTHY_MS (60 * 1000) /* ... of one that ran for less than this */
#define COMPLAIN_MS (60 * 1000)

static BackgroundWorkerHandle *handle = NULL;
static bool told_to_end = false;
static bool looked = false;
static bool wanted = false;
static uint64 seen = 0;
static TimestampTz started_at = 0;
static TimestampTz next_start = 0;
static TimestampTz complained_at = 0;
static int failures = 0;

static void
look(void *arg)
{
	bool *any = arg;

	pgw_table_need("webhook_endpoints", AccessShareLock);
	pgw_statements_begin();
	if (SPI_execute("SELECT FROM pgw.webhook_endpoints WHERE enabled LIMIT 1", true, 1) !=
		SPI_OK_SELECT)
		elog(ERROR, "the endpoints could not be read");
	*any = SPI_processed > 0;
	pgw_statements_end();
}

/* What is read while a change becomes visible is good until the next look, which comes at once. */
static void
look_for_endpoints(void)
{
	uint64 generation = pgw_exchange_generation();
	bool settled = !pgw_exchange_config_is_changing();
	bool any = false;

	if (looked && generation == seen)
		return;
	if (pgw_batch_transaction(look, &any, false, NULL) != PGW_BATCH_DONE)
		return;
	wanted = any;
	looked = settled;
	seen = generation;
}

static void
end(void)
{
	if (handle != NULL && !told_to_end)
		TerminateBackgroundWorker(handle);
	told_to_end = true;
}

static void
end_at_exit(int code, Datum arg)
{
	end();
}

/* It has ended: when may the next one be started? */
static void
reap(TimestampTz now)
{
	bool fine = told_to_end || !wanted; /* without endpoints it ends by itself */
	pid_t pid;

	if (handle == NULL || GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED)
		return;
	pfree(handle);
	handle = NULL;
	failures =
		fine || TimestampDifferenceExceeds(started_at, now, HEALTHY_MS) ? 0 : Min(failures + 1, 6);
	next_start = TimestampTzPlusMilliseconds(
		now, fine ? 0 : Min(FIRST_RETRY_MS << failures, LONGEST_RETRY_MS));
	looked = false; /* it may have found that nothing is enabled any more */
}

static void
complain(TimestampTz now)
{
	if (!pgw_is_due(complained_at, now, COMPLAIN_MS))
		return;
	complained_at = TimestampTzPlusMilliseconds(now, COMPLAIN_MS);
	ereport(
		LOG,
		(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
		 errmsg("pgw: no background worker slot is free for the webhooks of database %u",
				MyDatabaseId),
		 errhint(
			 "Increase max_worker_processes (now %d): one more for each database that has endpoints of webhooks.",
			 max_worker_processes)));
}

static void
start(TimestampTz now)
{
	static bool registered = false;
	if (!registered)
	{
		before_shmem_exit(end_at_exit, (Datum) 0);
		registered = true;
	}
	handle = pgw_register_worker(MyDatabaseId, "pgw webhooks", "pgw_webhooks_main");
	told_to_end = false;
	started_at = now;
	if (handle != NULL)
		return;
	next_start = TimestampTzPlusMilliseconds(now, LONGEST_RETRY_MS / 12);
	complain(now);
}

void
pgw_webhooks_turn(bool may_send, TimestampTz now)
{
	bool gives_way = pgw_exchange_lacks_slots() && !PGW_MUTATED(WEBHOOK_SLOT);

	reap(now);
	if (may_send)
		look_for_endpoints();
	if (!may_send || gives_way)
		end();
	if (!may_send || !wanted || handle != NULL)
		return;
	if (gives_way)
		complain(now);
	else if (pgw_is_due(next_start, now, LONGEST_RETRY_MS))
		start(now);
}
