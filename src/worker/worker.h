/*
 * worker.h - the process that calls banks for one database; its entry point is pgw_worker_main() of
 * launcher.h
 */
#ifndef PGW_WORKER_WORKER_H
#define PGW_WORKER_WORKER_H

extern int pgw_recovery_interval; /* GUC, seconds */

extern void pgw_worker_init(void); /* _PG_init: the worker's settings */

#endif
