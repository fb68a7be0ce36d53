/*
 * health_tables.c - pgw.health(): pgw's tables, what others have put onto them, and what the
 * server does with them
 *
 * Owns nothing, changes nothing.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "card_guard/card_loggers.h"
#include "database/lock_refusals.h"
#include "operator_api/health_locked.h"
#include "operator_api/health_tables.h"
#include "store/tables.h"

#define NOTIFY_WARNING 0.5
/*
 * Of some 2.1 thousand million ids the server refuses to give out the last three millions, and with
 * them every payment; autovacuum has been at it since autovacuum_freeze_max_age (200 millions).
 */
#define IDS_WARNING 1e9
#define IDS_ERROR 1.9e9
#define LOCKED_WARNING_S 2
#define LOCKED_ERROR_S 60

/* Such a foreign key can only be made while the event trigger that refuses it is off. */
void
pgw_health_check_foreign_keys(PgwHealthReport *r)
{
	const char *trigger;
	const char *keys;

	if (SPI_execute(
			"SELECT (SELECT coalesce(string_agg(f.from_table::text || ' ' || f.constraint_name, ', '), '') FROM pgw.foreign_keys_with_casts() f),"
			" coalesce((SELECT e.evtenabled::text FROM pg_event_trigger e WHERE e.evtname = 'pgw_refuse_foreign_key_casts'), 'gone')",
			true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the foreign keys could not be read");
	keys = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	trigger = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	pgw_health_detail(r, "foreign_keys_with_casts", keys);
	pgw_health_detail(r, "event_trigger",
					  strcmp(trigger, "A") == 0      ? "always"
					  : strcmp(trigger, "gone") == 0 ? "dropped"
					  : strcmp(trigger, "D") == 0    ? "disabled"
													 : "not always");
	pgw_health_put(
		r, "foreign_keys",
		keys[0] != '\0'             ? PGW_HEALTH_ERROR
		: strcmp(trigger, "A") != 0 ? PGW_HEALTH_WARNING
									: PGW_HEALTH_OK,
		keys[0] != '\0'
			? "Their check runs a cast of somebody else's with the rights of the owner of pgw: drop them, or make their columns uuid."
			: "Nothing refuses a foreign key to pgw's tables that needs a cast: ALTER EVENT TRIGGER pgw_refuse_foreign_key_casts ENABLE ALWAYS.");
	SPI_freetuptable(SPI_tuptable);
}

/* Code on pgw's tables that has more rights there than its author. */
void
pgw_health_check_code_of_others(PgwHealthReport *r)
{
	char *found = pgw_health_read_text(
		"SELECT jsonb_agg(jsonb_build_object('table', c.on_table::text, 'function', c.function::text, 'owner', c.owner::text, 'reason', c.problem))::text"
		" FROM pgw.code_of_others() c");
	char *trigger = pgw_health_read_text(
		"SELECT CASE e.evtenabled WHEN 'A' THEN 'always' WHEN 'D' THEN 'disabled' ELSE 'not always' END"
		" FROM pg_catalog.pg_event_trigger e WHERE e.evtname = 'pgw_refuse_code_of_others'");
	bool always = trigger != NULL && strcmp(trigger, "always") == 0;

	pgw_health_detail_list(r, "functions", found);
	pgw_health_detail(r, "event_trigger", trigger != NULL ? trigger : "dropped");
	pgw_health_put(
		r, "code_of_others",
		found != NULL ? PGW_HEALTH_ERROR
		: !always     ? PGW_HEALTH_WARNING
					  : PGW_HEALTH_OK,
		found != NULL
			? "These functions run on pgw's tables with the rights of the owner of pgw, and somebody else can change them: make them SECURITY DEFINER, "
			  "have a superuser own them, or drop what uses them; a deferred trigger's also needs a search_path of its own."
			: "Nothing refuses functions on pgw's tables that are no superuser's: ALTER EVENT TRIGGER pgw_refuse_code_of_others ENABLE ALWAYS.");
}

/*
 * Privileges on pgw's objects of which pgw.access_grants knows nothing.  pg_write_all_data is one,
 * too, though it stands on no object.
 */
void
pgw_health_check_privileges(PgwHealthReport *r)
{
	char *found = pgw_health_read_text(
		"SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('object', u.object, 'column', u.column_name, 'grantee', u.grantee, 'privilege', u.privilege))"
		" ORDER BY u.grantee, u.object, u.column_name, u.privilege)::text FROM pgw.unexplained_privileges() u");
	char *writers = pgw_health_read_text(
		"SELECT jsonb_agg(a.rolname ORDER BY a.rolname)::text FROM pg_catalog.pg_authid a WHERE NOT a.rolsuper"
		" AND a.rolname <> 'pg_write_all_data' AND pg_catalog.pg_has_role(a.oid, 'pg_write_all_data', 'MEMBER')");

	pgw_health_detail_list(r, "unexplained", found);
	pgw_health_detail_list(r, "write_all_data", writers);
	pgw_health_put(
		r, "privileges",
		found != NULL     ? PGW_HEALTH_ERROR
		: writers != NULL ? PGW_HEALTH_WARNING
						  : PGW_HEALTH_OK,
		found != NULL
			? "Roles have privileges on pgw's objects that pgw.grant_access() has not given them, and with them the banks or the payments: "
			  "SELECT pgw.revoke_unexplained_privileges() takes them away; see ALTER DEFAULT PRIVILEGES for where they come from."
			: "Members of pg_write_all_data can write pgw's tables, and send every charge elsewhere: REVOKE pg_write_all_data.");
}

/* ---------------------------------------------------------------- tables and settings */

void
pgw_health_check_partitions(PgwHealthReport *r)
{
	bool isnull;
	bool this_month;
	bool next_month;
	bool strays;
	bool banks;
	int64 size;
	HeapTuple row;
	TupleDesc desc;

	if (SPI_execute(
			"SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'pgw.transaction_events'::regclass"
			" AND inhrelid = to_regclass('pgw.transaction_events_y' || to_char(m, 'YYYY\"m\"MM'))),"
			" EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'pgw.transaction_events'::regclass"
			" AND inhrelid = to_regclass('pgw.transaction_events_y' || to_char(m + interval '1 month', 'YYYY\"m\"MM'))),"
			" EXISTS (SELECT FROM pgw.transaction_events_default),"
			" EXISTS (SELECT FROM pgw.banks WHERE name <> 'test') OR EXISTS (SELECT FROM pgw.payments),"
			" coalesce(pg_relation_size(to_regclass('pgw.transaction_events_default')), 0)"
			" FROM date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') m",
			true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the partitions could not be looked at");
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	this_month = DatumGetBool(SPI_getbinval(row, desc, 1, &isnull));
	next_month = DatumGetBool(SPI_getbinval(row, desc, 2, &isnull));
	strays = DatumGetBool(SPI_getbinval(row, desc, 3, &isnull));
	banks = DatumGetBool(SPI_getbinval(row, desc, 4, &isnull));
	size = DatumGetInt64(SPI_getbinval(row, desc, 5, &isnull));
	SPI_freetuptable(SPI_tuptable);

	pgw_health_detail_bool(r, "this_month", this_month);
	pgw_health_detail_bool(r, "next_month", next_month);
	pgw_health_detail_bool(r, "default_partition_in_use", strays);
	pgw_health_detail_number(r, "default_partition_bytes", size);
	/* a dump that is restored brings its own */
	pgw_health_put(
		r, "partitions",
		strays || (banks && (!this_month || !next_month)) ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		"Events go to the default partition where their month's is missing, which is sound but cannot be removed by month: "
		"call pgw.ensure_event_partitions(); its warnings say what is in the way.");
}

/*
 * One for the whole cluster; the worker goes on without notifications when it is full
 * (database/notify.c).
 */
void
pgw_health_check_notify_queue(PgwHealthReport *r)
{
	double usage = DatumGetFloat8(DirectFunctionCall1(pg_notification_queue_usage, (Datum) 0));

	pgw_health_detail_number(r, "usage", usage);
	pgw_health_put(
		r, "notify_queue", usage >= NOTIFY_WARNING ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		"The cluster's NOTIFY queue fills up: a session that has executed LISTEN is in a transaction for too long (pg_stat_activity). "
		"Once it is full nobody is told of anything; payments go on.");
}

/* The oldest of the whole cluster: that of another database stops the payments of this one. */
void
pgw_health_check_transaction_ids(PgwHealthReport *r)
{
	bool isnull;
	double age;
	double multi_age;
	HeapTuple row;
	TupleDesc desc;

	if (SPI_execute("SELECT max(age(d.datfrozenxid))::float8, max(mxid_age(d.datminmxid))::float8,"
					" (array_agg(d.datname::text ORDER BY age(d.datfrozenxid) DESC))[1]"
					" FROM pg_catalog.pg_database d WHERE d.datconnlimit <> -2",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the databases could not be looked at");
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	age = DatumGetFloat8(SPI_getbinval(row, desc, 1, &isnull));
	multi_age = DatumGetFloat8(SPI_getbinval(row, desc, 2, &isnull));
	pgw_health_detail_number(r, "age", age);
	pgw_health_detail_number(r, "multixact_age", multi_age);
	pgw_health_detail(r, "oldest_database", SPI_getvalue(row, desc, 3));
	SPI_freetuptable(SPI_tuptable);
	age = Max(age, multi_age);
	pgw_health_put(
		r, "transaction_ids",
		age > IDS_ERROR     ? PGW_HEALTH_ERROR
		: age > IDS_WARNING ? PGW_HEALTH_WARNING
							: PGW_HEALTH_OK,
		"The server runs out of transaction ids, after which nothing can be paid: VACUUM oldest_database, and see what holds it back (old transactions, prepared ones, "
		"replication slots).");
}

/*
 * Those for whom others wait at a table of pgw, because they have it or were there before, and
 * those who would be waited for by everybody; NULL: nobody.  *age: for how many seconds the first
 * one has waited.
 */
static char *
sessions_in_the_way(double *age)
{
	char *sessions;
	char *seconds;

	if (SPI_execute(
			"WITH own AS MATERIALIZED (SELECT l.* FROM pg_catalog.pg_locks l WHERE l.locktype = 'relation'"
			" AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())"
			" AND l.relation IN (SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relnamespace = 'pgw'::pg_catalog.regnamespace)),"
			" way AS (SELECT b.pid, w.relation FROM own w CROSS JOIN LATERAL unnest(pg_catalog.pg_blocking_pids(w.pid)) b (pid) WHERE NOT w.granted"
			" UNION SELECT w.pid, w.relation FROM own w WHERE w.granted AND w.mode = 'AccessExclusiveLock')"
			" SELECT jsonb_agg(DISTINCT jsonb_build_object('pid', b.pid, 'role', a.usename, 'state', a.state, 'transaction_began', a.xact_start,"
			" 'table', b.relation::pg_catalog.regclass::text, 'locks', (SELECT jsonb_agg(l.mode || CASE WHEN l.granted THEN '' ELSE ' (awaited)' END ORDER BY l.mode)"
			" FROM own l WHERE l.pid = b.pid AND l.relation = b.relation)))::text,"
			" coalesce(extract(epoch FROM clock_timestamp() - (SELECT min(w.waitstart) FROM own w WHERE NOT w.granted)), 0)::float8::text"
			" FROM way b LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid",
			true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the locks could not be looked at");
	sessions = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	seconds = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	*age = strtod(seconds, NULL);
	SPI_freetuptable(SPI_tuptable);
	return sessions;
}

void
pgw_health_check_table_locks(PgwHealthReport *r)
{
	PgwTablesStatus s;
	double refused = 0;
	double kept_out = 0;
	double waited;
	char *sessions = sessions_in_the_way(&waited);
	double age;

	pgw_tables_status(&s);
	if (s.refused_since != 0)
		refused = (double) (GetCurrentTimestamp() - s.refused_since) / USECS_PER_SEC;
	if (s.kept_out_since != 0)
		kept_out = (double) (GetCurrentTimestamp() - s.kept_out_since) / USECS_PER_SEC;
	age = Max(Max(refused, waited), kept_out);
	pgw_health_detail_number(r, "tables_locked_for_callers", s.covered);
	pgw_health_detail_number(r, "transactions_that_pay", s.callers);
	pgw_health_detail(r, "refused_table",
					  OidIsValid(s.refused_table) ? get_rel_name(s.refused_table) : NULL);
	pgw_health_detail_number(r, "refused_for_seconds", refused);
	pgw_health_detail(r, "calls_kept_from",
					  OidIsValid(s.kept_out_of) ? get_rel_name(s.kept_out_of) : NULL);
	pgw_health_detail_number(r, "calls_kept_for_seconds", kept_out);
	pgw_health_detail_list(r, "sessions", sessions);
	pgw_health_detail_number(r, "waited_for_seconds", waited);
	pgw_health_put(
		r, "table_locks",
		age > LOCKED_ERROR_S     ? PGW_HEALTH_ERROR
		: age > LOCKED_WARNING_S ? PGW_HEALTH_WARNING
								 : PGW_HEALTH_OK,
		"Somebody holds or awaits a lock on a table of pgw, or on a catalog, so that payments wait, or the worker lets work pass: details names the sessions that "
		"others wait for at pgw's tables (pg_terminate_backend() ends one); else see pg_locks and pg_blocking_pids().");
}

static void
check_store(void *unused)
{
	pgw_store_check();
}

/* NULL, or what is not as CREATE EXTENSION has made it. */
static char *
altered_table(void)
{
	ErrorData *edata = pgw_health_try(check_store, NULL);

	if (edata == NULL)
		return NULL;
	/* that of whoever asks */
	if (edata->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		edata->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED)
		ReThrowError(edata);
	return edata->message;
}

/* pgw's columns, and what others have put onto its tables: docs/ddl.md. */
void
pgw_health_check_tables(PgwHealthReport *r)
{
	PgwTablesStatus s;
	char *fault = altered_table();

	pgw_tables_status(&s);
	if (SPI_execute(
			"SELECT coalesce(jsonb_agg(c.relname || '.' || t.tgname ORDER BY 1), '[]')::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
			" JOIN pg_proc p ON p.oid = t.tgfoid WHERE c.relnamespace = 'pgw'::regnamespace AND NOT t.tgisinternal AND t.tgenabled <> 'D'"
			" AND p.pronamespace <> c.relnamespace",
			true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the triggers could not be looked at");
	pgw_health_detail(r, "altered", fault);
	pgw_health_detail_json(r, "triggers_of_others",
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	pgw_health_detail_time(r, "time_limit_reached", s.limited_at);
	SPI_freetuptable(SPI_tuptable);
	pgw_health_put(
		r, "tables",
		fault != NULL       ? PGW_HEALTH_ERROR
		: s.limited_at != 0 ? PGW_HEALTH_WARNING
							: PGW_HEALTH_OK,
		fault != NULL
			? "pgw's own columns and keys are not as CREATE EXTENSION has made them: payments fail, nothing is lost. Undo it: see docs/ddl.md."
			: "Work on a payment took longer than the worker allows: see the server's log, and the triggers that others have put onto pgw's tables (docs/ddl.md).");
}

/*
 * First whether those who compare are what they were: a function that was replaced may say
 * anything.
 */
void
pgw_health_check_baseline(PgwHealthReport *r)
{
	char *guards = pgw_health_read_text(
		"SELECT jsonb_agg(DISTINCT f.object ORDER BY f.object)::text FROM pgw.baseline f WHERE (f.kind = 'event trigger'"
		" AND f.object = 'pgw_keep_baseline' AND NOT EXISTS (SELECT FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid"
		" WHERE e.evtname = f.object AND e.evtenabled = 'A' AND p.proname = 'keep_baseline'"
		" AND p.pronamespace = 'pgw'::regnamespace))"
		" OR (f.kind = 'function' AND f.object ~ '^pgw\\.(baseline_faults|baseline_faults_before|baseline_now|keep_baseline|record_baseline)\\('"
		" AND NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'pgw'::regnamespace"
		" AND p.proname = substring(f.object FROM '\\.(\\w+)') AND right(f.property, 32) = md5(p.prosrc)))");
	char *faults = NULL;

	pgw_health_detail_list(r, "guards_altered", guards);
	if (guards == NULL)
		faults = pgw_health_read_text(
			"SELECT jsonb_agg(jsonb_build_object('kind', f.kind, 'object', f.object, 'property', f.property))::text"
			" FROM (SELECT * FROM pgw.baseline_faults() ORDER BY kind, object, property LIMIT 20) f");
	pgw_health_detail_list(r, "faults", faults);
	pgw_health_put(
		r, "baseline", guards != NULL || faults != NULL ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		guards != NULL
			? "What keeps pgw's own objects as they were made is off, renamed or altered: ALTER EVENT TRIGGER pgw_keep_baseline ENABLE ALWAYS, or put the functions back from the extension's script. See docs/ddl.md."
			: "pgw's own objects are not as CREATE EXTENSION has made them: undo what details names. See docs/ddl.md.");
}

void
pgw_health_check_card_logging(PgwHealthReport *r)
{
	const char *hint = NULL;
	const char *setting = pgw_loggers_refused(&hint);
	const char *settings = pgw_loggers_settings();
	const char *libraries = pgw_loggers_libraries();
	const char *hooks = pgw_loggers_hooks();
	const char *functions = pgw_loggers_functions();
	bool doubtful = settings != NULL || libraries != NULL || hooks != NULL || functions != NULL;

	pgw_health_detail(r, "setting", setting);
	pgw_health_detail_list(r, "settings_to_look_at", settings);
	pgw_health_detail_list(r, "libraries_to_look_at", libraries);
	pgw_health_detail_list(r, "hooks_to_look_at", hooks);
	pgw_health_detail_list(r, "functions_that_print_parameters", functions);
	pgw_health_put(
		r, "card_logging", setting != NULL || doubtful ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		setting != NULL
			? hint
			: "What details names may write or keep bound parameters, and with them card data; pgw cannot tell. See docs/security.md.");
}
