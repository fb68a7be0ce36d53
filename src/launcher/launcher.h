/*
 * launcher.h - the process that keeps one worker in each database that has the extension
 */
#ifndef PGW_LAUNCHER_LAUNCHER_H
#define PGW_LAUNCHER_LAUNCHER_H

#include "postgres.h"

/* _PG_init, after pgw_exchange_init(): registers it while preloading, else nothing */
extern void pgw_launcher_init(void);

/* The postmaster's entry point, by name. */
extern PGDLLEXPORT void pgw_launcher_main(Datum arg);

#endif
