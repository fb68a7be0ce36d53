/*
 * table_locks.h - locks on pgw's tables: how payments go on while somebody's DDL waits for them,
 * and how DDL gets in
 */
#ifndef PGW_DATABASE_TABLE_LOCKS_H
#define PGW_DATABASE_TABLE_LOCKS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "storage/lockdefs.h"

/* --- callers --- */

/*
 * Every lock on tables and indexes that a call needs, at once: held until the (sub)transaction
 * ends, and none while one of them is waited for.  Before anything else of pgw's tables is touched.
 */
extern void pgw_tables_lock(TimestampTz deadline);

/*
 * The same for a caller who will wait for the worker, which then holds them, too, until the
 * (sub)transaction ends.  PW500 worker_busy when the deadline comes first, or when DDL waits for a
 * lock that this transaction had before its first payment.
 */
extern void pgw_tables_enter(TimestampTz deadline);

/* --- worker --- */

/*
 * From now on this process waits for no lock on a table of pgw's: it gets it at once, or
 * pgw_table_lock() raises 55P03.
 */
extern void pgw_tables_never_wait(void);
/* in any process; waits where that is allowed */
extern void pgw_table_lock(Oid relid, LOCKMODE mode);
/* before plain statements; other processes leave it to the statement */
extern void pgw_table_need(const char *table, LOCKMODE mode);
/* for pgw.health(); InvalidOid: not known which */
extern void pgw_tables_note_refusal(Oid relid);
extern void pgw_tables_note_limit(void); /* likewise: a time limit was reached */

/* At each turn: take over the locks of callers who wait, let go of those whose callers are gone. */
extern void pgw_tables_turn(void);
/* when the next turn has something to do; -1: no need */
extern long pgw_tables_timeout_ms(void);
extern void pgw_tables_let_go(void); /* all, at once: DROP EXTENSION */
/* a transaction was aborted, and the session's locks with it */
extern void pgw_tables_lost(void);

/* --- pgw.health() --- */

typedef struct PgwTablesStatus
{
	int covered;               /* tables that the worker has locked for callers */
	int callers;               /* transactions that made it do so */
	Oid refused_table;         /* InvalidOid: not known which, or none */
	TimestampTz refused_since; /* the worker lets work pass since then; 0: it does not */
	TimestampTz limited_at;    /* 0: not for minutes */
} PgwTablesStatus;
extern void pgw_tables_status(PgwTablesStatus *out);

#endif
