/*
 * health.c - pgw.health(): one row per check, with what to do about it
 *
 * Owns the order of the checks; changes nothing.  Every check looks at shared memory, at settings,
 * or at rows that are open: finished payments cost nothing. Without shared memory (not preloaded)
 * the checks of shared memory are left out, after the row that says so.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "exchange/exchange_status.h"
#include "operator_api/health_processes.h"
#include "operator_api/health_report.h"
#include "operator_api/health_tables.h"
#include "operator_api/health_work.h"
#include "operator_api/show_version.h"
#include "sql_function/check_access.h"
#include "sql_function/owner.h"
#include "sql_function/result_set.h"

PG_FUNCTION_INFO_V1(pgw_health_1_0);

Datum
pgw_health_1_0(PG_FUNCTION_ARGS)
{
	PgwExchangeStatus status;
	PgwHealthReport r;
	Oid caller;
	int sec_context;
	bool serves;

	pgw_require(GetUserId(), "auditor", NULL);
	r.store = pgw_result_set(fcinfo, &r.desc);
	r.now = pgw_now();
	pgw_health_begin(&r);
	pgw_exchange_status(MyDatabaseId, &status);
	pgw_health_put(
		&r, "preloaded", status.preloaded ? PGW_HEALTH_OK : PGW_HEALTH_ERROR,
		"Add pgw to shared_preload_libraries in postgresql.conf and restart the server.");
	serves = pgw_health_check_version(&r);
	if (status.preloaded)
	{
		pgw_health_check_processes(&r, &status);
		pgw_health_check_slots(&r, &status);
		pgw_health_check_quotas(&r);
	}
	pgw_health_check_state_file(&r);
	pgw_health_check_notify_queue(&r);
	if (!serves)
		return (Datum) 0; /* the other checks read tables that another version has made */

	pgw_become_owner(&caller, &sec_context);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetLatestSnapshot());
	pgw_health_check_mode(&r);
	pgw_health_check_card_logging(&r);
	pgw_health_check_restored(&r, &status);
	pgw_health_check_subscriptions(&r, &status);
	pgw_health_check_work(&r);
	pgw_health_check_prepared(&r);
	pgw_health_check_foreign_keys(&r);
	pgw_health_check_code_of_others(&r);
	pgw_health_check_privileges(&r);
	pgw_health_check_banks(&r);
	pgw_health_check_versions(&r);
	pgw_health_check_partitions(&r);
	pgw_health_check_table_locks(&r);
	pgw_health_check_tables(&r);
	pgw_health_check_baseline(&r);
	PopActiveSnapshot();
	SPI_finish();
	pgw_become_caller(caller, sec_context);
	return (Datum) 0;
}
