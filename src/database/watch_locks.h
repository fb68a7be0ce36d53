/*
 * watch_locks.h - the worker looks whether calls can have the tables that each of them needs
 */
#ifndef PGW_DATABASE_WATCH_LOCKS_H
#define PGW_DATABASE_WATCH_LOCKS_H

/* In a transaction of the worker's. */
extern void pgw_tables_watch(void *unused);

#endif
