/*
 * health.c - pgw.health(): one row per check, with what to do about it
 *
 * Owns the order of the checks; changes nothing.  Every check looks at shared memory, at settings,
 * or at rows that are open: finished payments cost nothing. Without shared memory (not preloaded)
 * the checks of shared memory are left out, after the row that says so.  No check waits for a lock
 * longer than a moment (health_locked.c).
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "exchange/exchange_status.h"
#include "operator_api/health_locked.h"
#include "operator_api/health_notifications.h"
#include "operator_api/health_processes.h"
#include "operator_api/health_readers.h"
#include "operator_api/health_report.h"
#include "operator_api/health_shard.h"
#include "operator_api/health_tables.h"
#include "operator_api/health_work.h"
#include "operator_api/health_writes.h"
#include "operator_api/show_version.h"
#include "sql_function/owner.h"
#include "sql_function/result_set.h"

/* Those that read tables, in the order of their rows. */
static const PgwHealthCheck checks_of_tables[] = {
	{pgw_health_check_mode, {"worker_mode"}},
	{pgw_health_check_card_logging, {"card_logging"}},
	{pgw_health_check_restored, {"restored"}},
	{pgw_health_check_shard, {"shard"}},
	{pgw_health_check_subscriptions, {"subscriptions"}},
	{pgw_health_check_work,
	 {"queue", "in_doubt", "pending", "refunding", "accepted", "reviews", "callers_undecided",
	  "put_off", "origin"}},
	{pgw_health_check_prepared, {"prepared_transactions"}},
	{pgw_health_check_transaction_ids, {"transaction_ids"}},
	{pgw_health_check_foreign_keys, {"foreign_keys"}},
	{pgw_health_check_code_of_others, {"code_of_others"}},
	{pgw_health_check_privileges, {"privileges"}},
	{pgw_health_check_grants, {"grants"}},
	{pgw_health_check_publications, {"publications"}},
	{pgw_health_check_read_only, {"read_only"}},
	{pgw_health_check_banks, {"banks"}},
	{pgw_health_check_versions, {"bank_versions"}},
	{pgw_health_check_unconfirmed, {"unconfirmed_notifications"}},
	{pgw_health_check_event_consumers, {"event_consumers"}},
	{pgw_health_check_webhooks, {"webhooks"}},
	{pgw_health_check_partitions, {"partitions"}},
	{pgw_health_check_table_locks, {"table_locks"}},
	{pgw_health_check_tables, {"tables"}},
	{pgw_health_check_baseline, {"baseline"}},
};

static void
check_tables(PgwHealthReport *r)
{
	Oid caller;
	int sec_context;

	pgw_become_owner(&caller, &sec_context);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetLatestSnapshot());
	for (int i = 0; i < lengthof(checks_of_tables); i++)
		pgw_health_run(r, &checks_of_tables[i]);
	PopActiveSnapshot();
	SPI_finish();
	pgw_become_caller(caller, sec_context);
}

typedef struct VersionLook
{
	PgwHealthReport *r;
	bool serves;
} VersionLook;

static void
look_at_version(void *arg)
{
	VersionLook *l = arg;

	l->serves = pgw_health_check_version(l->r);
}

/* Locked: nothing is known, and the other checks look at what they can. */
static bool
check_version(PgwHealthReport *r)
{
	VersionLook l = {.r = r, .serves = true};
	ErrorData *edata = pgw_health_try(look_at_version, &l);

	if (edata == NULL)
		return l.serves;
	if (edata->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(edata);
	pgw_health_begin(r);
	pgw_health_put(r, "version", PGW_HEALTH_LOCKED,
				   "This could not be looked at: a catalog is locked. See pg_locks.");
	return true;
}

PG_FUNCTION_INFO_V1(pgw_health_1_0);

Datum
pgw_health_1_0(PG_FUNCTION_ARGS)
{
	PgwExchangeStatus status;
	PgwHealthReport r;
	int nest_level;
	bool serves;

	nest_level = pgw_health_bound_waits();
	pgw_health_require(GetUserId(), "monitor");
	r.store = pgw_result_set(fcinfo, &r.desc);
	r.now = pgw_now();
	r.rows_put = 0;
	pgw_exchange_status(MyDatabaseId, &status);
	r.exchange = &status;
	pgw_health_begin(&r);
	pgw_health_put(
		&r, "preloaded", status.preloaded ? PGW_HEALTH_OK : PGW_HEALTH_ERROR,
		"Add pgw to shared_preload_libraries in postgresql.conf and restart the server.");
	serves = check_version(&r);
	if (status.preloaded)
	{
		pgw_health_check_processes(&r, &status);
		pgw_health_check_slots(&r, &status);
		pgw_health_check_quotas(&r);
		pgw_health_check_writes(&r, &status);
	}
	pgw_health_check_state_file(&r);
	pgw_health_check_notify_queue(&r);
	if (serves) /* else the other checks would read tables that another version has made */
		check_tables(&r);
	pgw_health_unbound_waits(nest_level);
	return (Datum) 0;
}
