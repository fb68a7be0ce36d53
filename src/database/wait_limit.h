/*
 * wait_limit.h - how long this process waits for locks: until a deadline, and never longer than
 * lock_timeout says
 */
#ifndef PGW_DATABASE_WAIT_LIMIT_H
#define PGW_DATABASE_WAIT_LIMIT_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* Between begin and end, which also an ERROR has to pass (PG_CATCH); they nest. */
typedef struct PgwWaitLimit
{
	struct PgwWaitLimit *outer;
	int before; /* lock_timeout, as it was */
	int set;    /* what stands there instead; 0: nothing, what was there is shorter */
	int suspended;
	TimestampTz not_before; /* no wait that it ends can end earlier */
} PgwWaitLimit;

/* From here on each wait for a lock ends at the deadline, with 55P03; 0: there is none. */
extern void pgw_wait_limit_begin(PgwWaitLimit *limit, TimestampTz deadline);
/* The innermost has another deadline from here on, or time has passed. */
extern void pgw_wait_limit_until(TimestampTz deadline);
extern void pgw_wait_limit_end(const PgwWaitLimit *limit);
/* In PG_CATCH, after the end: is the error one that this limit has made? */
extern bool pgw_wait_limit_reached(const PgwWaitLimit *limit);

/*
 * While code of others runs, which may set lock_timeout by itself: it finds the session's own, and
 * what it sets is the session's.  Returns what is left, as lock_timeout has it; 0: no limit.
 */
extern int pgw_wait_limit_suspend(void);
extern void pgw_wait_limit_resume(void);

#endif
