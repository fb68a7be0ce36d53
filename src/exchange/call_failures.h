/*
 * call_failures.h - calls of clients that fail one after the other, for whatever reason, as long as
 * it is not theirs
 */
#ifndef PGW_EXCHANGE_CALL_FAILURES_H
#define PGW_EXCHANGE_CALL_FAILURES_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* Since a call that writes has last succeeded; all zero: the last one has. */
typedef struct PgwCallFailures
{
	TimestampTz since; /* the first failure */
	TimestampTz last;
	int n;
	int sqlstate; /* of the last one */
} PgwCallFailures;

/* A call in this database has ended. */
extern void pgw_call_failed(int sqlstate);
extern void pgw_call_succeeded(void);

extern void pgw_call_failures(PgwCallFailures *out);

#endif
