/*
 * row.h - one row at a time through the executor, without MVCC reads
 *
 * Rows are found with a dirty snapshot (the latest committed version, or this transaction's own),
 * locked in their latest version and changed by the executor's single-row functions, so
 * constraints, indexes and triggers work as in SQL.  No predicate lock is taken and no snapshot of
 * the caller is asked.  The caller of these functions is responsible for privileges.
 */
#ifndef PGW_DATABASE_ROW_H
#define PGW_DATABASE_ROW_H

#include "postgres.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

typedef struct PgwRel
{
	Relation rel;
	EState *estate; /* NULL: opened for reading */
	ResultRelInfo *rri;
	TupleTableSlot *slot;  /* the new row, filled by the caller and stored virtually */
	TupleTableSlot *found; /* the row found, or locked */
	bool pushed;           /* the active snapshot is ours */
	/* a row that is written runs code of others: foreign_code.h */
	bool runs_foreign_code;
	bool plain_updates;   /* no trigger of a row has to be fired for an update */
	const bool *ours;     /* pgw's own columns, by attnum - 1, while a row is written */
	struct PgwKept *kept; /* kept open: between pgw_row_keep() and pgw_row_close_kept() */
	bool locked;          /* by the caller, with the index that he reads by */
} PgwRel;

extern void pgw_row_open_read(PgwRel *r, Oid relid);
/* the same, and pgw_row_find(), under locks that the caller has taken and gives up */
extern void pgw_row_open_locked(PgwRel *r, Oid relid);
/* updated: attnums, for UPDATE OF triggers */
extern void pgw_row_open_write(PgwRel *r, Oid relid, const Bitmapset *updated, bool speculative);
/* the relation's lock stays until the transaction ends */
extern void pgw_row_close(PgwRel *r);

/*
 * Keep written tables open between keep() and close_kept(), so that many rows do not reopen them.
 * Both are called under the same resource owner, and the context must live that long. Returns false
 * if an outer caller already does so, and will end it. After an error call forget_kept(): the
 * tables were closed with the (sub)transaction.
 */
extern bool pgw_row_keep(MemoryContext context);
extern void pgw_row_close_kept(void);
extern void pgw_row_forget_kept(void);

/*
 * Lock the latest version of r->found for an update that leaves its keys alone. false: gone, or
 * busy (only when !wait).
 */
extern bool pgw_row_lock(PgwRel *r, bool wait, bool *busy);

/*
 * Has nobody locked r->found or changed it, as far as can be seen without a lock, and can it be
 * updated without one?
 */
extern bool pgw_row_is_free(const PgwRel *r);

/*
 * Before r->slot is filled with pgw's own columns (ours[attnum - 1], so many): columns that others
 * have added keep their values in an update, and get their defaults in an insert.  Returns whether
 * it is an update: then all columns of r->found are read, too.
 */
extern bool pgw_row_begin(PgwRel *r, const bool *ours, int nours);

/* For tables that are seldom written: r->slot, all NULL, and a column of it by its name. */
extern void pgw_row_clear(PgwRel *r);
extern void pgw_row_put(PgwRel *r, const char *column, Datum value, bool isnull);

extern void pgw_row_insert(PgwRel *r);
/* false: somebody has the key; nothing is left */
extern bool pgw_row_insert_speculative(PgwRel *r, Oid arbiter);
/*
 * The same with a log record less, for who has looked and found that nobody has the key.  Somebody
 * who has taken it since is not waited for: that is an error, 55P03.
 */
extern void pgw_row_insert_free_key(PgwRel *r, Oid arbiter);
extern void pgw_row_update(PgwRel *r); /* r->found (locked) becomes r->slot */
/*
 * The same where r->found was free and is not locked: waits for who has it by now.  false: somebody
 * has changed it, and nothing is written.
 */
extern bool pgw_row_update_free(PgwRel *r);
extern void pgw_row_delete(PgwRel *r); /* r->found; nobody else writes it */

#endif
