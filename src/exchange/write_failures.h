/*
 * write_failures.h - writes that fail one after the other, for whatever reason, as long as it is
 * not the caller's
 */
#ifndef PGW_EXCHANGE_WRITE_FAILURES_H
#define PGW_EXCHANGE_WRITE_FAILURES_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* Whose write.  Each can fail while the others go well, so each is counted by itself. */
typedef enum PgwWriteKind
{
	PGW_WRITE_CALL = 0, /* what a call writes in its caller's transaction */
	PGW_WRITE_INTENT,   /* what the worker writes for a call before anything is sent */
	PGW_WRITE_ANSWER,   /* what a bank has answered to a charge */
	PGW_WRITE_STEP,     /* whatever else the worker does with an attempt */
	PGW_WRITE_KINDS
} PgwWriteKind;

/* Since one of this kind has last succeeded; all zero: the last one has. */
typedef struct PgwWriteFailures
{
	TimestampTz since; /* the first failure */
	TimestampTz last;
	int n;
	int sqlstate; /* of the last one */
} PgwWriteFailures;

/* So many in a row are no accident of perhaps one client. */
#define PGW_WRITES_FAIL_AFTER 3

/* In this database.  The worker counts an item once, however often it tries. */
extern void pgw_write_failed(PgwWriteKind kind, int sqlstate);
extern void pgw_write_succeeded(PgwWriteKind kind);

extern void pgw_write_failures(PgwWriteFailures out[PGW_WRITE_KINDS]);

#endif
