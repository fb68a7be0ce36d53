/*
 * find_row.h - rows by an index, without MVCC reads
 */
#ifndef PGW_DATABASE_FIND_ROW_H
#define PGW_DATABASE_FIND_ROW_H

#include "postgres.h"
#include "executor/tuptable.h"
#include "storage/itemptr.h"

#include "database/row.h"

typedef enum PgwFind
{
	PGW_FIND_NONE = 0,
	PGW_FIND_ROW,        /* in rel->found */
	PGW_FIND_IN_PROGRESS /* only an uncommitted row of another transaction: *xid, and *token while
							it is speculative */
} PgwFind;

/*
 * How many scans before "none" is believed: a dirty scan can miss a row that is being updated.
 * ONCE where a unique index decides afterwards.
 */
#define PGW_FIND_ONCE 1
#define PGW_FIND_THOROUGH 3

/* keys in the order of the index's columns.  A lone match wins over one in progress. */
extern PgwFind pgw_row_find(PgwRel *r, Oid index, const Datum *keys, int nkeys, int attempts,
							TransactionId *xid, uint32 *token);

/*
 * The row at this place, into r->found. false: it is not the latest version any more, as far as
 * this transaction can see.
 */
extern bool pgw_row_fetch(PgwRel *r, ItemPointer tid);
/*
 * The same at a place that is known from earlier, or not at all: the table can have been rewritten
 * since, and be shorter, or another row lie there, so look whose it is.  An older version of a row
 * is none.
 */
extern bool pgw_row_fetch_from(PgwRel *r, const ItemPointerData *place);

/* Every visible match of the key, each in r->found. */
typedef void (*PgwRowCallback)(PgwRel *r, void *arg);
extern void pgw_row_each(PgwRel *r, Oid index, const Datum *keys, int nkeys,
						 PgwRowCallback callback, void *arg);

/*
 * How many rows of the key there are, at most `most`: committed, own, and inserted by whom has not
 * committed.  test (may be NULL): which of them count. No more than *look are looked at; it is
 * lessened by those that were.
 */
typedef bool (*PgwRowTest)(TupleTableSlot *slot, void *arg);
extern uint32 pgw_row_count(PgwRel *r, Oid indexoid, const Datum *keys, int nkeys, uint32 most,
							uint32 *look, PgwRowTest test, void *arg);

#endif
