/*
 * database_worker.h - background workers of one database each
 */
#ifndef PGW_BASE_DATABASE_WORKER_H
#define PGW_BASE_DATABASE_WORKER_H

#include "postgres.h"
#include "postmaster/bgworker.h"

/*
 * Asks for one that runs this function of the library, with the database's oid as its argument,
 * once and not on a standby; this process is told when it starts and ends.  type: as
 * pg_stat_activity has it ("pgw worker").  NULL: no slot is free; else the handle lives as long as
 * the process.
 */
extern BackgroundWorkerHandle *pgw_register_worker(Oid dboid, const char *type,
												   const char *function);

#endif
