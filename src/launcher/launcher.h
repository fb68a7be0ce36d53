/*
 * launcher.h - the process that keeps one worker in each database that has the extension
 */
#ifndef PGW_LAUNCHER_LAUNCHER_H
#define PGW_LAUNCHER_LAUNCHER_H

#include "postgres.h"

/* _PG_init, after pgw_exchange_init(): registers it while preloading, else nothing */
extern void pgw_launcher_init(void);

/*
 * Entry points by name: pgw_launcher_main and pgw_worker_main (worker.c; its argument is the
 * database's oid) for the postmaster, and pgw_extension_created() RETURNS void for the extension's
 * script, as its last statement.
 */
extern PGDLLEXPORT void pgw_launcher_main(Datum arg);
extern PGDLLEXPORT void pgw_worker_main(Datum arg);

#endif
