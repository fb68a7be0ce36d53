/*
 * table_locks.h - locks on pgw's tables: how payments go on while somebody's DDL waits for them,
 * and how DDL gets in
 */
#ifndef PGW_DATABASE_TABLE_LOCKS_H
#define PGW_DATABASE_TABLE_LOCKS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "storage/lockdefs.h"

/*
 * Every lock on tables and indexes that a call needs, at once: held until the (sub)transaction
 * ends, and none while one of them is waited for.  Before anything else of pgw's tables is touched.
 */
extern void pgw_tables_lock(TimestampTz deadline);

/* PW500 worker_busy: nothing was sent. */
extern void pgw_table_raise_busy(const char *reason);

/* One lock; waits where that is allowed. */
extern void pgw_table_lock(Oid relid, LOCKMODE mode);
/* The worker's, before plain statements; other processes leave it to the statement. */
extern void pgw_table_need(const char *table, LOCKMODE mode);

#endif
