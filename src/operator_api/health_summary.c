/*
 * health_summary.c - pgw.health_summary(): one row for load balancers and orchestrators
 *
 * It is asked every second or two, also when everything else stands still: on a standby, while DDL
 * has pgw's tables, while the disk is full or the synchronous standby is away.  So it reads shared
 * memory only, waits for nothing but pgw_lock, and opens no relation of pgw; what stands in the
 * tables is pgw.health()'s to tell.
 *
 * Owns nothing, changes nothing.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "database/lock_refusals.h"
#include "exchange/write_failures.h"
#include "exchange/exchange_status.h"
#include "exchange/fencing_delay.h"
#include "restore/copied_cluster.h"

#define LIVE_MS 60000 /* a worker is started again after a minute at the latest */
#define LOCKED_MS 2000
/* longer than an idle worker leaves its tables alone, so that a fault that lasts is seen again */
#define CANNOT_WRITE_MS 15000
#define FAILED_MS 60000

PG_FUNCTION_INFO_V1(pgw_health_summary_1_0);

typedef struct Summary
{
	bool live;
	bool ready;
	bool degraded;
	char *reason; /* NULL: there is nothing to say */
} Summary;

/* What the verdict is made of. */
typedef struct Facts
{
	TimestampTz now;
	PgwExchangeStatus s;
	PgwTablesStatus tables;
	PgwWriteFailures writes[PGW_WRITE_KINDS];
} Facts;

static bool
within(const Facts *f, TimestampTz when, int ms)
{
	return when != 0 && !TimestampDifferenceExceeds(when, f->now, ms);
}

static long
seconds_since(const Facts *f, TimestampTz when)
{
	return TimestampDifferenceMilliseconds(when, f->now) / 1000;
}

/*
 * Too few of the synchronous standbys are connected: a commit would wait until one is.  The
 * worker's would, whatever the asking session has in synchronous_commit.
 */
static bool
standby_is_away(void)
{
	SyncRepStandbyData *standbys;

	return max_wal_senders > 0 && SyncRepConfig != NULL &&
		   SyncRepGetCandidateStandbys(&standbys) < SyncRepConfig->num_sync;
}

/* Insufficient resources (53), and errors of the system such as of its disks (58). */
static bool
keeps_from_writing(int sqlstate)
{
	int category = ERRCODE_TO_CATEGORY(sqlstate);

	return category == ERRCODE_INSUFFICIENT_RESOURCES || category == ERRCODE_SYSTEM_ERROR;
}

static bool
is_running(const PgwExchangeStatus *s)
{
	return strcmp(s->worker_state, "running") == 0 || strcmp(s->worker_state, "paused") == 0 ||
		   strcmp(s->worker_state, "draining") == 0;
}

/* Would a restart of the server be in vain, or is it not needed? */
static bool
is_live(const Facts *f)
{
	const PgwExchangeStatus *s = &f->s;

	if (!s->preloaded)
		return false;
	if (s->progress.turned_at == 0)
		return !s->launcher_looked; /* it has just started */
	return within(f, s->progress.turned_at, LIVE_MS) || s->waits_for_standby;
}

static char *
why_paused(const PgwExchangeStatus *s)
{
	static const char *const names[] = {
		[PGW_PAUSE_MODE] = "paused_by_setting", [PGW_PAUSE_DRAINING] = "draining",
		[PGW_PAUSE_RESTORED] = "restored",      [PGW_PAUSE_VERSION] = "version",
		[PGW_PAUSE_NOT_HOME] = "not_home",      [PGW_PAUSE_UNKNOWN] = "starting",
	};

	return psprintf("%s: %s", names[s->paused], pgw_pause_hint(s->paused));
}

/* What the worker is kept from, for longer than a moment; NULL: nothing. */
static char *
tables_are_locked(const Facts *f, const char *from)
{
	if (f->tables.refused_since == 0 || within(f, f->tables.refused_since, LOCKED_MS))
		return NULL;
	return psprintf("tables_locked: a lock on a table of pgw or on a catalog has kept the "
					"worker from %s for %ld s",
					from, seconds_since(f, f->tables.refused_since));
}

/*
 * What no payment can be taken without: the steps that follow one can wait.  A minute after the
 * last failure it is tried again, as nothing else would show that it is over.
 */
static char *
writes_fail(const Facts *f)
{
	static const struct
	{
		PgwWriteKind kind;
		const char *what;
	} needed[] = {{PGW_WRITE_CALL, "calls could not write"},
				  {PGW_WRITE_INTENT, "payments could not be written by the worker"},
				  {PGW_WRITE_ANSWER, "answers of banks could not be written by the worker"}};

	for (int i = 0; i < lengthof(needed); i++)
	{
		const PgwWriteFailures *w = &f->writes[needed[i].kind];

		if (w->n >= PGW_WRITES_FAIL_AFTER && within(f, w->last, FAILED_MS))
			return psprintf("writes_fail: the last %d %s, the last one (SQLSTATE %s) %ld s ago",
							w->n, needed[i].what, unpack_sql_state(w->sqlstate),
							seconds_since(f, w->last));
	}
	return NULL;
}

/* What keeps a payment from being taken now; NULL: nothing that is known. */
static char *
why_not_ready(const Facts *f)
{
	const PgwExchangeStatus *s = &f->s;
	char *failing;
	char *locked;

	if (!s->preloaded)
		return psprintf("not_preloaded: %s", pgw_exchange_absence(MyDatabaseId));
	if (!is_running(s))
		return psprintf("no_worker: %s", pgw_exchange_absence(MyDatabaseId));
	if (s->waits_for_standby)
		return psprintf("standby_away: the worker has waited for a synchronous standby for %ld s",
						seconds_since(f, s->progress.turned_at));
	if (s->worker_late)
		return psprintf("worker_late: the worker has made no turn for %ld s (wait event: %s)",
						seconds_since(f, s->progress.turned_at),
						s->waits_for != NULL ? s->waits_for : "none");
	if (s->paused != PGW_PAUSE_NONE)
		return why_paused(s);
	if (pgw_fencing_ms_left() > 0)
		return psprintf(
			"fencing: synchronous_standby_names was emptied, or took in *, and nothing new is sent "
			"to banks for another %ld s (pgw.fencing_delay)",
			pgw_fencing_ms_left() / 1000 + 1);
	if (standby_is_away())
		return pstrdup("standby_away: too few synchronous standbys are connected");
	if (keeps_from_writing(s->progress.sqlstate) &&
		within(f, s->progress.failed_at, CANNOT_WRITE_MS) &&
		s->progress.failed_at >= s->progress.committed_at)
		return psprintf("cannot_write: the worker's last error is %s, %ld s ago",
						unpack_sql_state(s->progress.sqlstate),
						seconds_since(f, s->progress.failed_at));
	failing = writes_fail(f);
	if (failing != NULL)
		return failing;
	if (f->tables.kept_out_since != 0 && !within(f, f->tables.kept_out_since, LOCKED_MS))
		return psprintf("tables_locked: a lock has kept calls from a table that they need, or its "
						"indexes, for %ld s (table_locks of pgw.health() names it)",
						seconds_since(f, f->tables.kept_out_since));
	locked = tables_are_locked(f, "its work");
	if (locked != NULL && s->progress.committed_at < f->tables.refused_since)
		return locked;
	if (s->slots_used >= s->slots_total)
		return psprintf("slots: all %d of pgw.max_waiting are used", s->slots_total);
	return NULL;
}

/* What needs a person although payments are taken; NULL: nothing that is known. */
static char *
why_degraded(const Facts *f)
{
	const PgwExchangeStatus *s = &f->s;
	const PgwCopy *copy = pgw_copy();
	char *locked;

	if (s->launcher_pid == 0)
		return pstrdup("no_launcher: a worker that ends is not started again");
	locked = tables_are_locked(f, "some of its work");
	if (locked != NULL)
		return locked;
	if (within(f, s->progress.failed_at, FAILED_MS))
		return psprintf("worker_error: the worker's last error is %s, %ld s ago",
						unpack_sql_state(s->progress.sqlstate),
						seconds_since(f, s->progress.failed_at));
	if (s->slots_used * 5 >= s->slots_total * 4)
		return psprintf("slots: %d of %d of pgw.max_waiting are used", s->slots_used,
						s->slots_total);
	if (copy != NULL && copy->unwritten)
		return pstrdup("state_file: pgw.state could not be written in the data directory");
	return NULL;
}

/* Somebody's will, and not a fault. */
static bool
is_intended(const PgwExchangeStatus *s)
{
	return is_running(s) && !s->worker_late &&
		   (s->paused == PGW_PAUSE_MODE || s->paused == PGW_PAUSE_DRAINING);
}

static void
judge(Summary *out)
{
	Facts f = {.now = GetCurrentTimestamp()};

	pgw_exchange_status(MyDatabaseId, &f.s);
	if (f.s.preloaded && RecoveryInProgress())
	{
		out->live = true;
		out->reason = pstrdup("standby: this server is in recovery; its primary pays");
		return;
	}
	pgw_tables_status(&f.tables);
	pgw_write_failures(f.writes);
	out->live = is_live(&f);
	out->reason = why_not_ready(&f);
	out->ready = out->reason == NULL;
	if (out->ready)
		out->reason = why_degraded(&f);
	out->degraded = out->reason != NULL && !is_intended(&f.s);
}

Datum
pgw_health_summary_1_0(PG_FUNCTION_ARGS)
{
	Summary s = {0};
	TupleDesc desc;
	Datum values[4];
	bool nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != lengthof(values))
		elog(ERROR, "pgw.health_summary() is not the extension's");
	judge(&s);
	values[0] = BoolGetDatum(s.live);
	values[1] = BoolGetDatum(s.ready);
	values[2] = BoolGetDatum(s.degraded);
	nulls[3] = s.reason == NULL;
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(s.reason);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
