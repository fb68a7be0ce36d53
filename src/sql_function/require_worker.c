/*
 * require_worker.c - what cannot be had without a worker
 *
 * Owns nothing.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "exchange/exchange.h"
#include "exchange/worker_entries.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_worker.h"

void
pgw_require_worker(void)
{
	if (!pgw_exchange_available())
		pgw_raise("not_preloaded", NULL,
				  "Add pgw to shared_preload_libraries in postgresql.conf and restart the server.");
	if (!pgw_exchange_worker_running(MyDatabaseId))
		pgw_raise("worker_not_running", NULL, NULL);
}
