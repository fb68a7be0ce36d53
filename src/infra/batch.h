/*
 * batch.h - the worker's transactions: many items in one commit, and no item able to stop the others
 */
#ifndef PGW_INFRA_BATCH_H
#define PGW_INFRA_BATCH_H

#include "postgres.h"
#include "lib/ilist.h"

typedef struct PgwItem PgwItem;

typedef struct PgwItemOps
{
	const char *name;			/* for pg_stat_activity and the log */

	/*
	 * Inside the transaction.  May raise, and is called again in another transaction after a rollback: it leaves nothing behind outside the
	 * database but what a second call overwrites.
	 */
	void		(*apply) (PgwItem *item);

	/* The commit is done (flushed, if asked for).  Interrupts are held: it must not raise.  The item is off the list and belongs to it. */
	void		(*committed) (PgwItem *item);

	/*
	 * Its own transaction, alone, was rolled back.  Must not raise.  The item is off the list and belongs to it.  55P03: somebody's DDL was in the
	 * way, or a lock that others hold for long; not the item's fault.
	 */
	void		(*failed) (PgwItem *item, int sqlstate);
} PgwItemOps;

struct PgwItem
{
	dlist_node	node;
	const PgwItemOps *ops;
	bool		alone;			/* it has run into a time limit: it shares no transaction any more */
};

typedef enum PgwBatchEnd
{
	PGW_BATCH_DONE = 0,			/* every item of the transaction had its committed() or failed() */
	PGW_BATCH_BUSY,				/* the extension is being dropped or altered: nothing was done, items stay */
	PGW_BATCH_NO_EXTENSION,		/* there is none (any more): items stay */
	PGW_BATCH_FAILED			/* pgw_batch_transaction only: rolled back */
} PgwBatchEnd;

/*
 * The first items of the list, so many at most, in one transaction; the others stay.  flush: the commit is durable when committed() is called; else it
 * becomes so within wal_writer_delay.
 */
extern PgwBatchEnd pgw_batch_run(dlist_head *items, int most, bool flush);

/* One transaction around work(arg), for what is not an item. */
extern PgwBatchEnd pgw_batch_transaction(void (*work) (void *arg), void *arg, bool flush, int *sqlstate);

/* The worker's SIGINT: ends what its transaction is doing, as a failure of the item; without one it does nothing. */
extern void pgw_batch_cancel(SIGNAL_ARGS);

#endif
