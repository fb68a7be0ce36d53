/*
 * table_locks_internal.h - what the files about locks on pgw's tables share
 */
#ifndef PGW_DATABASE_TABLE_LOCKS_INTERNAL_H
#define PGW_DATABASE_TABLE_LOCKS_INTERNAL_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "storage/lockdefs.h"

#include "exchange/exchange_shmem.h"

#define PGW_WRITE_LOCK RowExclusiveLock
#define PGW_TABLES_OF_CALL 5
#define PGW_MAX_LOCKS 128 /* tables and indexes of one call, or of one table in the worker */
#define PGW_LOCK_POLL_MS 10

typedef struct PgwLockSet
{
	int ntables;
	Oid tables[PGW_TABLES_OF_CALL];
	int n;
	bool changed;             /* the worker's: the table's description has changed since */
	Oid locks[PGW_MAX_LOCKS]; /* what this process has acquired, in order */
} PgwLockSet;

/* --- table_locks.c --- */

/* This process waits for no lock: it is the worker. */
extern bool pgw_waits_for_no_lock;

/* This database's entry; NULL: there is none.  The caller holds pgw_lock. */
extern PgwWorkerEntry *pgw_lock_entry(void);

/*
 * All tables of a call with their indexes, open_work among them if the call inserts an attempt by
 * itself.  While one is waited for, none is held.
 */
extern void pgw_lock_set_all(PgwLockSet *set, bool open_work, TimestampTz deadline);
/* One table and its indexes; InvalidOid, or the one that somebody else has. */
extern Oid pgw_lock_set_try_table(PgwLockSet *set, Oid relid, TimestampTz deadline);
extern void pgw_lock_set_unlock(PgwLockSet *set);

/* Does this process have a lock on it, at least as strong? */
extern bool pgw_lock_is_held(Oid relid, LOCKMODE weakest);

#endif
