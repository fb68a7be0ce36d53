/*
 * batch.c - the worker's transactions: many items in one commit, and no item able to stop the others
 *
 * Owns every transaction that the worker runs.  Many items share one; if it fails, it is rolled back and each of them gets a transaction of its
 * own, so that only the bad one fails.
 *
 * Locks: each transaction first locks the extension's entry without waiting (DROP EXTENSION takes it exclusively); rows are for the
 * items to lock, also without waiting.  lock_timeout bounds what is left.
 *
 * Orderings that matter
 *	- committed() runs with interrupts held since before the commit: no termination can fall between a commit and its consequences in
 *	  shared memory (an intent that is durable while its slot still says "not sent" would be handed out a second time).
 *	- The transaction takes its xid in here, after its items were read from shared memory: a recorded caller's xid is then always
 *	  older than one that the log knows, also after a crash.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "infra/batch.h"
#include "infra/row.h"
#include "infra/store.h"

typedef struct Transaction
{
	void		(*work) (void *arg);
	void		(*done) (void *arg);	/* after the commit, interrupts held; or NULL */
	void	   *arg;
	bool		flush;
	int			sqlstate;
} Transaction;

static PgwBatchEnd
run_in_transaction(Transaction *x)
{
	bool		busy = false;
	bool		there;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	there = pgw_store_lock_extension(&busy);
	if (busy || !there)
	{
		AbortCurrentTransaction();
		return busy ? PGW_BATCH_BUSY : PGW_BATCH_NO_EXTENSION;
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	(void) pgw_row_keep(TopTransactionContext);
	x->work(x->arg);
	pgw_row_close_kept();
	if (ActiveSnapshotSet())
		PopActiveSnapshot();

	HOLD_INTERRUPTS();
	CommitTransactionCommand();
	if (x->done != NULL)
		x->done(x->arg);
	RESUME_INTERRUPTS();
	return PGW_BATCH_DONE;
}

static void
clean_up_after_error(Transaction *x, MemoryContext context)
{
	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(context);
	x->sqlstate = geterrcode();
	EmitErrorReport();
	AbortCurrentTransaction();
	pgw_row_forget_kept();
	FlushErrorState();
	MemoryContextSwitchTo(context);
	RESUME_INTERRUPTS();
}

static PgwBatchEnd
transaction(Transaction *x)
{
	MemoryContext context = CurrentMemoryContext;
	int			old_commit = synchronous_commit;
	volatile PgwBatchEnd end = PGW_BATCH_FAILED;

	/* Never less than flushed where it matters, whatever the database's settings say; see worker.c for the pinned value. */
	if (!x->flush)
		synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
	PG_TRY();
	{
		end = run_in_transaction(x);
	}
	PG_CATCH();
	{
		clean_up_after_error(x, context);
	}
	PG_END_TRY();
	synchronous_commit = old_commit;
	MemoryContextSwitchTo(context);
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	return end;
}

PgwBatchEnd
pgw_batch_transaction(void (*work) (void *arg), void *arg, bool flush, int *sqlstate)
{
	Transaction x = {.work = work, .arg = arg, .flush = flush};
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
	dlist_iter	iter;

	dlist_foreach(iter, (dlist_head *) arg)
	{
		PgwItem    *item = dlist_container(PgwItem, node, iter.cur);

		/* here a termination loses nothing: no commit, so nothing was promised or sent */
		CHECK_FOR_INTERRUPTS();
		item->ops->apply(item);
	}
}

static void
committed_all(void *arg)
{
	dlist_head *items = arg;

	while (!dlist_is_empty(items))
	{
		PgwItem    *item = dlist_container(PgwItem, node, dlist_pop_head_node(items));

		item->ops->committed(item);
	}
}

static PgwBatchEnd
run_items(dlist_head *items, bool flush, int *sqlstate)
{
	Transaction x = {.work = apply_all, .done = committed_all, .arg = items, .flush = flush};
	PgwItem    *first = dlist_container(PgwItem, node, dlist_head_node(items));
	char		activity[64];
	PgwBatchEnd end;

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

/* One by one, after they failed together. */
static PgwBatchEnd
run_singly(dlist_head *chunk, bool flush)
{
	while (!dlist_is_empty(chunk))
	{
		dlist_head	single;
		dlist_node *node = dlist_pop_head_node(chunk);
		PgwItem    *item = dlist_container(PgwItem, node, node);
		PgwBatchEnd end;
		int			sqlstate;

		dlist_init(&single);
		dlist_push_tail(&single, node);
		end = run_items(&single, flush, &sqlstate);
		if (end == PGW_BATCH_BUSY || end == PGW_BATCH_NO_EXTENSION)
		{
			put_back(chunk, &single);
			return end;
		}
		if (end == PGW_BATCH_FAILED)
		{
			if (!dlist_is_empty(&single))
				dlist_delete(node);
			item->ops->failed(item, sqlstate);
		}
	}
	return PGW_BATCH_DONE;
}

PgwBatchEnd
pgw_batch_run(dlist_head *items, int most, bool flush)
{
	dlist_head	chunk;
	PgwBatchEnd end;
	int			sqlstate;

	if (dlist_is_empty(items))
		return PGW_BATCH_DONE;
	dlist_init(&chunk);
	for (int n = 0; n < most && !dlist_is_empty(items); n++)
		dlist_push_tail(&chunk, dlist_pop_head_node(items));

	end = run_items(&chunk, flush, &sqlstate);
	if (end == PGW_BATCH_FAILED)
		end = run_singly(&chunk, flush);
	if (end != PGW_BATCH_DONE)
		put_back(items, &chunk);
	return end;
}
