/*
 * health_processes.c - pgw.health(): launcher, workers and slots; is this database paused,
 * restored or a copy?
 *
 * Owns nothing, changes nothing.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/base/connection_limit.h"
#include "exchange/exchange_status.h"
#include "exchange/fencing_delay.h"
#include "exchange/signal_ring.h"
#include "exchange/why_paused.h"
#include "operator_api/health_processes.h"
#include "restore/copied_cluster.h"
#include "restore/restored_database.h"
#include "store/open_work.h"

#define MAX_DATABASES 64

static void
put_age(PgwHealthReport *r, const char *name, TimestampTz when)
{
	if (when != 0)
		pgw_health_detail_number(
			r, name, (double) TimestampDifferenceMilliseconds(when, GetCurrentTimestamp()) / 1000);
}

static void
put_progress(PgwHealthReport *r, const PgwExchangeStatus *s)
{
	put_age(r, "last_turn_age_seconds", s->progress.turned_at);
	put_age(r, "last_commit_age_seconds", s->progress.committed_at);
	if (s->progress.failed_at != 0)
	{
		pgw_health_detail(r, "last_error", unpack_sql_state(s->progress.sqlstate));
		put_age(r, "last_error_age_seconds", s->progress.failed_at);
	}
	if (s->worker_late)
		pgw_health_detail(r, "waits_for", s->waits_for);
}

static PgwHealthStatus
worker_status(PgwHealthReport *r, Oid database, const PgwExchangeStatus *s, const char **advice)
{
	bool standby = RecoveryInProgress();

	pgw_health_detail(r, "state", standby ? "standby" : s->worker_state);
	pgw_health_detail_time(r, "since", s->worker_since);
	pgw_health_detail_number(r, "failures", s->worker_failures);
	put_progress(r, s);
	if (standby) /* its primary has them */
		return PGW_HEALTH_OK;
	if (s->worker_late)
	{
		*advice =
			s->waits_for_standby
				? "The worker waits for a synchronous standby, and with it every payment: bring one back, or change synchronous_standby_names."
				: "The worker makes no turns, and no payment goes on: waits_for says what it waits for; see pg_stat_activity and the server's log.";
		return PGW_HEALTH_ERROR;
	}
	if (strcmp(s->worker_state, "running") == 0)
	{
		if (pgw_fencing_ms_left() == 0)
			return PGW_HEALTH_OK;
		pgw_health_detail_number(r, "fencing_seconds_left", pgw_fencing_ms_left() / 1000 + 1);
		*advice =
			"synchronous_standby_names was emptied, or took in *: payments wait for pgw.fencing_delay. If another server was promoted, end this one now.";
		return PGW_HEALTH_WARNING;
	}
	if (strcmp(s->worker_state, "paused") == 0 || strcmp(s->worker_state, "draining") == 0)
	{
		*advice = pgw_pause_hint(s->paused);
		/* whether no slot is to be at home here, the row `shard` says */
		return database == MyDatabaseId && s->paused == PGW_PAUSE_NOT_HOME ? PGW_HEALTH_OK
																		   : PGW_HEALTH_WARNING;
	}
	*advice = pgw_exchange_absence(database);
	return strcmp(s->worker_state, "starting") == 0 ||
				   strcmp(s->worker_state, "stepping aside") == 0
			   ? PGW_HEALTH_WARNING
			   : PGW_HEALTH_ERROR;
}

void
pgw_health_check_processes(PgwHealthReport *r, const PgwExchangeStatus *s)
{
	Oid databases[MAX_DATABASES];
	const char *advice = NULL;
	PgwHealthStatus status;
	int n;

	pgw_health_detail_number(r, "pid", s->launcher_pid);
	pgw_health_put(
		r, "launcher",
		s->launcher_pid != 0 || RecoveryInProgress() ? PGW_HEALTH_OK : PGW_HEALTH_ERROR,
		"The server's log says why the launcher ended, and it is started again within seconds; or max_worker_processes left no room for it.");
	pgw_health_detail_number(r, "pid", s->worker_pid);
	status = worker_status(r, MyDatabaseId, s, &advice);
	pgw_health_put(r, "worker", status, advice);

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
		pgw_health_detail(r, "database", name);
		status = worker_status(r, databases[i], &other, &advice);
		pgw_health_put(r, psprintf("worker:%s", name), status, advice);
	}
}

void
pgw_health_check_slots(PgwHealthReport *r, const PgwExchangeStatus *s)
{
	bool full = s->slots_used >= s->slots_total;
	bool nearly = s->slots_used * 5 >= s->slots_total * 4;
	int capacity = pgw_connection_limit(max_safe_fds); /* as http.c has it in the worker */

	pgw_health_detail_number(r, "total", s->slots_total);
	pgw_health_detail_number(r, "used", s->slots_used);
	pgw_health_detail_number(r, "wait_for_worker", s->slots_requested);
	pgw_health_detail_number(r, "bank_called", s->slots_taken);
	pgw_health_put(
		r, "slots",
		full     ? PGW_HEALTH_ERROR
		: nearly ? PGW_HEALTH_WARNING
				 : PGW_HEALTH_OK,
		"Callers beyond pgw.max_waiting are refused with PW500. Raise it (restart), or see why the banks are slow.");

	pgw_health_detail_number(r, "capacity", capacity);
	pgw_health_detail_number(r, "bank_called", s->slots_taken);
	pgw_health_put(
		r, "connections", s->slots_taken * 5 >= capacity * 4 ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		"Raise max_files_per_process (restart): four files for each bank call that is to be in flight at once.");
}

#define OPEN "SELECT count(*) FROM " PGW_OPEN_ATTEMPTS " WHERE "
/* A submitted charge that has not been sent. */
#define HELD_BACK "(t.kind = 'payment' AND t.status = 'Created' AND NOT t.live)"

void
pgw_health_check_mode(PgwHealthReport *r)
{
	const char *mode = GetConfigOption("pgw.worker_mode", true, false);
	bool draining = mode != NULL && strcmp(mode, "draining") == 0;

	pgw_health_detail(r, "worker_mode", mode != NULL ? mode : "on");
	if (draining)
	{
		pgw_health_detail_json(
			r, "under_way",
			pgw_health_read_text(
				OPEN "t.status IN ('Created', 'BankUnknown', 'BankApproved', 'Saved', 'Refunding')"
					 " AND NOT " HELD_BACK));
		pgw_health_detail_json(r, "held_back", pgw_health_read_text(OPEN HELD_BACK));
	}
	pgw_health_put(
		r, "worker_mode",
		mode != NULL && strcmp(mode, "on") != 0 ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		draining
			? "No new charge is begun, and what is under way is finished: wait until under_way is 0, then stop or move the server. Set pgw.worker_mode to on to take payments again."
			: "pgw.worker_mode keeps the worker from calling banks: set it to on where this server is the one that is to pay.");
}

/* ---------------------------------------------------------------- restored and copied */

/*
 * Does the worker begin nothing new?  What it has told counts, not what it will find when it looks
 * again; without a worker, what the next one will find.
 */
static bool
is_paused(const PgwExchangeStatus *s, bool restored)
{
	const char *mode = GetConfigOption("pgw.worker_mode", true, false);

	if (strcmp(s->worker_state, "running") == 0 || strcmp(s->worker_state, "draining") == 0)
		return false;
	return strcmp(s->worker_state, "paused") == 0 || restored ||
		   (mode != NULL && strcmp(mode, "paused") == 0);
}

void
pgw_health_check_restored(PgwHealthReport *r)
{
	const PgwCopy *copy = pgw_copy();
	bool restored = pgw_is_restored() || pgw_restored_is_unnoticed();
	bool paused = is_paused(r->exchange, restored);

	/* the worker has not seen it yet */
	if (restored && !paused)
		(void) pgw_exchange_rescan(MyDatabaseId);
	pgw_health_detail_bool(r, "paused", paused);
	pgw_health_detail_json(
		r, "marks",
		pgw_health_read_text(
			"SELECT coalesce(jsonb_agg(jsonb_build_object('reason', reason, 'noticed_at', noticed_at) ORDER BY noticed_at), '[]')::text"
			" FROM pgw.restore_pending"));
	if (copy != NULL && copy->reason != PGW_COPY_NONE)
	{
		pgw_health_detail(
			r, "incident",
			DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&copy->incident))));
		pgw_health_detail(r, "reason", pgw_copy_reason_name(copy->reason));
		pgw_health_detail(r, "what", pgw_copy_reason_text(copy->reason));
		pgw_health_detail_time(r, "since", copy->since);
	}
	pgw_health_put(
		r, "restored", restored ? PGW_HEALTH_ERROR : PGW_HEALTH_OK,
		paused
			? "This database was restored or copied, and is paused. Once it is sure that the original makes no more payments: "
			  "SELECT pgw.resume_after_restore(). Else leave it. See docs/restore.md."
			: "This database was restored or copied, or has another one's payments by replication, and its worker still pays: "
			  "it has been asked to look, and pauses when it has. See docs/restore.md.");
}

void
pgw_health_check_state_file(PgwHealthReport *r)
{
	const PgwCopy *copy = pgw_copy();

	if (copy == NULL)
		return;
	pgw_health_detail_bool(r, "written", !copy->unwritten);
	pgw_health_detail(r, "instance", copy->instance[0] != '\0' ? copy->instance : NULL);
	pgw_health_detail_bool(r, "instance_ignored", copy->instance_ignored);
	pgw_health_put(
		r, "state_file",
		copy->unwritten          ? PGW_HEALTH_ERROR
		: copy->instance_ignored ? PGW_HEALTH_WARNING
								 : PGW_HEALTH_OK,
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
void
pgw_health_check_subscriptions(PgwHealthReport *r)
{
	bool paused = is_paused(r->exchange, pgw_is_restored());
	char *which = pgw_health_read_text(
		"SELECT jsonb_agg(DISTINCT jsonb_build_object('subscription', s.subname, 'enabled', s.subenabled))::text"
		" FROM pg_catalog.pg_subscription_rel sr JOIN pg_catalog.pg_subscription s ON s.oid = sr.srsubid"
		" JOIN pg_catalog.pg_class c ON c.oid = sr.srrelid WHERE c.relnamespace = 'pgw'::pg_catalog.regnamespace");

	pgw_health_detail_list(r, "subscriptions", which);
	pgw_health_put(
		r, "subscriptions",
		which == NULL ? PGW_HEALTH_OK
		: paused      ? PGW_HEALTH_WARNING
					  : PGW_HEALTH_ERROR,
		"A subscription writes pgw's tables here. This database and its publisher must not both take payments: the same payment would be charged twice. "
		"Keep this one paused (pgw.worker_mode = paused) until the publisher is stopped for good, then drop the subscription. See docs/restore.md.");
}
