/*
 * caller_locks.h - a caller who will wait for the worker: counted on the tables, and covered by it
 */
#ifndef PGW_DATABASE_CALLER_LOCKS_H
#define PGW_DATABASE_CALLER_LOCKS_H

#include "postgres.h"
#include "datatype/timestamp.h"

/*
 * pgw_tables_lock(), and then the worker holds the same locks, too, until the (sub)transaction
 * ends.  PW500 worker_busy when the deadline comes first, or when DDL waits for a lock that this
 * transaction had before its first payment.
 */
extern void pgw_tables_enter(TimestampTz deadline);

#endif
