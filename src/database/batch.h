/*
 * batch.h - the worker's transactions: many items in one commit, and no item able to stop the
 * others
 */
#ifndef PGW_DATABASE_BATCH_H
#define PGW_DATABASE_BATCH_H

#include "postgres.h"
#include "lib/ilist.h"

typedef struct PgwBatchItem PgwBatchItem;

typedef struct PgwBatchItemOps
{
	const char *name; /* for pg_stat_activity and the log */

	/*
	 * Runs inside the transaction. May raise; after a rollback it is called again in another
	 * transaction, so anything that it changes in memory must be safe to overwrite.
	 */
	void (*apply)(PgwBatchItem *item);

	/*
	 * The commit is done (flushed, if asked for).  Interrupts are held.  The item is off the list
	 * and belongs to it.  It may raise (memory can be used up), but only as long as the item is
	 * whole and on no list: then broken() has it.
	 */
	void (*committed)(PgwBatchItem *item);

	/*
	 * Its own transaction, alone, was rolled back.  The item is off the list and belongs to it.
	 * 55P03: somebody's DDL was in the way, or a lock that others hold for long; not the item's
	 * fault.  Raising: as above.
	 */
	void (*failed)(PgwBatchItem *item, int sqlstate);

	/*
	 * committed(), or failed(), was broken off by an ERROR.  What it owes to others (an answer, a
	 * call to be sent, the item's place) is made up for without anything that could raise; what
	 * stands in the tables is left to the scan, which is asked for.
	 */
	void (*broken)(PgwBatchItem *item, bool committed);
} PgwBatchItemOps;

struct PgwBatchItem
{
	dlist_node node;
	const PgwBatchItemOps *ops;
	/* it has run into a time limit: it shares no transaction any more */
	bool alone;
	/* set by apply(): what it has done may be lost in a crash, as nothing of it is in a table */
	bool leaves_nothing;
};

typedef enum PgwBatchEnd
{
	/* every item of the transaction had its committed() or failed() */
	PGW_BATCH_DONE = 0,
	/* the extension is being dropped or altered: nothing was done, items stay */
	PGW_BATCH_BUSY,
	PGW_BATCH_NO_EXTENSION, /* there is none (any more): items stay */
	PGW_BATCH_FAILED        /* pgw_batch_transaction only: rolled back */
} PgwBatchEnd;

/*
 * The first items of the list, so many at most, in one transaction; the others stay.  flush: the
 * commit is durable when committed() is called, unless no item has left anything; else it becomes
 * so within wal_writer_delay.
 */
extern PgwBatchEnd pgw_batch_run(dlist_head *items, int most, bool flush);

/* One transaction around work(arg), for what is not an item. */
extern PgwBatchEnd pgw_batch_transaction(void (*work)(void *arg), void *arg, bool flush,
										 int *sqlstate);

/* The same, for what may take longer than a transaction of the worker's: it ends after so long. */
extern PgwBatchEnd pgw_batch_transaction_within(int limit_ms, void (*work)(void *arg), void *arg,
												bool flush, int *sqlstate);

/*
 * The last error of a transaction, and what it names: "SQLSTATE 23514, constraint "c" of table
 * "payments"".  For failed().
 */
extern const char *pgw_batch_error(void);

/*
 * An ERROR came where none may: what made up for an item's end was itself broken off.  Its tables
 * are as they should be, but this process may have lost a slot or a call: it has to end, and the
 * next one takes all up from the tables.
 */
extern bool pgw_batch_unsound(void);

/*
 * The worker's SIGINT: ends what its transaction is doing, as a failure of the item; without one it
 * does nothing.
 */
extern void pgw_batch_cancel(SIGNAL_ARGS);

#endif
