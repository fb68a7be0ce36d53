/*
 * worker.h - the process that calls banks for one database
 */
#ifndef PGW_WORKER_WORKER_H
#define PGW_WORKER_WORKER_H

#include "postgres.h"

extern void pgw_worker_init(void); /* _PG_init: the worker's settings */

/* The postmaster's entry point, by name; arg is the database's oid. */
extern PGDLLEXPORT void pgw_worker_main(Datum arg);

#endif
