/*
 * pinned_settings.c - settings that the worker has, whatever ALTER DATABASE or postgresql.conf say
 *
 * Owns nothing.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "core/base/mutant.h"
#include "worker/pinned_settings.h"

static void
pin(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

void
pgw_pin_settings(void)
{
	pin("role", "none"); /* ALTER DATABASE SET role works for workers, too */
	pin("search_path", "pg_catalog, pgw, pg_temp");
	/* each look at whether the caller kept its row needs a snapshot of its own */
	pin("default_transaction_isolation", "read committed");
	pin("default_transaction_read_only", "off");
	pin("default_transaction_deferrable", "off");
	pin("session_replication_role", "origin");
	pin("row_security", "off");
	pin("statement_timeout", "0");
	pin("lock_timeout", "1s");
	pin("idle_in_transaction_session_timeout", "0");
#ifdef PGW_HAS_TRANSACTION_TIMEOUT
	pin("transaction_timeout", "0");
#endif
	pin("application_name", "pgw worker");
	pin("log_statement", "none");

	/*
	 * plans: what is due or open is few among many, whatever the statistics say, and its beginning
	 * is all that is asked for (find_due.c)
	 */
	pin("enable_seqscan", "off");
	pin("enable_indexscan", "on");
	pin("enable_indexonlyscan", "on");
	pin("enable_bitmapscan", "off");
	pin("enable_sort", "off");
	pin("plan_cache_mode", "auto");
	/* a plan that is left with a sequential scan looks dear enough for it */
	pin("jit", "off");
	pin("max_parallel_workers_per_gather", "0");

	/* how values look in texts that are stored, and how texts are read */
	pin("DateStyle", "ISO, YMD");
	pin("IntervalStyle", "postgres");
	pin("TimeZone", "UTC");
	pin("bytea_output", "hex");
	pin("extra_float_digits", "1");
	pin("standard_conforming_strings", "on");
	pin("quote_all_identifiers", "off");
	pin("transform_null_equals", "off");

	/* where and how partitions are made */
	pin("default_table_access_method", "heap");
	pin("default_tablespace", "");
	pin("temp_tablespaces", "");

	/*
	 * Intents must be flushed, whatever postgresql.conf or ALTER DATABASE say, now or after a
	 * reload: a pinned value follows neither.  A stronger one (remote_apply) may stay, as it is at
	 * the start.
	 */
	if (!PGW_MUTATED(PIN_SYNC_COMMIT) || synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_FLUSH)
		pin("synchronous_commit",
			synchronous_commit > SYNCHRONOUS_COMMIT_REMOTE_FLUSH ? "remote_apply" : "on");
}

void
pgw_pin_for_queries(const char *application_name)
{
	pin("application_name", application_name);
	pin("enable_seqscan", "on");
	pin("enable_bitmapscan", "on");
	pin("enable_sort", "on");
}
