/*
 * visit_attempts.h - an attempt of the worker's queue is visited
 */
#ifndef PGW_QUEUE_VISIT_ATTEMPTS_H
#define PGW_QUEUE_VISIT_ATTEMPTS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "attempt/step.h"
#include "database/batch.h"

/* No visit is put off for longer, whatever fails. */
#define PGW_VISIT_LONGEST_DELAY_MS 30000

/*
 * An entry of the worker's queue: an attempt to visit. What is to be done with it is decided by its
 * row alone.
 */
typedef struct PgwWorkItem
{
	PgwBatchItem item; /* first */
	pg_uuid_t transaction_id;
	bool notify;    /* the caller has committed: tell the listeners */
	int times_busy; /* times in a row that a row was locked */
	TimestampTz busy_since;
	int failures; /* times that its transaction failed, in a row */
	TimestampTz not_before;
	/* as visited, or as waiting for room: see pgw_due_dequeued() */
	bool counted;

	PgwStep step;

	/* set by apply */
	PgwState status;      /* after the commit; PGW_STATE_NONE: not looked at */
	bool alert;           /* it has failed, or needs a person, since this visit */
	char correlation[37]; /* of the row, when it was locked */
	char bank[NAMEDATALEN];
} PgwWorkItem;

extern const PgwBatchItemOps pgw_visit_ops; /* its items are PgwWorkItems */

#endif
