/*
 * worker_locks.h - the locks that the worker holds for callers who wait for it
 */
#ifndef PGW_DATABASE_WORKER_LOCKS_H
#define PGW_DATABASE_WORKER_LOCKS_H

/*
 * From now on this process waits for no lock on a table of pgw's: it gets it at once, or
 * pgw_table_lock() raises 55P03.
 */
extern void pgw_tables_never_wait(void);

/* At each turn: take over the locks of callers who wait, let go of those whose callers are gone. */
extern void pgw_tables_turn(void);
/* when the next turn has something to do; -1: no need */
extern long pgw_tables_timeout_ms(void);
extern void pgw_tables_let_go(void); /* all, at once: DROP EXTENSION */
/* a transaction was aborted, and the session's locks with it; no transaction is open */
extern void pgw_tables_lost(void);

#endif
