/*
 * worker.c - the process that calls banks for one database: its start, its loop, its end
 *
 * One wait for everything: latch (requests, signals, SIGHUP, SIGTERM, barriers), postmaster death,
 * and the HTTP layer's descriptor. Whatever woke it, each turn does the same: interrupts, wishes of
 * others, settings, take in, batches, send.
 *
 * Invariants
 *     - No transaction or snapshot while it waits; no heavyweight lock but those that its waiting
 *       callers have, too (table_locks.c).
 *     - CHECK_FOR_INTERRUPTS() at every turn and for each item of a batch: DROP DATABASE of any
 *       database waits for every process.
 *     - An ERROR costs one turn: calls in flight, their slots and lists live in memory of their
 *       own and go on.
 *     - Settings that a database or role could bend are pinned at the start.
 *
 * Ends: exit code 0 always, so that the launcher alone decides about the next one; SIGTERM goes the
 * server's way (FATAL, code 1).
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bank/bank_config.h"
#include "bank/call_permission.h"
#include "bank_call/bank_lanes.h"
#include "bank_call/call.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "database/batch.h"
#include "database/event_partitions.h"
#include "database/worker_locks.h"
#include "exchange/config_generation.h"
#include "exchange/taken_slots.h"
#include "exchange/why_paused.h"
#include "exchange/worker_entries.h"
#include "http/http.h"
#include "observe/alerts.h"
#include "observe/metrics.h"
#include "queue/bank_answers.h"
#include "queue/due_attempts.h"
#include "queue/next_scan.h"
#include "queue/queue.h"
#include "queue/send_calls.h"
#include "queue/take_requests.h"
#include "restore/pause.h"
#include "store/clock_set_back.h"
#include "worker/recovery_scan.h"
#include "worker/worker.h"

#define BUSY_WAIT_MS 100
#define WANT_CONFIG_MS 10
#define IDLE_WAIT_MS 1000
#define STEP_ASIDE_GRACE_MS 1000
#define PARTITIONS_AHEAD 2
#define PARTITION_INTERVAL_MS (24 * 60 * 60 * 1000)
#define PARTITION_RETRY_MS (60 * 1000) /* doubled at each failure ... */
#define PARTITION_LONGEST_RETRY_MS (60 * 60 * 1000)
#define DEFAULT_LARGEST \
	(INT64_C(128) * 1024 * \
	 1024) /* read through in a second or two: a transaction may take five (batch.c) */
#define TIMES_AT_ONCE 500
#define TIMES_RETRY_MS (60 * 1000)
#define RETRY_AFTER_ERROR_MS 500
#define PAUSE_CHECK_MS 1000
#define TIDY_MS (60 * 60 * 1000)
#define CONFIG_CHANGING_PAUSE_MS 20

int pgw_recovery_interval = 300;

/*
 * One scan for those who called pgw.run_recovery(), from its first page to the end of the calls
 * that it led to.
 */
typedef struct Round
{
	enum
	{
		ROUND_NONE = 0,
		ROUND_SCANS,
		ROUND_LOOKS,
		ROUND_CALLS
	} stage;
	uint64 asked;     /* it answers all calls up to this one */
	uint64 last_look; /* ROUND_LOOKS */
	uint64 last_call; /* ROUND_CALLS */
} Round;

typedef struct Worker
{
	WaitEventSet *events;
	MemoryContext turn; /* reset at every turn */
	TimestampTz next_scan;
	TimestampTz next_age_check; /* of what has become too old, with a scan */
	TimestampTz next_partitions;
	TimestampTz next_pause_check; /* while paused */
	TimestampTz step_aside_since; /* 0: nobody wants it */
	bool scan_wanted;
	bool drained;           /* submitted charges were held back at the last turn */
	PgwScan scan;           /* .more: one is under way */
	TimestampTz scan_again; /* its last page failed: not before this; 0: it did not */
	Round round;
	bool dropping;
	/* the latest that the clock has shown since it was last set back; 0: nothing yet */
	TimestampTz wall;
	bool clock_wanted;         /* times of a clock that was ahead are to be looked for */
	TimestampTz clock_look_at; /* not before: the last look failed, or took too long */
} Worker;

static Worker worker;

void
pgw_worker_init(void)
{
	DefineCustomIntVariable(
		"pgw.recovery_interval", "How often the worker looks for work that no signal told it of.",
		NULL, &pgw_recovery_interval, 300, 1, 86400, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

/* ---------------------------------------------------------------- start */

static void
pin(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

static void
pin_settings(void)
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
#if PG_VERSION_NUM >= 170000
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

static void
make_partitions(void *arg)
{
	*(bool *) arg = pgw_event_partitions_ensure(PARTITIONS_AHEAD, DEFAULT_LARGEST);
}

static void
nothing(void *arg)
{
}

static void
load_bank_health(void *arg)
{
	pgw_bank_health_start();
}

static void
leave_without_extension(void)
{
	pgw_exchange_mark_no_extension();
	proc_exit(0);
}

/* The extension, if there is one; it may be just being created. */
static void
look_for_extension(void)
{
	for (;;)
	{
		PgwBatchEnd end = pgw_batch_transaction(nothing, NULL, false, NULL);

		if (end == PGW_BATCH_DONE)
			return;
		if (end == PGW_BATCH_NO_EXTENSION)
			leave_without_extension();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, BUSY_WAIT_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
terminate(SIGNAL_ARGS)
{
	pgw_exchange_told_to_end();
	die(postgres_signal_arg);
}

static void
start(Oid dboid)
{
	pqsignal(SIGTERM, terminate);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, pgw_batch_cancel);
	pqsignal(SIGPIPE, SIG_IGN);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
	pin_settings();
	pgw_tables_never_wait();

	look_for_extension();
	if (!pgw_exchange_attach())
		proc_exit(0); /* another one is there, or somebody wants the database empty */

	pgw_http_init();
	pgw_queue_init();
	(void) pgw_batch_transaction(load_bank_health, NULL, false, NULL);
	worker.turn =
		AllocSetContextCreate(TopMemoryContext, "pgw worker turn", ALLOCSET_DEFAULT_SIZES);
	worker.events = pgw_create_wait_event_set(3);
	AddWaitEventToSet(worker.events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(worker.events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(worker.events, WL_SOCKET_READABLE, pgw_http_fd(), NULL, NULL);
	worker.scan_wanted = true;  /* what was left by the last one, and by a crash */
	worker.clock_wanted = true; /* set back while no worker was there to see it */
}

/* ---------------------------------------------------------------- a turn's parts */

static void
read_config(void *arg)
{
	pgw_config_refresh(true);
}

/* pgw_config_refresh() is cheap, but needs a transaction when it is not. */
static void
refresh_config(void)
{
	static uint64 seen = 0;
	static bool read = false;
	/* the generation that was read last, whether or not it was changing then */
	static uint64 looked = 0;
	static bool read_at_all = false;
	static TimestampTz not_before = 0;
	TimestampTz now = GetCurrentTimestamp();
	uint64 generation = pgw_exchange_generation();

	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		pgw_config_reread();
		read = read_at_all = false;
	}
	if (read && generation == seen && pgw_config_is_current() && !pgw_exchange_config_is_changing())
		return;

	/*
	 * What is read while a change is about to become visible is good for one use only, and that can
	 * last: a commit waits for a synchronous standby that is away.  Requests wait for the next look
	 * then; it need not come at each turn.
	 */
	if (read_at_all && generation == looked && pgw_exchange_config_is_changing() &&
		!pgw_is_due(not_before, now, CONFIG_CHANGING_PAUSE_MS))
		return;
	not_before = TimestampTzPlusMilliseconds(now, CONFIG_CHANGING_PAUSE_MS);
	if (pgw_batch_transaction(read_config, NULL, false, NULL) != PGW_BATCH_DONE)
		return;
	looked = generation;
	read_at_all = true;
	if (pgw_config_is_current())
	{
		seen = generation;
		read = true;
	}
}

static void
save_bank_health(void *arg)
{
	pgw_bank_health_save();
}

static void
tidy_bank_health(void *arg)
{
	pgw_bank_health_tidy();
}

/* Breakers that opened or closed: so that the next worker does not begin with a storm. */
static void
keep_bank_health(TimestampTz now)
{
	static TimestampTz not_before = 0;
	static TimestampTz next_tidy = 0;

	if (pgw_is_due(next_tidy, now, TIDY_MS))
	{
		next_tidy = TimestampTzPlusMilliseconds(now, TIDY_MS);
		(void) pgw_batch_transaction(tidy_bank_health, NULL, false, NULL);
	}
	if (now < not_before || !pgw_bank_health_changed())
		return;
	if (pgw_batch_transaction(save_bank_health, NULL, false, NULL) == PGW_BATCH_DONE)
		pgw_bank_health_saved();
	else
		not_before = TimestampTzPlusMilliseconds(now, 10000);
}

static void
ensure_partitions(TimestampTz now)
{
	static int failures = 0;
	bool fine = false;

	if (now < worker.next_partitions)
		return;
	/*
	 * set first: a failure (a full disk, a lock) is tried again, and the default partition takes
	 * the rows meanwhile
	 */
	worker.next_partitions = TimestampTzPlusMilliseconds(
		now, Min(PARTITION_RETRY_MS << failures, PARTITION_LONGEST_RETRY_MS));
	failures = Min(failures + 1, 10);
	if (pgw_batch_transaction(make_partitions, &fine, true, NULL) != PGW_BATCH_DONE)
		return;
	failures = 0;
	worker.next_partitions =
		TimestampTzPlusMilliseconds(now, fine ? PARTITION_INTERVAL_MS : PARTITION_LONGEST_RETRY_MS);
	if (!fine)
		ereport(
			WARNING,
			(errmsg(
				 "pgw: the events' partition of this month or a coming one is missing, and the worker does not make it"),
			 errdetail(
				 "The server would look through all of pgw.transaction_events_default first, and that has become too large for the worker's turn."),
			 errhint(
				 "Call pgw.ensure_event_partitions() as the owner, at a quiet hour; until then events go to the default partition.")));
}

static void
check_pause(void *arg)
{
	pgw_pause_check();
}

/*
 * At the start, after a restore or a resumption (both start a new generation), and while paused:
 * DROP EXTENSION is found so, too.
 */
static void
look_for_pause(TimestampTz now)
{
	static uint64 seen = 0;
	uint64 generation = pgw_exchange_generation();

	if (generation != seen || (pgw_pause() != PGW_PAUSE_NONE && now >= worker.next_pause_check))
	{
		PgwBatchEnd end = pgw_batch_transaction(check_pause, NULL, false, NULL);

		if (end == PGW_BATCH_NO_EXTENSION)
			leave_without_extension();
		if (end == PGW_BATCH_DONE)
			seen = generation;
		worker.next_pause_check = TimestampTzPlusMilliseconds(now, PAUSE_CHECK_MS);
	}
	pgw_pause_tell();
}

typedef struct Due
{
	PgwScan scan;
	int n;
} Due;

static void
find_due(void *arg)
{
	Due *due = arg;

	due->n = pgw_scan_page(&due->scan, pgw_now());
	/* after the look: what a restore has brought came with its mark */
	pgw_pause_check();
}

typedef struct Refill
{
	const char *bank;
	bool begun;
	bool waiting;
} Refill;

static void
refill(void *arg)
{
	const Refill *r = arg;

	pgw_scan_refill(r->bank, r->begun, r->waiting, pgw_now());
	pgw_pause_check();
}

/* The lanes of a bank are low, and the tables have more. */
static void
refill_lanes(TimestampTz now)
{
	Refill r;

	r.bank = pgw_lanes_wanting(now, &r.begun, &r.waiting);
	if (r.bank != NULL && pgw_batch_transaction(refill, &r, false, NULL) == PGW_BATCH_NO_EXTENSION)
		leave_without_extension();
}

static bool
begin_round(void)
{
	uint64 asked = pgw_recovery_asked();

	if (worker.round.stage != ROUND_NONE || asked <= worker.round.asked)
		return false;
	worker.round.asked = asked;
	worker.round.stage = ROUND_SCANS;
	return true;
}

/* One page a turn, so that a long list delays nobody. */
static void
scan_for_work(TimestampTz now)
{
	Due due;
	PgwBatchEnd end;

	if (pgw_due_list_full())
		return;
	if (worker.scan_again != 0 && !pgw_is_due(worker.scan_again, now, RETRY_AFTER_ERROR_MS))
		return;
	if (!worker.scan.more)
	{
		bool full = begin_round() || worker.scan_wanted ||
					pgw_is_due(worker.next_scan, now, (int64) pgw_recovery_interval * 1000);

		if (!pgw_next_scan_due(now, &full) && !full)
		{
			refill_lanes(now);
			return;
		}
		worker.scan_wanted = false;
		memset(&worker.scan, 0, sizeof(worker.scan));
		worker.scan.more = true;
		worker.scan.full = full;
		if (full)
			worker.next_scan =
				TimestampTzPlusMilliseconds(now, (int64) pgw_recovery_interval * 1000);
	}
	due.scan = worker.scan;
	end = pgw_batch_transaction(find_due, &due, false, NULL);
	if (end == PGW_BATCH_NO_EXTENSION)
		/* DROP EXTENSION is committed, and nothing else would tell an idle worker */
		leave_without_extension();
	if (end != PGW_BATCH_DONE)
	{
		/*
		 * A locked or altered table stays so for a while: the same page at once would take a
		 * processor, and fill the disk with the error's log lines.
		 */
		worker.scan_wanted = true;
		worker.scan_again = TimestampTzPlusMilliseconds(now, RETRY_AFTER_ERROR_MS);
		return;
	}
	worker.scan_again = 0;
	/* a scan may come more often, for what is due */
	if (!due.scan.more &&
		pgw_is_due(worker.next_age_check, now, (int64) pgw_recovery_interval * 1000))
	{
		worker.next_age_check =
			TimestampTzPlusMilliseconds(now, (int64) pgw_recovery_interval * 1000);
		pgw_alerts_check_ages(now);
	}
	worker.scan = due.scan;
	if (due.scan.next_due != 0)
		pgw_next_scan_wake(due.scan.next_due);
	pgw_recovery_found(due.n, !due.scan.more);
	if (worker.round.stage == ROUND_SCANS && !due.scan.more)
	{
		worker.round.last_look = pgw_due_enqueued();
		worker.round.stage = ROUND_LOOKS;
	}
}

/* The looks that were taken are committed. */
static void
end_round(void)
{
	if (worker.round.stage == ROUND_LOOKS && pgw_due_dequeued(worker.round.last_look))
	{
		worker.round.last_call = pgw_calls_serial();
		worker.round.stage = ROUND_CALLS;
	}
	if (worker.round.stage == ROUND_CALLS && pgw_calls_over(worker.round.last_call))
	{
		worker.round.stage = ROUND_NONE;
		pgw_recovery_finish(worker.round.asked);
	}
}

/*
 * Somebody wants the database without us (DROP, RENAME, TEMPLATE), or this process may have lost
 * track of something (pgw_batch_unsound).  Calls in flight get a moment to end; what is still out
 * then is written down as "may have been sent".  The launcher starts the next worker when the wish
 * is gone, if the database is still there.
 */
static void
step_aside(TimestampTz now)
{
	if (worker.step_aside_since == 0)
		worker.step_aside_since = now;
	if (pgw_queue_in_flight() &&
		now < TimestampTzPlusMilliseconds(worker.step_aside_since, STEP_ASIDE_GRACE_MS))
		return;
	pgw_calls_give_up();
	(void) pgw_queue_run(false);
	proc_exit(0);
}

/*
 * DROP EXTENSION runs: it holds locks that we must not wait for, and our callers hold locks that it
 * waits for.
 */
static bool
dropping(void)
{
	if (!pgw_exchange_dropping())
	{
		if (worker.dropping)
			worker.scan_wanted = true; /* it was rolled back */
		worker.dropping = false;
		return false;
	}
	pgw_exchange_fail_all("extension_dropped");
	pgw_queue_forget_slots();
	pgw_tables_let_go();
	worker.dropping = true;
	return true;
}

static void
take_back_times(void *arg)
{
	while (PGW_DEBUG_FLAG("clock_look_slow"))
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(10 * 1000);
	}
	*(uint64 *) arg = pgw_store_take_back_times(GetCurrentTimestamp(), TIMES_AT_ONCE);
}

/*
 * The clock was set back, in front of this process or before it began: what waits for a time of the
 * former clock gets one of this, a page a turn.  The look reads all that waits, which can take long
 * where millions do: one that runs into the limit is not repeated at every turn, or nothing else
 * would be done.
 */
static void
look_at_clock(void)
{
	TimestampTz wall = GetCurrentTimestamp();
	uint64 taken = 0;
	int sqlstate = 0;

	if (TimestampTzPlusMilliseconds(wall, PGW_CLOCK_NOTICED_MS) < worker.wall)
	{
		worker.clock_wanted = true;
		worker.clock_look_at = 0;
		worker.next_partitions = worker.next_pause_check = 0;
		worker.wall = wall;
	}
	worker.wall = Max(worker.wall, wall); /* small steps add up */
	if (!worker.clock_wanted || !pgw_is_due(worker.clock_look_at, wall, TIMES_RETRY_MS) ||
		PGW_MUTATED(CLOCK_BACK))
		return;
	PGW_DEBUG_POINT("clock_look");
	if (pgw_batch_transaction(take_back_times, &taken, false, &sqlstate) != PGW_BATCH_DONE)
	{
		/* somebody's DDL: at the next turn, as it costs nothing */
		if (sqlstate != 0 && sqlstate != ERRCODE_LOCK_NOT_AVAILABLE)
			worker.clock_look_at = TimestampTzPlusMilliseconds(wall, TIMES_RETRY_MS);
		return;
	}
	worker.scan_wanted = true; /* what is due by the present clock */
	worker.clock_wanted = taken > 0;
}

static void
turn(void)
{
	TimestampTz now = pgw_now();
	PgwBatchEnd end;
	bool rescan = false;
	bool paused;

	pgw_bank_answers_take();
	if (dropping())
		return;
	if (pgw_exchange_wish() == PGW_WISH_STEP_ASIDE || pgw_batch_unsound())
	{
		/* nothing new is taken; results go on */
		if (pgw_queue_run(false) == PGW_BATCH_NO_EXTENSION)
			leave_without_extension();
		step_aside(now);
		return;
	}
	worker.step_aside_since = 0;

	pgw_tables_turn();
	refresh_config();
	PGW_DEBUG_POINT("config_read");
	pgw_config_watch_secrets();
	ensure_partitions(now);
	keep_bank_health(now);
	pgw_alerts_flush(now);
	look_for_pause(now);
	if (pgw_pause_works())
	{
		/* what was held back meanwhile */
		worker.scan_wanted |= worker.drained && !pgw_pause_drains();
		worker.drained = pgw_pause_drains();
		pgw_due_take_signals(&rescan);
		worker.scan_wanted |= rescan;
		look_at_clock();
		scan_for_work(now);
		pgw_pause_tell();
	}

	/* asked again: the scan has looked, too */
	paused = !pgw_pause_works();
	worker.scan_wanted |= paused; /* for when it is over */
	if (paused || pgw_pause_drains())
		pgw_requests_refuse_waiting("worker_paused");
	else
		pgw_requests_take();
	end = pgw_queue_run(!paused);
	if (end == PGW_BATCH_NO_EXTENSION)
		leave_without_extension();
	if (end == PGW_BATCH_DONE)
		end_round();
}

static long
timeout_ms(void)
{
	bool paused = !pgw_pause_works();
	TimestampTz due = paused ? 0 : pgw_queue_next_at(); /* what is due is not for now */
	long http = pgw_http_timeout_ms();
	long tables = worker.dropping ? -1 : pgw_tables_timeout_ms();
	long ms = IDLE_WAIT_MS;

	if (worker.dropping || worker.step_aside_since != 0 || (worker.scan_wanted && !paused) ||
		pgw_queue_in_flight())
		ms = BUSY_WAIT_MS;
	if ((worker.scan.more && worker.scan_again == 0 && !pgw_due_list_full() && !paused) ||
		pgw_queue_has_more())
		ms = 0;
	if (pgw_requests_want_config())
		ms = Min(ms, WANT_CONFIG_MS);
	if (http >= 0)
		ms = Min(ms, http);
	if (tables >= 0)
		ms = Min(ms, tables);
	if (due != 0)
		ms = Min(ms, TimestampDifferenceMilliseconds(pgw_now(), due));
	return ms;
}

static void
recover_from_error(void)
{
	bool aborts = IsTransactionOrTransactionBlock();

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(TopMemoryContext);
	EmitErrorReport();
	AbortOutOfAnyTransaction();
	LWLockReleaseAll();
	FlushErrorState();
	pgstat_report_wait_end();
	if (aborts)
		pgw_tables_lost(); /* that gives up what the session has locked, too */
	/* signals, or ids of a page, may have been lost on the way to the list */
	worker.scan_wanted = true;
	MemoryContextSwitchTo(worker.turn);
	RESUME_INTERRUPTS();
}

void
pgw_worker_main(Datum arg)
{
	start(DatumGetObjectId(arg));
	MemoryContextSwitchTo(worker.turn);
	ereport(LOG, (errmsg("pgw: worker started for database %u", MyDatabaseId)));

	for (;;)
	{
		WaitEvent event;
		long pause = 0;

		PG_TRY();
		{
			CHECK_FOR_INTERRUPTS();
			turn();
		}
		PG_CATCH();
		{
			recover_from_error();
			pause = RETRY_AFTER_ERROR_MS;
		}
		PG_END_TRY();
		MemoryContextReset(worker.turn);

		if (pause > 0)
			(void) WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause, PG_WAIT_EXTENSION);
		else
			(void) WaitEventSetWait(worker.events, timeout_ms(), &event, 1, PG_WAIT_EXTENSION);
		/* before looking at what it stands for: what is set afterwards wakes us again */
		ResetLatch(MyLatch);
	}
}
