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
#include "bank_call/call.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "database/batch.h"
#include "database/worker_locks.h"
#include "exchange/config_generation.h"
#include "exchange/fencing_delay.h"
#include "exchange/log_rate.h"
#include "exchange/taken_slots.h"
#include "exchange/unreplicated.h"
#include "exchange/why_paused.h"
#include "exchange/worker_entries.h"
#include "exchange/worker_progress.h"
#include "http/http.h"
#include "observe/alerts.h"
#include "queue/bank_answers.h"
#include "queue/due_attempts.h"
#include "queue/queue.h"
#include "queue/send_after_flush.h"
#include "queue/take_requests.h"
#include "restore/pause.h"
#include "test_bank/test_wire.h"
#include "worker/clock_watch.h"
#include "worker/housekeeping.h"
#include "worker/keep_webhooks.h"
#include "worker/mark_turn.h"
#include "worker/pace_turn.h"
#include "worker/pinned_settings.h"
#include "worker/scan_turns.h"
#include "worker/worker.h"

#define BUSY_WAIT_MS 100
#define WANT_CONFIG_MS 10
#define IDLE_WAIT_MS 1000
#define STEP_ASIDE_GRACE_MS 1000
#define RETRY_AFTER_ERROR_MS 500
#define PAUSE_CHECK_MS 1000
#define CONFIG_CHANGING_PAUSE_MS 20

/* What was read of the banks and connectors, and when to look again. */
typedef struct ConfigWatch
{
	bool read; /* it is what stands in the tables, as of the generation `seen` */
	uint64 seen;
	/* the generation that was read last, whether or not it was changing then */
	bool read_at_all;
	uint64 looked;
	TimestampTz not_before; /* while it is changing */
} ConfigWatch;

typedef struct Worker
{
	WaitEventSet *events;
	MemoryContext turn; /* reset at every turn */
	ConfigWatch config;
	PgwHousekeeping housekeeping;
	PgwScanTurns scan;
	PgwClockWatch clock;
	PgwMarkTurns mark;
	PgwPace pace;
	uint64 pause_seen; /* the generation at the last look whether this database is paused */
	TimestampTz next_pause_check; /* while paused */
	bool drained;                 /* submitted charges were held back at the last turn */
	TimestampTz step_aside_since; /* 0: nobody wants it */
	bool dropping;
} Worker;

static Worker worker;

void
pgw_worker_init(void)
{
	pgw_scan_turns_init();
}

/* ---------------------------------------------------------------- start */

static void
nothing(void *arg)
{
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
		Assert(!IsTransactionState());
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
	die(PGW_SIGNAL_ARGUMENTS);
}

static void
start(Oid dboid)
{
	pqsignal(SIGTERM, terminate);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, pgw_batch_cancel);
	pqsignal(SIGPIPE, PG_SIG_IGN);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
	pgw_pin_settings();
	pgw_tables_never_wait();

	look_for_extension();
	if (!pgw_exchange_attach())
		proc_exit(0); /* another one is there, or somebody wants the database empty */

	pgw_http_init();
	pgw_queue_init();
	pgw_housekeeping_start();
	worker.turn =
		AllocSetContextCreate(TopMemoryContext, "pgw worker turn", ALLOCSET_DEFAULT_SIZES);
	worker.events = pgw_create_wait_event_set(3);
	AddWaitEventToSet(worker.events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(worker.events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(worker.events, WL_SOCKET_READABLE, pgw_http_fd(), NULL, NULL);
	worker.scan.wanted = true;  /* what was left by the last one, and by a crash */
	worker.clock.wanted = true; /* set back while no worker was there to see it */
}

/* ---------------------------------------------------------------- a turn's parts */

static void
read_config(void *arg)
{
	pgw_config_refresh(true);
}

/*
 * Whatever this turn is for: a pause can last, and what is ready does not leave while there are
 * settings to read (queue/send_after_flush.c).
 */
static void
read_settings(void)
{
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		pgw_config_reread();
		worker.config.read = worker.config.read_at_all = false;
	}
	pgw_fencing_look();
	pgw_unreplicated_begin();
}

/* pgw_config_refresh() is cheap, but needs a transaction when it is not. */
static void
refresh_config(void)
{
	ConfigWatch *config = &worker.config;
	TimestampTz now = GetCurrentTimestamp();
	uint64 generation = pgw_exchange_generation();

	if (config->read && generation == config->seen && pgw_config_is_current() &&
		!pgw_exchange_config_is_changing())
		return;

	/*
	 * What is read while a change is about to become visible is good for one use only, and that can
	 * last: a commit waits for a synchronous standby that is away.  Requests wait for the next look
	 * then; it need not come at each turn.
	 */
	if (config->read_at_all && generation == config->looked && pgw_exchange_config_is_changing() &&
		!pgw_is_due(config->not_before, now, CONFIG_CHANGING_PAUSE_MS))
		return;
	config->not_before = TimestampTzPlusMilliseconds(now, CONFIG_CHANGING_PAUSE_MS);
	if (pgw_batch_transaction(read_config, NULL, false, NULL) != PGW_BATCH_DONE)
		return;
	config->looked = generation;
	config->read_at_all = true;
	if (pgw_config_is_current())
	{
		config->seen = generation;
		config->read = true;
	}
}

static void
check_pause(void *arg)
{
	pgw_pause_check_anew();
}

/*
 * At the start, after a restore, a resumption or an update of the extension (all start a new
 * generation), and while paused: DROP EXTENSION is found so, too.  At once for a caller who has
 * found his slot at home where there was none.
 */
static void
look_for_pause(TimestampTz now)
{
	uint64 generation = pgw_exchange_generation();
	/* those who have asked by now, not who finds his slot at home after this look */
	uint64 asked = pgw_pause() == PGW_PAUSE_NOT_HOME ? pgw_exchange_last_requested() : 0;

	if (generation != worker.pause_seen || asked != 0 ||
		(pgw_pause() != PGW_PAUSE_NONE && pgw_is_due(worker.next_pause_check, now, PAUSE_CHECK_MS)))
	{
		PgwBatchEnd end = pgw_batch_transaction(check_pause, NULL, false, NULL);

		if (end == PGW_BATCH_NO_EXTENSION)
			leave_without_extension();
		if (end == PGW_BATCH_DONE)
			worker.pause_seen = generation;
		if (asked != 0)
			PGW_DEBUG_POINT("looked_for_asked");
		/* what he has found is not committed */
		if (end == PGW_BATCH_DONE && asked != 0 && pgw_pause() == PGW_PAUSE_NOT_HOME)
			pgw_exchange_fail_requested("worker_paused", asked);
		worker.next_pause_check = TimestampTzPlusMilliseconds(now, PAUSE_CHECK_MS);
	}
	pgw_pause_tell();
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
		!pgw_is_due(TimestampTzPlusMilliseconds(worker.step_aside_since, STEP_ASIDE_GRACE_MS), now,
					STEP_ASIDE_GRACE_MS))
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
			worker.scan.wanted = true; /* it was rolled back */
		worker.dropping = false;
		return false;
	}
	pgw_exchange_fail_all("extension_dropped");
	pgw_queue_forget_slots();
	pgw_tables_let_go();
	worker.dropping = true;
	return true;
}

/*
 * The script has made other tables than this library knows: none is read.  What calls that were out
 * have brought is written all the same if it can be, as after the end of a pause it is known at
 * once then and need not be found out.
 */
static void
rest_until_update(void)
{
	worker.scan.wanted = true;
	worker.config.read = worker.config.read_at_all = false;
	pgw_requests_refuse_waiting("version_mismatch");
	if (pgw_queue_run(false) == PGW_BATCH_NO_EXTENSION)
		leave_without_extension();
}

/* Does the worker go on with what is under way, now? */
static bool
works(void)
{
	return pgw_pause_works() && pgw_fencing_ms_left() == 0;
}

static void
turn(void)
{
	TimestampTz now = pgw_now();
	PgwBatchEnd end;
	bool rescan = false;
	bool paused;

	read_settings();
	pgw_bank_answers_take();
	if (dropping())
		return;
	if (pgw_exchange_wish() == PGW_WISH_STEP_ASIDE || pgw_batch_unsound())
	{
		/* nothing new is taken; results go on */
		pgw_webhooks_turn(false, now);
		if (pgw_queue_run(false) == PGW_BATCH_NO_EXTENSION)
			leave_without_extension();
		step_aside(now);
		return;
	}
	worker.step_aside_since = 0;

	look_for_pause(now);
	pgw_webhooks_turn(pgw_pause_works() || PGW_MUTATED(WEBHOOK_COPY), now);
	if (pgw_pause() == PGW_PAUSE_VERSION)
	{
		rest_until_update();
		return;
	}
	pgw_tables_turn();
	refresh_config();
	PGW_DEBUG_POINT("config_read");
	pgw_config_watch_secrets();
	pgw_housekeeping_turn(&worker.housekeeping, now);
	pgw_alerts_flush(now);
	if (works())
	{
		/* what was held back meanwhile */
		worker.scan.wanted |= worker.drained && !pgw_pause_drains();
		worker.drained = pgw_pause_drains();
		pgw_due_take_signals(&rescan);
		worker.scan.wanted |= rescan;
		worker.scan.wanted |= pgw_clock_watch_turn(&worker.clock);
		pgw_mark_turn(&worker.mark);
		if (pgw_scan_turn(&worker.scan, now) == PGW_BATCH_NO_EXTENSION)
			/* DROP EXTENSION is committed, and nothing else would tell an idle worker */
			leave_without_extension();
		pgw_pause_tell();
	}

	/* asked again: the scan has looked, too */
	paused = !works();
	worker.scan.wanted |= paused; /* for when it is over */
	if (!pgw_pause_works() || pgw_pause_drains())
		pgw_requests_refuse_waiting("worker_paused");
	else if (!paused) /* else callers wait: it is for seconds */
		pgw_requests_take();
	end = pgw_queue_run(!paused);
	pgw_pace_submits(&worker.pace, pgw_queue_behind());
	if (end == PGW_BATCH_NO_EXTENSION)
		leave_without_extension();
	if (end == PGW_BATCH_DONE)
		pgw_scan_round_turn(&worker.scan);
}

static long
timeout_ms(void)
{
	bool paused = !works();
	long fencing = pgw_fencing_ms_left();
	TimestampTz due = paused ? 0 : pgw_queue_next_at(); /* what is due is not for now */
	long http = pgw_http_timeout_ms();
	long test_bank = pgw_test_wire_timeout_ms();
	long tables = worker.dropping ? -1 : pgw_tables_timeout_ms();
	long ms = IDLE_WAIT_MS;

	if (worker.dropping || worker.step_aside_since != 0 || (worker.scan.wanted && !paused) ||
		pgw_queue_in_flight())
		ms = BUSY_WAIT_MS;
	if ((pgw_scan_has_page(&worker.scan) && !paused) || pgw_queue_has_more())
		ms = 0;
	if (pgw_requests_want_config())
		ms = Min(ms, WANT_CONFIG_MS);
	if (http >= 0)
		ms = Min(ms, http);
	if (test_bank >= 0)
		ms = Min(ms, test_bank);
	if (tables >= 0)
		ms = Min(ms, tables);
	if (fencing > 0)
		ms = Min(ms, fencing);
	if (due != 0)
		ms = Min(ms, TimestampDifferenceMilliseconds(pgw_now(), due));
	return ms;
}

static void
recover_from_error(void)
{
	bool aborts = IsTransactionOrTransactionBlock();
	uint64 more;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(TopMemoryContext);
	if (pgw_log_due("worker", unpack_sql_state(geterrcode()), &more))
		EmitErrorReport();
	pgw_progress_failed(geterrcode());
	AbortOutOfAnyTransaction();
	LWLockReleaseAll();
	FlushErrorState();
	pgstat_report_wait_end();
	if (aborts)
		pgw_tables_lost(); /* that gives up what the session has locked, too */
	/* signals, or ids of a page, may have been lost on the way to the list */
	worker.scan.wanted = true;
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
			pgw_progress_turned();
			turn();
		}
		PG_CATCH();
		{
			recover_from_error();
			pause = RETRY_AFTER_ERROR_MS;
		}
		PG_END_TRY();
		MemoryContextReset(worker.turn);
		Assert(!IsTransactionState());

		if (pause > 0)
			(void) WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause, PG_WAIT_EXTENSION);
		else if (WaitEventSetWait(worker.events, timeout_ms(), &event, 1, PG_WAIT_EXTENSION) == 0)
			pgstat_report_stat(true); /* nothing to do */
		/* before looking at what it stands for: what is set afterwards wakes us again */
		ResetLatch(MyLatch);
	}
}
