/*
 * batch.c - the worker's transactions: many items in one commit, and no item able to stop the
 * others
 *
 * Owns every transaction that the worker runs.  Many items share one; if it fails, it is rolled
 * back and each of them gets a transaction of its own, so that only the bad one fails.
 *
 * Locks: each transaction first locks the extension's entry without waiting (DROP EXTENSION takes
 * it exclusively); relations (table_locks.c) and rows are for the items to lock, also without
 * waiting.
 *
 * Bounds: nothing in a transaction may last, or be waited for, without limit.  lock_timeout
 * (pinned_settings.c) bounds each wait for a lock that is left, and a limit on the whole bounds
 * what others have put onto pgw's tables: triggers, also deferred ones, which are fired before the
 * commit; constraints and indexes with functions.  Both are delivered by SIGINT, which is taken
 * only while a transaction is at work: before and after it there is nothing to cancel.  An item
 * that ran into a bound has a transaction of its own from then on, so that it delays the others for
 * one short limit at each of its tries.  The wait for a synchronous standby has no bound: as long
 * as it is away, nothing is durable.
 *
 * Orderings that matter
 *     - committed() runs with interrupts held since the commit: no termination can fall between a
 *       commit and its consequences in shared memory (an intent that is durable while its slot
 *       still says "not sent" would be handed out a second time).  Not since before the commit:
 *       what is done at its beginning can wait for others (the NOTIFY lock), and must be
 *       interruptible.
 *     - An error in a transaction that callers do not wait for is rolled back as a
 *       subtransaction, as is any after a recent error: the abort of a whole transaction gives up
 *       all locks of the session, too, and they keep callers' payments going while DDL waits
 *       (table_locks.c).
 *     - What is committed is never applied again: an ERROR in one item's committed() ends with
 *       that item, see end_item(); and an ERROR in what makes up for that, or after the commit at
 *       large, is no rollback either (Transaction.committed).
 *     - The transaction takes its xid in here, after its items were read from shared memory: a
 *       recorded caller's xid is then always older than one that the log knows, also after a crash.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "pgstat.h"
#include "exchange/log_rate.h"
#include "replication/syncrep.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "database/batch.h"
#include "database/event_rows.h"
#include "database/extension.h"
#include "database/lock_refusals.h"
#include "database/notify.h"
#include "database/row.h"
#include "database/worker_locks.h"
#include "exchange/worker_progress.h"

/* A transaction takes milliseconds. */
#define LIMIT_MS 5000
#define LIMIT_SINGLE_MS 1000 /* of one item */

/* So long after an error every transaction is prepared for the next one. */
#define CAREFUL_MS 60000

typedef struct Transaction
{
	void (*work)(void *arg);
	void (*done)(void *arg); /* after the commit, interrupts held; or NULL */
	void *arg;
	dlist_head *items; /* that the work is about; NULL: none */
	bool flush;
	/* the work is a subtransaction: its error does not abort the transaction */
	bool sub;
	/* with the work in it: nothing of it may be applied again, whatever fails from here on */
	bool committed;
	int limit_ms;
	int sqlstate;
} Transaction;

static volatile sig_atomic_t at_work = false; /* a transaction that a cancel may reach */
static bool hold_at_commit = false;
static bool held = false; /* interrupts, since the commit */
static TimestampTz careful_until = 0;
static bool unsound = false;
static char last_error[4 * NAMEDATALEN];

/*
 * SIGINT: our own time limits, or pg_cancel_backend() while something of this database's users'
 * blocks the worker.  Not the synchronous standby: to cancel that wait is to take a commit that
 * only this machine has for a replicated one, and an intent would be sent that the next primary
 * does not know of.
 */
void
pgw_batch_cancel(SIGNAL_ARGS)
{
	if (at_work && (MyProc->syncRepState == SYNC_REP_NOT_WAITING || PGW_MUTATED(STANDBY_WAIT)))
		StatementCancelHandler(PGW_SIGNAL_ARGUMENTS);
}

static void
at_commit(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT || !hold_at_commit)
		return;
	HOLD_INTERRUPTS();
	held = true;
	at_work = false;
}

static void
begin_work(Transaction *x)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_commit, NULL);
		registered = true;
	}
	hold_at_commit = true;
	held = false;
	at_work = true;
	if (!PGW_MUTATED(WORK_LIMIT))
		enable_timeout_after(STATEMENT_TIMEOUT, x->limit_ms);
}

/* A limit that was reached too late to stop anything is void. */
static void
end_work(void)
{
	at_work = false;
	hold_at_commit = false;
	disable_timeout(STATEMENT_TIMEOUT, false);
	QueryCancelPending = false;
}

/*
 * Deferred triggers and constraints: now, where they can be stopped, and where their errors are the
 * item's.
 */
static void
fire_deferred(void)
{
	ConstraintsSetStmt *all = makeNode(ConstraintsSetStmt);

	AfterTriggerSetState(all);
	pfree(all);
}

static void
work(Transaction *x)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	(void) pgw_row_keep(TopTransactionContext);
	pgw_event_rows_collect(TopTransactionContext);
	x->work(x->arg);
	pgw_event_rows_write_collected();
	pgw_row_close_kept();
	fire_deferred();
	if (ActiveSnapshotSet())
		PopActiveSnapshot();
}

/* Its SQLSTATE and names, and none of its texts: these may tell values. */
static void
keep_error(void)
{
	ErrorData *e = CopyErrorData();
	StringInfoData s;

	initStringInfo(&s);
	appendStringInfo(&s, "SQLSTATE %s", unpack_sql_state(e->sqlerrcode));
	if (e->constraint_name != NULL)
		appendStringInfo(&s, ", constraint \"%s\"", e->constraint_name);
	if (e->table_name != NULL)
		appendStringInfo(&s, "%s table \"%s\"", e->constraint_name != NULL ? " of" : ",",
						 e->table_name);
	strlcpy(last_error, s.data, sizeof(last_error));
	pfree(s.data);
	FreeErrorData(e);
}

const char *
pgw_batch_error(void)
{
	return last_error;
}

static void
tell_left_out(int sqlstate, uint64 more)
{
	ereport(LOG,
			(errmsg("pgw: " UINT64_FORMAT " more errors of this kind (SQLSTATE %s) were left out",
					more, unpack_sql_state(sqlstate))));
}

static void
note_error(Transaction *x, MemoryContext context)
{
	uint64 more;

	MemoryContextSwitchTo(context);
	x->sqlstate = geterrcode();
	keep_error();
	pgw_row_forget_kept();
	pgw_event_rows_forget();
	careful_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), CAREFUL_MS);

	/* Somebody's DDL, as is to be expected: pgw.health() shows it. */
	if (x->sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
		pgw_tables_note_refusal(InvalidOid);
	else
	{
		if (pgw_log_due("error", unpack_sql_state(x->sqlstate), &more))
		{
			EmitErrorReport();
			if (more > 0)
				tell_left_out(x->sqlstate, more);
		}
		pgw_progress_failed(x->sqlstate);
	}
	if (x->sqlstate == ERRCODE_QUERY_CANCELED)
		pgw_tables_note_limit();
	FlushErrorState();
}

/* false: its error was caught, and nothing of it is left. */
static bool
work_in_subtransaction(Transaction *x)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool fine = false;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		work(x);
		ReleaseCurrentSubTransaction();
		fine = true;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		note_error(x, context);
		RollbackAndReleaseCurrentSubTransaction();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return fine;
}

/*
 * A cancel that came right before the wait for the synchronous standby has ended it at once.  Then
 * wait again, with nothing left that could cancel: for a commit that is replicated, or without a
 * standby to wait for, this returns at once.  A termination ends it; see pgw_calls_send() in
 * send_after_flush.c.
 */
static void
wait_for_standby(XLogRecPtr before)
{
	Assert(held && !at_work);
	QueryCancelPending = false;
	if (XactLastCommitEnd != before && !PGW_MUTATED(STANDBY_WAIT))
		SyncRepWaitForLSN(XactLastCommitEnd, true);
}

/* A commit of notifications alone is not worth a flush, nor a wait for a standby. */
static bool
must_last(const Transaction *x)
{
	dlist_iter iter;

	if (!x->flush || x->items == NULL)
		return x->flush;
	dlist_foreach(iter, x->items)
	{
		if (!dlist_container(PgwBatchItem, node, iter.cur)->leaves_nothing &&
			!PGW_MUTATED(VISIT_FLUSH))
			return true;
	}
	return false;
}

static PgwBatchEnd
run_in_transaction(Transaction *x)
{
	XLogRecPtr last_commit = XactLastCommitEnd;
	bool busy = false;
	bool there;
	bool fine = true;
	bool flush;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	begin_work(x);
	there = pgw_extension_lock(&busy);
	if (busy || !there)
		fine = false;
	else if (x->sub)
		fine = work_in_subtransaction(x);
	else
		work(x);

	if (fine)
		pgw_notify_before_commit();

	/* Never less than flushed where it matters: pinned_settings.c pins what stands there. */
	flush = must_last(x);
	if (!flush)
		synchronous_commit = SYNCHRONOUS_COMMIT_OFF; /* try_transaction() puts it back */

	/* also when nothing was done: an abort would give up the session's locks */
	CommitTransactionCommand();
	x->committed = fine;
	if (flush)
		wait_for_standby(last_commit);
	if (fine && XactLastCommitEnd != last_commit)
		pgw_progress_committed();
	if (fine && x->done != NULL)
		x->done(x->arg);
	if (held)
		RESUME_INTERRUPTS();
	held = false;
	end_work();
	if (busy)
		return PGW_BATCH_BUSY;
	if (!there)
		return PGW_BATCH_NO_EXTENSION;
	return fine ? PGW_BATCH_DONE : PGW_BATCH_FAILED;
}

static void
clean_up_after_error(Transaction *x, MemoryContext context)
{
	Assert(!x->committed || PGW_MUTATED(COMMITTED_ALL));
	HOLD_INTERRUPTS();
	held = false;
	end_work();
	note_error(x, context);
	AbortCurrentTransaction();
	pgw_tables_lost();
	MemoryContextSwitchTo(context);
	RESUME_INTERRUPTS();
}

/*
 * An ERROR after the commit: what is not done yet of x->done() follows.  That takes each item off
 * its list before it ends it, so this comes to an end.
 */
static void
go_on_after_commit(Transaction *x, MemoryContext context)
{
	volatile bool over = false;

	HOLD_INTERRUPTS(); /* the ERROR has forgotten that they were held */
	while (!over)
	{
		MemoryContextSwitchTo(context);
		unsound = true; /* whatever it was: it must not be */
		EmitErrorReport();
		FlushErrorState();
		PG_TRY();
		{
			if (x->done != NULL)
				x->done(x->arg);
			over = true;
		}
		PG_CATCH();
		{
			HOLD_INTERRUPTS();
		}
		PG_END_TRY();
	}
	held = false;
	end_work();
	RESUME_INTERRUPTS();
}

static PgwBatchEnd
try_transaction(Transaction *x)
{
	MemoryContext context = CurrentMemoryContext;
	int pinned = synchronous_commit;
	volatile PgwBatchEnd end = PGW_BATCH_FAILED;

	x->committed = false;
	pgw_notify_begin();
	PG_TRY();
	{
		end = run_in_transaction(x);
	}
	PG_CATCH();
	{
		synchronous_commit = pinned; /* first: were its clean-up to fail, too, nothing else would */
		if (x->committed && !PGW_MUTATED(COMMITTED_ALL))
		{
			go_on_after_commit(x, context);
			end = PGW_BATCH_DONE;
		}
		else
			clean_up_after_error(x, context);
	}
	PG_END_TRY();
	synchronous_commit = pinned;
	return end;
}

bool
pgw_batch_unsound(void)
{
	return unsound;
}

static PgwBatchEnd
transaction(Transaction *x)
{
	MemoryContext context = CurrentMemoryContext;
	PgwBatchEnd end;

	Assert(!IsTransactionState());
	end = try_transaction(x);
	if (end == PGW_BATCH_FAILED && pgw_notify_failed(x->sqlstate))
		end = try_transaction(x);
	MemoryContextSwitchTo(context);

	/* of payments once a second; what is left when it has nothing to do, worker.c tells */
	pgstat_report_stat(x->items == NULL);
	pgstat_report_activity(STATE_IDLE, NULL);
	return end;
}

PgwBatchEnd
pgw_batch_transaction(void (*work)(void *arg), void *arg, bool flush, int *sqlstate)
{
	return pgw_batch_transaction_within(LIMIT_MS, work, arg, flush, sqlstate);
}

PgwBatchEnd
pgw_batch_transaction_within(int limit_ms, void (*work)(void *arg), void *arg, bool flush,
							 int *sqlstate)
{
	Transaction x = {.work = work, .arg = arg, .flush = flush, .sub = true, .limit_ms = limit_ms};
	PgwBatchEnd end;

	pgstat_report_activity(STATE_RUNNING, "pgw: housekeeping");
	end = transaction(&x);
	if (sqlstate != NULL)
		*sqlstate = x.sqlstate;
	return end;
}

/* ---------------------------------------------------------------- items */

static void
apply_all(void *arg)
{
	dlist_iter iter;

	dlist_foreach(iter, (dlist_head *) arg)
	{
		PgwBatchItem *item = dlist_container(PgwBatchItem, node, iter.cur);

		/* here a termination loses nothing: no commit, so nothing was promised or sent */
		CHECK_FOR_INTERRUPTS();
		item->leaves_nothing = false;
		item->ops->apply(item);
	}
}

/*
 * One item's end, whatever happens in it: the others' ends follow, and nothing that is committed is
 * taken for rolled back.  Interrupts are held by the caller; an ERROR forgets that.
 */
static void
end_item(PgwBatchItem *item, bool committed, int sqlstate)
{
	MemoryContext context = CurrentMemoryContext;
	uint32 holds = InterruptHoldoffCount;
	bool before = unsound;

	Assert(!committed || InterruptHoldoffCount > 0);
	PG_TRY();
	{
		if (committed)
			item->ops->committed(item);
		else
			item->ops->failed(item, sqlstate);
	}
	PG_CATCH();
	{
		if (PGW_MUTATED(COMMITTED_ALL))
			PG_RE_THROW();
		InterruptHoldoffCount = holds;
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
		unsound = true; /* if this is broken off, too, the item is on no list */
		PGW_DEBUG_POINT("broken");
		item->ops->broken(item, committed);
		unsound = before;
	}
	PG_END_TRY();
}

static void
committed_all(void *arg)
{
	dlist_head *items = arg;

	Assert(InterruptHoldoffCount > 0);
	while (!dlist_is_empty(items))
		end_item(dlist_container(PgwBatchItem, node, dlist_pop_head_node(items)), true, 0);
}

static PgwBatchEnd
run_items(dlist_head *items, bool flush, bool single, int *sqlstate)
{
	Transaction x = {
		.work = apply_all, .done = committed_all, .arg = items, .items = items, .flush = flush};
	PgwBatchItem *first = dlist_container(PgwBatchItem, node, dlist_head_node(items));
	char activity[64];
	PgwBatchEnd end;

	x.sub = flush || GetCurrentTimestamp() < careful_until;
	x.limit_ms = single ? LIMIT_SINGLE_MS : LIMIT_MS;
	snprintf(activity, sizeof(activity), "pgw: %s", first->ops->name);
	pgstat_report_activity(STATE_RUNNING, activity);
	end = transaction(&x);
	*sqlstate = x.sqlstate;
	return end;
}

static void
put_back(dlist_head *items, dlist_head *chunk)
{
	while (!dlist_is_empty(chunk))
	{
		dlist_node *node = dlist_tail_node(chunk);

		dlist_delete(node);
		dlist_push_head(items, node);
	}
}

/* When not even its rollback goes well, the item is back in the chunk. */
static PgwBatchEnd
run_single(dlist_head *single, dlist_head *chunk, bool flush, int *sqlstate)
{
	PgwBatchEnd end;

	PG_TRY();
	{
		end = run_items(single, flush, true, sqlstate);
	}
	PG_CATCH();
	{
		put_back(chunk, single);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return end;
}

/* One by one, after they failed together. */
static PgwBatchEnd
run_singly(dlist_head *chunk, bool flush)
{
	while (!dlist_is_empty(chunk))
	{
		dlist_head single;
		dlist_node *node = dlist_pop_head_node(chunk);
		PgwBatchItem *item = dlist_container(PgwBatchItem, node, node);
		PgwBatchEnd end;
		int sqlstate;

		dlist_init(&single);
		dlist_push_tail(&single, node);
		end = run_single(&single, chunk, flush, &sqlstate);
		if (end == PGW_BATCH_BUSY || end == PGW_BATCH_NO_EXTENSION)
		{
			put_back(chunk, &single);
			return end;
		}
		if (end == PGW_BATCH_FAILED)
		{
			if (!dlist_is_empty(&single))
				dlist_delete(node);
			item->alone |=
				sqlstate == ERRCODE_QUERY_CANCELED || sqlstate == ERRCODE_LOCK_NOT_AVAILABLE;
			end_item(item, false, sqlstate);
		}
	}
	return PGW_BATCH_DONE;
}

/* The first of the list, as many as may share a transaction; true: it is one that must not. */
static bool
take_chunk(dlist_head *items, int most, dlist_head *chunk)
{
	for (int n = 0; n < most && !dlist_is_empty(items); n++)
	{
		bool alone = dlist_container(PgwBatchItem, node, dlist_head_node(items))->alone;

		if (alone && n > 0)
			return false;
		dlist_push_tail(chunk, dlist_pop_head_node(items));
		if (alone)
			return true;
	}
	return false;
}

PgwBatchEnd
pgw_batch_run(dlist_head *items, int most, bool flush)
{
	dlist_head chunk;
	PgwBatchEnd end;
	int sqlstate;

	if (dlist_is_empty(items))
		return PGW_BATCH_DONE;
	dlist_init(&chunk);
	PG_TRY();
	{
		if (take_chunk(items, most, &chunk))
			end = run_singly(&chunk, flush);
		else
			end = run_items(&chunk, flush, false, &sqlstate);
		if (end == PGW_BATCH_FAILED)
			end = run_singly(&chunk, flush);
	}
	PG_CATCH();
	{
		/* not even the rollback went well: the worker's loop tries again */
		put_back(items, &chunk);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (end != PGW_BATCH_DONE)
		put_back(items, &chunk);
	return end;
}
