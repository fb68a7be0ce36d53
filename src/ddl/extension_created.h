/*
 * extension_created.h - a worker for a database that has the extension now
 */
#ifndef PGW_DDL_EXTENSION_CREATED_H
#define PGW_DDL_EXTENSION_CREATED_H

/* Once that is committed: the launcher is asked to look at this database, unless it has a worker.
 */
extern void pgw_ask_for_worker(void);

#endif
