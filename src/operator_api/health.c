/*
 * health.c - pgw.health(): one row per check, with what to do about it
 *
 * Owns nothing, changes nothing.  Every check looks at shared memory, at settings, or at rows that
 * are open: finished payments cost nothing. Without shared memory (not preloaded) the checks of
 * shared memory are left out, after the row that says so. "error": money or callers wait until
 * somebody acts.  "warning": somebody should look.
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "bank/bank_config.h"
#include "bank/secrets.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "base/schedule.h"
#include "card_guard/card_loggers.h"
#include "database/lock_refusals.h"
#include "exchange/exchange_status.h"
#include "observe/gauges.h"
#include "observe/metrics.h"
#include "quota/quota.h"
#include "restore/copied_cluster.h"
#include "restore/pause.h"
#include "sql_function/access_grants.h"
#include "sql_function/owner.h"
#include "sql_function/result_set.h"
#include "store/events.h"
#include "store/tables.h"

#define MAX_DATABASES 64
#define DOUBT_WARNING_S 60
#define QUEUE_WARNING_S 60
#define OLD_VERSION_WARNING_S 300
#define NOTIFY_WARNING 0.5
#define REVIEW_ERROR_S (24 * 60 * 60)
#define PUT_OFF_ERROR_S (30 * 60)
#define QUOTA_WARNING_S 600
#define FILES_PER_CALL 4
#define LOCKED_WARNING_S 2
#define LOCKED_ERROR_S 60

PG_FUNCTION_INFO_V1(pgw_health_1_0);

typedef enum Status
{
	FINE = 0,
	WARN,
	BAD
} Status;

typedef struct Report
{
	Tuplestorestate *store;
	TupleDesc desc;
	TimestampTz now;
	StringInfoData details; /* of the next row, without the closing brace */
} Report;

/* ---------------------------------------------------------------- rows */

static void
begin_member(Report *r, const char *name)
{
	appendStringInfoString(&r->details, r->details.len == 0 ? "{" : ", ");
	escape_json(&r->details, name);
	appendStringInfoString(&r->details, ": ");
}

static void
detail(Report *r, const char *name, const char *value)
{
	begin_member(r, name);
	if (value != NULL)
		escape_json(&r->details, value);
	else
		appendStringInfoString(&r->details, "null");
}

static void
detail_number(Report *r, const char *name, double value)
{
	begin_member(r, name);
	appendStringInfo(&r->details, value == (double) (int64) value ? "%.0f" : "%.1f", value);
}

static void
detail_bool(Report *r, const char *name, bool value)
{
	begin_member(r, name);
	appendStringInfoString(&r->details, value ? "true" : "false");
}

static void
detail_time(Report *r, const char *name, TimestampTz value)
{
	detail(r, name, value != 0 ? timestamptz_to_str(value) : NULL);
}

static void
detail_json(Report *r, const char *name, const char *json)
{
	begin_member(r, name);
	appendStringInfoString(&r->details, json);
}

static void
detail_gauge(Report *r, const PgwGauge *g)
{
	detail_number(r, "count", (double) g->n);
	detail_number(r, "oldest_age_seconds", g->age_s);
}

/* The row of a check, with the details put before. */
static void
put(Report *r, const char *check, Status status, const char *advice)
{
	static const char *const names[] = {"ok", "warning", "error"};
	bool nulls[4] = {false, false, status == FINE, false};
	Datum values[4] = {0};

	if (r->details.len == 0)
		appendStringInfoChar(&r->details, '{');
	appendStringInfoChar(&r->details, '}');
	values[0] = CStringGetTextDatum(check);
	values[1] = CStringGetTextDatum(names[status]);
	if (status != FINE)
		values[2] = CStringGetTextDatum(advice);
	values[3] = DirectFunctionCall1(jsonb_in, CStringGetDatum(r->details.data));
	tuplestore_putvalues(r->store, r->desc, values, nulls);
	resetStringInfo(&r->details);
}

/* ---------------------------------------------------------------- processes */

static Status
worker_status(Report *r, Oid database, const PgwExchangeStatus *s, const char **advice)
{
	detail(r, "state", s->worker_state);
	detail_time(r, "since", s->worker_since);
	detail_number(r, "failures", s->worker_failures);
	if (strcmp(s->worker_state, "running") == 0)
		return FINE;
	if (strcmp(s->worker_state, "paused") == 0 || strcmp(s->worker_state, "draining") == 0)
	{
		*advice = "It is there, and takes no new payments: see worker_mode and restored.";
		return WARN;
	}
	*advice = pgw_exchange_absence(database);
	return strcmp(s->worker_state, "starting") == 0 ||
				   strcmp(s->worker_state, "stepping aside") == 0
			   ? WARN
			   : BAD;
}

static void
check_processes(Report *r, const PgwExchangeStatus *s)
{
	Oid databases[MAX_DATABASES];
	const char *advice = NULL;
	Status status;
	int n;

	detail_number(r, "pid", s->launcher_pid);
	put(r, "launcher", s->launcher_pid != 0 ? FINE : BAD,
		"The server's log says why the launcher ended, and it is started again within seconds; or max_worker_processes left no room for it.");
	detail_number(r, "pid", s->worker_pid);
	status = worker_status(r, MyDatabaseId, s, &advice);
	put(r, "worker", status, advice);

	n = pgw_exchange_databases(databases, MAX_DATABASES);
	for (int i = 0; i < n; i++)
	{
		char *name = get_database_name(databases[i]);
		PgwExchangeStatus other;

		pgw_exchange_status(databases[i], &other);
		if (databases[i] == MyDatabaseId || name == NULL ||
			strcmp(other.worker_state, "no extension") == 0 ||
			strcmp(other.worker_state, "none") == 0)
			continue;
		detail(r, "database", name);
		status = worker_status(r, databases[i], &other, &advice);
		put(r, psprintf("worker:%s", name), status, advice);
	}
}

static void
check_slots(Report *r, const PgwExchangeStatus *s)
{
	bool full = s->slots_used >= s->slots_total;
	bool nearly = s->slots_used * 5 >= s->slots_total * 4;

	detail_number(r, "total", s->slots_total);
	detail_number(r, "used", s->slots_used);
	detail_number(r, "wait_for_worker", s->slots_requested);
	detail_number(r, "bank_called", s->slots_taken);
	put(r, "slots",
		full     ? BAD
		: nearly ? WARN
				 : FINE,
		"Callers beyond pgw.max_waiting are refused with PW500. Raise it (restart), or see why the banks are slow.");

	/* as the HTTP layer shares them out */
	detail_number(r, "capacity", max_safe_fds / FILES_PER_CALL);
	detail_number(r, "bank_called", s->slots_taken);
	put(r, "connections", s->slots_taken * 5 >= max_safe_fds / FILES_PER_CALL * 4 ? WARN : FINE,
		"Raise max_files_per_process (restart): four files for each bank call that is to be in flight at once.");
}

static char *
read_text(const char *sql)
{
	char *text;

	if (SPI_execute(sql, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "a look of pgw.health() failed");
	text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	SPI_freetuptable(SPI_tuptable);
	return text;
}

/* A submitted charge that has not been sent. */
#define HELD_BACK "(kind = 'payment' AND status = 'Created' AND NOT taken_by_worker)"

static void
check_mode(Report *r)
{
	const char *mode = GetConfigOption("pgw.worker_mode", true, false);
	bool draining = mode != NULL && strcmp(mode, "draining") == 0;

	detail(r, "worker_mode", mode != NULL ? mode : "on");
	if (draining)
	{
		detail_json(
			r, "under_way",
			read_text(
				"SELECT count(*) FROM pgw.payment_transactions WHERE status IN ('Created', 'BankUnknown', 'BankApproved', 'Saved', 'Refunding')"
				" AND NOT " HELD_BACK));
		detail_json(r, "held_back",
					read_text("SELECT count(*) FROM pgw.payment_transactions WHERE " HELD_BACK));
	}
	put(r, "worker_mode", mode != NULL && strcmp(mode, "on") != 0 ? WARN : FINE,
		draining
			? "No new charge is begun, and what is under way is finished: wait until under_way is 0, then stop or move the server. Set pgw.worker_mode to on to take payments again."
			: "pgw.worker_mode keeps the worker from calling banks: set it to on where this server is the one that is to pay.");
}

/* ---------------------------------------------------------------- restored and copied */

static void
check_restored(Report *r)
{
	const PgwCopy *copy = pgw_copy();
	bool restored = pgw_pause_is_restored() || pgw_pause_is_unnoticed();

	detail_json(
		r, "marks",
		read_text(
			"SELECT coalesce(jsonb_agg(jsonb_build_object('reason', reason, 'noticed_at', noticed_at) ORDER BY noticed_at), '[]')::text"
			" FROM pgw.restore_pending"));
	if (copy != NULL && copy->reason != PGW_COPY_NONE)
	{
		detail(r, "incident",
			   DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&copy->incident))));
		detail(r, "reason", pgw_copy_reason_name(copy->reason));
		detail(r, "what", pgw_copy_reason_text(copy->reason));
		detail_time(r, "since", copy->since);
	}
	put(r, "restored", restored ? BAD : FINE,
		"This database was restored or copied, and is paused. Once it is sure that the original makes no more payments: "
		"SELECT pgw.resume_after_restore(). Else leave it. See docs/restore.md.");
}

static void
check_state_file(Report *r)
{
	const PgwCopy *copy = pgw_copy();

	if (copy == NULL)
		return;
	detail_bool(r, "written", !copy->unwritten);
	detail(r, "instance", copy->instance[0] != '\0' ? copy->instance : NULL);
	detail_bool(r, "instance_ignored", copy->instance_ignored);
	put(r, "state_file",
		copy->unwritten          ? BAD
		: copy->instance_ignored ? WARN
								 : FINE,
		copy->unwritten
			? "pgw.state could not be written in the data directory, so the next start takes this server for a copy: "
			  "see the server's log, make it possible, and restart the server."
			: "pgw.instance stands in a file of the data directory, which every copy takes along, and is ignored: set it in the environment (PGW_INSTANCE), "
			  "on the command line or in a file elsewhere.");
}

/*
 * A subscriber and its publisher know nothing of each other's callers: the same id is charged by
 * both.
 */
static void
check_subscriptions(Report *r)
{
	const char *mode = GetConfigOption("pgw.worker_mode", true, false);
	bool paused = (mode != NULL && strcmp(mode, "paused") == 0) || pgw_pause_is_restored();
	char *which = read_text(
		"SELECT jsonb_agg(DISTINCT jsonb_build_object('subscription', s.subname, 'enabled', s.subenabled))::text"
		" FROM pg_catalog.pg_subscription_rel sr JOIN pg_catalog.pg_subscription s ON s.oid = sr.srsubid"
		" JOIN pg_catalog.pg_class c ON c.oid = sr.srrelid WHERE c.relnamespace = 'pgw'::pg_catalog.regnamespace");

	detail_json(r, "subscriptions", which != NULL ? which : "[]");
	put(r, "subscriptions",
		which == NULL ? FINE
		: paused      ? WARN
					  : BAD,
		"A subscription writes pgw's tables here. This database and its publisher must not both take payments: the same payment would be charged twice. "
		"Keep this one paused (pgw.worker_mode = paused) until the publisher is stopped for good, then drop the subscription. See docs/restore.md.");
}

/* ---------------------------------------------------------------- what is under way */

/* How many of them for each reason and bank. */
static void
put_off_details(Report *r)
{
	detail_number(r, "deadline_seconds", pgw_unknown_deadline);
	if (SPI_execute(
			"SELECT coalesce(jsonb_agg(jsonb_build_object('reason', g.reason, 'bank', g.bank, 'count', g.n) ORDER BY g.n DESC, g.reason, g.bank), '[]')::text FROM ("
			" SELECT p.put_off_reason AS reason, p.bank, count(*) AS n FROM pgw.payment_transactions p WHERE p.put_off_since IS NOT NULL"
			" GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 20) g",
			true, 0) != SPI_OK_SELECT)
		elog(ERROR, "what is put off could not be read");
	detail_json(r, "reasons", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_freetuptable(SPI_tuptable);
}

static void
check_work(Report *r)
{
	PgwGauges g;

	pgw_gauges_read(&g, r->now);
	detail_gauge(r, &g.queued);
	put(r, "queue", g.queued.age_s > QUEUE_WARNING_S ? WARN : FINE,
		"Submitted payments wait: see the rows on the worker and on the banks; a bank's max_in_flight may be too low.");
	detail_gauge(r, &g.in_doubt);
	put(r, "in_doubt", g.in_doubt.age_s > DOUBT_WARNING_S ? WARN : FINE,
		"The banks do not tell the outcome of these charges. It is asked for again until pgw.unknown_deadline; ask the bank about its look-ups.");
	detail_gauge(r, &g.refunding);
	detail_number(r, "stuck", (double) g.stuck.n);
	detail_number(r, "stuck_after_seconds", pgw_refund_stuck_after);
	put(r, "refunding", g.stuck.n > 0 ? BAD : FINE,
		"Charges could not be given back for longer than pgw.refund_stuck_after: see error_code and event history in pgw.audit_transactions and pgw.audit_events.");
	detail_gauge(r, &g.reviews);
	put(r, "reviews",
		g.reviews.n == 0                   ? FINE
		: g.reviews.age_s > REVIEW_ERROR_S ? BAD
										   : WARN,
		"Payments wait for a person: see transactions in status RequiresManualReview, and pgw.resolve_review().");
	detail_gauge(r, &g.undecided);
	put(r, "callers_undecided", g.undecided.n > 0 ? WARN : FINE,
		"Charged, and the caller's transaction has neither committed nor rolled back: look for idle and prepared transactions, and end them.");
	detail_gauge(r, &g.put_off);
	put_off_details(r);
	put(r, "put_off",
		g.put_off.n == 0                    ? FINE
		: g.put_off.age_s > PUT_OFF_ERROR_S ? BAD
											: WARN,
		"The next request of these transactions cannot be made: details says why and where. Cure it, and they go on by themselves; after pgw.unknown_deadline they fail"
		" (nothing was sent) or need a person.");
	detail_gauge(r, &g.of_other_database);
	put(r, "origin", g.of_other_database.n > 0 ? BAD : FINE,
		"Open payments were recorded in another cluster or database (restored, upgraded or copied); they are left alone until pgw.resume_after_restore().");
}

static void
check_prepared(Report *r)
{
	bool isnull;
	int64 n;
	Oid types[1] = {TIMESTAMPTZOID};
	Datum args[1] = {TimestampTzGetDatum(r->now)};

	if (SPI_execute_with_args(
			"SELECT count(*), coalesce(jsonb_agg(jsonb_build_object('gid', p.gid, 'owner', p.owner, 'prepared', p.prepared)"
			" ORDER BY p.prepared), '[]')::text FROM pg_prepared_xacts p"
			" WHERE p.database = current_database() AND p.prepared < $1 - interval '5 min'",
			1, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the prepared transactions could not be read");
	n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	detail_number(r, "count", (double) n);
	detail_json(r, "transactions", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	SPI_freetuptable(SPI_tuptable);
	put(r, "prepared_transactions", n > 0 ? WARN : FINE,
		"Prepared for more than 5 minutes: their payments stay undecided. COMMIT PREPARED or ROLLBACK PREPARED.");
}

/* Such a foreign key can only be made while the event trigger that refuses it is off. */
static void
check_foreign_keys(Report *r)
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
	detail(r, "foreign_keys_with_casts", keys);
	detail(r, "event_trigger",
		   strcmp(trigger, "A") == 0      ? "always"
		   : strcmp(trigger, "gone") == 0 ? "dropped"
		   : strcmp(trigger, "D") == 0    ? "disabled"
										  : "not always");
	put(r, "foreign_keys",
		keys[0] != '\0'             ? BAD
		: strcmp(trigger, "A") != 0 ? WARN
									: FINE,
		keys[0] != '\0'
			? "Their check runs a cast of somebody else's with the rights of the owner of pgw: drop them, or make their columns uuid."
			: "Nothing refuses a foreign key to pgw's tables that needs a cast: ALTER EVENT TRIGGER pgw_refuse_foreign_key_casts ENABLE ALWAYS.");
	SPI_freetuptable(SPI_tuptable);
}

/* Code on pgw's tables that has more rights there than its author. */
static void
check_code_of_others(Report *r)
{
	char *found = read_text(
		"SELECT jsonb_agg(jsonb_build_object('table', c.on_table::text, 'function', c.function::text, 'owner', c.owner::text, 'reason', c.problem))::text"
		" FROM pgw.code_of_others() c");
	char *trigger = read_text(
		"SELECT CASE e.evtenabled WHEN 'A' THEN 'always' WHEN 'D' THEN 'disabled' ELSE 'not always' END"
		" FROM pg_catalog.pg_event_trigger e WHERE e.evtname = 'pgw_refuse_code_of_others'");
	bool always = trigger != NULL && strcmp(trigger, "always") == 0;

	detail_json(r, "functions", found != NULL ? found : "[]");
	detail(r, "event_trigger", trigger != NULL ? trigger : "dropped");
	put(r, "code_of_others",
		found != NULL ? BAD
		: !always     ? WARN
					  : FINE,
		found != NULL
			? "These functions run on pgw's tables with the rights of the owner of pgw, and somebody else can change them: make them SECURITY DEFINER, "
			  "have a superuser own them, or drop what uses them; a deferred trigger's also needs a search_path of its own."
			: "Nothing refuses functions on pgw's tables that are no superuser's: ALTER EVENT TRIGGER pgw_refuse_code_of_others ENABLE ALWAYS.");
}

/*
 * Privileges on pgw's objects of which pgw.access_grants knows nothing.  pg_write_all_data is one,
 * too, though it stands on no object.
 */
static void
check_privileges(Report *r)
{
	char *found = read_text(
		"SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('object', u.object, 'column', u.column_name, 'grantee', u.grantee, 'privilege', u.privilege))"
		" ORDER BY u.grantee, u.object, u.column_name, u.privilege)::text FROM pgw.unexplained_privileges() u");
	char *writers = read_text(
		"SELECT jsonb_agg(a.rolname ORDER BY a.rolname)::text FROM pg_catalog.pg_authid a WHERE NOT a.rolsuper"
		" AND a.rolname <> 'pg_write_all_data' AND pg_catalog.pg_has_role(a.oid, 'pg_write_all_data', 'MEMBER')");

	detail_json(r, "unexplained", found != NULL ? found : "[]");
	detail_json(r, "write_all_data", writers != NULL ? writers : "[]");
	put(r, "privileges",
		found != NULL     ? BAD
		: writers != NULL ? WARN
						  : FINE,
		found != NULL
			? "Roles have privileges on pgw's objects that pgw.grant_access() has not given them, and with them the banks or the payments: "
			  "SELECT pgw.revoke_unexplained_privileges() takes them away; see ALTER DEFAULT PRIVILEGES for where they come from."
			: "Members of pg_write_all_data can write pgw's tables, and send every charge elsewhere: REVOKE pg_write_all_data.");
}

/* ---------------------------------------------------------------- banks */

static void
check_bank(Report *r, const char *name, bool enabled, const char *secret, const char *breakers,
		   const char *ca_file)
{
	bool no_trust = ca_file != NULL && access(ca_file, R_OK) != 0;
	const char *problem = secret != NULL ? pgw_secret_problem(secret) : NULL;
	const char *advice = NULL;
	Status status = FINE;
	PgwBankSeen seen;

	(void) pgw_metrics_bank_seen(name, &seen);
	if (secret != NULL && problem == NULL)
		/* what only its content shows */
		problem = pgw_secret_fault_text((PgwSecretFault) seen.secret_fault);
	if (seen.failures > 0)
	{
		status = WARN;
		advice = "Its last calls failed: see the server's log for the reasons.";
	}
	if (breakers != NULL)
	{
		status = BAD;
		advice =
			"It failed so often that it is left alone for a while, and is tried again by itself: see the server's log for the reasons.";
	}
	if (seen.credentials_rejected != 0)
	{
		status = BAD;
		advice =
			"The bank refuses its key (HTTP 401 or 403): put the right one into its file in pgw.secrets_dir. It is taken up within seconds.";
	}
	if (problem != NULL)
	{
		status = BAD;
		advice =
			"The worker cannot use its key: mend its file in pgw.secrets_dir, owned by the server's user with mode 0600. It is taken up within seconds.";
	}
	if (no_trust)
	{
		status = BAD;
		advice =
			"The file of trusted certificates that settings.ca_file names cannot be read by the server's user, so no certificate of the bank's can be accepted: put it back.";
	}
	if (!enabled)
		/* it gets no charge; what it has is looked up and given back as far as it answers */
		status = FINE;
	detail(r, "bank", name);
	detail_bool(r, "enabled", enabled);
	detail(r, "secret", problem != NULL ? problem : secret != NULL ? "readable" : "none needed");
	detail(r, "secret_file", secret);
	detail(r, "ca_file",
		   no_trust          ? "cannot be read"
		   : ca_file != NULL ? "readable"
							 : "the system's");
	detail_time(r, "credentials_rejected_at", seen.credentials_rejected);
	detail_json(r, "open_breakers", breakers != NULL ? breakers : "[]");
	detail_number(r, "failures", (double) seen.failures);
	detail_time(r, "last_success", seen.last_success);
	detail_time(r, "last_failure", seen.last_failure);
	put(r, psprintf("bank:%s", name), status, advice);
}

static void
check_banks(Report *r)
{
	int enabled = 0;
	uint64 n;

	if (SPI_execute(
			"SELECT b.name, b.enabled::text, b.secret, (SELECT jsonb_agg(jsonb_build_object('operations', s.operation_group,"
			" 'state', s.state, 'failures', s.failures, 'opened_at', s.opened_at)) FROM pgw.bank_states s"
			" WHERE s.bank = b.name AND s.state <> 'closed')::text, b.settings->>'ca_file' FROM pgw.banks b ORDER BY b.priority, b.name",
			true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the banks could not be read");
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool on = strcmp(SPI_getvalue(row, desc, 2), "true") == 0;

		enabled += on;
		check_bank(r, SPI_getvalue(row, desc, 1), on, SPI_getvalue(row, desc, 3),
				   SPI_getvalue(row, desc, 4), SPI_getvalue(row, desc, 5));
	}
	SPI_freetuptable(SPI_tuptable);
	detail_number(r, "enabled", enabled);
	detail_number(r, "all", (double) n);
	put(r, "banks", enabled > 0 ? FINE : WARN,
		"No bank can take a payment: insert a row into pgw.banks, or enable one.");
}

/*
 * Open attempts that go by a bank as it was.  They end by themselves; after a while somebody should
 * see whether their bank still answers there.
 */
static void
check_versions(Report *r)
{
	StringInfoData list;
	int64 open = 0;
	double oldest = 0;
	bool unusable = false;

	pgw_config_refresh(false);
	initStringInfo(&list);
	if (SPI_execute(
			"SELECT v.version, v.bank, v.connector, v.base_url, t.n, extract(epoch FROM clock_timestamp() - t.since)::float8, v.secret"
			" FROM (SELECT bank_version, count(*) AS n, min(created_at) AS since FROM pgw.payment_transactions"
			" WHERE status NOT IN ('Completed', 'Failed', 'Refunded') AND bank_version IS NOT NULL GROUP BY bank_version) t"
			" JOIN pgw.bank_versions v ON v.version = t.bank_version ORDER BY v.version",
			true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the versions of banks could not be read");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		int version = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
		char *name = SPI_getvalue(row, desc, 2);
		const PgwBank *now = pgw_config_bank(name);
		int goes_by = pgw_config_goes_by(version);
		int64 n = DatumGetInt64(SPI_getbinval(row, desc, 5, &isnull));
		double age = DatumGetFloat8(SPI_getbinval(row, desc, 6, &isnull));
		char *secret = SPI_getvalue(row, desc, 7);
		const char *problem =
			secret != NULL && goes_by == version ? pgw_secret_problem(secret) : NULL;

		if (now != NULL && now->version == goes_by)
			continue;
		open += n;
		oldest = Max(oldest, age);
		unusable |= problem != NULL;
		appendStringInfo(
			&list,
			"%s{\"version\": %d, \"goes_by\": %d, \"present_version\": %d, \"open\": " INT64_FORMAT
			", \"oldest_age_seconds\": %.0f, \"bank\": ",
			list.len > 0 ? ", " : "", version, goes_by, now != NULL ? now->version : 0, n, age);
		escape_json(&list, name);
		appendStringInfoString(&list, ", \"connector\": ");
		escape_json(&list, SPI_getvalue(row, desc, 3));
		appendStringInfoString(&list, ", \"base_url\": ");
		escape_json(&list, SPI_getvalue(row, desc, 4));
		appendStringInfoString(&list, ", \"secret\": ");
		escape_json(&list, problem != NULL ? problem : secret != NULL ? "readable" : "none needed");
		appendStringInfoChar(&list, '}');
	}
	SPI_freetuptable(SPI_tuptable);
	detail_number(r, "open", (double) open);
	detail_json(r, "versions", psprintf("[%s]", list.data));
	if (unusable)
		put(r, "bank_versions", BAD,
			"Open payments need a key whose file is not usable any more: put it back into pgw.secrets_dir, or pgw.rebind_attempts().");
	else
		put(r, "bank_versions", oldest > OLD_VERSION_WARNING_S ? WARN : FINE,
			"Open payments go by a bank as it was when they were sent. If it has moved with its books, pgw.rebind_attempts() sends them after it.");
}

/* ---------------------------------------------------------------- tables and settings */

static void
check_partitions(Report *r)
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
			" EXISTS (SELECT FROM pgw.transaction_events_default), EXISTS (SELECT FROM pgw.banks),"
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

	detail_bool(r, "this_month", this_month);
	detail_bool(r, "next_month", next_month);
	detail_bool(r, "default_partition_in_use", strays);
	detail_number(r, "default_partition_bytes", size);
	/* there are none before the first bank */
	put(r, "partitions", strays || (banks && (!this_month || !next_month)) ? WARN : FINE,
		"Events go to the default partition where their month's is missing, which is sound but cannot be removed by month: "
		"call pgw.ensure_event_partitions(); its warnings say what is in the way.");
}

/*
 * One for the whole cluster; the worker goes on without notifications when it is full
 * (database/notify.c).
 */
static void
check_notify_queue(Report *r)
{
	double usage = DatumGetFloat8(DirectFunctionCall1(pg_notification_queue_usage, (Datum) 0));

	detail_number(r, "usage", usage);
	put(r, "notify_queue", usage >= NOTIFY_WARNING ? WARN : FINE,
		"The cluster's NOTIFY queue fills up: a session that has executed LISTEN is in a transaction for too long (pg_stat_activity). "
		"Once it is full nobody is told of anything; payments go on.");
}

/*
 * Those for whom others wait at a table of pgw, because they have it or were there before; NULL:
 * nobody waits.  *age: for how many seconds the first one has waited.
 */
static char *
sessions_in_the_way(double *age)
{
	char *sessions;
	char *seconds;

	if (SPI_execute(
			"SELECT jsonb_agg(DISTINCT jsonb_build_object('pid', b.pid, 'role', a.usename, 'state', a.state, 'transaction_began', a.xact_start,"
			" 'table', w.relation::pg_catalog.regclass::text, 'locks', (SELECT jsonb_agg(l.mode || CASE WHEN l.granted THEN '' ELSE ' (awaited)' END ORDER BY l.mode)"
			" FROM pg_catalog.pg_locks l WHERE l.pid = b.pid AND l.locktype = 'relation' AND l.database = w.database AND l.relation = w.relation)))::text,"
			" coalesce(extract(epoch FROM clock_timestamp() - min(w.waitstart)), 0)::float8::text"
			" FROM pg_catalog.pg_locks w CROSS JOIN LATERAL unnest(pg_catalog.pg_blocking_pids(w.pid)) b (pid)"
			" LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid WHERE w.locktype = 'relation' AND NOT w.granted"
			" AND w.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())"
			" AND w.relation IN (SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relnamespace = 'pgw'::pg_catalog.regnamespace)",
			true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the locks could not be looked at");
	sessions = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	seconds = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	*age = strtod(seconds, NULL);
	SPI_freetuptable(SPI_tuptable);
	return sessions;
}

static void
check_table_locks(Report *r)
{
	PgwTablesStatus s;
	double refused = 0;
	double waited;
	char *sessions = sessions_in_the_way(&waited);
	double age;

	pgw_tables_status(&s);
	if (s.refused_since != 0)
		refused = (double) (GetCurrentTimestamp() - s.refused_since) / USECS_PER_SEC;
	age = Max(refused, waited);
	detail_number(r, "tables_locked_for_callers", s.covered);
	detail_number(r, "transactions_that_pay", s.callers);
	detail(r, "refused_table", OidIsValid(s.refused_table) ? get_rel_name(s.refused_table) : NULL);
	detail_number(r, "refused_for_seconds", refused);
	detail_json(r, "sessions", sessions != NULL ? sessions : "[]");
	detail_number(r, "waited_for_seconds", waited);
	put(r, "table_locks",
		age > LOCKED_ERROR_S     ? BAD
		: age > LOCKED_WARNING_S ? WARN
								 : FINE,
		"Somebody holds or awaits a lock on a table of pgw, or on a catalog, so that payments wait, or the worker lets work pass: details names the sessions that "
		"others wait for at pgw's tables (pg_terminate_backend() ends one); else see pg_locks and pg_blocking_pids().");
}

/* NULL, or what is not as CREATE EXTENSION has made it. */
static char *
altered_table(void)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char *volatile fault = NULL;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		pgw_store_check();
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();

		/* that of whoever asks */
		if (edata->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			edata->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
			edata->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED)
			ReThrowError(edata);
		fault = edata->message;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return fault;
}

/* pgw's columns, and what others have put onto its tables: docs/ddl.md. */
static void
check_tables(Report *r)
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
	detail(r, "altered", fault);
	detail_json(r, "triggers_of_others",
				SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	detail_time(r, "time_limit_reached", s.limited_at);
	SPI_freetuptable(SPI_tuptable);
	put(r, "tables",
		fault != NULL       ? BAD
		: s.limited_at != 0 ? WARN
							: FINE,
		fault != NULL
			? "pgw's own columns and keys are not as CREATE EXTENSION has made them: payments fail, nothing is lost. Undo it: see docs/ddl.md."
			: "Work on a payment took longer than the worker allows: see the server's log, and the triggers that others have put onto pgw's tables (docs/ddl.md).");
}

static void
detail_list(Report *r, const char *name, const char *list)
{
	detail_json(r, name, list != NULL ? list : "[]");
}

static void
check_card_logging(Report *r)
{
	const char *hint = NULL;
	const char *setting = pgw_loggers_refused(&hint);
	const char *settings = pgw_loggers_settings();
	const char *libraries = pgw_loggers_libraries();
	const char *hooks = pgw_loggers_hooks();
	const char *functions = pgw_loggers_functions();
	bool doubtful = settings != NULL || libraries != NULL || hooks != NULL || functions != NULL;

	detail(r, "setting", setting);
	detail_list(r, "settings_to_look_at", settings);
	detail_list(r, "libraries_to_look_at", libraries);
	detail_list(r, "hooks_to_look_at", hooks);
	detail_list(r, "functions_that_print_parameters", functions);
	put(r, "card_logging", setting != NULL || doubtful ? WARN : FINE,
		setting != NULL
			? hint
			: "What details names may write or keep bound parameters, and with them card data; pgw cannot tell. See docs/security.md.");
}

/* ---------------------------------------------------------------- quotas */

static void
check_quotas(Report *r)
{
	PgwQuotaReport refused[20];
	int n = pgw_quota_refused(r->now - QUOTA_WARNING_S * USECS_PER_SEC, refused, lengthof(refused));
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < n; i++)
	{
		const PgwQuotaReport *q = &refused[i];

		appendStringInfo(&list,
						 "%s{\"quota\": \"%s\", \"name\": %s, \"refused\": " UINT64_FORMAT
						 ", \"waiting\": %u}",
						 i > 0 ? ", " : "", pgw_quota_setting(q->of),
						 pgw_store_json_string(q->name), q->refused, q->waiting);
	}
	detail_json(r, "refused", psprintf("[%s]", list.data));
	put(r, "quotas", n > 0 ? WARN : FINE,
		"These merchants or roles were refused with PW429 within ten minutes: as many submitted payments waited as they may have. See why their bank is slow, or what the client does; or raise the setting.");
}

/* ---------------------------------------------------------------- the function */

Datum
pgw_health_1_0(PG_FUNCTION_ARGS)
{
	PgwExchangeStatus status;
	Report r;
	Oid caller;
	int sec_context;

	pgw_require(GetUserId(), "auditor", NULL);
	r.store = pgw_result_set(fcinfo, &r.desc);
	r.now = pgw_now();
	initStringInfo(&r.details);
	pgw_exchange_status(MyDatabaseId, &status);
	put(&r, "preloaded", status.preloaded ? FINE : BAD,
		"Add pgw to shared_preload_libraries in postgresql.conf and restart the server.");
	if (status.preloaded)
	{
		check_processes(&r, &status);
		check_slots(&r, &status);
		check_quotas(&r);
	}
	check_state_file(&r);
	check_notify_queue(&r);

	pgw_become_owner(&caller, &sec_context);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetLatestSnapshot());
	check_mode(&r);
	check_card_logging(&r);
	check_restored(&r);
	check_subscriptions(&r);
	check_work(&r);
	check_prepared(&r);
	check_foreign_keys(&r);
	check_code_of_others(&r);
	check_privileges(&r);
	check_banks(&r);
	check_versions(&r);
	check_partitions(&r);
	check_table_locks(&r);
	check_tables(&r);
	PopActiveSnapshot();
	SPI_finish();
	pgw_become_caller(caller, sec_context);
	return (Datum) 0;
}
