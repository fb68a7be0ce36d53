/*
 * require_worker.h - what cannot be had without a worker
 */
#ifndef PGW_SQL_FUNCTION_REQUIRE_WORKER_H
#define PGW_SQL_FUNCTION_REQUIRE_WORKER_H

/* PW500 when no worker runs for this database, or the library is not preloaded. */
extern void pgw_require_worker(void);

#endif
