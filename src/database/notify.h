/*
 * notify.h - the worker's NOTIFY, which never stops what it tells of
 */
#ifndef PGW_DATABASE_NOTIFY_H
#define PGW_DATABASE_NOTIFY_H

#include "postgres.h"

/*
 * In a transaction of the worker's: told when it commits, or not at all while the server's queue is
 * full.
 */
extern void pgw_notify(const char *channel, const char *payload);

/* --- for batch.c --- */
extern void pgw_notify_begin(void); /* a transaction begins */
extern void pgw_notify_before_commit(void);

/*
 * The transaction was rolled back with this SQLSTATE: for what it would have told?  true: it can be
 * tried again at once, and then tells nothing.
 */
extern bool pgw_notify_failed(int sqlstate);

#endif
