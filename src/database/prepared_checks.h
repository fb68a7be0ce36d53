/*
 * prepared_checks.h - a table's CHECK constraints and what the executor knows of its indexes,
 * prepared once for the life of the process
 */
#ifndef PGW_DATABASE_PREPARED_CHECKS_H
#define PGW_DATABASE_PREPARED_CHECKS_H

#include "postgres.h"
#include "nodes/execnodes.h"

typedef struct PgwCodeOnTable
{
	bool foreign;       /* a row that is written runs code of others: foreign_code.h */
	bool plain_updates; /* pgw_foreign_plain_updates() */
} PgwCodeOnTable;

/*
 * Open the indexes of a relation that has just been opened for writing, and give it what is
 * prepared; its lock keeps its description as it is.  What is told of its code of others holds as
 * long.
 */
extern void pgw_checks_open(ResultRelInfo *rri, bool speculative, PgwCodeOnTable *code);

/*
 * What is to stand in for them while this update is made: the same, but for those constraints that
 * it cannot break, as they tell only of columns of pgw's (ours, by attnum - 1) that are as they
 * were.  All columns of both rows have been read.  Void with the next call for the table.
 */
extern ExprState **pgw_checks_of_update(ResultRelInfo *rri, const bool *ours,
										const TupleTableSlot *old, const TupleTableSlot *new);

#endif
