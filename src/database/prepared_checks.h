/*
 * prepared_checks.h - a table's CHECK constraints and the predicates of its partial indexes,
 * prepared once for the life of the process
 */
#ifndef PGW_DATABASE_PREPARED_CHECKS_H
#define PGW_DATABASE_PREPARED_CHECKS_H

#include "postgres.h"
#include "nodes/execnodes.h"

/*
 * Give the prepared expressions to a relation that has just been opened for writing; its lock keeps
 * its description as it is.  Does a row that is written run code of others?
 */
extern bool pgw_checks_lend(ResultRelInfo *rri);

#endif
