/*
 * foreign_code.h - code of others on pgw's tables, and the search_path that it finds
 */
#ifndef PGW_DATABASE_FOREIGN_CODE_H
#define PGW_DATABASE_FOREIGN_CODE_H

#include "postgres.h"
#include "nodes/execnodes.h"

/*
 * Would a row that is written to this open relation run a function that is neither the server's nor
 * pgw's?
 */
extern bool pgw_foreign_code(const ResultRelInfo *rri);

/*
 * Around each write where it would: the path is pinned, and is the caller's again.  After an error
 * the (sub)transaction's end does that.
 */
extern int pgw_foreign_begin(bool foreign);
extern void pgw_foreign_end(int nest_level);


/*
 * What a BEFORE trigger makes of a row: begin() before it can run, end() with what begin() returned
 * when it has; NULL: there is none but pgw's own, and no column has to be compared.  ours: pgw's
 * own columns, by attnum - 1.  kept: the row is written.  ERROR when one of them has another value
 * than pgw wrote, or when the row was left out.
 */
extern HeapTuple pgw_foreign_triggers_begin(const ResultRelInfo *rri, CmdType event,
											TupleTableSlot *slot);
extern void pgw_foreign_triggers_end(const ResultRelInfo *rri, CmdType event, HeapTuple wanted,
									 TupleTableSlot *slot, const bool *ours, bool kept);

/*
 * Does no trigger fire for a row that pgw updates there, but for pgw's own check of transitions?
 * What that checks pgw checks of itself (pgw_store_update_attempt()).
 */
extern bool pgw_foreign_plain_updates(const ResultRelInfo *rri);

/* For rows that a statement writes: has the table a BEFORE trigger of others, for each row? */
extern bool pgw_foreign_may_change(Relation rel, CmdType event);
/* the errors of pgw_foreign_triggers_end() */
extern void pgw_foreign_raise_left_out(Relation rel, CmdType event);
extern void pgw_foreign_raise_changed(Relation rel, CmdType event, const char *column);

#endif
