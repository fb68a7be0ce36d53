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

#endif
